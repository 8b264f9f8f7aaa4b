import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.monitoring.ruler import BINS, Ruler, gauge_of, ruler_of_numbers, ruler_of_texts

NUMBERS = st.lists(st.one_of(st.floats(allow_infinity=True, allow_nan=True), st.integers(0, 3)), max_size=60)


@given(NUMBERS, NUMBERS)
def test_every_number_is_counted_once_and_as_its_label_says(past: list[float], now: list[float]) -> None:
    ruler = ruler_of_numbers("x", np.array(past, dtype=np.float64))
    counts = ruler.count_numbers(np.array(now, dtype=np.float64))
    assert len(counts) == ruler.bins == len(ruler.labels()) <= BINS + 1
    assert counts.sum() == len(now)
    assert counts[0] == sum(np.isnan(value) for value in now)
    for place, low in enumerate(ruler.edges, 2):
        high = ruler.edges[place - 1] if place - 1 < len(ruler.edges) else np.inf
        last = place == ruler.bins - 1
        assert counts[place] == sum(low <= value < high or (last and value >= low) for value in now)


def test_bins_of_many_values_have_about_as_many_rows_each() -> None:
    values = np.random.default_rng(1).exponential(size=16_000)
    assert ruler_of_numbers("x", values).count_numbers(values)[1:] == pytest.approx(np.full(BINS, 1_000), abs=1)


def test_equal_values_share_a_bin_and_rare_ones_share_the_last() -> None:
    values = np.array([0.0] * 80 + [1.0] * 10 + [2.0] * 7 + [3.0] * 3)
    ruler = ruler_of_numbers("x", values)
    assert ruler.labels() == ("missing", "below 1", "1 to 2", "2 and more")
    assert ruler.count_numbers(values)[1:].tolist() == [80, 10, 10]


@pytest.mark.parametrize("past", [[], [float("nan")] * 3, [7.0] * 5])
def test_a_column_that_never_varied_still_shows_what_is_missing(past: list[float]) -> None:
    ruler = ruler_of_numbers("x", np.array(past))
    assert ruler.labels() == ("missing", "any")
    assert ruler.count_numbers(np.array([1.0, np.nan, -5.0])).tolist() == [1, 2]


def test_the_most_frequent_texts_have_a_bin_each() -> None:
    words = [f"city {number:03}" for number in range(40) for _ in range(number + 1)]
    ruler = ruler_of_texts("city", [*words, "", ""])
    assert ruler.texts[:2] == ("city 039", "city 038")
    assert ruler.bins == BINS + 1
    counts = ruler.count_texts(["city 039", "city 000", "", "never seen"])
    assert (counts[0], counts[1], counts[-1]) == (1, 1, 2)


def test_windows_add_up() -> None:
    chance = np.random.default_rng(2)
    ruler = ruler_of_numbers("x", chance.normal(size=500))
    values = chance.normal(size=300)
    whole = ruler.count_numbers(values)
    parts = [ruler.count_numbers(part) for part in np.split(values, 3)]
    assert np.array_equal(np.sum(parts, axis=0), whole)


def test_bins_are_laid_by_other_rows_than_are_counted() -> None:
    values = np.arange(100.0)
    gauge, counts = gauge_of({"x": values, "way": ["road", "rail"] * 50})
    assert set(gauge.numbers[0].edges) <= set(values[::2])
    assert counts["x"].sum() == 50
    assert gauge.texts[0].texts == ("road",)  # which of the rows lay the bins
    assert counts["way"].tolist() == [0, 0, 50]


def test_a_ruler_says_what_its_bins_are() -> None:
    assert Ruler(name="x", edges=(1.5, 2.0)).labels() == ("missing", "below 1.5", "1.5 to 2", "2 and more")
    assert Ruler(name="x", texts=("a", "b")).labels() == ("missing", "a", "b", "all others")
