import math

import numpy as np
import pytest

from holdtrue.evaluation.combine import differences, mean_of, ratios
from holdtrue.evaluation.influence import mean_limits, quotient_limits, share_limits, units_of
from holdtrue.statistics.binomial import clopper_pearson, newcombe


def test_a_symmetric_mean_has_students_interval() -> None:
    scores = np.concatenate([np.linspace(-1, 1, 101)])
    low, high = mean_limits(0.0, scores, 0.95)
    error = scores.std(ddof=1) / math.sqrt(101)
    assert high == pytest.approx(1.984 * error, rel=1e-3)
    assert low == pytest.approx(-high)


def test_a_long_right_tail_moves_both_limits_up() -> None:
    scores = np.random.default_rng(0).exponential(size=200)
    low, high = mean_limits(0.0, scores - scores.mean(), 0.95)
    assert high > -low


def test_few_or_equal_units_have_no_limits() -> None:
    assert mean_limits(0.0, np.linspace(-1, 1, 10), 0.95) == (-math.inf, math.inf)
    assert mean_limits(1.0, np.zeros(100), 0.95) == (-math.inf, math.inf)


def test_units_are_sums_over_clusters_with_the_same_mean() -> None:
    influence = np.array([1.0, 2.0, 3.0, -6.0])
    units = units_of(influence, np.array([7, 7, 3, 3]))
    assert sorted(units.tolist()) == [-1.5, 1.5]
    assert units_of(influence, None) is influence


def test_a_share_without_a_failure_has_the_exact_limit() -> None:
    low, high = share_limits(1.0, np.zeros(50), 0.9, 50)
    assert high == 1
    assert low == pytest.approx(clopper_pearson(50, 50, 0.9).low)
    assert share_limits(0.0, np.zeros(50), 0.9, 50)[1] == pytest.approx(1 - low)


def test_a_share_keeps_within_0_and_1() -> None:
    hits = np.array([1.0] * 59 + [0.0])
    low, high = share_limits(hits.mean(), hits - hits.mean(), 0.999, 60)
    assert 0 <= low < hits.mean() < high <= 1


def test_a_quotient_contains_the_top_over_the_bottom() -> None:
    generator = np.random.default_rng(1)
    top, bottom = generator.exponential(2.0, 500), generator.exponential(4.0, 500)
    low, high = quotient_limits(top.mean(), bottom.mean(), top - top.mean(), bottom - bottom.mean(), 0.9)
    assert low < top.mean() / bottom.mean() < high
    assert 0.4 < low < 0.5 < high < 0.62


def test_a_quotient_whose_bottom_may_be_0_has_no_limits() -> None:
    generator = np.random.default_rng(2)
    bottom = generator.normal(0.01, 1.0, 100)
    bottom += 0.01 - bottom.mean()
    low, high = quotient_limits(1.0, 0.01, generator.normal(size=100), bottom - 0.01, 0.9)
    assert math.isinf(low) or math.isinf(high)


@pytest.mark.parity
def test_a_difference_of_shares_is_that_of_the_statistics_package() -> None:
    low, high = differences([clopper_pearson(56, 70, 0.9), clopper_pearson(48, 80, 0.9)])
    expected = newcombe(56, 70, 48, 80, 0.9)
    assert (low[0, 1], high[0, 1]) == pytest.approx((expected.low, expected.high))
    assert (low[1, 0], high[1, 0]) == pytest.approx((-expected.high, -expected.low))


def test_without_independence_the_ends_add_as_they_stand() -> None:
    one, two = clopper_pearson(56, 70, 0.9), clopper_pearson(48, 80, 0.9)
    low, high = differences([one, two], independent=False)
    assert (low[0, 1], high[0, 1]) == (one.low - two.high, one.high - two.low)


def test_a_ratio_to_a_share_that_may_be_0_has_no_upper_limit() -> None:
    low, high = ratios([clopper_pearson(20, 50, 0.9), clopper_pearson(0, 50, 0.9)])
    assert high[0, 1] == math.inf
    assert low[1, 0] == 0
    assert 0 < high[1, 0] < 0.25


def test_correlated_parts_have_a_wider_mean_than_independent_ones() -> None:
    parts = [clopper_pearson(30, 60, 0.9), clopper_pearson(40, 60, 0.9)]
    independent, together = mean_of(parts), mean_of(parts, np.ones((2, 2)))
    assert together[0] < independent[0] < independent[1] < together[1]
    assert together[1] == pytest.approx((parts[0].high + parts[1].high) / 2)
