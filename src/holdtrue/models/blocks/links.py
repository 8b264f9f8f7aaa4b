"""From raw scores to what a model answers, in numpy and as operators: the same steps in the same order."""

from typing import Literal

import numpy as np
from jaxtyping import Float64
from onnx import TensorProto

from holdtrue.features.graph import Graph

Link = Literal["value", "softmax", "sigmoids"]
"""`value`: the score itself. `softmax`: probabilities. `sigmoids`: one sigmoid a class, divided by their sum."""

FLOAT32_MOST = float(np.finfo(np.float32).max)


def answer(link: Link, scores: Float64[np.ndarray, "rows outputs"]) -> Float64[np.ndarray, "rows outputs"]:
    """Turn scores into probabilities or values.

    >>> answer("sigmoids", np.array([[0.0, 0.0, 0.0, 0.0]])).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    if link == "value":
        return np.clip(scores, -FLOAT32_MOST, FLOAT32_MOST)
    if link == "sigmoids":
        scores = np.minimum(scores, 0.0) - np.log(1.0 + np.exp(-np.abs(scores)))
    raised = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    return raised / raised.sum(axis=1, keepdims=True)


def emit_answer(graph: Graph, link: Link, scores: str) -> str:
    """Write `answer` for a float64 tensor; the result is float32."""
    if link == "value":
        # Without the clip a large value would become infinite in float32.
        most = np.array([FLOAT32_MOST])
        return graph.cast(emit_bounded(graph, scores, -most, most), TensorProto.FLOAT)
    if link == "sigmoids":
        # Sigmoids over their sum are the softmax of their logarithms, which never divides zero by zero.
        # ONNX Runtime has no Softplus for float64, so the logarithm of a sigmoid is spelt out.
        shrunk = graph.node("Exp", graph.node("Neg", graph.node("Abs", scores)))
        tail = graph.node("Log", graph.node("Add", graph.constant(np.ones(1)), shrunk))
        scores = graph.node("Sub", graph.node("Min", scores, graph.constant(np.zeros(1))), tail)
    return graph.cast(graph.node("Softmax", scores, axis=1), TensorProto.FLOAT)


def emit_bounded(graph: Graph, source: str, low: "np.ndarray", high: "np.ndarray") -> str:
    """Hold each column within its own bounds, as `np.clip` does; the bounds have the tensor's type."""
    return graph.node("Max", graph.node("Min", source, graph.constant(high)), graph.constant(low))


def two_columns(column: Float64[np.ndarray, "*any 1"]) -> Float64[np.ndarray, "*any 2"]:
    """Put a zero before the only score of a binary model: the softmax of (0, z) is the sigmoid of z."""
    return np.concatenate([np.zeros_like(column), column], axis=-1)
