"""What follows the learner's answer: the same in numpy and in the graph."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float32, Float64
from onnx import TensorProto, helper
from scipy.special import expit, logit, softmax

from holdtrue.features.graph import Graph
from holdtrue.features.runtime import session
from holdtrue.models.answers import Correction, Decision, Interval

CORRECTIONS = st.builds(Correction, slope=st.floats(0.05, 5.0), offset=st.floats(-3.0, 3.0))


def drawn(classes: int, rows: int = 500, seed: int = 0) -> Float64[np.ndarray, "rows classes"]:
    """Draw probabilities of every size, some of them 0 and 1."""
    chance = np.random.default_rng(seed)
    made = softmax(chance.normal(size=(rows, classes)) * chance.choice([0.1, 3.0, 15.0], size=(rows, 1)), axis=1)
    made[:classes] = np.eye(classes)
    return made


def written(graph: Graph, outputs: Mapping[str, tuple[str, int]], x: Float32[np.ndarray, "_ _"]) -> list[np.ndarray]:
    graph.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, x.shape[1]]))
    for name, (source, kind) in outputs.items():
        graph.output(name, source, kind, [None, None])
    return [np.asarray(made) for made in session(graph.model().SerializeToString()).run(list(outputs), {"x": x})]


def corrected(correction: Correction, probabilities: Float64[np.ndarray, "_ _"]) -> np.ndarray:
    graph = Graph()
    made = correction.emit(graph, "x", probabilities.shape[1])
    return written(graph, {"y": (made, TensorProto.FLOAT)}, probabilities.astype(np.float32))[0]


def decided(decision: Decision, probabilities: Float64[np.ndarray, "_ _"]) -> np.ndarray:
    graph = Graph()
    made = decision.emit(graph, "x")
    return written(graph, {"y": (made, TensorProto.INT64)}, probabilities.astype(np.float32))[0][:, 0]


@settings(deadline=None, max_examples=30)
@given(correction=CORRECTIONS, classes=st.sampled_from([2, 3, 5]))
def test_the_graph_corrects_as_numpy_does(correction: Correction, classes: int) -> None:
    probabilities = drawn(classes)
    np.testing.assert_allclose(corrected(correction, probabilities), correction.apply(probabilities), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(correction=CORRECTIONS, classes=st.sampled_from([2, 3]))
def test_corrected_probabilities_sum_to_one(correction: Correction, classes: int) -> None:
    np.testing.assert_allclose(correction.apply(drawn(classes)).sum(axis=1), 1.0, rtol=1e-12)


@given(correction=CORRECTIONS)
def test_the_order_of_two_class_rows_is_kept(correction: Correction) -> None:
    positive = np.sort(drawn(2)[:, 1])
    assert (np.diff(correction.apply(np.stack([1 - positive, positive], axis=1))[:, 1]) >= 0).all()


def test_two_classes_get_platts_sigmoid_and_more_a_temperature() -> None:
    inner = drawn(2)[(drawn(2)[:, 1] > 1e-6) & (drawn(2)[:, 1] < 1 - 1e-6)]
    expected = expit(0.7 * logit(inner[:, 1]) - 0.2)
    np.testing.assert_allclose(Correction(slope=0.7, offset=-0.2).apply(inner)[:, 1], expected, rtol=1e-6)
    three = drawn(3)[10:20]
    np.testing.assert_allclose(Correction(slope=0.5).apply(three), softmax(np.log(np.clip(three, 1e-7, 1)) / 2, axis=1))


def test_no_correction_adds_no_operator() -> None:
    graph = Graph()
    assert Correction().emit(graph, "x", 2) == "x"
    assert not graph.nodes


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
def test_a_probability_equal_to_the_threshold_is_positive_also_in_float32(threshold: float) -> None:
    decision = Decision(threshold=threshold)
    rows = np.array([[1 - threshold, threshold]])
    assert decision.apply(rows).tolist() == decided(decision, rows).tolist() == [1]


@pytest.mark.parametrize(
    ("decision", "classes"),
    [
        (Decision(), 2),
        (Decision(), 4),
        (Decision(threshold=0.3), 2),
        (Decision(costs=((0.0, 5.0, 1.0), (2.0, -1.0, 1.0), (9.0, 1.0, 0.0))), 3),
    ],
)
def test_the_graph_decides_as_numpy_does_where_there_is_slack(decision: Decision, classes: int) -> None:
    probabilities = drawn(classes, rows=3000)
    clear = decision.slack(probabilities) > 1e-6
    assert clear.mean() > 0.9
    assert (decided(decision, probabilities) == decision.apply(probabilities))[clear].all()


def test_costs_decide_for_the_least_expected_cost() -> None:
    """0.2 * 10 = 2 is more than 0.8 * 1: deciding 1 is cheaper although 0 is likelier."""
    decision = Decision(costs=((0.0, 1.0), (10.0, 0.0)))
    assert decision.apply(np.array([[0.8, 0.2], [0.95, 0.05]])).tolist() == [1, 0]


@settings(deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.01, 0.99))
def test_less_than_the_slack_changes_no_decision(seed: int, share: float) -> None:
    costs = tuple(map(tuple, np.random.default_rng(seed).normal(size=(3, 3)).tolist()))
    for decision in (Decision(), Decision(costs=costs)):
        probabilities = drawn(3, rows=50, seed=seed)
        way = np.random.default_rng(seed + 1).choice([-1.0, 1.0], size=probabilities.shape)
        moved = probabilities + way * share * decision.slack(probabilities)[:, None]
        assert (decision.apply(moved) == decision.apply(probabilities)).all()


def test_a_threshold_and_costs_together_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        Decision(threshold=0.5, costs=((0.0, 1.0), (1.0, 0.0)))


@pytest.mark.parametrize("interval", [Interval(below=2.0, above=0.5), Interval(below=0.1, above=0.3, floor=4.0)])
def test_the_graph_puts_the_limits_where_numpy_does(interval: Interval) -> None:
    values = np.array([-1e6, -3.0, 0.0, 1e-9, 2.0, 5.0, 1e6, 3e38])
    graph = Graph()
    low, high = interval.emit(graph, "x")
    outputs = {"low": (low, TensorProto.FLOAT), "high": (high, TensorProto.FLOAT)}
    made = written(graph, outputs, values.astype(np.float32).reshape(-1, 1))
    for answered, expected in zip(made, interval.apply(values), strict=True):
        np.testing.assert_allclose(answered[:, 0], np.clip(expected, -3.4028235e38, 3.4028235e38), rtol=2e-7)


def test_a_floor_makes_the_reach_a_share_of_the_value() -> None:
    low, high = Interval(below=0.5, above=1.0, floor=10.0).apply(np.array([2.0, 100.0, -100.0]))
    assert low.tolist() == [-3.0, 50.0, -150.0]
    assert high.tolist() == [12.0, 200.0, 0.0]


@pytest.mark.parametrize("reach", [-1.0, float("nan"), float("inf")])
def test_an_interval_of_impossible_reach_is_refused(reach: float) -> None:
    with pytest.raises(ValueError, match="below must be 0 or more and finite"):
        Interval(below=reach, above=1.0)
