import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.promises.wording import decimals_for, measured, number, rough
from holdtrue.statistics.estimate import Estimate


def seen(value: float, low: float, high: float, rows: int = 100) -> Estimate:
    return Estimate(value=value, low=low, high=high, rows=rows, method="", confidence=0.9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0.05"),
        (1e-7, "0.0000001"),
        (1234567.0, "1,234,567"),
        (-12.5, "-12.5"),
        (math.nan, "undefined"),
        (-math.inf, "no limit"),
    ],
)
def test_numbers_are_written_without_exponents(value: float, text: str) -> None:
    assert number(value) == text


def test_a_number_that_rounds_to_0_has_no_sign() -> None:
    assert number(-0.0004, 2) == "0.00"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_limit_never_looks_equal_to_a_bound_it_misses(one: float, two: float, three: float, bound: float) -> None:
    low, value, high = sorted([one, two, three])
    decimals = decimals_for(seen(value, low, high), bound)
    for shown in (low, value, high):
        if abs(shown - bound) > 1e-11:
            assert number(shown, decimals) != number(bound, decimals)


def test_a_limit_just_below_the_bound_is_shown_below_it() -> None:
    assert measured("accuracy", seen(0.85, 0.79996, 0.9), 0.8) == "accuracy 0.85000 (0.79996 to 0.90000 on 100 rows)"


def test_missing_limits_and_single_rows_read_well() -> None:
    assert measured("p99", seen(9.5, 8.0, math.inf), 10) == "p99 9.5 (8.0 to no upper limit on 100 rows)"
    assert measured("recall", seen(1.0, 0.05, 1.0, rows=1), 0.5) == "recall 1.00 (0.05 to 1.00 on 1 row)"


@given(st.integers(1, 10**9 - 1))
def test_rough_counts_are_never_too_few_and_at_most_a_tenth_too_many(rows: int) -> None:
    text = rough(rows)
    count = float(text.removesuffix(" million")) * 10**6 if "million" in text else float(text.replace(",", ""))
    assert rows <= count <= 1.1 * rows + 1
