"""How often do the intervals of the textbooks err where they may in 5 %? Beside each, the one that took its place.

    python benchmarks/textbook/run.py                 10,000 draws a case, a minute; writes result.json and result.md
    python benchmarks/textbook/run.py --runs 1000

Truth is known, so a limit errs when it lies on the wrong side of it. Only the side that a promise rests on is counted:
that which would prove what is not so.
"""

import argparse
import json
import math
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from holdtrue.statistics import bootstrap, delong, mean_estimate, newcombe
from holdtrue.statistics.binomial import paired_shares, wilson

HERE = Path(__file__).parent
TAIL = 0.05
Z = float(norm.ppf(1 - TAIL))
TWO_SIDED = 1 - 2 * TAIL


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A truth, and a draw that gives the textbook's limit and ours, each a claim that the truth lies above it."""

    name: str
    textbook: str
    ours: str
    truth: float
    draw: Callable[[np.random.Generator], tuple[float, float]]
    dear: bool = False


def of_different_rows(chance: np.random.Generator) -> tuple[float, float]:
    one, two = int(chance.binomial(200, 0.01)), int(chance.binomial(200, 0.99))
    first, second = wilson(one, 200, TWO_SIDED), wilson(two, 200, TWO_SIDED)
    plain = first.value - second.value - math.hypot(first.value - first.low, second.high - second.value)
    return plain, newcombe(one, 200, two, 200, TWO_SIDED).low


def of_same_rows(chance: np.random.Generator) -> tuple[float, float]:
    worse = int(chance.binomial(200, 0.005))  # the other model alone is right
    loss = worse / 200
    return -loss - Z * math.sqrt((loss - loss * loss) / 200), paired_shares(0, worse, 200, TWO_SIDED).low


def of_areas(chance: np.random.Generator) -> tuple[float, float]:
    truth = np.arange(400) < 100
    score = chance.normal(size=400) + truth * math.sqrt(2) * norm.ppf(0.99)
    ranks, high, low = rankdata(score), rankdata(score[truth]), rankdata(score[~truth])
    wins, losses = (ranks[truth] - high) / 300, 1 - (ranks[~truth] - low) / 100
    plain = wins.mean() - Z * math.sqrt(wins.var(ddof=1) / 100 + losses.var(ddof=1) / 300)
    return float(plain), delong(truth, score, TWO_SIDED).low


def of_means(chance: np.random.Generator) -> tuple[float, float]:
    loss = chance.lognormal(size=400)  # a mean is promised from above: the negative of it from below
    plain = loss.mean() + student.ppf(1 - TAIL, 399) * loss.std(ddof=1) / 20
    return -float(plain), -mean_estimate(loss, TWO_SIDED, 0).high


def f1(rows: np.ndarray) -> float:
    hits, wrong = int((rows == 0).sum()), int((rows == 1).sum())
    return 2 * hits / (2 * hits + wrong) if hits else 0.0


def of_f1(chance: np.random.Generator) -> tuple[float, float]:
    rows = chance.choice(3, size=400, p=[0.38, 0.04, 0.58])  # hit, false alarm or miss, rightly left alone
    drawn = [f1(chance.choice(rows, size=400)) for _ in range(500)]
    ours = bootstrap(lambda kept: f1(rows[kept]), 400, TWO_SIDED, int(chance.integers(1 << 30)), draws=500)
    return float(np.quantile(drawn, TAIL)), ours.low


CASES = (
    Case(
        name="difference of two shares, 0.01 and 0.99 of 200 rows each",
        textbook="Newcombe with Wilson's limits",
        ours="Newcombe's construction with exact limits",
        truth=-0.98,
        draw=of_different_rows,
    ),
    Case(
        name="hits of two models on the same 200 rows; one is worse in 0.5 % of them",
        textbook="Wald",
        ours="Newcombe for paired rows",
        truth=-0.005,
        draw=of_same_rows,
    ),
    Case(
        name="ROC AUC 0.99, 100 + 300 rows",
        textbook="DeLong",
        ours="disjoint pairs, or DeLong corrected for skewness",
        truth=0.99,
        draw=of_areas,
    ),
    Case(
        name="mean of lognormal losses (σ = 1), 400 rows",
        textbook="Student's t",
        ours="t corrected for skewness (Hall 1992)",
        truth=-math.exp(0.5),
        draw=of_means,
    ),
    Case(
        name="F1 0.95, 400 rows",
        textbook="percentile bootstrap",
        ours="BCa bootstrap",
        truth=0.95,
        draw=of_f1,
        dear=True,
    ),
)


def measured(case: Case, runs: int, seed: int) -> dict[str, object]:
    chance = np.random.default_rng(seed)
    runs = max(runs // 5, 100) if case.dear else runs
    limits = np.array([case.draw(chance) for _ in range(runs)])
    wrong = (limits > case.truth).mean(axis=0)
    return {
        "case": case.name,
        "textbook": case.textbook,
        "ours": case.ours,
        "runs": runs,
        "textbook_errs": float(wrong[0]),
        "ours_errs": float(wrong[1]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    found = [measured(case, asked.runs, asked.seed + number) for number, case in enumerate(CASES)]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    about = {
        "machine": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
        "seed": str(asked.seed),
    }
    lines = [
        "# Intervals of the textbooks",
        "",
        "How often the limit that a promise rests on lies on the wrong side of the truth, where it may in 5 %.",
        "",
        "| what | textbook | errs | in its place | errs | draws |",
        "|---|---|---:|---|---:|---:|",
        *(
            f"| {each['case']} | {each['textbook']} | {each['textbook_errs']:.1%} | {each['ours']} "
            f"| {each['ours_errs']:.1%} | {each['runs']:,} |"
            for each in found
        ),
        "",
        *(f"{key}: {value}  " for key, value in about.items()),
        "",
    ]
    print("\n".join(lines))
    (asked.out / "result.md").write_text("\n".join(lines))
    (asked.out / "result.json").write_text(json.dumps({**about, "cases": found}, indent=1) + "\n")
    return 0 if all(float(str(each["ours_errs"])) < 2 * TAIL for each in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
