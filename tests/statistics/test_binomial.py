import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multinomial
from statsmodels.stats.proportion import proportion_confint

from holdtrue.statistics.binomial import clopper_pearson, newcombe, paired_shares, wilson

SHARES = [0.005, 0.02, 0.1, 0.3, 0.5, 0.8, 0.95, 0.99]


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (1, 10), (10, 10), (37, 100), (999, 1000)])
def test_limits_of_a_share_are_those_of_statsmodels(hits: int, rows: int) -> None:
    for estimate, method in ((clopper_pearson, "beta"), (wilson, "wilson")):
        found = estimate(hits, rows, 0.9)
        low, high = proportion_confint(hits, rows, alpha=0.1, method=method)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("rows", [5, 30, 200])
def test_each_exact_limit_errs_at_most_as_often_as_its_tail(rows: int) -> None:
    hits = np.arange(rows + 1)
    found = [clopper_pearson(count, rows, 0.9) for count in hits.tolist()]
    low, high = np.array([one.low for one in found]), np.array([one.high for one in found])
    for share in SHARES:
        chance = binom.pmf(hits, rows, share)
        assert chance[low > share].sum() <= 0.05
        assert chance[high < share].sum() <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("rows_one", "rows_two"), [(100, 100), (40, 200)])
def test_each_limit_of_a_gap_errs_at_most_in_5_7_percent_where_5_is_allowed(rows_one: int, rows_two: int) -> None:
    one, two = np.arange(rows_one + 1), np.arange(rows_two + 1)
    found = [[newcombe(i, rows_one, j, rows_two, 0.9) for j in two.tolist()] for i in one.tolist()]
    low = np.array([[gap.low for gap in line] for line in found])
    high = np.array([[gap.high for gap in line] for line in found])
    for share_one in SHARES:
        for share_two in SHARES:
            chance = binom.pmf(one, rows_one, share_one)[:, None] * binom.pmf(two, rows_two, share_two)
            gap = share_one - share_two
            assert chance[low > gap + 1e-12].sum() <= 0.057
            assert chance[high < gap - 1e-12].sum() <= 0.057


@pytest.mark.parametrize(
    ("only_one", "only_two"), [(0.01, 0.01), (0.05, 0.05), (0.0, 0.03), (0.02, 0.08), (0.1, 0.2), (0.15, 0.15)]
)
def test_each_limit_of_a_paired_gap_errs_at_most_in_5_6_percent_where_5_is_allowed(
    only_one: float, only_two: float
) -> None:
    rows, most = 100, 45
    counts = [(i, j) for i in range(most) for j in range(most)]
    found = [paired_shares(i, j, rows, 0.9) for i, j in counts]
    cells = np.array([(i, j, rows - i - j) for i, j in counts])
    chance = np.asarray(multinomial.pmf(cells, rows, [only_one, only_two, 1 - only_one - only_two]))
    assert chance.sum() > 0.999
    gap = only_one - only_two
    assert chance[np.array([one.low for one in found]) > gap + 1e-12].sum() <= 0.056
    assert chance[np.array([one.high for one in found]) < gap - 1e-12].sum() <= 0.056


@given(st.integers(1, 300).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))), st.floats(0.5, 0.99))
def test_a_share_lies_within_its_limits_and_they_within_0_and_1(drawn: tuple[int, int], confidence: float) -> None:
    for found in (clopper_pearson(*drawn, confidence), wilson(*drawn, confidence)):
        assert 0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20))
def test_the_paired_gap_mirrors_when_the_models_change_places(only_one: int, only_two: int, same: int) -> None:
    rows = only_one + only_two + same
    if rows == 0:
        return
    there, back = (paired_shares(*pair, rows, 0.9) for pair in ((only_one, only_two), (only_two, only_one)))
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_no_rows_give_no_limits() -> None:
    for found in (
        clopper_pearson(0, 0, 0.9),
        wilson(0, 0, 0.9),
        newcombe(0, 0, 1, 2, 0.9),
        paired_shares(0, 0, 0, 0.9),
    ):
        assert math.isnan(found.value)
        assert (found.low, found.high) == (-math.inf, math.inf)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="11 successes in 10 trials"):
        clopper_pearson(11, 10, 0.9)
    with pytest.raises(ValueError, match="more than all 10 rows"):
        paired_shares(6, 6, 10, 0.9)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 10, 95)
