"""Squared distances from a batch to kept training rows, in numpy and as operators."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from onnx import TensorProto

from holdtrue.features.graph import Graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """Training rows that a model keeps to compare new rows with.

    Everything is measured from `centre`: |a - b|² is computed as |a|² + |b|² - 2ab, which loses digits when rows
    lie far from the origin.
    """

    rows: Float32[np.ndarray, "kept features"]
    centre: Float64[np.ndarray, " features"]

    @classmethod
    def around_mean(cls, rows: Float32[np.ndarray, "kept features"]) -> "Kept":
        return cls(rows=np.ascontiguousarray(rows), centre=rows.mean(axis=0, dtype=np.float64))

    def squared(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows kept"]:
        from_x, from_kept = x - self.centre, self.rows - self.centre
        lengths = (from_kept * from_kept).sum(axis=1)
        cross = from_x @ (-2.0 * from_kept.T)
        return np.maximum((from_x * from_x).sum(axis=1, keepdims=True) + cross + lengths, 0.0)

    def emit_squared(self, graph: Graph, features: str) -> str:
        """Write `squared` for a float32 tensor; the result is float64."""
        centre = graph.constant(self.centre)
        from_x = graph.node("Sub", graph.cast(features, TensorProto.DOUBLE), centre)
        from_kept = self.rows - self.centre
        lengths = graph.constant((from_kept * from_kept).sum(axis=1))
        # Kept in float32 and widened on load: half the bytes, and not a digit less.
        kept = graph.node("Sub", graph.cast(graph.constant(self.rows), TensorProto.DOUBLE), centre)
        across = graph.node("Mul", graph.node("Transpose", kept, perm=[1, 0]), graph.constant(np.array([-2.0])))
        axis = graph.constant(np.array([1], dtype=np.int64))
        size = graph.node("ReduceSum", graph.node("Mul", from_x, from_x), axis, keepdims=1)
        return graph.node(
            "Relu", graph.node("Add", graph.node("Add", size, graph.node("MatMul", from_x, across)), lengths)
        )
