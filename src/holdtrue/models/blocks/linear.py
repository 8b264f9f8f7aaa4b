"""A weighted sum of the features: what logistic, ridge, elastic net and linear support vectors all are once fitted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from onnx import TensorProto

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.links import Link, answer, emit_answer, two_columns


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """A fitted linear model.

    Attributes:
        weights: one column an output; a binary classifier has two, the first being zero.
        centre: the mean of each feature over the training rows, from which contributions are measured.
        notes: what a reader of the record should know, such as a solver that stopped early.
    """

    weights: Float64[np.ndarray, "features outputs"]
    offset: Float64[np.ndarray, " outputs"]
    centre: Float64[np.ndarray, " features"]
    link: Link
    notes: tuple[str, ...] = ()

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        return answer(self.link, x.astype(np.float64) @ self.weights + self.offset)

    def emit(self, graph: Graph, features: str) -> str:
        wide = graph.cast(features, TensorProto.DOUBLE)
        product = graph.node("MatMul", wide, graph.constant(self.weights))
        return emit_answer(graph, self.link, graph.node("Add", product, graph.constant(self.offset)))

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows features"]:
        """Coefficient times distance from the training mean: with the mean row's score they sum to the score."""
        return (x.astype(np.float64) - self.centre) * self.weights[:, -1]


def classifier(
    weights: Float64[np.ndarray, "features columns"],
    offset: Float64[np.ndarray, " columns"],
    centre: Float64[np.ndarray, " features"],
    notes: tuple[str, ...] = (),
) -> Linear:
    """Make a softmax model of one column a class, or of the only column of a binary one."""
    if weights.shape[1] == 1:
        weights, offset = two_columns(weights), two_columns(offset)
    return Linear(weights=weights, offset=offset, centre=centre, link="softmax", notes=notes)
