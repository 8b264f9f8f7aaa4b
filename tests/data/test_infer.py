"""A first contract fits the rows it came from, and says why each column is described as it is."""

import math
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.check import check
from holdtrue.data.contract import Contract, Field
from holdtrue.data.infer import infer
from holdtrue.data.parse import parse


def guess(values: list[Any], *, name: str = "x", target: bool = False) -> tuple[Field, str]:
    contract, notes = infer(pl.DataFrame({name: values}, strict=False), target=name if target else None)
    return contract.field(name), notes[name]


CELLS = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.integers(-(10**18), 10**18).map(str),
    st.floats(allow_infinity=False).map(str),
    st.dates().map(lambda day: day.isoformat()),
    st.sampled_from(["NA", "?", "unknown", "1,5", "1.234,5", "12%", "See DN-304", "007", "yes", "no"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=60))
@pytest.mark.slow
def test_rows_keep_the_contract_that_was_made_from_them(rows: list[tuple[str | None, ...]]) -> None:
    table = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    contract, notes = infer(table, target=None)
    assert [breach for breach in check(contract, table, now=None) if breach.what != "are infinite"] == []
    assert all(notes[name] for name in ("a", "b"))
    assert infer(table.lazy(), target=None) == (contract, notes)
    assert infer(table.reverse(), target=None)[0] == contract


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2", "30"] * 30, {"kind": "number", "integer": True, "low": 0, "nullable": False}),
        (["1.5", "-2", ""] * 5, {"kind": "number", "integer": False, "nullable": True}),
        (["0", "1"] * 50, {"kind": "number", "integer": True, "low": 0, "high": 1}),
        (["1,234.5", "12", "7"], {"kind": "number", "decimal": "."}),
        (["1,5", "0,75", "12"], {"kind": "number", "decimal": ","}),
        (["0,125", "0,250"], {"kind": "number", "decimal": ","}),
        (["1", "NA", "?", "-"], {"kind": "number", "missing": ("-", "?", "NA"), "unreadable": "refuse"}),
        (["1", "2", "See DN-304 (ID#:10589)"], {"kind": "number", "unreadable": "missing"}),
        (["1", "red", "green"], {"kind": "category"}),
        (["02134", "90210", "10001"], {"kind": "category"}),
        (["12345", "A/5 21171", "PC 17599", "347082"], {"kind": "category"}),
        ([str(2**60 + n) for n in range(5)], {"kind": "category", "integer": False}),
        (["7/1/2015", "12/31/2015"], {"kind": "date", "formats": ("%m/%d/%Y",)}),
        (["1/7/2015", "31/12/2015"], {"kind": "date", "formats": ("%d/%m/%Y",)}),
        (["01.07.2015", "02.07.2015"], {"kind": "date", "formats": ("%d.%m.%Y",)}),
        (["02-Jun-06", "14-Nov-06"], {"kind": "date", "formats": ("%d-%b-%y",)}),
        (["20150701", "20151231"], {"kind": "date", "formats": ("%Y%m%d",)}),
        (["20150701", "20159999"], {"kind": "number"}),
        (["2015-07-01T10:00:00Z"], {"kind": "date", "formats": ("%Y-%m-%dT%H:%M:%S%z",)}),
        (["2009-11-14", "8/27/14", "Pre-PQ Process"], {"kind": "date", "unreadable": "missing"}),
        (["true", "false"], {"kind": "category"}),
        (["yes", "no"] * 5, {"kind": "category", "categories": ("no", "yes"), "unseen": "allow"}),
        (["yes", "no"] * 5 + ["maybe"], {"kind": "category", "categories": None}),
        (["a", "NULL", "unknown"], {"kind": "category", "missing": ("NULL", "unknown")}),
        (["DE", "FR", "NA", "ZA", "US"], {"kind": "category", "missing": (), "nullable": False}),
        (["DE", "NA", "longer"], {"kind": "category", "missing": ("NA",)}),
        ([f"a rather long sentence, number {n}" for n in range(9)], {"kind": "text"}),
        (["", " ", None, "NA"], {"kind": "category", "nullable": True, "categories": None}),
        ([1, 2, None], {"kind": "number", "integer": True, "nullable": True}),
        ([1.5, math.nan], {"kind": "number", "integer": False, "nullable": True}),
        ([True, False], {"kind": "category"}),
        ([date(2015, 7, 1)], {"kind": "date", "formats": ()}),
        ([2**60, 1], {"kind": "category"}),
    ],
)
def test_a_column_is_described_by_its_values(values: list[Any], expected: dict[str, Any]) -> None:
    field, _ = guess(values)
    assert {name: getattr(field, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["1/7/2015", "2/8/2015"], "No value says whether the day or the month comes first; month/day is assumed"),
        (["7/1/2015", "12/31/2015"], "The month comes first, since the other number goes above 12"),
        (["13/1/2015", "1/14/2015", "2/14/2015"], "some dates have the day first and some the month"),
        (["1,234", "12,345"], "a comma is taken for a mark of thousands"),
        (["1,5", "7"], "The decimal mark is a comma"),
        (["1", "2", "See DN-304"], "1 texts such as 'See DN-304' are no number and become missing"),
        (["007", "123"], "Some values are codes"),
        ([str(2**60)], "Whole numbers above 2^53 lose digits"),
        (["1", "a", "b"], "Only 33% of the values are numbers"),
        (["", None], "Every value is missing"),
        (["1", "inf"], "some are infinite"),
        (["a", "NULL"], "1 of 2 values is missing, written 'NULL'"),
    ],
)
def test_the_note_gives_the_reason(values: list[Any], reason: str) -> None:
    assert reason.lower() in guess(values)[1].lower()


def test_the_range_leaves_room_and_never_crosses_zero() -> None:
    few, _ = guess([str(n) for n in range(10, 20)] * 5)
    assert (few.low, few.high) == (0, 46)
    many, note = guess([str(n) for n in range(100, 200)] * 20)
    assert (many.low, many.high) == (1, 300)
    assert "the range leaves room for [1, 300]" in note
    below, _ = guess([str(-n) for n in range(10, 20)] * 5)
    assert (below.low, below.high) == (-46, 0)
    day, _ = guess([date(2015, 1, 1) + timedelta(days=n) for n in range(2000)])
    assert day.high is None
    assert day.low is not None
    assert day.low <= datetime(2010, 1, 1).timestamp()


def test_ids_are_unique_and_measures_that_never_repeat_are_not() -> None:
    assert guess([str(n) for n in range(100)])[0].unique
    assert guess([f"A{n}" for n in range(100)])[0].unique
    chance = np.random.default_rng(0)
    assert not guess(chance.normal(size=100).tolist())[0].unique
    assert not guess((chance.permutation(10**6)[:100] * 977).tolist(), name="population")[0].unique
    assert guess((chance.permutation(10**6)[:100] * 977).tolist(), name="customer_id")[0].unique


def test_what_names_orders_or_is_predicted_may_not_be_missing() -> None:
    table = pl.DataFrame({"id": ["a", None], "day": ["2015-07-01", ""], "y": ["1", "NA"], "x": ["1", ""]})
    contract, _ = infer(table, target="y", time=["day"], key=["id"])
    assert [field.name for field in contract.fields if field.nullable] == ["x"]
    assert contract.key == ("id",)
    assert contract.field("id").unique
    assert len(check(contract, table, now=None)) == 3


def test_the_classes_of_a_target_are_closed_and_may_be_called_unknown() -> None:
    field, _ = guess(["yes", "no", "unknown", "none"], target=True)
    assert field.categories == ("no", "none", "unknown", "yes")
    assert field.unseen == "refuse"


def test_personal_columns_are_marked_and_not_quoted() -> None:
    mail, note = guess([f"person{n}@example.org" for n in range(20)])
    assert mail.personal
    assert "person" not in note.replace("Personal", "")
    assert guess([f"+49 30 {n}" for n in range(1234567, 1234580)])[0].personal
    assert guess([f"Braund, Mr. Owen {n}" for n in range(20)], name="Name")[0].personal
    assert not guess(["City Hotel", "Resort Hotel"] * 20, name="hotel_name")[0].personal


def test_counted_time_is_a_date_when_name_and_size_agree() -> None:
    seconds = [1_500_000_000 + n for n in range(5)]
    assert guess(seconds, name="created_at")[0].formats == ("epoch",)
    assert guess([n * 1000 for n in seconds], name="event_time")[0].formats == ("epoch_ms",)
    assert guess(seconds, name="amount")[0].kind == "number"


def test_dropped_columns_are_left_out_and_unknown_ones_refused() -> None:
    table = pl.DataFrame({"a": [1], "b": [[1, 2]], "c": ["x"]})
    assert infer(table, target="a", drop=["b"])[0].names == ("a", "c")
    with pytest.raises(DataFault, match=r"column 'b' holds List"):
        infer(table, target="a")
    with pytest.raises(Misuse) as caught:
        infer(table, target="aa", time=["d"], drop=["bb"])
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    "values",
    [
        [""] * 30,
        ["same"] * 30,
        [f"category {n}" for n in range(10_000)],
        ["inf", "-inf"] * 10,
        [str(2**63 + n) for n in range(50)],
        [str(n) for n in range(20)],
        ["\x00", "\ud7ff", "'", '"', "#", "- a", "{", "yes: no"],
        [0.0] * 5,
        [1e308, -1e308],
        [5e-324, 0.0],
    ],
)
def test_hostile_columns_get_a_contract_that_reads_them(values: list[Any]) -> None:
    table = pl.DataFrame({"x": values})
    contract, notes = infer(table, target=None)
    assert parse(contract, table).height == len(values)
    assert notes["x"]
    assert all(breach.what == "are infinite" for breach in check(contract, table, now=None))


def test_an_empty_table_has_a_contract_without_claims() -> None:
    contract, _ = infer(pl.DataFrame({"a": []}, schema={"a": pl.String}), target=None)
    assert contract == Contract(fields=(Field(name="a", kind="category", nullable=False),))
