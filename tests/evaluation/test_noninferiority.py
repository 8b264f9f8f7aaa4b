"""A challenger is called not worse, or worse, only as often by mistake as it may be."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.noninferiority import contest, kept
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate, unlimited
from tests.evaluation.world import from_probability

RUNS = 120
LARGE = 300_000
World = Callable[[int, int, float], tuple[Predictions, Predictions]]


def classes(rows: int, seed: int, noise: float) -> tuple[Predictions, Predictions]:
    """A challenger whose scores have an error of `noise`, and a champion with one of 0.3, both of their own."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(rows) < 0.3).astype(np.float64)
    odds = 1.5 * generator.normal(truth, 1.0) - 1.9 + generator.normal(0, 0.3, rows)
    shares = (1 / (1 + np.exp(-odds - generator.normal(0.0, size, rows))) for size in (noise, 0.3))
    one, two = (from_probability(truth, share, threshold=0.3) for share in shares)
    return one, two


def numbers(rows: int, seed: int, noise: float) -> tuple[Predictions, Predictions]:
    generator = np.random.default_rng(seed)
    values = generator.gamma(2.0, 2.0, rows)
    truth = values + generator.laplace(0.0, 0.7, rows)
    one, two = (Predictions(truth=truth, values=values + generator.normal(0, size, rows)) for size in (noise, 0.3))
    return one, two


def drawn(name: str) -> World:
    return numbers if name in ("mae", "rmse", "r2") else classes


def loss(name: str, noise: float) -> float:
    """By which part of the champion's value the challenger is worse in truth."""
    metric = METRICS.get(name)
    one, two = drawn(name)(LARGE, 1_000_003, noise)
    sign = 1 if metric.higher_is_better else -1
    return sign * (metric.value(two) - metric.value(one)) / metric.value(two)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.03, 0.003])
@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "accuracy", "mae"])
def test_neither_finding_is_wrong_more_often_than_it_may(name: str, alpha: float) -> None:
    metric, world, margin = METRICS.get(name), drawn(name), loss(name, 0.45)
    worst = [contest(metric, *world(400, seed, 0.45), alpha=alpha, margin=margin, seed=0) for seed in range(RUNS)]
    equal = [contest(metric, *world(400, seed, 0.3), alpha=alpha, margin=0.01, seed=0) for seed in range(RUNS)]
    # The rest is what so many runs add by chance in one of 400 cases.
    allowed = alpha + 3.3 * math.sqrt(alpha * (1 - alpha) / RUNS)
    assert np.mean([one.finding == "not worse" for one in worst]) <= allowed
    assert np.mean([one.high < 0 for one in equal]) <= allowed


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "mae", "r2"])
def test_what_is_plainly_so_is_found(name: str) -> None:
    metric, world = METRICS.get(name), drawn(name)
    better = contest(metric, *world(4_000, 1, 0.1), alpha=0.003, margin=0.01, seed=0)
    worse = contest(metric, *world(4_000, 1, 1.5), alpha=0.003, margin=0.01, seed=0)
    few = contest(metric, *world(40, 1, 0.3), alpha=0.003, margin=0.01, seed=0)
    assert (better.finding, worse.finding, few.finding) == ("not worse", "worse", "inconclusive")
    assert better.value > 0 > worse.value
    assert better.margin == pytest.approx(0.01 * better.champion)


def test_worse_by_less_than_the_margin_is_not_worse() -> None:
    generator = np.random.default_rng(1)
    truth, error = generator.normal(size=(2, 4_000))
    shift = 0.005 * np.sign(error) * (1 + 0.1 * generator.normal(size=4_000))
    one, two = (Predictions(truth=truth, values=truth + each) for each in (error + shift, error))
    found = contest(METRICS.get("mae"), one, two, alpha=0.03, margin=0.01, seed=0)
    assert (found.finding, found.high < 0) == ("not worse", True)
    assert contest(METRICS.get("mae"), one, two, alpha=0.03, margin=0.001, seed=0).finding == "worse"


def test_a_champion_whose_value_is_below_zero_has_a_margin_too() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(size=2_000)
    one, two = (Predictions(truth=truth, values=3 * generator.normal(size=2_000)) for _ in range(2))
    found = contest(METRICS.get("r2"), one, two, alpha=0.03, margin=0.5, seed=0)
    assert (found.finding, found.champion < 0) == ("not worse", True)
    assert found.margin == pytest.approx(-0.5 * found.champion)


def test_rows_that_belong_together_count_as_one() -> None:
    one, two = classes(300, 4, 0.1)
    index = np.repeat(np.arange(300), 20)
    groups = np.repeat(np.arange(300), 20)
    alone = contest(METRICS.get("log_loss"), one, two, alpha=0.03, margin=0.01, seed=0)
    copied = [
        Predictions(
            truth=each.truth[index],
            classes=each.classes,
            probabilities=None if each.probabilities is None else each.probabilities[index],
            clusters=groups,
        )
        for each in (one, two)
    ]
    together = contest(METRICS.get("log_loss"), copied[0], copied[1], alpha=0.03, margin=0.01, seed=0)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), rel=0.02)


def limits(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, rows=500, method="measured", confidence=0.97)


@pytest.mark.parametrize(
    ("challenger", "champion", "finding"),
    [
        (limits(0.03, 0.01, 0.049), limits(0.001, 0.0, 0.004), "not worse"),  # larger, and what was promised holds
        (limits(0.04, 0.02, 0.06), limits(0.04, 0.02, 0.06), "inconclusive"),
        (limits(0.09, 0.07, 0.12), limits(0.03, 0.01, 0.05), "worse"),
        (unlimited(math.nan, 3, "too few", 0.97), limits(0.03, 0.01, 0.05), "inconclusive"),
    ],
)
def test_a_defect_may_be_as_large_as_was_promised(challenger: Estimate, champion: Estimate, finding: str) -> None:
    assert kept(challenger, champion, bound=0.05, alpha=0.03).finding == finding


@pytest.mark.parametrize(
    ("alpha", "margin", "told"), [(0.0, 0.01, "alpha"), (0.5, 0.01, "alpha"), (0.03, 0.0, "margin")]
)
def test_a_level_or_a_margin_that_is_none_is_refused(alpha: float, margin: float, told: str) -> None:
    one, two = classes(50, 1, 0.3)
    with pytest.raises(ValueError, match=told):
        contest(METRICS.get("log_loss"), one, two, alpha=alpha, margin=margin, seed=0)
