import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from holdtrue.statistics.binomial import clopper_pearson
from holdtrue.statistics.mean import mean_estimate


def test_symmetric_scores_have_students_interval() -> None:
    half = np.random.default_rng(1).normal(size=200)
    scores = np.concatenate([half, -half])
    found = mean_estimate(scores, 0.9, seed=0)
    low, high = stats.t.interval(0.9, 399, loc=scores.mean(), scale=stats.sem(scores))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_a_long_right_tail_moves_both_limits_to_the_right() -> None:
    scores = np.random.default_rng(2).lognormal(size=300)
    found = mean_estimate(scores, 0.9, seed=0)
    low, high = stats.t.interval(0.9, 299, loc=scores.mean(), scale=stats.sem(scores))
    assert found.low > low
    assert found.high > high


@pytest.mark.slow
def test_the_upper_limit_of_a_log_loss_errs_no_more_often_than_it_may() -> None:
    """Exponential scores, 60 rows: Student's limit errs in 7.6 % where it may in 5 %."""
    generator, runs = np.random.default_rng(3), 2500
    errors = student = 0
    for scores in generator.exponential(size=(runs, 60)):
        errors += mean_estimate(scores, 0.9, seed=0).high < 1
        student += scores.mean() + stats.t.ppf(0.95, 59) * scores.std(ddof=1) / math.sqrt(60) < 1
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert errors / runs <= allowed < student / runs


def test_clusters_of_equal_rows_count_once() -> None:
    once = np.random.default_rng(4).exponential(size=80)
    alone = mean_estimate(once, 0.9, seed=0)
    together = mean_estimate(np.repeat(once, 5), 0.9, seed=0, clusters=np.repeat(np.arange(80), 5))
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    assert together.rows == 400


def test_clusters_of_unequal_size_are_covered() -> None:
    generator, runs = np.random.default_rng(5), 600
    missed = 0
    for _ in range(runs):
        of_row = np.repeat(np.arange(100), generator.integers(1, 9, 100))
        scores = generator.normal(size=100)[of_row] + generator.normal(size=len(of_row))
        found = mean_estimate(scores, 0.9, 0, of_row)
        missed += not found.low <= 0 <= found.high
    assert missed / runs <= 0.1 + 3 * math.sqrt(0.09 / runs)


def test_missing_scores_are_left_out() -> None:
    scores = np.random.default_rng(6).normal(size=100)
    with_missing = np.concatenate([scores, [math.nan] * 10])
    assert mean_estimate(with_missing, 0.9, 0) == mean_estimate(scores, 0.9, 0)
    assert math.isnan(mean_estimate(np.full(3, math.nan), 0.9, 0).value)


def test_scores_that_hardly_vary_prove_nothing_without_bounds() -> None:
    scores = np.zeros(1000)
    scores[:9] = 1.0
    found = mean_estimate(scores, 0.9, 0)
    assert (found.low, found.high) == (-math.inf, math.inf)
    scores[:10] = 1.0
    assert math.isfinite(mean_estimate(scores, 0.9, 0).high)


@pytest.mark.parametrize("hits", [0, 3, 400])
def test_few_misses_have_the_exact_limits_of_a_share(hits: int) -> None:
    scores = (np.arange(400) < hits).astype(np.float64)
    found, exact = mean_estimate(scores, 0.9, 0, bounds=(0.0, 1.0)), clopper_pearson(hits, 400, 0.9)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_few_losses_of_other_sizes_have_limits_close_to_those_of_a_share_and_within_the_bounds() -> None:
    """Scores of 0 and nearly 1 must have nearly the limits of scores of 0 and 1."""
    scores = np.where(np.arange(400) < 3, [0.999] * 400, 0.0)
    scores[0] = 1.0
    found, exact = mean_estimate(scores, 0.9, 0, bounds=(0.0, 1.0)), clopper_pearson(3, 400, 0.9)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), rel=0.03)
    assert mean_estimate(np.full(400, -0.5), 0.9, 0, bounds=(-1.0, 1.0)).low >= -1.0


def test_no_change_in_any_row_bounds_the_mean_change_by_three_in_the_rows() -> None:
    found = mean_estimate(np.zeros(3000), 0.9, 0, bounds=(-1.0, 1.0))
    assert found.value == 0
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 3000), rel=0.05)
    assert found.low == pytest.approx(-found.high, rel=0.05)


@given(st.integers(0, 10**6), st.floats(-100, 100), st.floats(0.01, 100))
def test_limits_move_and_stretch_with_the_scores(seed: int, shift: float, scale: float) -> None:
    scores = np.random.default_rng(seed).exponential(size=60)
    found, moved = mean_estimate(scores, 0.9, 0), mean_estimate(shift + scale * scores, 0.9, 0)
    assert (moved.low, moved.high) == pytest.approx((shift + scale * found.low, shift + scale * found.high), abs=1e-6)


@given(st.integers(0, 10**6), st.floats(0.5, 0.95))
def test_more_confidence_is_wider(seed: int, confidence: float) -> None:
    scores = np.random.default_rng(seed).lognormal(size=50)
    narrow, wide = mean_estimate(scores, confidence, 0), mean_estimate(scores, confidence + 0.04, 0)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
