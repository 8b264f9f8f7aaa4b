"""What follows a learner's answer: corrected probabilities, a decision, or limits; in numpy and as operators."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from jaxtyping import Float64, Int64
from onnx import TensorProto
from scipy.special import expit, softmax

from holdtrue.features.graph import Graph

LEAST = 1e-7  # a probability counts as at least this, and at most 1 minus this, before its logarithm is taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """Makes probabilities calibrated: the log-odds of two classes, or the logarithms of more, times `slope`.

    Two classes: Platt's sigmoid(slope * logit(p) + offset). More: softmax(slope * log(p)), the inverse of a
    temperature, which takes no offset. A positive slope keeps the order of the rows.
    """

    slope: float = 1.0
    offset: float = 0.0

    def apply(self, probabilities: Float64[np.ndarray, "rows classes"]) -> Float64[np.ndarray, "rows classes"]:
        if self == Correction():
            return probabilities
        held = np.clip(probabilities, LEAST, 1.0)
        if probabilities.shape[1] > 2:
            return softmax(np.log(held) * self.slope, axis=1)
        most = np.log1p(-LEAST) - np.log(LEAST)
        # Both columns are used, not 1 - p: near 1, float32 keeps no digit of the difference.
        odds = np.clip(np.log(held[:, 1]) - np.log(held[:, 0]), -most, most)
        corrected = self.slope * odds + self.offset
        return np.stack([expit(-corrected), expit(corrected)], axis=1)

    def emit(self, graph: Graph, probabilities: str, classes: int) -> str:
        """Write `apply` for a float32 tensor of `classes` columns; the result is float32."""
        if self == Correction():
            return probabilities
        wide = graph.cast(probabilities, TensorProto.DOUBLE)
        least, most = graph.constant(np.float64(LEAST)), graph.constant(np.float64(1.0))
        logs = graph.node("Log", graph.node("Clip", wide, least, most))
        slope = graph.constant(np.float64(self.slope))
        if classes > 2:
            scores = graph.node("Mul", logs, slope)
        else:
            ends = [graph.constant(np.float64(sign * (np.log1p(-LEAST) - np.log(LEAST)))) for sign in (-1, 1)]
            odds = graph.node("Clip", graph.node("Sub", graph.take(logs, [1]), graph.take(logs, [0])), *ends)
            corrected = graph.node("Add", graph.node("Mul", odds, slope), graph.constant(np.float64(self.offset)))
            zero = graph.node("Sub", corrected, corrected)
            scores = graph.node("Concat", zero, corrected, axis=1)
        return graph.cast(graph.node("Softmax", scores, axis=1), TensorProto.FLOAT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Turns probabilities into one class.

    With a `threshold`, the second of two classes when its probability is at least that. With `costs` (one line a
    true class, one entry a decided class), the class that is expected to cost least. With neither, the most probable.
    """

    threshold: float | None = None
    costs: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.costs is not None:
            raise ValueError("a decision has a threshold or costs, not both; costs of two classes make a threshold.")

    def apply(self, probabilities: Float64[np.ndarray, "rows classes"]) -> Int64[np.ndarray, " rows"]:
        """Give the code of the decided class; the first of equals."""
        if self.threshold is not None:
            return (probabilities[:, 1] >= self.threshold).astype(np.int64)
        return self._merit(probabilities).argmax(axis=1).astype(np.int64)

    def slack(self, probabilities: Float64[np.ndarray, "rows classes"]) -> Float64[np.ndarray, " rows"]:
        """Say by how much probabilities must move, at least, before the decision changes."""
        if self.threshold is not None:
            return np.abs(probabilities[:, 1] - self.threshold)
        merit = np.sort(self._merit(probabilities), axis=1)
        costs = np.eye(2) if self.costs is None else np.array(self.costs)
        # Between two decisions the difference moves by at most the sum over classes of each one's difference.
        most = np.abs(costs[:, :, None] - costs[:, None, :]).sum(axis=0).max()
        return (merit[:, -1] - merit[:, -2]) / (most or 1.0)

    def emit(self, graph: Graph, probabilities: str) -> str:
        """Write `apply` for a float32 tensor; the result is int64 (rows, 1).

        The threshold is compared in float32, rounded like the probabilities: what reaches it still does.
        """
        if self.threshold is not None:
            limit = graph.constant(np.float32(self.threshold))
            reached = graph.node("GreaterOrEqual", graph.take(probabilities, [1]), limit)
            return graph.cast(reached, TensorProto.INT64)
        if self.costs is None:
            return graph.node("ArgMax", probabilities, axis=1, keepdims=1)
        wide = graph.cast(probabilities, TensorProto.DOUBLE)
        return graph.node(
            "ArgMin", graph.node("MatMul", wide, graph.constant(np.array(self.costs))), axis=1, keepdims=1
        )

    def _merit(self, probabilities: Float64[np.ndarray, "rows classes"]) -> Float64[np.ndarray, "rows classes"]:
        return probabilities if self.costs is None else -(probabilities @ np.array(self.costs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Puts limits around a value: `below` under it and `above` over it.

    With a `floor` the reaches are multiples of the value's size, or of the floor where the value is smaller: large
    values then have wide limits.
    """

    below: float = 0.0
    above: float = 0.0
    floor: float | None = None

    def __post_init__(self) -> None:
        for name, reach in (("below", self.below), ("above", self.above), ("floor", self.floor or 0.0)):
            if not (isfinite(reach) and reach >= 0):
                raise ValueError(f"{name} must be 0 or more and finite, got {reach}.")

    def apply(
        self, values: Float64[np.ndarray, " rows"]
    ) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
        size = np.ones_like(values) if self.floor is None else np.maximum(np.abs(values), self.floor)
        return values - self.below * size, values + self.above * size

    def emit(self, graph: Graph, values: str) -> tuple[str, str]:
        """Write `apply` for a float32 tensor (rows, 1); both results are float32."""
        wide = graph.cast(values, TensorProto.DOUBLE)
        reaches = [graph.constant(np.float64(reach)) for reach in (self.below, self.above)]
        if self.floor is not None:
            size = graph.node("Max", graph.node("Abs", wide), graph.constant(np.float64(self.floor)))
            reaches = [graph.node("Mul", reach, size) for reach in reaches]
        ends = [graph.constant(np.float64(sign * np.finfo(np.float32).max)) for sign in (-1, 1)]
        low = graph.node("Clip", graph.node("Sub", wide, reaches[0]), *ends)
        high = graph.node("Clip", graph.node("Add", wide, reaches[1]), *ends)
        return graph.cast(low, TensorProto.FLOAT), graph.cast(high, TensorProto.FLOAT)
