"""The curves of a simulation, and the difference between both sides with its limits."""

import math
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.predictions import Predictions
from holdtrue.pipeline.simulation.quality import DAY_US, Sides, difference, edges, periods
from holdtrue.statistics.auc import delong_paired
from holdtrue.statistics.mean import mean_estimate

START_US = round(datetime(2021, 1, 1, tzinfo=UTC).timestamp() * 1e6)


def judged(truth: np.ndarray, score: np.ndarray) -> Predictions:
    share = 1 / (1 + np.exp(-score))
    return Predictions(
        truth=truth.astype(np.float64),
        classes=("no", "yes"),
        probabilities=np.stack([1 - share, share], axis=1),
        decisions=(share > 0.5).astype(np.int64),
    )


def world(
    rows: int, days: int, *, seed: int = 1, loop: float = 1.5, frozen: float = 1.0, shift: float = 0.0
) -> tuple[Sides, np.ndarray, np.ndarray, np.ndarray]:
    """Rows spread over some days; `shift` lifts all scores of the loop in the second half of the time."""
    chance = np.random.default_rng(seed)
    truth = chance.random(rows) < 0.4
    both = chance.normal(size=rows)
    one = both + loop * truth + chance.normal(size=rows)
    two = both + frozen * truth + chance.normal(size=rows)
    time_us = START_US + np.arange(rows, dtype=np.int64) * (days * DAY_US // rows)
    one = one + np.where(np.arange(rows) >= rows // 2, shift, 0.0)
    return Sides(time_us=time_us, loop=judged(truth, one), frozen=judged(truth, two)), truth, one, two


def bounds_of(sides: Sides) -> list[int]:
    return edges(int(sides.time_us[0]), int(sides.time_us[-1]))


@pytest.mark.parametrize(
    ("days", "count"), [(455, 15), (100, 15), (30, 30), (20, 20), (5, 20), (4_000, 20), (1_100, 37)]
)
def test_the_periods_are_as_many_as_can_be_read(days: int, count: int) -> None:
    made = edges(START_US, START_US + days * DAY_US - 1)
    assert len(made) - 1 == count
    assert made[0] <= START_US
    assert made[-1] >= START_US + days * DAY_US
    assert all(low < high for low, high in pairwise(made))


def test_a_mean_over_rows_is_that_over_all_of_them_and_its_limits_are_those_of_the_pairs() -> None:
    sides, *_ = world(3_000, 40)
    metric = METRICS.get("log_loss")
    found = difference(metric, sides, bounds_of(sides), seed=1)
    assert found.frozen == pytest.approx(metric.value(sides.frozen))
    assert found.loop == pytest.approx(metric.value(sides.loop))
    assert metric.per_row is not None
    known = mean_estimate(metric.per_row(sides.frozen) - metric.per_row(sides.loop), 0.95, 1)
    assert found.value == pytest.approx(known.value)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.02 * (known.high - known.low))


def test_less_loss_is_better_and_so_is_a_larger_area() -> None:
    sides, *_ = world(3_000, 40, loop=2.5)
    for name in ("log_loss", "roc_auc"):
        found = difference(METRICS.get(name), sides, bounds_of(sides), seed=1)
        assert 0 < found.low < found.value < found.high


def test_in_one_period_the_limits_of_an_area_are_those_of_delong() -> None:
    sides, truth, one, two = world(2_000, 40)
    found = difference(METRICS.get("roc_auc"), sides, [START_US, START_US + 50 * DAY_US], seed=1)
    known = delong_paired(truth, one, two, 0.95)
    assert found.value == pytest.approx(known.value)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.05 * (known.high - known.low))


def test_scores_of_two_releases_are_not_ranked_against_each_other() -> None:
    """The loop changes to a release whose scores are all higher: pooled, its area would fall; it ranks as well."""
    plain, *_ = world(4_000, 40)
    lifted, *_ = world(4_000, 40, shift=3.0)
    metric = METRICS.get("roc_auc")
    assert metric.value(lifted.loop) < metric.value(plain.loop) - 0.02
    bounds = bounds_of(plain)
    found, known = difference(metric, lifted, bounds, seed=1), difference(metric, plain, bounds, seed=1)
    assert found.loop == pytest.approx(known.loop, abs=0.003)
    assert "by their rows" in found.how


def test_the_mean_over_periods_is_weighted_by_their_rows() -> None:
    sides, *_ = world(4_000, 40)
    chosen = np.flatnonzero((np.arange(4_000) % 7 == 0) | (np.arange(4_000) < 1_500))
    sides = sides.take(chosen)
    metric, bounds = METRICS.get("roc_auc"), bounds_of(sides)
    made = periods(metric, sides, bounds)
    rows = [each.rows for each in made]
    assert sum(rows) == len(chosen)
    found = difference(metric, sides, bounds, seed=1)
    assert found.loop == pytest.approx(np.average([each.loop for each in made], weights=rows))
    assert found.frozen == pytest.approx(np.average([each.frozen for each in made], weights=rows))


def test_only_the_last_year_counts() -> None:
    sides, *_ = world(6_000, 730)
    found = difference(METRICS.get("accuracy"), sides, bounds_of(sides), seed=1)
    assert found.since_us == int(sides.time_us[-1]) - 365 * DAY_US
    assert found.rows == pytest.approx(3_000, abs=10)
    assert "paired by day" in found.how


def test_where_no_answer_differs_the_difference_is_nothing() -> None:
    sides, *_ = world(500, 40)
    same = Sides(time_us=sides.time_us, loop=sides.frozen, frozen=sides.frozen)
    for name in ("roc_auc", "log_loss"):
        found = difference(METRICS.get(name), same, bounds_of(same), seed=1)
        assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_period_of_one_class_has_no_area_and_does_not_count() -> None:
    sides, truth, *_ = world(2_000, 40)
    day = (sides.time_us - START_US) // DAY_US
    kept = np.flatnonzero((day != 3) | truth)
    sides = sides.take(kept)
    bounds = bounds_of(sides)
    made = periods(METRICS.get("roc_auc"), sides, bounds)
    assert math.isnan(made[3].loop)
    assert math.isnan(made[3].frozen)
    found = difference(METRICS.get("roc_auc"), sides, bounds, seed=1)
    assert found.rows == len(kept) - made[3].rows
    assert math.isfinite(found.low)


@pytest.mark.slow
def test_the_limits_hold_the_truth_as_often_as_they_say() -> None:
    """Rows of one day share an error, which rows by themselves would hide."""
    metric, missed = METRICS.get("mae"), 0
    for seed in range(400):
        chance = np.random.default_rng(seed)
        day = np.repeat(np.arange(100), 12)
        error = chance.normal(size=1_200)
        # The loop is off by 0.3 more or less, a whole day alike; on average it is as good as the other.
        loop = 3 + error + 0.3 * chance.choice([-1.0, 1.0], 100)[day]
        frozen = 3 + chance.normal(size=1_200)
        time_us = START_US + day.astype(np.int64) * DAY_US
        nothing = np.zeros(1_200)
        sides = Sides(
            time_us=time_us,
            loop=Predictions(truth=nothing, values=loop),
            frozen=Predictions(truth=nothing, values=frozen),
        )
        found = difference(metric, sides, bounds_of(sides), seed=1)
        missed += not found.low <= 0 <= found.high
    assert missed <= 34  # 5 % of 400 are 20, and three standard errors more
