"""Starts one server on one core and ends all that came of it: no process of a server outlives its keeper.

    python keeper.py CORE COMMAND...

The keeper is the new parent of every orphan below it, so a server's processes are exactly those below the keeper,
whatever they do to their parents, sessions and titles. It ends them when it is told to end, and dies with the harness.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PATIENCE_S = 8.0


def below(root: int) -> list[int]:
    """Name every living process below one, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name of a program may hold anything, brackets too: the fields begin after the last one.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(children.get(root, []))
    for pid in found:
        found += children.get(pid, [])
    return found


def tell(word: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, word)
        except ProcessLookupError:
            continue


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def end_all() -> None:
    """Ask, wait, then kill until nothing is left."""
    tell(signal.SIGTERM, below(os.getpid()))
    patience = time.monotonic() + PATIENCE_S
    while left := below(os.getpid()):
        if time.monotonic() > patience:
            tell(signal.SIGKILL, left)
        time.sleep(0.05)
        reap()
    reap()


def asked_to_end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, signal.SIGTERM)):
        if libc.prctl(option, int(value), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    signal.signal(signal.SIGTERM, asked_to_end)
    os.sched_setaffinity(0, {int(sys.argv[1])})
    try:
        server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
        while server.poll() is None:
            time.sleep(0.5)
        return server.returncode or 0
    except KeyboardInterrupt:
        return 0
    finally:
        end_all()


if __name__ == "__main__":
    raise SystemExit(main())
