"""The same answer for every row."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from holdtrue.features.graph import Graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """An answer that does not look at the features."""

    answer: Float64[np.ndarray, "1 outputs"]
    features: int

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        return np.repeat(self.answer, len(x), axis=0)

    def emit(self, graph: Graph, features: str) -> str:
        # The rows are read from the batch's shape, not from its values: those may be missing.
        rows = graph.node("Shape", features, start=0, end=1)
        shape = graph.node("Concat", rows, graph.constant(np.array([1], dtype=np.int64)), axis=0)
        return graph.node("Expand", graph.constant(self.answer.astype(np.float32)), shape)

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows features"]:
        return np.zeros(x.shape, dtype=np.float64)
