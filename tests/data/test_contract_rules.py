"""The language of rules means what it says, and reads nothing else."""

import operator
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.errors import Misuse
from holdtrue.data.rules import Kind, rule_expression

KINDS: dict[str, Kind] = {
    "a": "number",
    "b": "number",
    "in": "date",
    "out": "date",
    "word": "category",
    "two words": "text",
    "emp.var.rate": "number",
}
FRAME = pl.DataFrame(
    {
        "a": [1.0, 2.0, None],
        "b": [0.0, 2.0, 3.0],
        "in": [0.0, 86_400.0, 259_200.0],
        "out": [86_400.0, 86_400.0, None],
        "word": ["p", "q", None],
        "two words": ["it's", "x", None],
        "emp.var.rate": [1.0, 2.0, 3.0],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > b", [True, False, None]),
        ("a >= b and b >= 0", [True, True, None]),
        ("a > b or b = 3", [True, False, True]),
        ("not a > b", [False, True, None]),
        ("a > b and a > b or b == 3", [True, False, True]),
        ("a > b and (a > b or b == 3)", [True, False, None]),
        ("0 <= a <= b", [False, True, None]),
        ("a + 2 * b = 1", [True, False, None]),
        ("(a + 2) * b = 8", [False, True, None]),
        ("-a < -1", [False, True, None]),
        ("b - a - 1 == -2", [True, False, None]),
        ("a / b >= 0", [None, True, None]),
        ("emp.var.rate % 2 == 1", [True, False, True]),
        ("a is missing", [False, False, True]),
        ("a is not missing", [True, True, False]),
        ("a is missing or a > 1", [False, True, True]),
        ("word = 'p'", [True, False, None]),
        ("word <> 'p'", [False, True, None]),
        ("word in ('q', 'r')", [False, True, None]),
        ("word not in ('q', 'r')", [True, False, None]),
        ("a in (1, 3)", [True, False, None]),
        ("\"two words\" = 'it''s'", [True, False, None]),
        ("`two words` != 'x'", [True, False, None]),
        ('out >= "in"', [True, True, None]),
        ('out - "in" <= 0.5', [False, True, None]),
        ('"in" + 1 == out', [True, False, None]),
        ("\"in\" > '1970-01-02'", [False, False, True]),
        ("\"in\" in ('1970-01-01', '1970-01-04')", [True, False, True]),
    ],
)
def test_a_rule_means_what_it_says(text: str, expected: list[bool | None]) -> None:
    assert FRAME.select(rule_expression(text, KINDS).holds).to_series().to_list() == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "stops where a value is expected"),
        ("a", "a rule compares"),
        ("a >", "stops where a value is expected"),
        ("a > b b", "is not expected there"),
        ("(a > b", "')' is expected at the end"),
        ("a > b)", "')' is not expected there"),
        ("a > b > ", "stops where a value is expected"),
        ("a is b", "'missing' is expected"),
        ("a in 5", "'(' is expected"),
        ("and a > b", "'and' stands where a value is expected"),
        ("out >= in", 'the column is written "in", in quotes'),
        ("a > word", "a number is compared with a text"),
        ("word < 'q'", "texts have no order"),
        ("word + 1 = 2", "does not work between a text and a number"),
        ("out > 5", "a date is compared with a number"),
        ("out > 'soon'", "is no date in ISO form"),
        ("out + out > out", "does not work between a date and a date"),
        ("(a > b) > a", "is not compared again"),
        ("not a", "`not` needs a comparison"),
        ("a and b", "stand between comparisons"),
        ("A > 1", "there is no column 'A'"),
        ("a; b", "makes no sense"),
        ("a > 'x", "makes no sense"),
        ("__import__('os').system('id')", "makes no sense from character 17 on"),
        ("a.__class__ > 1", "there is no column 'a.__class__'"),
        ("(" * 60 + "a > 1" + ")" * 60, "levels deep"),
        ("not " * 60 + "a > 1", "levels deep"),
        ("-" * 60 + "a > 1", "levels deep"),
        ("a + " * 400 + "a > 1", "words and signs"),
    ],
)
def test_what_is_no_rule_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(Misuse) as caught:
        rule_expression(text, KINDS)
    assert reason in caught.value.faults[0]


@given(st.text("ab \"'`()<>=!+-*/%,0123456789.isnotmgdr", max_size=40))
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    try:
        expression = rule_expression(text, KINDS)
    except Misuse:
        return
    assert FRAME.select(expression.holds).to_series().dtype == pl.Boolean


Tree = tuple[str, Any, Any] | str | float
SUMS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.sampled_from(["a", "b"]) | st.integers(0, 9).map(float),
    lambda inner: st.tuples(st.sampled_from([*SUMS]), inner, inner),
    max_leaves=8,
)


def written(tree: Tree) -> str:
    return f"({written(tree[1])} {tree[0]} {written(tree[2])})" if isinstance(tree, tuple) else f"{tree}"


def value(tree: Tree, row: dict[str, float]) -> float:
    if isinstance(tree, tuple):
        return SUMS[tree[0]](value(tree[1], row), value(tree[2], row))
    return row[tree] if isinstance(tree, str) else tree


@given(TREES, TREES, st.sampled_from([("<", operator.lt), (">=", operator.ge), ("=", operator.eq)]))
def test_arithmetic_is_that_of_python(left: Tree, right: Tree, sign: tuple[str, Any]) -> None:
    row = {"a": 3.0, "b": -2.0}
    told = pl.DataFrame(row).select(rule_expression(f"{written(left)} {sign[0]} {written(right)}", KINDS).holds)
    assert told.item() == sign[1](value(left, row), value(right, row))
