"""The record of predictions: what one receipt costs the event loop, what the disk adds, and how fast it is read.

Claims: packing a receipt with a body of 1 KB, its check sums included, takes at most 3 µs, and an id at most 0.5 µs.
The rest is reported without a limit. Files lie in a folder beside the result, not in memory.

    python benchmarks/receipts/run.py [--count 100000] [--out FOLDER]
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.read import batch_of, check, find, receipts
from holdtrue.data.traffic.receipt import Ids, Receipt, pack, unpack

HERE = Path(__file__).parent
PACK_LIMIT_US, ID_LIMIT_US = 3.0, 0.5
BATCH = 16


def now_us() -> int:
    return time.time_ns() // 1000


def per_call_us(act: Callable[[], object], calls: int = 20_000, rounds: int = 15) -> tuple[float, float]:
    """The median and the worst of several rounds, each a mean of many calls."""
    taken: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            act()
        taken.append((time.perf_counter() - began) / calls * 1e6)
    return median(taken), max(taken)


def made(ids: Ids, number: int, body: bytes) -> Receipt:
    now = now_us()
    return Receipt(
        id=ids.next(now // 1000),
        time_us=now,
        release="b" * 64,
        route="champion",
        weight=1.0,
        batch=number // BATCH,
        place=number % BATCH,
        rows=1,
        wire="v2",
        body=body,
        outputs=b"12345678",
        trace="4bf92f3577b34da6a3ce929d0e0e4736",
        caller="anonymous",
    )


def packing() -> list[dict[str, Any]]:
    ids, rows = Ids(7), list[dict[str, Any]]()
    ms = now_us() // 1000

    def row(what: str, timing: tuple[float, float]) -> None:
        rows.append({"what": what, "median_us": timing[0], "slowest_us": timing[1]})

    row("an id", per_call_us(lambda: ids.next(ms)))
    for size in (256, 1024, 16 * 1024):
        one = made(ids, 0, os.urandom(size))
        data = pack(one)
        row(f"pack, body of {size:,} bytes", per_call_us(lambda one=one: pack(one)))
        row(f"unpack, body of {size:,} bytes", per_call_us(lambda data=data: unpack(data)))
    body = os.urandom(1024)
    row("id, receipt and pack together, 1,024 bytes", per_call_us(lambda: pack(made(ids, 0, body))))
    return rows


def writing(folder: Path, count: int, together: int, rate_per_s: int) -> dict[str, Any]:
    """Hand packed receipts over, so many at a time, at a rate or (0) as fast as it goes; the syncing thread is on."""
    ids, body = Ids(1), os.urandom(1024)
    frames = [pack(made(ids, number, body)) for number in range(2000)]
    journal = Journal(folder, endpoint=f"w{together}-{rate_per_s}", stream=1, now=now_us)
    taken: list[float] = []
    gc.collect()
    began = time.perf_counter()
    for number in range(0, count, together):
        while rate_per_s and time.perf_counter() < began + number / rate_per_s:
            time.sleep(0)
        started = time.perf_counter()
        journal.add_all(frames[number % 1000 : number % 1000 + together])
        journal.write()
        taken.append((time.perf_counter() - started) * 1e6)
    wall = time.perf_counter() - began
    journal.close()
    cuts = quantiles(taken, n=1000)
    return {
        "together": together,
        "rate_per_s": rate_per_s,
        "us_a_receipt": sum(taken) / count,
        "mb_per_s": count * len(frames[0]) / wall / 1e6,
        "write_p50_us": cuts[499],
        "write_p99_us": cuts[989],
        "write_p999_us": cuts[998],
        "slowest_us": max(taken),
    }


def committing(folder: Path, waiting: int, seconds: float) -> dict[str, Any]:
    """So many at once write a receipt and wait until the disk keeps it, again and again."""
    ids, frame = Ids(2), pack(made(Ids(2), 0, os.urandom(1024)))
    journal = Journal(folder, endpoint=f"c{waiting}", stream=2, now=now_us)
    free = threading.Semaphore(waiting)
    taken: list[float] = []

    def answered(kept: bool, started: float) -> None:
        assert kept
        taken.append((time.perf_counter() - started) * 1000)
        free.release()

    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        free.acquire()
        started = time.perf_counter()
        ids.next(0)
        journal.add(frame)
        journal.when_durable(journal.write(), lambda kept, started=started: answered(kept, started))
    wall = time.perf_counter() - began
    journal.close()
    cuts = quantiles(taken, n=100)
    return {"waiting": waiting, "per_s": len(taken) / wall, "p50_ms": cuts[49], "p99_ms": cuts[98]}


def bare_sync_ms(folder: Path, count: int = 300) -> float:
    """What one small append and fdatasync costs without us."""
    handle, data, taken = os.open(folder / "bare", os.O_RDWR | os.O_CREAT), os.urandom(1200), list[float]()
    for number in range(count):
        began = time.perf_counter()
        os.pwrite(handle, data, number * len(data))
        os.fdatasync(handle)
        taken.append((time.perf_counter() - began) * 1000)
    os.close(handle)
    return median(taken)


def reading(folder: Path, count: int) -> dict[str, Any]:
    """Read everything, and look up single ones: first in segments, then in parts."""
    ids, home = Ids(3), folder / "read"
    journal = Journal(home, endpoint="hotels", stream=3, now=now_us)
    kept: list[str] = []
    for number in range(count):
        one = made(ids, number, b'{"inputs": [%d, %s]}' % (number, os.urandom(200).hex().encode()))
        kept.append(one.id)
        journal.add(pack(one))
        if number % BATCH == BATCH - 1:
            journal.write()
    journal.close()
    result: dict[str, Any] = {}
    for form in ("segments", "parts"):
        taken = dict[str, float]()
        for what, act in {
            "rate_per_s": lambda: sum(1 for _ in receipts(home)),
            "check_s": lambda: check(home),
            "find_ms": lambda: [find(home, kept[at]) for at in range(0, count, count // 10)],
            "batch_ms": lambda: batch_of(home, find(home, kept[count // 2])),
        }.items():
            began = time.perf_counter()
            act()
            taken[what] = time.perf_counter() - began
        taken |= {"rate_per_s": count / taken["rate_per_s"], "find_ms": taken["find_ms"] * 100}
        result[form] = {**taken, "batch_ms": taken["batch_ms"] * 1000}
        if form == "segments":
            began = time.perf_counter()
            done = compact(home)
            result["compact"] = {
                "rate_per_s": count / (time.perf_counter() - began),
                "bytes_before": done.segment_bytes,
                "bytes_after": done.part_bytes,
            }
    return result


def page(result: dict[str, Any]) -> Iterator[str]:
    yield from ("# What a receipt costs", "")
    for claim in result["claims"]:
        held = "held" if claim["held"] else "NOT held"
        yield f"{claim['what']}: {claim['median_us']:.2f} µs, limit {claim['limit_us']:g} µs; {held}.  "
    yield from ("", "| in the event loop | median, µs | slowest round, µs |", "|---|---:|---:|")
    yield from (f"| {row['what']} | {row['median_us']:.2f} | {row['slowest_us']:.2f} |" for row in result["packing"])
    yield from ("", "Receipts of 1 KB handed to the system, with the thread that syncs beside it:", "")
    yield "| in one write | receipts per s | MB/s | µs a receipt | write p50, µs | p99 | p99.9 | slowest |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for row in result["writing"]:
        yield (
            f"| {row['together']} | {row['rate_per_s'] or 'all it can'} | {row['mb_per_s']:.0f}"
            f" | {row['us_a_receipt']:.2f} | {row['write_p50_us']:.1f} | {row['write_p99_us']:.1f}"
            f" | {row['write_p999_us']:.1f} | {row['slowest_us']:.0f} |"
        )
    yield from ("", f"Waiting for the disk; one bare append with fdatasync takes {result['bare_sync_ms']:.2f} ms:", "")
    yield from ("| waiting at once | receipts per s | p50, ms | p99, ms |", "|---:|---:|---:|---:|")
    for row in result["committing"]:
        yield f"| {row['waiting']} | {row['per_s']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} |"
    yield from ("", f"Reading {result['count']:,} receipts:", "")
    yield from ("| from | receipts per s | check all, s | find one, ms | a batch, ms |", "|---|---:|---:|---:|---:|")
    for form in ("segments", "parts"):
        row = result["reading"][form]
        yield (
            f"| {form} | {row['rate_per_s']:,.0f} | {row['check_s']:.2f} | {row['find_ms']:.1f}"
            f" | {row['batch_ms']:.1f} |"
        )
    done = result["reading"]["compact"]
    yield ""
    yield (
        f"Compacted at {done['rate_per_s']:,.0f} receipts per s: {done['bytes_before']:,} bytes became"
        f" {done['bytes_after']:,}."
    )
    yield ""
    yield from (f"{name}: {result[name]}  " for name in ("machine", "disk", "versions", "date", "commit"))


def disk_of(folder: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=100_000)
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.out) as name:
        folder = Path(name)
        packed = packing()
        timings = {row["what"]: row["median_us"] for row in packed}
        claims = [
            {"what": what, "median_us": timings[what], "limit_us": limit, "held": timings[what] <= limit}
            for what, limit in (("an id", ID_LIMIT_US), ("pack, body of 1,024 bytes", PACK_LIMIT_US))
        ]
        result: dict[str, Any] = {
            "count": given.count,
            "claims": claims,
            "packing": packed,
            "writing": [writing(folder, given.count, many, rate) for rate in (20_000, 0) for many in (1, 4, 16)],
            "bare_sync_ms": bare_sync_ms(folder),
            "committing": [committing(folder, waiting, 3.0) for waiting in (1, 8, 64)],
            "reading": reading(folder, given.count),
            "disk": disk_of(folder),
        }
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    result |= {
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, msgspec {version('msgspec')}, pyarrow {version('pyarrow')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    text = "\n".join(page(result)) + "\n"
    (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "result.md").write_text(text)
    print(text)
    if not all(claim["held"] for claim in claims):
        sys.exit(1)


if __name__ == "__main__":
    main()
