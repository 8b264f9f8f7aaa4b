"""Is a good canary left alone, and a bad one found? Simulated by the thousand, and on real endpoints.

    python benchmarks/canary/run.py            the simulations; writes result.json and result.md beside this file
    python benchmarks/canary/run.py --quick    a small part of each
    python benchmarks/canary/run.py --only servers --servers 50 --minutes 10    endpoints; goes on where it ended

null     10,000 canaries that are the champion once more: 20,000 requests at 1 %, at 10 % and at 50 %, a look after
         every hundred, all four signals. How many are called worse, ever? Once more in a world where nothing stays.
found    Canaries that are worse in one way: after how many requests is that said?
limits   Scores whose stability index is just large: how often are they called surely large, or surely not, at a look?
servers  `holdtrue serve` with one model as two releases, a canary of 1 %, 10 % and 50 %: how many are called worse?

It ends with 1 when the upper limit for false rollbacks is above 5 %, or when a canary with 2 % errors beside 0.5 %
takes more than 5,000 requests at 10 % (the median).
"""

import argparse
import json
import math
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from page import page
from simulated import ALPHA, BINS, SIGNALS, Arms, agreement, border, canaries, limits

from holdtrue.statistics.binomial import clopper_pearson

HERE = Path(__file__).parent
STAGES = ((0.01, 20_000), (0.1, 20_000), (0.5, 20_000))
AT_ONCE = 500
MOST_REQUESTS = 60_000

Found = dict[str, Any]


def null(count: int, arms: Arms | None) -> Found:
    """Run canaries that are no worse."""
    began = time.process_time()
    worse = dict.fromkeys(SIGNALS, 0)
    passed = dict.fromkeys(SIGNALS, 0)
    rolled_back = 0
    for start in range(0, count, AT_ONCE):
        running = canaries(min(AT_ONCE, count - start), arms, STAGES, seed=start)
        ever = np.zeros(running.count, dtype=bool)
        for name in SIGNALS:
            ever |= np.isfinite(running.worse[name])
            worse[name] += int(np.isfinite(running.worse[name]).sum())
            passed[name] += int(np.isfinite(running.passed[name]).sum())
        rolled_back += int(ever.sum())
    return {
        "canaries": count,
        "stages": STAGES,
        "rolled_back": rolled_back,
        "high": clopper_pearson(rolled_back, count, 0.95).high,
        "worse": worse,
        "passed": passed,
        "cpu_s": round(time.process_time() - began, 1),
    }


def harms() -> dict[str, tuple[str, Arms]]:
    """Give ways in which a canary is worse, and the signal that should say so."""
    even = np.full(BINS, 1 / BINS)
    return {
        "errors 0.5 % to 1 %": ("errors", Arms(errors=(0.005, 0.01))),
        "errors 0.5 % to 2 %": ("errors", Arms(errors=(0.005, 0.02))),
        "errors 0.5 % to 5 %": ("errors", Arms(errors=(0.005, 0.05))),
        "errors 0 to 1 %": ("errors", Arms(errors=(0.0, 0.01))),
        "slow answers 0.5 % to 3 %": ("latency", Arms(slow=(0.005, 0.03))),
        "slow answers 0.5 % to 10 %": ("latency", Arms(slow=(0.005, 0.1))),
        "scores, index 0.5": ("scores", Arms(scores=(even, border(0.5)["shift"]))),
        "scores, index 1": ("scores", Arms(scores=(even, border(1.0)["shift"]))),
        "labels 20 % to 30 % wrong": ("labels", Arms(losses=(0.2, 0.3))),
        "labels 20 % to 50 % wrong": ("labels", Arms(losses=(0.2, 0.5))),
    }


def found(count: int) -> list[Found]:
    """Run canaries that are worse, at a tenth of the requests."""
    made: list[Found] = []
    for at, (name, (signal, arms)) in enumerate(harms().items()):
        when = canaries(count, arms, [(0.1, MOST_REQUESTS)], seed=at).worse[signal]
        quantiles = [float(value) for value in np.quantile(when, [0.1, 0.5, 0.9], method="higher")]
        told = [value if math.isfinite(value) else None for value in quantiles]
        made.append({"harm": name, "canaries": count, "found": int(np.isfinite(when).sum()), "requests": told})
        print(name, told, flush=True)
    return made


def honest(count: int) -> list[Found]:
    """Run models that were trained again: their scores differ somewhat."""
    even = np.full(BINS, 1 / BINS)
    made: list[Found] = []
    for index in (0.05, 0.1, 0.15, 0.2, 0.25):
        running = canaries(count, Arms(scores=(even, border(index)["shift"])), [(0.1, 20_000)], seed=7)
        made.append(
            {
                "index": index,
                "canaries": count,
                "worse": int(np.isfinite(running.worse["scores"]).sum()),
                "passed": int(np.isfinite(running.passed["scores"]).sum()),
            }
        )
    return made


def at_the_border(runs: int) -> list[Found]:
    """Look once at scores whose index is just large."""
    return [
        {
            "move": name,
            "rows": rows,
            "alpha": alpha,
            "passes_and_large": limits(rows, chances, alpha, runs=runs, seed=3),
        }
        for name, chances in border(0.25).items()
        for rows in ((50, 5_000), (100, 900), (400, 400), (400, 3_600), (2_000, 18_000))
        for alpha in (0.05, 0.01)
    ]


def about() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, numpy {version('numpy')}, scipy {version('scipy')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parts = ("null", "found", "limits", "servers")
    parser.add_argument("--only", nargs="*", choices=parts, default=parts[:3])
    parser.add_argument("--servers", type=int, default=50, help="how many there should be in the end")
    parser.add_argument("--minutes", type=float, default=10.0, help="begin no further server after so long")
    given = parser.parse_args()
    kept = HERE / "result.json"
    result: Found = json.loads(kept.read_text()) if kept.is_file() and not given.quick else {}
    if "null" in given.only:
        result["null"] = null(500 if given.quick else 10_000, Arms())
        result["unrest"] = null(500 if given.quick else 10_000, None)
        result["agreement"] = agreement(20, Arms(errors=(0.005, 0.02), slow=(0.005, 0.02)), 0.1, 150, seed=9)
        print({name: result[name] for name in ("null", "unrest", "agreement")}, flush=True)
    if "found" in given.only:
        result["found"] = found(100 if given.quick else 1_000)
        result["honest"] = honest(100 if given.quick else 500)
    if "limits" in given.only:
        result["limits"] = at_the_border(500 if given.quick else 5_000)
    if "servers" in given.only:
        from servers import more_servers

        result["servers"] = more_servers(
            result.get("servers", []), given.servers, given.minutes, lambda made: _keep(kept, result, made, given.quick)
        )
    result["about"] = about()
    text = page(result)
    print(text)
    if not given.quick:
        kept.write_text(json.dumps(result, indent=1) + "\n")
        (HERE / "result.md").write_text(text)
    return int(not _holds(result))


def _keep(kept: Path, result: Found, made: list[Found], quick: bool) -> None:
    """Keep what was done so far: another call goes on from there."""
    if not quick:
        kept.write_text(json.dumps({**result, "servers": made}, indent=1) + "\n")


def _holds(result: Found) -> bool:
    quiet, soon = [result[name]["high"] for name in ("null", "unrest") if name in result], result.get("found", [])
    medians = {one["harm"]: one["requests"][1] for one in soon}
    errors = medians.get("errors 0.5 % to 2 %", 0)
    return all(high <= ALPHA for high in quiet) and errors is not None and errors <= 5_000


if __name__ == "__main__":
    raise SystemExit(main())
