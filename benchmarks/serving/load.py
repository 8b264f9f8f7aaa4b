"""Load on a server: a closed loop by wrk, and an open loop of our own, each pinned to the cores of the load.

In a closed loop every connection sends the next request when it has its answer: it finds how much a server can do, but
its latencies flatter, as nobody asks while the server is slow. In the open loop requests are due at times drawn
beforehand, and a latency counts from the time a request was due.
"""

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from environments import Failed

HERE = Path(__file__).parent
PATIENCE_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """What came of a closed loop; `refused` answers had another status than 200, `broken` ones did not come."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    p999_us: float
    refused: int
    broken: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """What came of an open loop.

    Attributes:
        due: requests that were due; those never sent or never answered count as failed.
        good_per_s: answered with 200 within the limit.
        late_p99_us: how late the generator itself was to send what a free connection waited for.
    """

    rate_per_s: float
    due: int
    answered: int
    failed: int
    p50_us: float
    p99_us: float
    p999_us: float
    slowest_us: float
    good_per_s: float
    late_p99_us: float


def wrk_there() -> None:
    """Say how to get wrk when it is not there."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: `apt-get install wrk` on Debian, `brew install wrk` on macOS.")


def lay_out(requests: list[bytes], folder: Path) -> Path:
    """Write requests where the generators read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, request in enumerate(requests, 1):
        (folder / str(place)).write_bytes(request)
    return folder


def pinned(cores: list[int], command: list[str]) -> list[str]:
    return ["taskset", "-c", ",".join(str(core) for core in cores), *command]


def closed(port: int, requests: Path, *, connections: int, seconds: float, cores: list[int]) -> Closed:
    """Keep so many connections busy for so long."""
    count = len(list(requests.iterdir()))
    threads = min(len(cores), connections)
    words = ["-t", str(threads), "-c", str(connections), "-d", f"{max(round(seconds), 1)}s", "--timeout", "30s"]
    command = ["wrk", *words, "-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{port}/", "--", str(requests), str(count)]
    said = _said(pinned(cores, command), seconds)
    found = [line for line in said.splitlines() if line.startswith("SUMMARY ")]
    if not found:
        raise Failed(f"wrk said: {said[-300:]}")
    return Closed(**json.loads(found[0].removeprefix("SUMMARY ")))


def _said(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + PATIENCE_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"the load did not end {PATIENCE_S} s after its time") from None
    if done.returncode:
        raise Failed(f"the load ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
    return done.stdout


def opened(
    port: int,
    requests: Path,
    *,
    rate_per_s: float,
    seconds: float,
    limit_ms: float,
    cores: list[int],
    connections: int = 256,
    seed: int = 1,
    is_even: bool = False,
) -> Open:
    """Send requests when they are due: at times of a Poisson process, or evenly.

    Each core of the load gets a process with its share of the rate.
    """
    share = rate_per_s / len(cores)
    plan = {"port": port, "requests": str(requests), "seconds": seconds, "connections": connections // len(cores)}
    running: list[subprocess.Popen[str]] = []
    for place, core in enumerate(cores):
        given = json.dumps({**plan, "rate_per_s": share, "seed": seed + place, "is_even": is_even})
        command = pinned([core], [sys.executable, str(HERE / "open_loop.py"), given])
        running.append(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    try:
        said = [process.communicate(timeout=seconds + PATIENCE_S) for process in running]
    except subprocess.TimeoutExpired:
        raise Failed(f"the open loop did not end {PATIENCE_S} s after its time") from None
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
    if any(process.returncode for process in running):
        raise Failed(f"the open loop failed: {said[0][1][-300:]}")
    parts = [json.loads(out) for out, _ in said]
    return _joined(parts, rate_per_s, seconds, limit_ms)


def _joined(parts: list[dict[str, list[float]]], rate_per_s: float, seconds: float, limit_ms: float) -> Open:
    latencies = np.concatenate([np.array(part["latencies_us"]) for part in parts])
    late = np.concatenate([np.array(part["late_us"]) for part in parts])
    due = sum(int(part["due"][0]) for part in parts)
    shown = latencies if len(latencies) else np.array([np.inf])
    p50, p99, p999 = (float(value) for value in np.quantile(shown, [0.5, 0.99, 0.999]))
    return Open(
        rate_per_s=rate_per_s,
        due=due,
        answered=len(latencies),
        failed=due - len(latencies),
        p50_us=p50,
        p99_us=p99,
        p999_us=p999,
        slowest_us=float(shown.max()),
        good_per_s=float(np.count_nonzero(latencies <= limit_ms * 1000)) / seconds,
        late_p99_us=float(np.quantile(late, 0.99)) if len(late) else 0.0,
    )
