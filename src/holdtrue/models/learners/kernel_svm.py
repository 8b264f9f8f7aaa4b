"""Support vectors with a Gaussian kernel: a margin that bends around the rows it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.distance import Kept
from holdtrue.models.blocks.links import Link, answer, emit_answer, two_columns
from holdtrue.models.blocks.platt import Decide, fit_crossed
from holdtrue.models.blocks.solver import calm
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number

MOST_ITERATIONS = 300_000  # about a minute at ten thousand rows; a problem that needs more is not worth it
CHUNK_ROWS = 1_000  # bounds the matrix of distances


@runtime_checkable
class Supported(Protocol):
    """What is used of scikit-learn's support vector machines."""

    @property
    def support_(self) -> np.ndarray: ...
    @property
    def dual_coef_(self) -> Any: ...
    @property
    def intercept_(self) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A weighted sum of bumps, one on each support vector."""

    kept: Kept
    gamma: float
    weights: Float64[np.ndarray, "kept outputs"]
    offset: Float64[np.ndarray, " outputs"]
    link: Link
    notes: tuple[str, ...] = ()

    def scores(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        made = np.empty((len(x), len(self.offset)))
        for start in range(0, len(x), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            made[part] = np.exp(-self.gamma * self.kept.squared(x[part])) @ self.weights + self.offset
        return made

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        return answer(self.link, self.scores(x))

    def emit(self, graph: Graph, features: str) -> str:
        away = graph.node("Mul", self.kept.emit_squared(graph, features), graph.constant(np.array([-self.gamma])))
        summed = graph.node("MatMul", graph.node("Exp", away), graph.constant(self.weights))
        return emit_answer(graph, self.link, graph.node("Add", summed, graph.constant(self.offset)))

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> None:
        return None


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    if rows.classes:
        return fit_present(rows, validation, lambda present, _: _classes(present, settings, seed))
    return _values(rows, settings)


def _classes(rows: Rows, settings: Settings, seed: int) -> Machine:
    """One machine a class against the rest: their votes would jump, their margins are continuous."""
    wanted = [1] if rows.classes == 2 else range(rows.classes)
    gamma = _gamma(rows, settings)

    def margins(part: Rows) -> Machine:
        from sklearn.svm import SVC

        x = part.x.astype(np.float64)
        plan: dict[str, Any] = {"C": number(settings, "c"), "gamma": gamma, "max_iter": MOST_ITERATIONS}
        models = [SVC(random_state=0, **plan).fit(x, part.y == code, part.weight) for code in wanted]
        return _machine(part, gamma, models)

    def decide(part: Rows) -> Decide:
        return margins(part).scores

    with calm() as notes:
        a, b = fit_crossed(rows, seed, decide)
        raw = margins(rows)
    weights, offset = raw.weights * a, raw.offset * a + b
    two = rows.classes == 2
    return Machine(
        kept=raw.kept,
        gamma=gamma,
        weights=two_columns(weights) if two else weights,
        offset=two_columns(offset) if two else offset,
        link="softmax" if two else "sigmoids",
        notes=tuple(notes),
    )


def _values(rows: Rows, settings: Settings) -> Machine:
    from sklearn.svm import SVR

    middle, spread = float(rows.y.mean()), float(rows.y.std()) or 1.0
    gamma = _gamma(rows, settings)
    plan: dict[str, Any] = {"C": number(settings, "c"), "gamma": gamma, "max_iter": MOST_ITERATIONS}
    model = SVR(epsilon=number(settings, "epsilon"), **plan)
    model.random_state = 0  # LIBSVM draws nothing here, but a seed from numpy's global state would be asked for
    with calm() as notes:
        model.fit(rows.x.astype(np.float64), (rows.y - middle) / spread, sample_weight=rows.weight)
        raw = _machine(rows, gamma, [model])
    return Machine(
        kept=raw.kept,
        gamma=gamma,
        weights=raw.weights * spread,
        offset=raw.offset * spread + middle,
        link="value",
        notes=tuple(notes),
    )


def _gamma(rows: Rows, settings: Settings) -> float:
    """Measure the width of the kernel in the spread of the rows: 1 is scikit-learn's "scale"."""
    spread = float(rows.x.var(dtype=np.float64)) or 1.0
    return number(settings, "gamma") / (rows.x.shape[1] * spread)


def _machine(rows: Rows, gamma: float, models: Sequence[Supported]) -> Machine:
    weights = np.zeros((len(rows.y), len(models)))
    for column, model in enumerate(models):
        weights[model.support_, column] = model.dual_coef_[0]
    # A flat target needs no support, but a kernel over no rows cannot be written.
    used = np.flatnonzero(np.abs(weights).max(axis=1))
    used = used if len(used) else np.zeros(1, dtype=np.int64)
    return Machine(
        kept=Kept.around_mean(rows.x[used]),
        gamma=gamma,
        weights=weights[used],
        offset=np.array([float(model.intercept_[0]) for model in models]),
        link="value",
    )


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="linear",
    space={
        "c": Dimension(default=1.0, low=1e-2, high=1e3, log=True),
        "gamma": Dimension(default=1.0, low=1e-2, high=1e2, log=True),
        "epsilon": Dimension(default=0.1, low=0.0, high=1.0),
    },
    fit=fit,
    paper="Cortes & Vapnik 1995, doi:10.1007/BF00994018; Chang & Lin 2011 (LIBSVM), doi:10.1145/1961189.1961199",
    most_rows=10_000,
)
