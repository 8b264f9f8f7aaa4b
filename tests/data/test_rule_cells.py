from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.data.rule_cells import rule_cells
from holdtrue.data.rules import Kind, rule_expression

KINDS: dict[str, Kind] = {"a": "number", "b": "number", "c": "category", "d": "date", "e": "date"}
TYPES = {"a": pl.Float64, "b": pl.Float64, "c": pl.String, "d": pl.Float64, "e": pl.Float64}
numbers = st.none() | st.sampled_from([0.0, -0.0, 1.0, -1.5, 7.0, 1e308, 5e-324, float("inf"), -float("inf")])
days = st.none() | st.sampled_from([0.0, 86_400.0, 1_435_708_800.0])
rows = st.fixed_dictionaries(
    {"a": numbers, "b": numbers, "c": st.none() | st.sampled_from(["x", "y", ""]), "d": days, "e": days}
)


@st.composite
def sums(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["a", "b", "0", "2.5", "-3", "(e - d)"]))
    return f"({draw(sums(depth - 1))} {draw(st.sampled_from('+-*/%'))} {draw(sums(depth - 1))})"


@st.composite
def truths(draw: st.DrawFn, depth: int = 2) -> str:
    if depth and draw(st.booleans()):
        sign = draw(st.sampled_from(["and", "or"]))
        whole = f"({draw(truths(depth - 1))} {sign} {draw(truths(depth - 1))})"
        return f"not {whole}" if draw(st.booleans()) else whole
    sign = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
    return draw(
        st.sampled_from(
            ["c is missing", "a is not missing", "c in ('x', 'z')", "c != 'y'", "d <= e", "d > '2015-07-01'"]
        )
        | st.just(f"{draw(sums())} {sign} {draw(sums())}")
        | st.just(f"a not in ({draw(sums())}, b)")
    )


@settings(max_examples=150)
@given(text=truths(), row=rows)
@pytest.mark.slow
def test_a_rule_says_the_same_of_a_row_as_of_a_table(text: str, row: dict[str, Any]) -> None:
    table = pl.DataFrame({name: pl.Series([value], dtype=TYPES[name]) for name, value in row.items()})
    expected = table.select(rule_expression(text, KINDS).holds.alias("holds")).item()
    assert rule_cells(text, KINDS)(row) == expected, text


@pytest.mark.parametrize("two", [0.1, -0.3, 7.0, -2.0, float("inf"), 0.0])
@pytest.mark.parametrize("one", [5.3, -7.5, 4.0, 1e9 + 0.1, 5e-324, -float("inf")])
def test_remainders_are_those_of_the_query_engine(one: float, two: float) -> None:
    cells: dict[str, Any] = {"a": one, "b": two}
    for limit in (0.0, 0.05, 0.3, 1.5, 6.0):
        text = f"a % b > {limit}"
        table = pl.DataFrame([cells])
        assert rule_cells(text, KINDS)(cells) == table.select(rule_expression(text, KINDS).holds).item()
