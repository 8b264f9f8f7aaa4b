"""The builder of graphs: names never clash, and the same calls give the same bytes."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from holdtrue.features.graph import NUMBER, Graph
from holdtrue.features.ports import OUTPUTS, port
from holdtrue.features.runtime import session
from holdtrue.features.session import run

AWKWARD = st.text(alphabet="/_nc0.valuehighow", min_size=1, max_size=8) | st.sampled_from(sorted(OUTPUTS))


@given(st.lists(AWKWARD, unique=True, max_size=8))
def test_no_two_columns_share_a_port(columns: list[str]) -> None:
    assert len({port(column) for column in columns}) == len(columns)


@given(AWKWARD)
def test_a_port_is_never_an_output_or_an_inner_tensor(column: str) -> None:
    assert port(column) not in OUTPUTS
    assert not port(column).startswith("/")


@pytest.mark.parametrize("column", ["value", "value_", "/n0.0", "/c0", "label", "a b,ü"])
def test_a_column_of_any_name_runs(column: str) -> None:
    graph = Graph()
    tensor = graph.node("Add", graph.input(column, NUMBER), graph.constant(np.float64(1.0)))
    graph.output("value", tensor, TensorProto.DOUBLE, [None, 1])
    answered = run(session(graph.model().SerializeToString()), pl.DataFrame({column: [1.0, 2.0]}))
    assert answered["value"].tolist() == [[2.0], [3.0]]


def test_the_same_calls_give_the_same_bytes() -> None:
    def build() -> bytes:
        graph = Graph()
        doubled = graph.node("Mul", graph.input("a", NUMBER), graph.constant(np.array([2.0])))
        graph.output("b", graph.take(doubled, [0]), TensorProto.DOUBLE, [None, 1])
        return graph.model().SerializeToString()

    assert build() == build()
