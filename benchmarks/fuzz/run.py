"""A running endpoint gets a million requests that nobody should send: no error of the server, no hang, memory flat.

    python benchmarks/fuzz/run.py                       a million; an hour and a half on one core
    python benchmarks/fuzz/run.py --requests 100000     fewer
    python benchmarks/fuzz/run.py --minutes 5           as many as come to an end in that time

The grammar is that of the tests (tests/serving/grammar.py), drawn from another seed. Writes result.json and
result.md beside this file, and ends with 1 when anything was not as it must be.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))  # the tests are not installed

from tests.cli.driver import launched  # noqa: E402
from tests.serving.endpoint import Served, serving, token, trips  # noqa: E402
from tests.serving.fuzzing import Seen, fuzz  # noqa: E402
from tests.serving.grammar import cases  # noqa: E402

GROWTH_BYTES = 50 << 20
STEP = 5_000


def attempt(served: Served, seed: int, requests: int, until_s: float) -> dict[str, Any]:
    """Send requests until all are sent or the time is over; gives what came of them."""
    workers, seen = served.workers(), Seen()
    stream = cases(seed, secret=token(served.folder, "label")[1])
    sizes: list[int] = []
    sent, start = 0, time.monotonic()
    stopped = ""
    while sent < requests and time.monotonic() < until_s and not seen.wrong:
        step = min(STEP, requests - sent)
        try:
            fuzz(served, stream, step, seen)
        except (OSError, EOFError, AssertionError) as error:
            stopped = f"{type(error).__name__}: {str(error)[:500]}"
            break
        sent += step
        sizes.append(served.resident_bytes())
        if sent % (10 * STEP) == 0:
            print(f"{sent:,} sent, {sizes[-1] >> 20} MiB, slowest {seen.slowest_s:.2f} s", flush=True)
    answered = sum(seen.statuses.values())
    settled = sizes[min(len(sizes) - 1, 3)] if sizes else 0  # by then every code of the library has been loaded
    return {
        "requests": sent,
        "answered": answered,
        "seconds": round(time.monotonic() - start, 1),
        "statuses": {str(status): count for status, count in sorted(seen.statuses.items())},
        "slowest_s_for_24": round(seen.slowest_s, 3),
        "resident_mib": [size >> 20 for size in sizes],
        "growth_bytes": (sizes[-1] - settled) if sizes else 0,
        "same_workers": served.workers() == workers,
        "restarts": served.ask("GET", "/status", manage=True).json["restarts"],
        "wrong": seen.wrong,
        "stopped": stopped,
    }


def well(made: dict[str, Any]) -> bool:
    """Say whether everything was as it must be."""
    return (
        not made["wrong"]
        and not made["stopped"]
        and made["same_workers"]
        and made["restarts"] == 0
        and made["answered"] == made["requests"] > 0
        and made["growth_bytes"] < GROWTH_BYTES
    )


def machine() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
    }


def told(made: dict[str, Any], seed: int, planned: int) -> str:
    """Write the result as a page."""
    held = "All was as it must be." if well(made) else "**Not all was as it must be.**"
    sizes = made["resident_mib"]
    lines = [
        "# Fuzz",
        "",
        f"{made['requests']:,} of {planned:,} planned requests sent from seed {seed}, {made['answered']:,} answered,",
        f"in {made['seconds']:,} s; 24 at a time on a connection that is kept. {held}",
        "",
        "| | |",
        "|---|---:|",
        f"| errors of the server, or answers that tell of its inside | {len(made['wrong'])} |",
        f"| slowest 24 answers together, as the client saw them | {made['slowest_s_for_24']} s |",
        f"| workers that ended | {made['restarts']} |",
        f"| memory of the worker, after the first {STEP:,} and at the end | {sizes[0]} and {sizes[-1]} MiB |",
        f"| growth since {4 * STEP:,} requests | {made['growth_bytes'] / 2**20:.1f} MiB |",
        "",
        "| status | answers |",
        "|---|---:|",
        *(f"| {status} | {count:,} |" for status, count in made["statuses"].items()),
        "",
        *([f"It stopped early: {made['stopped']}", ""] if made["stopped"] else []),
        *(f"{name}: {value}  " for name, value in machine().items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as kept:
        folder = trips(Path(kept) / "trips")
        done = launched("run", folder=folder)
        if done.code != 0:
            print(done.err, file=sys.stderr)
            return 1
        with serving(folder) as served:
            made = attempt(served, given.seed, given.requests, time.monotonic() + 60 * given.minutes)
    result = {**machine(), "seed": given.seed, "planned": given.requests, **made}
    (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "result.md").write_text(told(made, given.seed, given.requests))
    print(told(made, given.seed, given.requests))
    return 0 if well(made) else 1


if __name__ == "__main__":
    sys.exit(main())
