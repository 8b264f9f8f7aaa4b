"""Links in numpy and as operators give the same numbers, however large the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from scipy.special import expit, softmax

from holdtrue.features.graph import Graph
from holdtrue.features.runtime import session
from holdtrue.models.blocks.links import FLOAT32_MOST, Link, answer, emit_answer, two_columns

SCORES = st.lists(st.floats(-1e30, 1e30) | st.floats(-5, 5), min_size=3, max_size=3)


def as_operators(link: Link, scores: "np.ndarray") -> "np.ndarray":
    graph = Graph()
    made = emit_answer(graph, link, graph.constant(scores))
    graph.output("answer", made, TensorProto.FLOAT, [None, None])
    return np.asarray(session(graph.model().SerializeToString()).run(["answer"], {})[0])


@settings(max_examples=40, deadline=None)
@given(st.lists(SCORES, min_size=1, max_size=4), st.sampled_from(["softmax", "sigmoids", "value"]))
def test_operators_equal_numpy(rows: list[list[float]], link: Link) -> None:
    scores = np.array(rows)
    expected = answer(link, scores)
    np.testing.assert_allclose(as_operators(link, scores), expected, rtol=1e-6, atol=1e-7)
    if link != "value":
        np.testing.assert_allclose(expected.sum(axis=1), 1.0)


def test_softmax_is_that_of_scipy() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 4)) * 30
    np.testing.assert_allclose(answer("softmax", scores), softmax(scores, axis=1), rtol=1e-12)


def test_sigmoids_are_divided_by_their_sum() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 4)) * 3
    chances = expit(scores)
    np.testing.assert_allclose(answer("sigmoids", scores), chances / chances.sum(axis=1, keepdims=True), rtol=1e-12)


def test_two_columns_of_a_softmax_are_a_sigmoid() -> None:
    z = np.linspace(-40, 40, 81).reshape(-1, 1)
    np.testing.assert_allclose(answer("softmax", two_columns(z))[:, 1:], expit(z), rtol=1e-12)


@pytest.mark.parametrize("value", [1e39, -1e300, FLOAT32_MOST])
def test_a_value_too_large_for_float32_stays_finite(value: float) -> None:
    told = as_operators("value", np.array([[value]]))
    assert np.isfinite(told).all()
    assert np.sign(told) == np.sign(value)
