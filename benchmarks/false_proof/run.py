"""How often is a model declared proven whose truth lies exactly on the bound? At most α, for every bound and kind.

    python benchmarks/false_proof/run.py                 10,000 runs a row; half an hour on two busy cores
    python benchmarks/false_proof/run.py --quick         300 runs, without the dear ones, half a minute
    python benchmarks/false_proof/run.py --only "ROC AUC"

Writes result.json and result.md beside this file (or to --out).
"""

import argparse
import json
import math
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import scipy
from bound_cases import bound_cases, wear
from product_cases import product_cases
from world import Case

from holdtrue.core import catalog
from holdtrue.promises import Promise, judge

ALPHA = 0.05
SEED = 20_251


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What came out for one case; shares of the runs."""

    kind: str
    name: str
    method: str
    runs: int
    false_proof: float | None
    false_proof_of_a_bare_value: float
    false_refutation: float | None
    coverage_90: float
    coverage_95: float | None
    seconds: float
    holds: bool


def measure(case: Case, runs: int, seed: int) -> Row:
    generator = np.random.default_rng(seed)
    promise = Promise(
        kind=case.kind, scope=case.name, direction=case.direction, bound=case.truth, text=f"{case.direction} the truth"
    )
    proven = refuted = bare = covered_90 = covered_95 = 0
    method = ""
    start = time.perf_counter()
    for _ in range(runs):
        ask = case.simulate(generator)
        seen = ask(1 - 2 * ALPHA)
        verdict = judge(promise, seen, alpha=ALPHA).verdict
        proven += verdict == "proven"
        refuted += verdict == "refuted"
        bare += bool(seen.value >= case.truth if case.direction == "at_least" else seen.value <= case.truth)
        covered_90 += bool(seen.low <= case.truth <= seen.high)
        method = seen.method
        if not case.dear:
            wide = ask(0.95)
            covered_95 += bool(wide.low <= case.truth <= wide.high)
    share_95 = None if case.dear else covered_95 / runs
    row = Row(
        kind=case.kind,
        name=case.name,
        method=method,
        runs=runs,
        false_proof=proven / runs if case.proves else None,
        false_proof_of_a_bare_value=bare / runs,
        false_refutation=refuted / runs if case.proves else None,
        coverage_90=covered_90 / runs,
        coverage_95=share_95,
        seconds=round(time.perf_counter() - start, 1),
        holds=True,
    )
    return replace(row, holds=holds(row))


def holds(row: Row) -> bool:
    """False proofs at most α, coverage at least nominal less a point; up to 3 Monte-Carlo errors (few runs: 4)."""
    errors = 3 if row.runs >= 5000 else 4

    def error(share: float) -> float:
        return errors * math.sqrt(share * (1 - share) / row.runs)

    return (
        (row.false_proof is None or row.false_proof <= ALPHA + error(ALPHA))
        and row.coverage_90 >= 0.89 - error(0.89)
        and (row.coverage_95 is None or row.coverage_95 >= 0.94 - error(0.94))
    )


def table(rows: list[Row], worn: dict[str, float], about: dict[str, object]) -> str:
    def share(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f} %"

    lines = [
        "# False proof",
        "",
        f"Truth exactly on the bound, {about['runs']} runs a row, α = {100 * ALPHA:g} %. A gate that holds the bare",
        "value against the bound lets such a model through about every second time. A row holds when at most α are",
        "proven and the intervals cover the truth at most one point less often than they say, up to three Monte-Carlo",
        "errors.",
        "",
        "| kind | what, on what rows | interval | proven | bare value passes | refuted "
        "| 90 % interval covers | 95 % interval covers | holds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.kind} | {row.name} | {row.method} | {share(row.false_proof)} | "
        f"{share(row.false_proof_of_a_bare_value)} | {share(row.false_refutation)} | {share(row.coverage_90)} | "
        f"{share(row.coverage_95)} | {'yes' if row.holds else '**no**'} |"
        for row in rows
    ]
    lines += [
        "",
        f"**Hold-out wear.** {worn['candidates']:g} candidates, each exactly on its bound, judged on the same rows:",
        f"any of them is proven in {share(worn['paid'])} of the runs when each use is paid for, "
        f"in {share(worn['unpaid'])} when it is not.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
    ]
    return "\n".join(lines)


def about(runs: int, seconds: float) -> dict[str, object]:
    here = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False).stdout
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "../../src"], cwd=here, capture_output=True, text=True, check=False
    ).stdout
    return {
        "runs": runs,
        "seed": SEED,
        "seconds": round(seconds),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": (commit.strip() or "unknown") + (", with changes" if changed.strip() else ""),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="300 runs, without the dear ones")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    asked = parser.parse_args()
    runs, many = (300, 100_000) if asked.quick else (asked.runs, 2_000_000)
    start = time.perf_counter()
    # A plug-in is looked up among all installed packages each time, which takes longer than its interval.
    catalog.entry_points = cache(catalog.entry_points)
    rows: list[Row] = []
    for number, case in enumerate([*bound_cases(), *product_cases(many)]):
        if asked.only.lower() not in case.name.lower() or (asked.quick and case.dear):
            continue
        rows.append(measure(case, runs, SEED + number))
        print(f"{'ok ' if rows[-1].holds else 'NO '} {rows[-1]}", flush=True)
    worn = wear(runs, SEED)
    facts = about(runs, time.perf_counter() - start)
    asked.out.mkdir(parents=True, exist_ok=True)
    result = {"alpha": ALPHA, "rows": [asdict(row) for row in rows], "wear": worn, **facts}
    (asked.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (asked.out / "result.md").write_text(table(rows, worn, facts))
    broken = [row.name for row in rows if not row.holds]
    print(f"{len(rows)} cases, {len(broken)} do not hold: {broken}")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
