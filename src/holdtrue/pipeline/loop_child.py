"""Work of the loop that takes long, in a process of its own: it can be ended, and gives all its memory back.

    python -m holdtrue.pipeline.loop_child FOLDER TOKEN ACTOR PARENT

The process does the deed that the loop awaits, writes the outcome into the store, and ends. It dies with its parent: a
training that nobody leads any more would stand in the way of the one that the next leader starts.
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import final

from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_deeds import Doer
from holdtrue.pipeline.loop_store import LoopStore
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.workspace import open_workspace

END_S = 20.0  # to end what it is at; then it is killed
SHOWN = 500
PR_SET_PDEATHSIG = 1


@final
class Child:
    """A process that does one deed."""

    def __init__(self, folder: Path, token: int, keeper: Keeper, deed: int, environ: Mapping[str, str]) -> None:
        self.deed, self.token = deed, token
        # What a training prints must not fill a pipe that nobody reads.
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), str(token), keeper.actor, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=True,  # Ctrl-C in a terminal is for the worker, which ends this one
        )

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> str:
        """End the process if it has not ended; gives how it failed, nothing when it did not."""
        code = self._process.poll()
        if code is None:
            self._process.send_signal(signal.SIGINT)
            try:
                code = self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read()[-SHOWN:].strip().splitlines()
        self._said.close()
        if code == 0:
            return ""
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the process that did it ended: {how}" + (f" ({lines[-1]})" if lines else "")


def main(folder: str, token: str, actor: str, parent: str) -> None:
    """Do the deed that is awaited, as the leader whose token is given, while its process `parent` lives."""
    with suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        return  # it was killed before this process asked to die with it
    workspace = open_workspace(Path(folder), environ=os.environ)
    keeper = Keeper(home=workspace.home, project=workspace.project.name, actor=actor)
    store = LoopStore(keeper=keeper)
    journaled = store.open_deed()
    if journaled is None:
        return
    doer = Doer(
        workspace=workspace,
        keeper=keeper,
        environ=os.environ,
        now_us=lambda: time.time_ns() // 1000,
        tell=silent,
        token=int(token),
    )
    store.report(int(token), doer.do(journaled))


if __name__ == "__main__":
    main(*sys.argv[1:])
