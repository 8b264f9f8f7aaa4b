"""Text becomes numbers, dates and words in one way only, whatever the type, the chunk or the row around it."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault
from holdtrue.data.contract import Contract, Field
from holdtrue.data.parse import expressions, parse

CELLS = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.floats(allow_nan=True).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.integers(-(10**9), 10**9).map("{:,}".format),
    st.dates().map(lambda day: day.isoformat()),
    st.dates().map(lambda day: day.strftime("%m/%d/%Y")),
    st.sampled_from(
        ["", " ", "NA", "?", "-999", "-999.0", "12%", "(1,234.5)", "$5", "5-", "1e5", "inf", "nan", "See 4"]
    ),
)
CONTRACT = Contract(
    fields=(
        Field(name="point", kind="number", missing=("NA", "-999")),
        Field(name="comma", kind="number", decimal=","),
        Field(name="day", kind="date", formats=("%Y-%m-%d", "%m/%d/%Y", "epoch"), missing=("NA",)),
        Field(name="word", kind="category", missing=("?", "NA")),
        Field(name="text", kind="text"),
    )
)


def column(values: list[Any], **described: Any) -> list[Any]:
    contract = Contract(fields=(Field(name="x", **described),))
    return parse(contract, pl.DataFrame({"x": values}, strict=False)).to_series().to_list()


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(*[CELLS] * 5), min_size=1, max_size=12))
def test_row_by_row_equals_the_whole_table(rows: list[tuple[str | None, ...]]) -> None:
    raw = pl.DataFrame(rows, schema=dict.fromkeys(CONTRACT.names, pl.String), orient="row")
    whole = parse(CONTRACT, raw)
    assert whole.equals(pl.concat([parse(CONTRACT, raw.slice(row, 1)) for row in range(raw.height)]))
    assert whole.equals(parse(CONTRACT, raw.lazy()).collect(engine="streaming"))
    assert whole.equals(raw.select(expressions(CONTRACT, raw.schema)))
    assert whole.dtypes == [pl.Float64, pl.Float64, pl.Float64, pl.String, pl.String]


@given(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53).map(float))
def test_a_number_that_python_wrote_is_read_to_the_last_bit(value: float) -> None:
    assert column([repr(value)], kind="number") == [value]


@given(
    st.integers(-(10**15), 10**15), st.sampled_from([(",", "."), (".", ","), (" ", "."), ("\u00a0", ","), ("'", ".")])
)
def test_thousands_are_grouped_in_any_usual_way(value: int, marks: tuple[str, str]) -> None:
    group, decimal = marks
    text = f"{value:,}".replace(",", group) + f"{decimal}25"
    exact = float(f"{value}.25")
    assert column([text], kind="number", decimal=decimal) == [exact]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 12 ", 12.0),
        ("1,234.5", 1234.5),
        ("12,34,567", 1234567.0),
        ("$1,234.50", 1234.5),
        ("-$5", -5.0),
        ("$-5", -5.0),
        ("5 €", 5.0),
        ("12%", 0.12),
        ("-5 %", -0.05),
        ("(5)", -5.0),
        ("(1,234.5)", -1234.5),
        ("5-", -5.0),
        ("−3", -3.0),
        ("+7", 7.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.5E-3", 0.0015),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("1e999", math.inf),
        ("nan", None),
        ("NaN", None),
        ("", None),
        ("   ", None),
        ("1,5", None),
        ("0,123", None),
        ("1,23,4567", None),
        ("--5", None),
        ("(-5)", None),
        ("(5", None),
        ("5 5", None),
        ("1_000", None),
        ("0x10", None),
        ("١٢", None),
        ("twelve", None),
        ("See DN-304 (ID#:10589)", None),
        ("2015-07-01", None),
    ],
)
def test_a_number_is_read_as_people_write_it(text: str, expected: float | None) -> None:
    assert column([text], kind="number") == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.234,5", 1234.5),
        ("1,5", 1.5),
        ("0,123", 0.123),
        ("1.234", 1234.0),
        ("1e3", 1000.0),
        ("1.5", None),
        ("1,2,3", None),
    ],
)
def test_a_decimal_comma_changes_what_the_point_means(text: str, expected: float | None) -> None:
    assert column([text], kind="number", decimal=",") == [expected]


def test_a_number_that_means_missing_is_missing_however_it_is_written() -> None:
    assert column(["-999", "-999.0", " -999 ", "NA", "-998"], kind="number", missing=("NA", "-999")) == [None] * 4 + [
        -998
    ]
    assert column([-999, -998], kind="number", missing=("-999",)) == [None, -998]
    assert column([float("nan"), 1.0], kind="number") == [None, 1.0]


@given(
    st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30)),
    st.sampled_from(["%Y-%m-%dT%H:%M:%S.%f", "%d.%m.%Y %H:%M:%S.%f", "%m/%d/%Y %I:%M:%S.%f %p", "%Y%m%d %H:%M:%S.%f"]),
)
def test_a_moment_that_python_wrote_is_read_back(moment: datetime, form: str) -> None:
    expected = (moment - datetime(1970, 1, 1)) / timedelta(seconds=1)
    assert column([moment.strftime(form)], kind="date", formats=(form,)) == [pytest.approx(expected, abs=1e-4)]


@given(st.dates(date(1970, 1, 1), date(2068, 12, 31)), st.sampled_from(["%d-%b-%y", "%m/%d/%y", "%d. %B %Y", "%Y-%j"]))
def test_a_day_that_python_wrote_is_read_back(day: date, form: str) -> None:
    assert column([day.strftime(form)], kind="date", formats=(form,)) == [(day - date(1970, 1, 1)).days * 86_400.0]


@pytest.mark.parametrize(
    ("text", "formats", "expected"),
    [
        ("7/1/2015", ["%m/%d/%Y"], datetime(2015, 7, 1)),
        ("02-Jun-06", ["%d-%b-%y"], datetime(2006, 6, 2)),
        ("01.07.2015", ["%d.%m.%Y"], datetime(2015, 7, 1)),
        ("2015-07-01T10:00:00Z", ["%Y-%m-%dT%H:%M:%S%z"], datetime(2015, 7, 1, 10)),
        ("2015-07-01T10:00:00+02:00", ["%Y-%m-%dT%H:%M:%S%z"], datetime(2015, 7, 1, 8)),
        ("8/27/14", ["%m/%d/%Y", "%m/%d/%y"], datetime(2014, 8, 27)),
        ("1435708800", ["epoch"], datetime(2015, 7, 1)),
        ("1435708800000", ["epoch_ms"], datetime(2015, 7, 1)),
    ],
)
def test_the_first_format_that_fits_wins(text: str, formats: list[str], expected: datetime) -> None:
    told = column([text], kind="date", formats=tuple(formats))
    assert told == [expected.replace(tzinfo=UTC).timestamp()]


@pytest.mark.parametrize(
    "text", ["2015-02-30", "2015-07-01 10:00", "15-07-01", "20155-07-01", "Date Not Captured", "0"]
)
def test_what_is_no_day_is_missing(text: str) -> None:
    assert column([text], kind="date", formats=("%Y-%m-%d",)) == [None]


def test_typed_columns_give_what_their_text_gives() -> None:
    moments = [datetime(2015, 7, 1, 12), None]
    for unit in ("ms", "us", "ns"):
        made = pl.DataFrame({"x": pl.Series(moments, dtype=pl.Datetime(unit))})
        assert parse(Contract(fields=(Field(name="x", kind="date"),)), made)["x"].to_list() == [1435752000.0, None]
    paris = pl.DataFrame({"x": pl.Series(moments).dt.replace_time_zone("Europe/Paris")})
    assert parse(Contract(fields=(Field(name="x", kind="date"),)), paris)["x"].to_list() == [1435744800.0, None]
    assert column([date(2015, 7, 1), None], kind="date") == [1435708800.0, None]
    assert column([True, False, None], kind="number") == [1.0, 0.0, None]
    assert column([True, False, None], kind="category") == ["true", "false", None]
    assert column([1, 2**60, None], kind="category") == ["1", str(2**60), None]
    assert column([1.0, 1.5, float("nan"), None], kind="category") == ["1", "1.5", None, None]
    assert column([None, None], kind="number") == [None, None]


def test_a_truth_is_spelled_as_the_known_categories_are() -> None:
    assert column([True, False, None], kind="category", categories=("False", "True")) == ["True", "False", None]


@pytest.mark.parametrize(
    "text",
    ["2015-07-01", "2015-07-01T00:00:00Z", "2015-07-01T02:00:00.000+02:00", "2015-07-01 00:00:00", "2015-07-01 00:00"],
)
def test_without_formats_a_date_is_read_as_iso(text: str) -> None:
    assert column([text, "1.7.2015"], kind="date") == [1435708800.0, None]


def test_words_keep_their_case_and_lose_their_blanks() -> None:
    assert column([" Yes ", "yes", "\u00a0no\n", "NULL", ""], kind="category", missing=("NULL",)) == [
        "Yes",
        "yes",
        "no",
        None,
        None,
    ]


def test_other_columns_are_dropped_and_the_order_is_the_contracts() -> None:
    contract = Contract(fields=(Field(name="b", kind="number"), Field(name="a", kind="text")))
    assert parse(contract, pl.DataFrame({"a": ["x"], "c": [1], "b": ["2"]})).columns == ["b", "a"]


def test_all_columns_that_are_not_there_are_named_with_what_was_meant() -> None:
    contract = Contract(fields=tuple(Field(name=name, kind="number") for name in ("age", "size", "nested", "raw")))
    table = pl.DataFrame({"agee": ["1"], "nested": [[1]], "raw": [b"1"]})
    with pytest.raises(DataFault) as caught:
        parse(contract, table.lazy())
    assert caught.value.faults[0] == "column 'age' is not there; did you mean 'agee'?"
    assert "column 'size' is not there" in caught.value.faults[1]
    assert "List(Int64), which is no number" in caught.value.faults[2]
    assert "Binary, which is no number" in caught.value.faults[3]
