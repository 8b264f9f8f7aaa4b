"""Looks at a hostile model inside a process that may die: limits first, then bytes in by stdin, one verdict out.

Started by `quarantine.py`. Only the standard library is imported before the limits hold.
"""

import ctypes
import json
import re
import resource
import sys
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    memory_bytes, cpu_s = (int(text) for text in sys.argv[1:3])
    _limit(memory_bytes, cpu_s)
    offline = _leave_network()
    header = json.loads(sys.stdin.buffer.readline())
    model = sys.stdin.buffer.read(header["model"])
    golden = sys.stdin.buffer.read(header["golden"])
    interface = sys.stdin.buffer.read(header["interface"])
    try:
        faults, statements = examine(model, golden, interface)
    except MemoryError:
        faults, statements = [f"reading it takes more than {memory_bytes >> 20:,} MiB of memory"], []
    except Exception as error:  # whatever a parser raises here, it raised because of these bytes
        faults, statements = [f"examining it failed: {type(error).__name__}: {str(error)[:300]}"], []
    verdict: dict[str, Any] = {
        "faults": faults,
        "statements": statements,
        "offline": offline,
        "peak_bytes": _peak_bytes(),
    }
    sys.stdout.write(json.dumps(verdict))


def _peak_bytes() -> int:
    # On Linux ru_maxrss starts from the peak of the process that forked this one; VmHWM is of this program alone.
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit(memory_bytes: int, cpu_s: int) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_FSIZE, 0),  # pipes are no files: the verdict still gets out
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        # The first limit of time ends us by a signal of its own, which tells the parent why; the second comes later.
        last = most + 1 if kind == resource.RLIMIT_CPU else most
        kept = last if hard == resource.RLIM_INFINITY else min(last, hard)
        resource.setrlimit(kind, (min(most, kept), kept))


def _leave_network() -> bool:
    """Go where there is no network, if the kernel lets us; and never gain rights again."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0


def examine(model: bytes, golden: bytes, interface: bytes) -> tuple[list[str], list[str]]:
    """Apply the rules in order; each is only asked when those before it hold."""
    from holdtrue.core.errors import HoldtrueError
    from holdtrue.release import structure
    from holdtrue.release.interface import read_interface

    try:
        told = read_interface(interface)
    except HoldtrueError as error:
        return [str(error)], []
    parsed, faults = structure.parse(model)
    if parsed is None:
        return faults, []
    faults = structure.faults_of(parsed, told)
    if faults:
        return faults, []

    from holdtrue.release import shapes, trees

    sizes, faults = shapes.measure(parsed)
    faults = faults or trees.faults_of(parsed, sizes)
    if faults:
        return faults, []
    del parsed  # the runtime makes its own copy

    from holdtrue.release import trial

    return trial.faults_of(model, golden, told)


if __name__ == "__main__":
    main()
