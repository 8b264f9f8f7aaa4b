import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from holdtrue.statistics.quantile import quantile_bound, quantile_rows_needed


@given(st.integers(1, 400), st.floats(0.01, 0.99), st.sampled_from([0.8, 0.9, 0.95]))
def test_ranks_are_the_closest_that_keep_their_tails(rows: int, q: float, confidence: float) -> None:
    tail = (1 - confidence) / 2
    found = quantile_bound(np.arange(1.0, rows + 1), q, confidence)
    # The value of a row is its rank. Rank r lies above the quantile when fewer than r rows lie below it.
    lower, upper = (rank if math.isfinite(rank) else None for rank in (found.low, found.high))
    ranks = np.arange(1, rows + 1)
    below, above = binom.cdf(ranks - 1, rows, q) <= tail + 1e-12, binom.sf(ranks - 1, rows, q) <= tail + 1e-12
    assert lower == (ranks[below].max() if below.any() else None)
    assert upper == (ranks[above].min() if above.any() else None)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_a_quantile_is_one_of_the_values_and_lies_within_its_limits(drawn: list[int], q: float) -> None:
    values = np.array(drawn, dtype=np.float64)
    found = quantile_bound(values, q, 0.9)
    assert found.value == np.quantile(values, q, method="inverted_cdf")
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("q", "confidence", "rows"), [(0.99, 0.9, 299), (0.95, 0.9, 59), (0.5, 0.95, 6), (0.05, 0.9, 59)]
)
def test_so_many_rows_are_just_enough(q: float, confidence: float, rows: int) -> None:
    assert quantile_rows_needed(q, confidence) == rows
    for count, enough in ((rows, True), (rows - 1, False)):
        found = quantile_bound(np.arange(float(count)), q, confidence)
        assert (math.isfinite(found.low) and math.isfinite(found.high)) == enough


def test_no_or_missing_values_give_no_limits() -> None:
    for values in (np.array([]), np.array([1.0, math.nan])):
        assert quantile_bound(values, 0.5, 0.9).high == math.inf


def test_a_quantile_outside_0_and_1_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 99"):
        quantile_bound(np.zeros(10), 99, 0.9)
