"""Classes that the training rows lack: the model is fitted to those present and answers zero for the rest."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.constant import Constant
from holdtrue.models.learner import Fitted, Rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Widened:
    """A model of fewer classes, with a column of zeros for each class it never saw."""

    inner: Fitted
    places: Float64[np.ndarray, "present classes"]

    @property
    def notes(self) -> tuple[str, ...]:
        return getattr(self.inner, "notes", ())

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows classes"]:
        return self.inner.predict(x) @ self.places

    def emit(self, graph: Graph, features: str) -> str:
        places = graph.constant(self.places.astype(np.float32))
        return graph.node("MatMul", self.inner.emit(graph, features), places)

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows features"] | None:
        """None when the last class is one of those missing: there is no score to explain."""
        return self.inner.contributions(x) if self.places[:, -1].any() else None


def fit_present(rows: Rows, validation: Rows | None, fit: Callable[[Rows, Rows | None], Fitted]) -> Fitted:
    """Fit to the classes that are there.

    A fold may lack a rare class. Most solvers count the classes they see, so the codes are closed up before
    the fit and the columns opened again after it. One class alone needs no solver.
    """
    present: Int64[np.ndarray, " present"] = np.unique(rows.y).astype(np.int64)
    if len(present) == rows.classes:
        return fit(rows, validation)
    places = np.eye(rows.classes)[present]
    if len(present) == 1:
        return Constant(answer=places, features=rows.x.shape[1])
    held = None if validation is None else _closed(validation, present)
    return Widened(inner=fit(_closed(rows, present), held if held and len(held.y) else None), places=places)


def _closed(rows: Rows, present: Int64[np.ndarray, " present"]) -> Rows:
    """Number the present classes 0, 1, ...; rows of other classes are left out."""
    known = taken(rows, np.isin(rows.y, present))
    return replace(known, y=np.searchsorted(present, known.y).astype(np.float64), classes=len(present))


def taken(rows: Rows, kept: "np.ndarray") -> Rows:
    """Keep some rows: a mask, or positions."""
    return replace(rows, x=rows.x[kept], y=rows.y[kept], weight=None if rows.weight is None else rows.weight[kept])
