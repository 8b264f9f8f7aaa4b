"""A transformer over the columns of a table: 4 layers, width 128, a token for each feature; only its head is fitted.

The layers keep the weights they were drawn with, so it learns little; what it costs is that of a trained one. Held to
the operators that a release may have: the norm is spelt out, and the wide layer bends with a rectifier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.links import answer, emit_answer, emit_bounded, two_columns
from holdtrue.models.learner import Fitted, Learner, Rows, Settings

LAYERS, WIDTH, HEADS = 4, 128, 4
DEEP = WIDTH // HEADS
EPSILON = np.float32(1e-5)
AT_ONCE = 256


def _norm(x: np.ndarray) -> np.ndarray:
    middle = x - x.mean(axis=-1, keepdims=True)
    return middle / np.sqrt((middle * middle).mean(axis=-1, keepdims=True) + EPSILON)


def _softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The weights of one layer; all of them (inside, outside)."""

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    joined: np.ndarray
    wide: np.ndarray
    narrow: np.ndarray

    def run(self, x: np.ndarray) -> np.ndarray:
        rows, tokens, _ = x.shape

        def heads(signal: np.ndarray) -> np.ndarray:
            return signal.reshape(rows, tokens, HEADS, DEEP).transpose(0, 2, 1, 3)

        held = _norm(x)
        query, key, value = (heads(held @ weights) for weights in (self.query, self.key, self.value))
        shares = _softmax(query @ key.transpose(0, 1, 3, 2) * np.float32(DEEP**-0.5))
        mixed = (shares @ value).transpose(0, 2, 1, 3).reshape(rows, tokens, WIDTH)
        x = x + mixed @ self.joined
        return x + np.maximum(_norm(x) @ self.wide, 0) @ self.narrow

    def emit(self, graph: Graph, x: str, tokens: int) -> str:
        def heads(signal: str, order: Sequence[int]) -> str:
            shape = graph.constant(np.array([0, tokens, HEADS, DEEP], dtype=np.int64))
            return graph.node("Transpose", graph.node("Reshape", signal, shape), perm=list(order))

        held = _emit_norm(graph, x)
        query, key, value = (
            heads(graph.node("MatMul", held, graph.constant(weights)), order)
            for weights, order in ((self.query, (0, 2, 1, 3)), (self.key, (0, 2, 3, 1)), (self.value, (0, 2, 1, 3)))
        )
        scores = graph.node("Mul", graph.node("MatMul", query, key), graph.constant(np.float32(DEEP**-0.5)))
        mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)
        whole = graph.constant(np.array([0, tokens, WIDTH], dtype=np.int64))
        mixed = graph.node("Reshape", graph.node("Transpose", mixed, perm=[0, 2, 1, 3]), whole)
        x = graph.node("Add", x, graph.node("MatMul", mixed, graph.constant(self.joined)))
        wide = graph.node("Relu", graph.node("MatMul", _emit_norm(graph, x), graph.constant(self.wide)))
        return graph.node("Add", x, graph.node("MatMul", wide, graph.constant(self.narrow)))


def _emit_norm(graph: Graph, x: str) -> str:
    last = graph.constant(np.array([-1], dtype=np.int64))
    middle = graph.node("Sub", x, graph.node("ReduceMean", x, last, keepdims=1))
    spread = graph.node("ReduceMean", graph.node("Mul", middle, middle), last, keepdims=1)
    return graph.node("Div", middle, graph.node("Sqrt", graph.node("Add", spread, graph.constant(EPSILON))))


@dataclass(frozen=True, kw_only=True)
class Transformer:
    """Features become tokens, the layers mix them, and their mean decides."""

    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray
    place: np.ndarray
    layers: tuple[Layer, ...]
    head: Any = None
    offset: Any = None

    def pooled(self, x: np.ndarray) -> np.ndarray:
        parts: list[np.ndarray] = []
        for start in range(0, len(x), AT_ONCE):
            signal = np.clip(x[start : start + AT_ONCE], self.low, self.high)[:, :, None] * self.scale + self.place
            for layer in self.layers:
                signal = layer.run(signal)
            parts.append(_norm(signal).mean(axis=1))
        return np.concatenate(parts) if parts else np.zeros((0, WIDTH), dtype=np.float32)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return answer("softmax", self.pooled(x).astype(np.float64) @ self.head + self.offset)

    def emit(self, graph: Graph, features: str) -> str:
        held = emit_bounded(graph, features, self.low, self.high)
        column = graph.node("Unsqueeze", held, graph.constant(np.array([2], dtype=np.int64)))
        signal = graph.node("Mul", column, graph.constant(self.scale))
        signal = graph.node("Add", signal, graph.constant(self.place))
        for layer in self.layers:
            signal = layer.emit(graph, signal, len(self.scale))
        axis = graph.constant(np.array([1], dtype=np.int64))
        mean = graph.cast(graph.node("ReduceMean", _emit_norm(graph, signal), axis, keepdims=0), TensorProto.DOUBLE)
        scores = graph.node("MatMul", mean, graph.constant(self.head))
        return emit_answer(graph, "softmax", graph.node("Add", scores, graph.constant(self.offset)))

    def contributions(self, x: np.ndarray) -> None:
        return None


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    """Draw the layers and fit the head."""
    from dataclasses import replace

    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(seed)

    def drawn(inside: int, outside: int) -> np.ndarray:
        return (chance.standard_normal((inside, outside)) / np.sqrt(inside)).astype(np.float32)

    tokens = rows.x.shape[1]
    bare = Transformer(
        low=rows.x.min(axis=0),
        high=rows.x.max(axis=0),
        scale=drawn(WIDTH, tokens).T.copy(),
        place=drawn(WIDTH, tokens).T.copy(),
        layers=tuple(
            Layer(
                query=drawn(WIDTH, WIDTH), key=drawn(WIDTH, WIDTH), value=drawn(WIDTH, WIDTH),
                joined=drawn(WIDTH, WIDTH), wide=drawn(WIDTH, 4 * WIDTH), narrow=drawn(4 * WIDTH, WIDTH),
            )
            for _ in range(LAYERS)
        ),
    )  # fmt: skip
    head = LogisticRegression(max_iter=200).fit(bare.pooled(rows.x), rows.y, sample_weight=rows.weight)
    weights = np.asarray(head.coef_, dtype=np.float64).T
    return replace(bare, head=two_columns(weights), offset=two_columns(np.asarray(head.intercept_, dtype=np.float64)))


PLUGIN = Learner(
    tasks=frozenset({"classification"}),
    flavour="linear",
    space={},
    fit=fit,
    paper="Vaswani et al. 2017, Attention is all you need; a token for each feature as in Gorishniy et al. 2021",
)
