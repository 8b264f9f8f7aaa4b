from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault
from holdtrue.data.check import check
from holdtrue.data.contract import Contract, Field, Rule
from holdtrue.data.parse import parse
from holdtrue.serving.odd import read_odd
from holdtrue.serving.reader import MOST_REMEMBERED, Reader, Typed, Unfit

CONTRACT = Contract(
    fields=(
        Field(name="age", kind="number", integer=True, nullable=False, low=0, high=120),
        Field(name="price", kind="number", decimal=",", missing=("-999", "k.A.")),
        Field(name="rate", kind="number", unreadable="missing"),
        Field(name="seen", kind="date", formats=("%d.%m.%Y", "epoch_ms"), high=4e9),
        Field(name="born", kind="date"),
        Field(name="town", kind="category", categories=("Köln", "true", "3"), unseen="refuse", missing=("NULL",)),
        Field(name="code", kind="text", pattern=r"[A-Z]{2}\d+", nullable=False),
        Field(name="note", kind="text"),
    ),
    rules=(Rule(name="older", text="price is missing or age >= 18 or town = 'Köln'"),),
)
cells = st.one_of(
    st.none(),
    st.integers(-5, 130),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from([1e-7, 3.0, 17.5, -999.0, 1.4e12]),
)
words = st.sampled_from(
    [
        *["", "  ", " NULL ", " Köln", "Köln", "köln", "true", "3", "3.0", "AB12", "ab12", " AB1 ", "1.234,5", "1,5"],
        *["12%", "(7)", "-999", "k.A.", "nan", "1e999", "See DN-304", "7.1.2015", "07.01.2015", "2015-01-07"],
        *["2015-01-07T10:00:00", "1420588800000", "x\x1f", "\x85y\u3000", "\u200bz"],
    ]
) | st.text(max_size=6)
columns = st.one_of(
    st.lists(words | st.none(), min_size=3, max_size=3),
    st.lists(st.integers(-5, 130) | st.none(), min_size=3, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.floats(allow_nan=False) | st.none(), min_size=3, max_size=3),
    st.lists(st.booleans() | st.none(), min_size=3, max_size=3),
)


def reader(contract: Contract = CONTRACT) -> Reader:
    return Reader(contract, wanted=contract.names, odd=read_odd)


def frame(contract: Contract, typed: Typed, known: Reader) -> pl.DataFrame:
    """Show typed rows as the table that `parse` gives."""
    numbers = typed.numbers if isinstance(typed.numbers, np.ndarray) else np.array(typed.numbers).reshape(-1, 1)
    made = {name: pl.Series(name, row).fill_nan(None) for name, row in zip(known.numbers, numbers, strict=True)}
    for name, words in zip(known.texts, typed.texts, strict=True):
        made[name] = pl.Series(name, words, dtype=pl.String).replace("", None)
    return pl.DataFrame([made[name] for name in contract.names])


def table(given_: dict[str, list[Any]]) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(name, values, strict=True) for name, values in given_.items()})


RIGHT: dict[str, list[Any]] = {
    "age": [18, 40, 0],
    "price": [None, "1.234,5", "k.A."],
    "rate": [0.5, None, 1.0],
    "seen": ["01.07.2015", "1.7.2016", None],
    "born": ["2015-07-01", None, "1999-12-31T23:59:59"],
    "town": ["Köln", None, "3"],
    "code": ["AB1", " CD22 ", "XY3"],
    "note": ["", "a b", None],
}


@settings(max_examples=80)
@given(given_=st.fixed_dictionaries(dict.fromkeys(CONTRACT.names, columns)), tries=st.sampled_from([1, 2]))
@example(given_=RIGHT, tries=2)
@pytest.mark.slow
def test_a_request_is_read_as_a_file_is(given_: dict[str, list[Any]], tries: int) -> None:
    try:
        raw = table(given_)
        breaches = check(CONTRACT, raw, now=None)
    except DataFault:  # a column of a kind that no contract reads, such as truths for a date
        with pytest.raises(Unfit):
            reader().read(given_, 3)
        return
    known = reader()
    for _ in range(tries):  # what is remembered is the same
        if breaches:
            with pytest.raises(Unfit) as refused:
                known.read(given_, 3)
            spoken = {breach.where for breach in breaches}
            of_cells = {place for place in spoken if not place.startswith("rule")}
            told = {fault.split(": ", 1)[0] for fault in refused.value.faults}
            assert told == (of_cells or spoken)
        else:
            assert frame(CONTRACT, known.read(given_, 3), known).equals(parse(CONTRACT, raw))


@settings(max_examples=60)
@given(given_=st.fixed_dictionaries(dict.fromkeys(CONTRACT.names, columns)))
@example(given_=RIGHT)
@pytest.mark.slow
def test_rows_one_by_one_are_read_as_together(given_: dict[str, list[Any]]) -> None:
    known = reader()
    singles: list[Typed | None] = []
    for row in [*range(3), *range(3)]:  # the second time from memory
        try:
            singles.append(known.read({name: values[row : row + 1] for name, values in given_.items()}, 1))
        except Unfit:
            singles.append(None)
    try:
        together = frame(CONTRACT, reader().read(given_, 3), known)
    except Unfit:
        assert None in singles[:3]
        assert None in singles[3:]
    else:
        for row, single in enumerate(singles):
            assert single is not None
            assert frame(CONTRACT, single, known).equals(together[row % 3])


def test_the_faults_of_a_request_are_told_as_those_of_a_file() -> None:
    wrong = {**RIGHT, "age": [18, 200, None], "town": ["Bonn", "Köln", "Ulm"], "code": ["AB1", "ab1", ""]}
    with pytest.raises(Unfit) as refused:
        reader().read(wrong, 3)
    assert sorted(refused.value.faults) == sorted(
        breach.sentence for breach in check(CONTRACT, table(wrong), now=datetime(2020, 1, 1))
    )


def test_a_broken_rule_is_told_with_the_cells_it_speaks_of() -> None:
    wrong = {**RIGHT, "age": [18, 5, 0], "town": ["Köln", "true", "3"]}
    with pytest.raises(Unfit) as refused:
        reader().read(wrong, 3)
    assert refused.value.faults == (
        "rule 'older': 1 of 3 rows breaks `price is missing or age >= 18 or town = 'Köln'`; "
        "the first is age=5.0, price=1234.5, town='true' in row 2.",
    )


def test_absent_columns_are_all_named_and_a_misspelt_one_is_recognised() -> None:
    given_ = {name: values for name, values in RIGHT.items() if name not in ("age", "town")} | {"agee": [1, 2, 3]}
    with pytest.raises(Unfit) as refused:
        reader().read(given_, 3)
    assert refused.value.faults == ("column 'age' is not there; did you mean 'agee'?", "column 'town' is not there")


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, b"x", 10**400, -(10**400), 10**5000, float("inf"), True], ids=range(8)
)
@pytest.mark.parametrize("rows", [1, 3])
def test_no_cell_makes_more_than_a_fault(value: Any, rows: int) -> None:
    for name in CONTRACT.names:
        given_ = {column: values[:rows] for column, values in RIGHT.items()} | {name: [value] * rows}
        with suppress(Unfit):
            reader().read(given_, rows)


def test_what_is_personal_is_not_shown() -> None:
    private = Contract(fields=(Field(name="iban", kind="text", pattern="DE[0-9]+", personal=True),))
    with pytest.raises(Unfit) as refused:
        reader(private).read({"iban": ["GB12"]}, 1)
    assert "GB12" not in str(refused.value)


@pytest.mark.slow
def test_ever_new_texts_do_not_fill_the_memory() -> None:
    known = reader(Contract(fields=(Field(name="note", kind="text"),)))
    for number in range(MOST_REMEMBERED * 2 + 5):
        known.read({"note": [f"text {number}"]}, 1)
    column = known._texts[0]  # pyright: ignore[reportPrivateUsage]  # what is bounded is inside
    assert len(column.known) <= MOST_REMEMBERED


def test_arrays_are_read_as_lists_are() -> None:
    numbers = Contract(fields=(Field(name="a", kind="number", low=0, high=9), Field(name="b", kind="number")))
    lists: dict[str, list[Any]] = {"a": [1, 2, 9], "b": [0.5, -1.0, 3.25]}
    for kind in (np.float64, np.float32, np.int8, np.uint64, np.float16):
        arrays = {name: np.array(values).astype(kind) for name, values in lists.items()}
        plain = {name: values.tolist() for name, values in arrays.items()}
        one, other = reader(numbers).read(arrays, 3), reader(numbers).read(plain, 3)
        assert np.array_equal(np.asarray(one.numbers), np.asarray(other.numbers))
