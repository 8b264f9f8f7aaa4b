"""What an endpoint does beside answering: what killed workers left is sealed, and full segments become parts."""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from holdtrue.core.errors import HoldtrueError
from holdtrue.data.traffic.recover import recover

LOG = logging.getLogger("holdtrue.serving")


async def keep_up(traffic: Path, *, every_s: float) -> None:
    """Seal and compact again and again, until cancelled; what goes wrong is logged, and tried again the next time."""
    while True:
        await asyncio.sleep(every_s)
        try:
            found = await asyncio.get_running_loop().run_in_executor(None, recover, traffic)
            for fault in found.faults:
                LOG.warning("the traffic: %s", fault)
            await compact_apart(traffic)
        except (HoldtrueError, OSError) as error:
            LOG.warning("the traffic could not be tidied up: %s", error)


async def compact_apart(traffic: Path) -> None:
    """Compact in a process of its own, out of the way of who answers; it ends when this is cancelled.

    It may be killed at any moment: what it left half done is done anew, and nothing is removed before its successor is
    proven to hold it.
    """
    words = ("-P", "-m", "holdtrue.data.traffic.compact", str(traffic))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        process_group=0,
        env={**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    try:
        _, told = await process.communicate()
        if process.returncode:
            LOG.warning("compaction ended with %d: %s", process.returncode, told.decode(errors="replace").strip())
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
