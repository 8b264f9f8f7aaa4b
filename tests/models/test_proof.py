"""A graph that differs from its reference is refused, whatever the difference is."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from onnx import TensorProto

from holdtrue.core.errors import Refused
from holdtrue.features.graph import NUMBER, Graph
from holdtrue.models.export import Reference
from holdtrue.models.proof import TOLERANCE, prove

FRAMES = {"real": pl.DataFrame({"x": np.linspace(0, 1, 101)}), "boundary": pl.DataFrame({"x": [0.5, 0.0]})}


def graph_of(*, shift: float = 0.0, threshold: float = 0.5, decide: bool = True, value: bool = False) -> bytes:
    """A graph whose probability is x + shift, or whose value is that."""
    graph = Graph()
    x = graph.node("Add", graph.input("x", NUMBER), graph.constant(np.float64(shift)))
    if value:
        graph.output("value", graph.cast(x, TensorProto.FLOAT), TensorProto.FLOAT, [None, 1])
        return graph.model().SerializeToString()
    rest = graph.node("Sub", graph.constant(np.float64(1.0)), x)
    both = graph.cast(graph.node("Concat", rest, x, axis=1), TensorProto.FLOAT)
    graph.output("probabilities", both, TensorProto.FLOAT, [None, 2])
    if decide:
        reached = graph.node("GreaterOrEqual", x, graph.constant(np.float64(threshold)))
        graph.output("decision", graph.cast(reached, TensorProto.INT64), TensorProto.INT64, [None, 1])
    return graph.model().SerializeToString()


def probabilities(frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
    x = frame["x"].to_numpy()
    return {
        "probabilities": np.stack([1 - x, x], axis=1),
        "decision": (x >= 0.5).astype(np.int64).reshape(-1, 1),
        "slack": np.abs(x - 0.5),
    }


def values(scale: float) -> Reference:
    return lambda frame: {"value": frame["x"].to_numpy().reshape(-1, 1) * scale}


def test_an_equal_graph_is_proven() -> None:
    proof = prove(graph_of(), probabilities, FRAMES)
    assert (proof.rows, proof.boundary_rows, proof.random_rows) == (103, 2, 0)
    assert proof.max_difference < 1e-7
    assert (proof.batch_difference, proof.decisions_differing, proof.tolerance) == (0.0, 0, TOLERANCE)


def test_a_shifted_probability_is_refused_with_its_worst_row() -> None:
    with pytest.raises(Refused, match=r"probabilities: 101 of 101 real rows .* the worst by 0\.0001") as caught:
        prove(graph_of(shift=1e-4), probabilities, FRAMES)
    assert "at x=" in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_decision_that_hangs_on_rounding_may_differ() -> None:
    proof = prove(graph_of(shift=-1e-7), probabilities, FRAMES)
    assert proof.decisions_differing == 2  # x = 0.5, once real and once on the boundary


def test_a_decision_that_does_not_hang_on_rounding_may_not() -> None:
    with pytest.raises(Refused, match=r"decision: 9 of 101 real rows are decided otherwise"):
        prove(graph_of(threshold=0.595), probabilities, FRAMES)


def test_without_a_slack_no_decision_may_differ() -> None:
    def strict(frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
        return {name: given for name, given in probabilities(frame).items() if name != "slack"}

    with pytest.raises(Refused, match="decided otherwise"):
        prove(graph_of(shift=-1e-7), strict, FRAMES)


def test_an_output_that_is_not_there_is_named() -> None:
    with pytest.raises(Refused, match="it has no output 'decision'"):
        prove(graph_of(decide=False), probabilities, FRAMES)


def test_a_wrong_shape_is_a_difference() -> None:
    def three(frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
        return {"probabilities": np.zeros((frame.height, 3))}

    with pytest.raises(Refused, match="the worst by inf"):
        prove(graph_of(), three, FRAMES)


def test_a_missing_number_is_a_difference() -> None:
    frames = {"real": FRAMES["real"], "boundary": pl.DataFrame({"x": [None]}, schema={"x": pl.Float64})}

    def filled(frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
        return {"value": frame["x"].fill_null(0.0).to_numpy().reshape(-1, 1)}

    with pytest.raises(Refused, match=r"value: 1 of 1 boundary rows .*: nan for 0 at x=None"):
        prove(graph_of(value=True), filled, frames)


def test_values_are_compared_with_their_spread() -> None:
    """A value of 1e9 is not exact in float32, and a shift of a ten-thousandth of the spread is refused."""
    far = {"real": pl.DataFrame({"x": np.linspace(1e9, 1.001e9, 101)})}
    assert prove(graph_of(value=True), values(1.0), far).max_difference < 1e-7
    with pytest.raises(Refused):
        prove(graph_of(value=True, shift=1e6), values(1.0), far)
    near = {"real": pl.DataFrame({"x": np.linspace(0, 1e-9, 101)})}
    with pytest.raises(Refused):
        prove(graph_of(value=True, shift=1e-12), values(1.0), near)


def test_equal_infinities_are_no_difference() -> None:
    frames = {"real": FRAMES["real"], "boundary": pl.DataFrame({"x": [float("inf"), -float("inf")]})}
    assert prove(graph_of(value=True), values(1.0), frames).max_difference < 1e-7


def test_a_graph_whose_answers_depend_on_the_batch_is_refused() -> None:
    graph = Graph()
    x = graph.input("x", NUMBER)
    centred = graph.node("Sub", x, graph.node("ReduceMean", x, graph.constant(np.array([0])), keepdims=1))
    graph.output("value", graph.cast(centred, TensorProto.FLOAT), TensorProto.FLOAT, [None, 1])

    def batch(frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
        return {"value": (frame["x"].to_numpy() - frame["x"].to_numpy().mean()).reshape(-1, 1)}

    with pytest.raises(Refused, match="one by one"):
        prove(graph.model().SerializeToString(), batch, FRAMES)


def test_a_proof_of_no_rows_is_no_proof() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        prove(graph_of(), probabilities, {"real": FRAMES["real"].head(0)})
