"""What is written for a contract is read by it to the same value, whatever type the source has."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import Misuse
from holdtrue.data.contract import Contract, Field
from holdtrue.data.parse import parse, typed
from holdtrue.data.readers.columns import Column
from holdtrue.pipeline.respelling import POLARS, RECEIVED, day_of, form_of, of_source, of_traffic, spelled

NUMBERS = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20)
SECONDS = st.lists(st.none() | st.integers(-2_000_000_000, 4_000_000_000), min_size=1, max_size=20)
FIELDS = [
    Field(name="a", kind="number"),
    Field(name="a", kind="number", decimal=","),
    Field(name="a", kind="number", missing=("n/a", "-")),
]


def read_back(field: Field, to: str, values: pl.Series) -> pl.Series:
    written = spelled(field, to, values)
    assert written.dtype == POLARS[to]
    return pl.DataFrame([written]).select(typed(field, written.dtype)).to_series()


def _sign(number: float | None) -> float:
    return 0.0 if number is None else math.copysign(1, number)


@pytest.mark.parametrize("field", FIELDS, ids=["point", "comma", "missing"])
@pytest.mark.parametrize("to", ["String", "Float64"])
@given(numbers=NUMBERS)
def test_any_number_is_read_to_the_same_bits(field: Field, to: str, numbers: list[float | None]) -> None:
    found = read_back(field, to, pl.Series("a", numbers, dtype=pl.Float64)).to_list()
    assert found == numbers
    assert [_sign(each) for each in found] == [_sign(each) for each in numbers]


@pytest.mark.parametrize("formats", [(), ("epoch",), ("epoch_ms",), ("%d.%m.%Y %H:%M:%S",), ("%Y/%j %I:%M:%S %p",)])
@pytest.mark.parametrize("to", ["String", "Datetime(UTC)"])
@settings(max_examples=30)
@given(seconds=SECONDS)
def test_any_second_is_read_to_the_same_moment(formats: tuple[str, ...], to: str, seconds: list[int | None]) -> None:
    field = Field(name="a", kind="date", formats=formats)
    values = pl.Series("a", seconds, dtype=pl.Float64)
    assert read_back(field, to, values).to_list() == values.to_list()


def test_a_moment_that_a_column_of_days_cannot_hold_is_told_and_not_rounded() -> None:
    field = Field(name="a", kind="date", formats=("%m/%d/%y",))
    form = form_of([Column(name="a", type="String")], Contract(fields=(field,)), ["a"])
    noon, midnight = 1_435_752_000.0, 1_435_708_800.0
    cells = {"a": pl.Series([noon, midnight, None]), RECEIVED: pl.Series([0.0, 1.0, 2.0])}
    frame, same = of_traffic(form, cells, 3)
    assert same.tolist() == [False, True, True]
    assert frame.get_column("a").to_list() == [None, "07/01/15", None]
    assert day_of(field, pl.Series("a", [noon, midnight, None])).to_list() == [midnight, midnight, None]


def test_rows_of_a_source_keep_their_values_where_its_columns_are_widened() -> None:
    raw = pl.DataFrame(
        {
            "count": [1, 2, None],
            "code": [7, 8, 9],
            "known": [True, None, False],
            "seen": pl.Series([0, 86_400_000, 1], dtype=pl.Datetime("ms")),
            "paid": [1.5, float("nan"), -999.0],
            "other": [1, 2, 3],
        }
    )
    fields = (
        Field(name="count", kind="number"),
        Field(name="code", kind="category"),
        Field(name="known", kind="category", categories=("True", "False")),
        Field(name="seen", kind="date", formats=("epoch_ms",)),
        Field(name="paid", kind="number", missing=("-999",)),
    )
    contract = Contract(fields=fields)
    kinds = ["Int64", "Int64", "Boolean", "Datetime", "Float64", "Int64"]
    columns = [Column(name=name, type=kind) for name, kind in zip(raw.columns, kinds, strict=True)]
    form = form_of(columns, contract, contract.names)
    made = of_source(form, raw)
    assert form.absent == ("other",)
    assert {column.name: POLARS[column.type] for column in form.columns} == dict(made.schema)
    assert parse(contract, made).equals(parse(contract, raw))
    assert made.get_column(RECEIVED).null_count() == 3


def test_what_clients_send_fits_where_a_file_had_whole_numbers() -> None:
    contract = Contract(fields=(Field(name="count", kind="number"),))
    form = form_of([Column(name="count", type="Int64")], contract, ["count"])
    cells = {"count": pl.Series([41.5, None]), RECEIVED: pl.Series([0.0, 0.0])}
    frame, same = of_traffic(form, cells, 2)
    assert bool(np.all(same))
    assert parse(contract, frame).to_series().to_list() == [41.5, None]


def test_a_source_with_our_own_column_is_refused() -> None:
    with pytest.raises(Misuse, match="which is ours"):
        form_of([Column(name=RECEIVED, type="String")], Contract(fields=()), [])
