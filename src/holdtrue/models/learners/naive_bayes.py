"""Naive Bayes: within a class every feature is normal and knows nothing of the others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from onnx import TensorProto

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.links import answer, emit_answer, emit_bounded
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number


@dataclass(frozen=True, kw_only=True, slots=True)
class Normals:
    """A fitted model: the log-density of a row is quadratic in its features, so it is two products and a sum.

    Attributes:
        low, high: the range of each feature over the training rows. Features are held within it: far outside, the
            tails of the normals differ by more than float64 can tell, and the answer would be rounding noise.
        centre: the mean of each feature, taken off first for the same reason.
    """

    low: Float32[np.ndarray, " features"]
    high: Float32[np.ndarray, " features"]
    centre: Float64[np.ndarray, " features"]
    square: Float64[np.ndarray, "features classes"]
    slope: Float64[np.ndarray, "features classes"]
    offset: Float64[np.ndarray, " classes"]

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows classes"]:
        z = np.clip(x, self.low, self.high) - self.centre
        return answer("softmax", (z * z) @ self.square + z @ self.slope + self.offset)

    def emit(self, graph: Graph, features: str) -> str:
        held = emit_bounded(graph, features, self.low, self.high)
        z = graph.node("Sub", graph.cast(held, TensorProto.DOUBLE), graph.constant(self.centre))
        bent = graph.node("MatMul", graph.node("Mul", z, z), graph.constant(self.square))
        straight = graph.node("MatMul", z, graph.constant(self.slope))
        score = graph.node("Add", graph.node("Add", bent, straight), graph.constant(self.offset))
        return emit_answer(graph, "softmax", score)

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> None:
        return None


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    return fit_present(rows, validation, lambda present, _: _fit(present, number(settings, "var_smoothing")))


def _fit(rows: Rows, smoothing: float) -> Normals:
    centre = rows.x.mean(axis=0, dtype=np.float64)
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    parts = [rows.y == code for code in range(rows.classes)]
    prior = np.array([weight[part].sum() for part in parts])
    means = np.array([np.average(rows.x[part] - centre, axis=0, weights=weight[part]) for part in parts])
    variances = np.array(
        [
            np.average((rows.x[part] - centre - mean) ** 2, axis=0, weights=weight[part])
            for part, mean in zip(parts, means, strict=True)
        ]
    )
    # A share of the largest variance keeps a feature that is constant within a class from deciding alone.
    variances += smoothing * (float(rows.x.var(axis=0, dtype=np.float64).max()) or 1.0)
    return Normals(
        low=rows.x.min(axis=0),
        high=rows.x.max(axis=0),
        centre=centre,
        square=-0.5 / variances.T,
        slope=(means / variances).T,
        offset=np.log(prior / prior.sum()) - 0.5 * (np.log(2 * np.pi * variances) + means**2 / variances).sum(axis=1),
    )


PLUGIN = Learner(
    tasks=frozenset({"classification"}),
    flavour="linear",
    space={"var_smoothing": Dimension(default=0.1, low=1e-6, high=10.0, log=True)},
    fit=fit,
    paper="Hand & Yu 2001, doi:10.1111/j.1751-5823.2001.tb00465.x",
)
