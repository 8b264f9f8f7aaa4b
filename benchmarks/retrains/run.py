"""A hundred retrains that change nothing: how often does a worse champion come of it, and what does swapping do?

    python benchmarks/retrains/run.py [--years 100] [--retrains 100] [--workers 2] [--quick] [--out FOLDER]

In each year champion and challengers learn from rows of one distribution (logistic regression, ten columns, two
classes), so none is better but by luck. Each challenger is held against the champion on fresh rows by two promises, the
area under the ROC curve and the log loss: by our rule (not worse by more than 1 % on either, at the level that is left
for this comparison, 5 % over all of them), and by the usual one (take it when the area is larger). What models are
worth in truth is known from very many other rows. Claim: in at most 5 % of the years does our rule ever take a
challenger that is worse than the champion by more than the margin. Writes result.json and result.md beside this file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaincinv

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.evaluation.sequences import ALPHA, MARGIN, PROMISED, RULES, World, Year, live

HERE = Path(__file__).parent
WORLDS = {
    "few rows": {"learn_rows": 150, "judge_rows": 2_000},
    "more rows": {"learn_rows": 1_000, "judge_rows": 2_000},
    "many to judge by": {"learn_rows": 300, "judge_rows": 10_000},
}
TRUTH_ROWS = 60_000
Years = list[dict[str, Year]]


@cache
def world(name: str) -> World:
    return World(**WORLDS[name], truth_rows=TRUTH_ROWS)


def year(name: str, seed: int, retrains: int) -> dict[str, Year]:
    return live(world(name), seed, retrains=retrains)


def lived(name: str, years: int, retrains: int, workers: int) -> Years:
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(year, [name] * years, range(years), [retrains] * years, chunksize=2))


def summed(found: list[Year]) -> dict[str, Any]:
    """Add up what a rule did in all years of a world."""
    years = len(found)
    harmed = sum(one.broken > 0 for one in found)
    gains = {name: float(np.mean([one.last[name] - one.first[name] for one in found])) for name in PROMISED}
    return {
        "years": years,
        "promotions_a_year": sum(one.promotions for one in found) / years,
        "worse_a_year": sum(one.worse for one in found) / years,
        "broken_a_year": sum(one.broken for one in found) / years,
        "harmed_years": harmed,
        "held_back_though_better_a_year": sum(one.good for one in found) / years,
        "gain": gains,
    }


def claims(result: dict[str, Any]) -> dict[str, bool]:
    ours = [each["not worse"] for each in result["worlds"].values()]
    share = sum(each["harmed_years"] for each in ours) / sum(each["years"] for each in ours)
    return {
        f"in at most {ALPHA:.0%} of the years our rule takes a challenger that is worse by more than {MARGIN:.0%}"
        f" ({share:.1%} of all years)": all(each["harmed_years"] <= ALPHA * each["years"] for each in ours),
    }


def page(result: dict[str, Any]) -> str:
    lines = [
        "# A hundred retrains that change nothing",
        "",
        f"{result['retrains']} retrains a year, of challengers that are as good as the champion on average. By our rule"
        f" a challenger takes over when it is not worse by more than {MARGIN:.0%} of the champion's"
        f" {' and '.join(name.replace('_', ' ') for name in PROMISED)}, the level of {ALPHA:.0%} spent over all"
        " comparisons; by the other when its area is larger on the same rows. Worse and better are meant in truth:"
        f" on {result['truth_rows']:,} other rows.",
        "",
        *(f"- {claim}: {'held' if held else 'NOT HELD'}" for claim, held in result["claims"].items()),
        "",
        "| world: rows to learn / to judge | rule | new champions a year | worse than the one before |"
        " worse by more than the margin | years with such a one | gain of the area over a year | of the log loss |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rules in result["worlds"].items():
        rows = WORLDS[name]
        for rule, one in rules.items():
            lines.append(
                f"| {name}: {rows['learn_rows']:,} / {rows['judge_rows']:,} | {rule} | {one['promotions_a_year']:.2f} |"
                f" {one['worse_a_year']:.2f} | {one['broken_a_year']:.3f} | {one['harmed_years']} of {one['years']} |"
                f" {one['gain']['roc_auc']:+.4f} | {-one['gain']['log_loss']:+.4f} |"
            )
    ours = [one["not worse"] for one in result["worlds"].values()]
    harmed, years = (sum(one[name] for one in ours) for name in ("harmed_years", "years"))
    lines += [
        "",
        # Clopper and Pearson 1934: at a larger share, so few would be seen in less than 5 % of such benchmarks.
        f"By our rule {harmed} of all {years} years had such a champion, so their share is at most"
        f" {betaincinv(harmed + 1, years - harmed, 0.95):.1%} (95 %, one-sided). The level of a comparison falls with"
        " the square of its number, so late challengers are taken"
        " only when they are plainly better; that is the price of a bound over all comparisons ever.",
        "",
        f"{result['minutes']:.1f} minutes on {result['workers']} processes; {result['machine']}; {result['versions']};"
        f" {result['date']}; commit {result['commit'][:12]}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--years", type=int, default=100, help="of each world")
    arguments.add_argument("--retrains", type=int, default=100, help="in a year")
    arguments.add_argument("--workers", type=int, default=2, help="processes")
    arguments.add_argument("--quick", action="store_true", help="ten years of twenty retrains")
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    years, retrains = (10, 20) if given.quick else (given.years, given.retrains)
    began = time.monotonic()
    worlds: dict[str, Any] = {}
    for name in WORLDS:
        found = lived(name, years, retrains, given.workers)
        worlds[name] = {rule: summed([one[rule] for one in found]) for rule in RULES}
        print(f"{name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    result: dict[str, Any] = {
        "retrains": retrains,
        "truth_rows": TRUTH_ROWS,
        "alpha": ALPHA,
        "margin": MARGIN,
        "worlds": worlds,
        "settings": WORLDS,
        "workers": given.workers,
        "minutes": (time.monotonic() - began) / 60,
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, scikit-learn {version('scikit-learn')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    result["claims"] = claims(result)
    (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "result.md").write_text(page(result))
    print(page(result))
    sys.exit(0 if all(result["claims"].values()) else 1)


if __name__ == "__main__":
    main()
