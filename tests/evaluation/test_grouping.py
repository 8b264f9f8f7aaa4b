import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.evaluation.grouping import MISSING, group


def test_few_distinct_numbers_are_a_group_each() -> None:
    found = group(pl.Series("stars", [1.0, 3.0, None, 1.0]))
    assert found.names == ("1", "3", MISSING)
    assert found.codes.tolist() == [0, 1, 2, 0]
    assert found.title(0) == "stars is 1"


def test_many_numbers_are_cut_at_their_quartiles() -> None:
    found = group(pl.Series("age", np.arange(1000.0)))
    assert np.bincount(found.codes).tolist() == [250, 250, 250, 250]
    assert found.title(3) == "age above 749.25"


def test_dates_are_written_as_days() -> None:
    days = pl.Series("when", np.arange(100.0) * 86_400)
    assert group(days, is_date=True).names[0] == "up to 1970-01-25"


def test_a_number_that_is_mostly_one_value_keeps_its_rows_together() -> None:
    found = group(pl.Series("count", [0.0] * 90 + [float(number) for number in range(1, 11)]))
    assert found.names == ("up to 0", "above 0")
    assert np.bincount(found.codes).tolist() == [90, 10]


def test_a_column_without_values_is_one_group() -> None:
    for kind in (pl.Float64, pl.String):
        assert group(pl.Series("empty", [None, None], dtype=kind)).names == (MISSING,)


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "ä", ""])), min_size=1))
def test_every_row_is_in_the_group_of_its_category(values: list[str | None]) -> None:
    found = group(pl.Series("kind", values, dtype=pl.String))
    assert [found.names[code] for code in found.codes] == [MISSING if each is None else each for each in values]


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1))
def test_every_row_is_in_one_group_of_numbers_and_no_group_is_empty(values: list[float | None]) -> None:
    found = group(pl.Series("size", values, dtype=pl.Float64))
    assert len(found.codes) == len(values)
    assert sorted(set(found.codes.tolist())) == list(range(len(found.names)))
