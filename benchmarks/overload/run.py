"""Does an endpoint that is asked for more than it can do still do what it can, and is it well again when that is over?

    python benchmarks/overload/run.py [--seconds 20] [--out FOLDER]

A small release is served by one worker with a graph made slow (slow.py). What it can do is found out first, by
asking for ever more. Then requests come at an even rate, at half, once, 1.5, 3 and 10 times as many, whatever comes
back. Claims: at least 85 % of the peak is answered at each rate above it, an answer comes within 2 s for
99 of 100, memory grows by no more than 64 MB, and less than 5 s after the end all is as before. At last, 10,000
connections are open and say nothing. Writes result.json and result.md beside this file.
"""

import argparse
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from offer import Got, Offer

HERE = Path(__file__).parent
ROWS = 8
RATES = (0.5, 1.0, 1.5, 3.0, 10.0)
PROBES = (20.0, 40.0, 80.0, 160.0, 320.0, 640.0)  # a second, to find out what it can do
CONNECTIONS = 1_024
WARM_S = 2.0  # until the queue is as long as it becomes
IDLE = 10_000
GOODPUT, WITHIN_S, RECOVERED_S, GROWN_MB = 0.85, 2.0, 5.0, 64.0


def request() -> bytes:
    body = json.dumps([{"age": 20 + row, "income": 20.5 + row} for row in range(ROWS)]).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Memory:
    """Looks at the memory of a process ten times a second, and remembers the most."""

    def __init__(self, pid: int) -> None:
        self.most_mb = 0.0
        self._pid, self._going = pid, True
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while self._going:
            self.most_mb = max(self.most_mb, resident_mb(self._pid))
            time.sleep(0.1)

    def stop(self) -> float:
        self._going = False
        self._thread.join()
        return self.most_mb


def ms(values: list[float], part: int) -> float:
    """Give a percentile in milliseconds."""
    if len(values) < 2:
        return values[0] * 1000 if values else float("nan")
    return quantiles(values, n=100, method="inclusive")[part - 1] * 1000


def told(name: str, rate_per_s: float, seconds: float, got: list[Got]) -> dict[str, Any]:
    good = [one for one in got if one.status == 200]
    took = [one.at_s - one.due_s for one in good]
    refused = [one.at_s - one.due_s for one in got if one.status == 503]
    return {
        "load": name,
        "offered_per_s": rate_per_s,
        "answered_per_s": sum(WARM_S < one.at_s <= seconds for one in good) / (seconds - WARM_S),
        "p50_ms": ms(took, 50),
        "p99_ms": ms(took, 99),
        "refused_p99_ms": ms(refused, 99) if refused else None,
        "statuses": dict(Counter(str(one.status) for one in got)),
    }


def overload(port: int, worker: int, seconds: float) -> dict[str, Any]:
    offer = Offer(port, request(), CONNECTIONS)
    capacity = 0.0
    for rate in PROBES:
        found = told("probe", rate, seconds, offer.run(rate, seconds))["answered_per_s"]
        capacity = max(capacity, found)
        if found < rate / 2:
            break
    rows: list[dict[str, Any]] = []
    before_mb = resident_mb(worker)
    memory = Memory(worker)
    for rate in RATES:
        rows.append(told(f"{rate:g} times", rate * capacity, seconds, offer.run(rate * capacity, seconds)))
        print(rows[-1], flush=True)
    ended = time.monotonic()
    calm_ms = rows[0]["p99_ms"]
    recovered_s = float("inf")
    while time.monotonic() - ended < 20:
        got = offer.run(capacity / 2, 1.0)
        if {one.status for one in got} == {200} and ms([one.at_s - one.due_s for one in got], 50) < max(calm_ms, 100.0):
            recovered_s = time.monotonic() - ended - 1.0
            break
    offer.close()
    return {
        "seconds": seconds,
        "capacity_per_s": capacity,
        "rows": rows,
        "recovered_s": recovered_s,
        "grown_mb": memory.stop() - before_mb,
    }


def idle(port: int, worker: int) -> dict[str, Any]:
    """Open connections that say nothing, and look what the others notice."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE + 2_000), hard))
    count = min(IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)

    def light_ms() -> float:
        offer = Offer(port, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 1)
        got = offer.run(200.0, 3.0)
        offer.close()
        return median(one.at_s - one.due_s for one in got) * 1000

    alone_ms, before_mb = light_ms(), resident_mb(worker)
    held = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(count)]
    time.sleep(1.0)
    beside_ms, after_mb = light_ms(), resident_mb(worker)
    for each in held:
        each.close()
    return {
        "connections": count,
        "alone_p50_ms": alone_ms,
        "beside_p50_ms": beside_ms,
        "kb_each": (after_mb - before_mb) * 1000 / count,
    }


def claims(result: dict[str, Any]) -> dict[str, bool]:
    over = [row for row in result["rows"] if row["offered_per_s"] > result["capacity_per_s"] * 1.01]
    peak = max(result["capacity_per_s"], *(row["answered_per_s"] for row in result["rows"]))
    return {
        f"goodput at least {GOODPUT:.0%} of the peak": all(row["answered_per_s"] >= GOODPUT * peak for row in over),
        f"99 of 100 answers within {WITHIN_S:g} s": all(row["p99_ms"] <= WITHIN_S * 1000 for row in over),
        f"well again within {RECOVERED_S:g} s": result["recovered_s"] < RECOVERED_S,
        f"memory grows by at most {GROWN_MB:g} MB": result["grown_mb"] <= GROWN_MB,
        "10,000 idle connections": result["idle"]["connections"] >= IDLE,
    }


def page(result: dict[str, Any]) -> str:
    silent = result["idle"]
    lines = [
        "# More than it can do",
        "",
        f"One worker, {ROWS} rows a request, a graph made slow: it can answer {result['capacity_per_s']:.0f} requests a"
        " second. They come at an even rate, whatever comes back; what is answered is counted after the first"
        f" {WARM_S:g} s of {result['seconds']:g}.",
        "",
        *(f"- {claim}: {'held' if held else 'NOT HELD'}" for claim, held in result["claims"].items()),
        "",
        "| offered | a second | answered a second | p50, ms | p99, ms | p99 of a refusal, ms | statuses |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in result["rows"]:
        refused = "" if row["refused_p99_ms"] is None else f"{row['refused_p99_ms']:.0f}"
        statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(row["statuses"].items()))
        lines.append(
            f"| {row['load']} | {row['offered_per_s']:.0f} | {row['answered_per_s']:.1f} | {row['p50_ms']:.0f}"
            f" | {row['p99_ms']:.0f} | {refused} | {statuses} |"
        )
    lines += [
        "",
        f"After the tenfold load it was as before within {result['recovered_s']:.1f} s;"
        f" its memory had grown by {result['grown_mb']:.0f} MB at most.",
        f"With {silent['connections']:,} connections that say nothing, a small request took"
        f" {silent['beside_p50_ms']:.2f} ms (p50) instead of {silent['alone_p50_ms']:.2f} ms; each of them took"
        f" {silent['kb_each']:.1f} kB of the worker.",
        "The generator and the server shared the machine, and others worked on it too.",
        "",
        f"{result['machine']}; {result['versions']}; {result['date']}; commit {result['commit'][:12]}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=20.0, help="of each rate")
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, str(HERE / "slow.py"), str(Path(scratch) / "project")]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        state = json.loads(process.stdout.readline())
        port, worker = int(state["url"].rpartition(":")[2]), int(state["workers"][0])
        result = overload(port, worker, given.seconds)
        result["idle"] = idle(port, worker)
        process.terminate()
        process.wait(timeout=60)
    result["claims"] = claims(result)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    result |= {
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, ONNX Runtime {version('onnxruntime')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "result.md").write_text(page(result))
    print(page(result))
    sys.exit(0 if all(result["claims"].values()) else 1)


if __name__ == "__main__":
    main()
