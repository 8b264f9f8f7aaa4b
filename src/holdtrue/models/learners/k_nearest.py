"""k nearest neighbours, made continuous: a neighbour's say fades to nothing at the distance of the next one out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from onnx import TensorProto

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.distance import Kept
from holdtrue.models.blocks.links import answer, emit_answer, emit_bounded
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import whole

CHUNK_ROWS = 1_000  # bounds the matrix of distances
NEAR = 1e-5  # of the rows' total variance: distances below its root are the same place


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """The kernel average of Nadaraya and Watson, its width the distance h to the (k+1)-th neighbour.

    A kept row at distance d weighs max(0, 1 - d²/(h² + near)). Plain k-nearest voting depends on how ties are
    broken and jumps when rounding swaps two neighbours; here a neighbour leaves with weight zero, so the answer is
    continuous and the same on any machine.

    The weights cannot all be zero: at least k+1 rows have d² <= h², and each of those weighs at least
    near/(h² + near), which is positive. A relative error r in d² changes such a weight by at most r * d²/near of
    itself; rows are held within the range of the training rows, where d² is at most 4 * rows * variance, so that is
    below 1e-6 for float64.

    Attributes:
        low, high: the range of each feature over the kept rows.
        targets: one row a kept row: its class as zeros and a one, or its number.
        weight: the weight of each kept row.
        prior: the mean target. Classes take it as one row more among k, so no chance is ever exactly zero.
    """

    kept: Kept
    low: Float32[np.ndarray, " features"]
    high: Float32[np.ndarray, " features"]
    neighbours: int
    near: float
    targets: Float64[np.ndarray, "kept outputs"]
    weight: Float64[np.ndarray, " kept"]
    prior: Float64[np.ndarray, " outputs"] | None

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        made = np.empty((len(x), self.targets.shape[1]))
        for start in range(0, len(x), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            made[part] = self._answer(np.clip(x[part], self.low, self.high))
        return made

    def _answer(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        squared = self.kept.squared(x)
        width = np.partition(squared, self.neighbours, axis=1)[:, self.neighbours, None] + self.near
        say = np.maximum(1.0 - squared / width, 0.0) * self.weight
        mean = (say @ self.targets) / say.sum(axis=1, keepdims=True)
        if self.prior is None:
            return answer("value", mean)
        # The parts of a sum to 1 may add up to a hair more.
        return np.minimum((self.neighbours * mean + self.prior) / (self.neighbours + 1), 1.0)

    def emit(self, graph: Graph, features: str) -> str:
        held = emit_bounded(graph, features, self.low, self.high)
        squared = self.kept.emit_squared(graph, held)
        count = graph.constant(np.array([self.neighbours + 1], dtype=np.int64))
        nearest, _ = graph.split("TopK", squared, count, outputs=2, axis=1, largest=0)
        last = graph.constant(np.array([self.neighbours], dtype=np.int64))
        width = graph.node("Add", graph.node("Gather", nearest, last, axis=1), graph.constant(np.array([self.near])))
        faded = graph.node("Sub", graph.constant(np.ones(1)), graph.node("Div", squared, width))
        say = graph.node("Mul", graph.node("Relu", faded), graph.constant(self.weight))
        axis = graph.constant(np.array([1], dtype=np.int64))
        total = graph.node("ReduceSum", say, axis, keepdims=1)
        mean = graph.node("Div", graph.node("MatMul", say, graph.constant(self.targets)), total)
        if self.prior is None:
            return emit_answer(graph, "value", mean)
        share = graph.constant(np.array([self.neighbours / (self.neighbours + 1)]))
        mixed = graph.node("Add", graph.node("Mul", mean, share), graph.constant(self.prior / (self.neighbours + 1)))
        return graph.cast(mixed, TensorProto.FLOAT)

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> None:
        return None


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    used = weight > 0  # a neighbour without a say would let the weights add up to zero
    x, y, weight = rows.x[used], rows.y[used], weight[used]
    targets = np.eye(rows.classes)[y.astype(np.int64)] if rows.classes else y.reshape(-1, 1)
    return Neighbours(
        kept=Kept.around_mean(x),
        low=x.min(axis=0),
        high=x.max(axis=0),
        neighbours=min(whole(settings, "neighbours"), len(y) - 1),
        near=NEAR * (float(x.var(axis=0, dtype=np.float64).sum()) or 1.0),
        targets=targets,
        weight=weight / weight.mean(),
        prior=np.average(targets, axis=0, weights=weight) if rows.classes else None,
    )


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="linear",
    space={"neighbours": Dimension(default=30, low=2, high=300, log=True, integer=True)},
    fit=fit,
    paper=(
        "Nadaraya 1964, doi:10.1137/1109020; Watson 1964; its width by neighbours: Loftsgaarden & Quesenberry 1965, "
        "doi:10.1214/aoms/1177700079; Mack & Rosenblatt 1979, doi:10.1016/0047-259X(79)90065-4"
    ),
    most_rows=5_000,
)
