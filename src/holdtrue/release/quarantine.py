"""The order in which a release is checked before it may be used: folder, signature, hashes, then the graph, held apart.

What the graph is made of is looked at in a child process with limits on memory, time, files and network. The child may
die of a hostile model; this process only ever reads its short verdict.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdtrue.core.errors import Refused
from holdtrue.release.bundle import Release, release_of
from holdtrue.release.held import GOLDEN, INTERFACE, MODEL
from holdtrue.release.signing import verify

MOST_VERDICT_BYTES = 1 << 20
FEW_THREADS = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
CHILD = "holdtrue.release.quarantine_child"
MOST_PASSED = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What examining one model may take; memory grows with the model, which is held four times at the worst."""

    memory_bytes: int = 2 << 30
    cpu_s: int = 20
    wall_s: float = 30.0
    model_bytes: int = 512 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the examination showed of a model that passed.

    Attributes:
        statements: what was shown, in words, such as how equal the golden rows were.
        peak_bytes: the most memory the examination took.
        offline: whether the kernel let the child leave the network.
    """

    statements: tuple[str, ...]
    peak_bytes: int
    offline: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """A release that passed every check, with the very bytes that were checked."""

    release: Release
    files: Mapping[str, bytes]
    fingerprint: str
    finding: Finding


# What passed in this process: the same bytes, under the same limits, would pass again.
_passed: dict[tuple[bytes, Limits], Finding] = {}


def admit(folder: Path, *, trusted: Mapping[str, Path], limits: Limits | None = None) -> Admitted:
    """Check a release folder in full; raises `Refused` with the first kind of fault found.

    Nothing is opened twice: use `files` of the result, not the folder.
    """
    verified = verify(folder, trusted)
    release = release_of(folder, verified.files)
    finding = examine(
        verified.files[MODEL],
        golden=verified.files[GOLDEN],
        interface=verified.files[INTERFACE],
        limits=limits or Limits(),
    )
    told = json.loads(verified.files[INTERFACE])
    core = release.core
    if [dict(port) for port in (*core.inputs, *core.outputs)] != [*told["inputs"], *told["outputs"]]:
        raise Refused("The manifest names other inputs or outputs than signature.json.")
    return Admitted(release=release, files=verified.files, fingerprint=verified.fingerprint, finding=finding)


def examine(model: bytes, *, golden: bytes, interface: bytes, limits: Limits) -> Finding:
    """Examine a graph in a child process; raises `Refused` with what is wrong.

    Worth asking before signing too: what is refused here would never serve. Bytes that passed in this process are known
    by their hash, and are not examined again.
    """
    if len(model) > limits.model_bytes:
        raise Refused(f"The model has {len(model):,} bytes; at most {limits.model_bytes:,} are allowed.")
    key = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in (model, golden, interface))).digest()
    if (known := _passed.get((key, limits))) is not None:
        return known
    memory_bytes = limits.memory_bytes + 4 * len(model)
    header = json.dumps({"model": len(model), "golden": len(golden), "interface": len(interface)}).encode()
    stdin = os.memfd_create("holdtrue-quarantine")
    try:
        with os.fdopen(os.dup(stdin), "wb") as stream:
            for part in (header, b"\n", model, golden, interface):
                stream.write(part)
        os.lseek(stdin, 0, os.SEEK_SET)
        said, status = _run_child(stdin, memory_bytes, limits)
    finally:
        os.close(stdin)
    verdict = _verdict(said, status, limits)
    if verdict["faults"]:
        raise Refused(
            "The model is not admitted:",
            faults=verdict["faults"],
            do="Use a release that Holdtrue made and nobody changed; make one with: holdtrue run",
        )
    found = Finding(
        statements=tuple(verdict["statements"]), peak_bytes=verdict["peak_bytes"], offline=verdict["offline"]
    )
    if len(_passed) >= MOST_PASSED:
        _passed.clear()
    _passed[key, limits] = found
    return found


def _run_child(stdin: int, memory_bytes: int, limits: Limits) -> tuple[bytes, int]:
    """Run the child to its end or its time limit; gives what it said and its exit status (-9 when it was ended)."""
    # No variable of ours gets in but what Python needs to start: no secrets, no PYTHONPATH. The rest keeps threads, and
    # the address space each of them sets aside, few: the limit of memory counts what is set aside.
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    child = subprocess.Popen(
        [sys.executable, "-P", "-B", "-m", CHILD, str(memory_bytes), str(limits.cpu_s)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={**kept, **FEW_THREADS, "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    assert child.stdout is not None
    stop = threading.Timer(limits.wall_s, _end, [child.pid])
    stop.start()
    try:
        said = child.stdout.read(MOST_VERDICT_BYTES + 1)
        if len(said) > MOST_VERDICT_BYTES:
            _end(child.pid)
        status = child.wait()
    finally:
        stop.cancel()
        if child.poll() is None:
            _end(child.pid)
            child.wait()
        child.stdout.close()
    return said, status


def _end(group: int) -> None:
    """End the child and all it started."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _verdict(said: bytes, status: int, limits: Limits) -> dict[str, Any]:
    """Read the child's verdict; a child that died, or says anything else, found the model unfit."""
    if status == 0 and len(said) <= MOST_VERDICT_BYTES:
        try:
            value = json.loads(said)
            if isinstance(value, dict) and {"faults", "statements", "peak_bytes", "offline"} == value.keys():
                return value
        except (ValueError, RecursionError):
            pass
    ended = {
        -signal.SIGXCPU: f"took more than {limits.cpu_s} s of processor time",
        -signal.SIGKILL: f"took more than {limits.wall_s:g} s, or more memory than there is",
    }
    how = ended.get(status, f"died by signal {-status}" if status < 0 else f"ended without a verdict (status {status})")
    return {"faults": [f"the process that examined it {how}"]}
