"""Every breach is found at once, with its count and its first row, in eager and in lazy tables."""

import math
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault
from holdtrue.data.breach import Breach
from holdtrue.data.check import check, enforce
from holdtrue.data.contract import Contract, Field, Freshness, Rule

NOW = datetime(2016, 1, 1, tzinfo=UTC)


def breaches(values: list[Any], *, now: datetime | None = None, **described: Any) -> list[Breach]:
    contract = Contract(fields=(Field(name="x", **described),))
    table = pl.DataFrame({"x": values}, strict=False)
    found = check(contract, table, now=now)
    assert check(contract, table.lazy(), now=now) == found
    return list(found)


def test_the_message_names_the_place_the_count_and_the_first_row() -> None:
    contract = Contract(fields=(Field(name="age", kind="number", low=0, high=120),))
    with pytest.raises(DataFault) as caught:
        enforce(contract, pl.DataFrame({"age": [204.0, -1.0, 30.0]}), now=None)
    assert str(caught.value) == (
        "The table breaks its contract in 1 place:\n"
        "  column 'age': 2 of 3 values lie outside [0, 120]; the first is 204.0 in row 1.\n"
        "Clean the rows, or widen the contract and say why in its commit."
    )


@pytest.mark.parametrize(
    ("values", "described", "what", "count", "first", "shown"),
    [
        (["1", "x", "", "y"], {"kind": "number"}, "are no number", 2, 2, "'x'"),
        (["1.1.2015", "soon"], {"kind": "date", "formats": ("%d.%m.%Y",)}, "are no date", 1, 2, "'soon'"),
        (["a", None, " ", "NA"], {"kind": "text", "nullable": False, "missing": ("NA",)}, "are missing", 3, 2, ""),
        ([1.0, math.nan, None], {"kind": "number", "nullable": False}, "are missing", 2, 2, ""),
        (["1", "inf", "1e999"], {"kind": "number"}, "are infinite", 2, 2, "'inf'"),
        ([1.0, -math.inf], {"kind": "number", "low": 0}, "are infinite", 1, 2, "-inf"),
        (["5", "-1", "-2"], {"kind": "number", "low": 0}, "lie below 0", 2, 2, "'-1'"),
        ([5, 11], {"kind": "number", "high": 10}, "lie above 10", 1, 2, "11"),
        (["1", "1.5"], {"kind": "number", "integer": True}, "have a fraction", 1, 2, "'1.5'"),
        ([0, 2**60], {"kind": "number", "integer": True}, "are too large to keep every digit", 1, 2, str(2**60)),
        (["a", "c", None], {"kind": "category", "categories": ("a",), "unseen": "refuse"}, "are none of", 1, 2, "'c'"),
        (["A1", "A", "xA1x"], {"kind": "text", "pattern": r"[A-Z]\d"}, "do not match", 2, 2, "'A'"),
        (["a", "b", "a", "a", None, None], {"kind": "category", "unique": True}, "repeat that of", 2, 3, "'a'"),
    ],
)
def test_each_way_to_break_a_contract_is_counted(
    values: list[Any], described: dict[str, Any], what: str, count: int, first: int, shown: str
) -> None:
    (found,) = breaches(values, **described)
    assert found.what.startswith(what)
    assert (found.count, found.rows, found.first_row, found.first_value) == (count, len(values), first, shown)


@pytest.mark.parametrize(
    ("values", "described"),
    [
        (["a", "z"], {"kind": "category", "categories": ("a",)}),
        (["1", "See DN-304"], {"kind": "number", "unreadable": "missing"}),
        (["1", "-999", "-999.0"], {"kind": "number", "low": 0, "missing": ("-999",)}),
        (["0", "120", None, "nan"], {"kind": "number", "low": 0, "high": 120, "integer": True}),
        ([None, None], {"kind": "category", "unique": True, "pattern": "x", "categories": ("a",), "unseen": "refuse"}),
        ([], {"kind": "number", "nullable": False}),
        (["2015-07-01"], {"kind": "date", "formats": ("%Y-%m-%d",), "low": 1435708800.0, "high": 1435708800.0}),
    ],
)
def test_what_the_contract_allows_is_no_breach(values: list[Any], described: dict[str, Any]) -> None:
    assert breaches(values, **described) == []


def test_text_that_becomes_missing_is_still_refused_where_nothing_may_be_missing() -> None:
    (found,) = breaches(["1", "See DN-304"], kind="number", unreadable="missing", nullable=False)
    assert (found.what, found.count, found.first_row) == ("are missing", 1, 2)


def test_all_breaches_come_together_and_personal_values_stay_hidden() -> None:
    contract = Contract(
        fields=(
            Field(name="mail", kind="text", pattern=".+@.+", personal=True),
            Field(name="adults", kind="number", low=0),
            Field(name="in", kind="date", formats=("%Y-%m-%d",)),
            Field(name="out", kind="date", formats=("%Y-%m-%d",)),
        ),
        rules=(Rule(name="stay", text='out >= "in"'), Rule(name="someone", text="adults > 0")),
        key=("in", "adults"),
        freshness=Freshness(column="in", at_most_days=30),
    )
    table = pl.DataFrame(
        {
            "mail": ["secret", "a@b", "c@d", "e@f"],
            "adults": ["0", "-1", "2", "2"],
            "in": ["2015-07-02", "2015-07-01", "2015-07-01", "2015-07-01"],
            "out": ["2015-07-01", None, "2015-07-03", "2015-07-03"],
        }
    )
    sentences = [breach.sentence for breach in check(contract, table, now=NOW)]
    assert sentences == [
        "column 'mail': 1 of 4 values does not match the pattern '.+@.+'; the first is (hidden: personal) in row 1.",
        "column 'adults': 1 of 4 values lies below 0; the first is '-1' in row 2.",
        "rule 'stay': 1 of 4 rows breaks `out >= \"in\"`; the first is in='2015-07-02', out='2015-07-01' in row 1.",
        "rule 'someone': 2 of 4 values break `adults > 0`; the first is '0' in row 1.",
        "key (in, adults): 1 of 4 rows repeats that of an earlier row; "
        "the first is in='2015-07-01', adults='2' in row 4.",
        "freshness of 'in': its latest date is 2015-07-02, 183 days old; 30 are allowed.",
    ]
    assert "secret" not in " ".join(sentences)


def test_a_key_may_not_be_missing() -> None:
    contract = Contract(fields=(Field(name="id", kind="category"),), key=("id",))
    (found,) = check(contract, pl.DataFrame({"id": ["a", None, "b", None]}), now=None)
    assert (found.what, found.count, found.first_row) == ("are missing", 2, 2)


def test_freshness_is_judged_at_the_time_that_is_given() -> None:
    contract = Contract(
        fields=(Field(name="day", kind="date", formats=("%Y-%m-%d",)),),
        freshness=Freshness(column="day", at_most_days=3),
    )
    table = pl.DataFrame({"day": ["2015-12-29", "2015-12-01"]})
    assert check(contract, table, now=NOW) == ()
    assert check(contract, table, now=None) == ()
    (stale,) = check(contract, table, now=datetime(2016, 1, 2, tzinfo=UTC))
    assert "4 days old; 3 are allowed" in stale.sentence
    (empty,) = check(contract, table.clear(), now=NOW)
    assert "has no date" in empty.sentence


def test_a_table_without_the_columns_is_refused_before_anything_is_counted() -> None:
    contract = Contract(fields=(Field(name="age", kind="number"), Field(name="size", kind="number")))
    with pytest.raises(DataFault, match="does not have the columns"):
        check(contract, pl.DataFrame({"agee": [1]}), now=None)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.one_of(st.none(), st.integers(-5, 15).map(str), st.sampled_from(["x", "inf", "2.5", "", "NA"])), max_size=20
    )
)
def test_counts_and_first_rows_agree_with_a_row_by_row_count(values: list[str | None]) -> None:
    def wrong(cell: str | None) -> str | None:
        if cell in (None, "", "NA"):
            return "are missing"
        if cell == "x":
            return "are no number"
        if cell == "inf":
            return "are infinite"
        if not 0 <= float(cell or 0) <= 10:
            return "lie outside [0, 10]"
        return "have a fraction" if cell == "2.5" else None

    expected: dict[str, tuple[int, int]] = {}
    for row, cell in enumerate(values, 1):
        if what := wrong(cell):
            count, first = expected.get(what, (0, row))
            expected[what] = (count + 1, first)
    contract = Contract(
        fields=(Field(name="x", kind="number", integer=True, nullable=False, missing=("NA",), low=0, high=10),)
    )
    table = pl.DataFrame({"x": values}, schema={"x": pl.String})
    found = {breach.what: (breach.count, breach.first_row) for breach in check(contract, table, now=None)}
    assert found == expected
