"""A learner fits a task and can write what it learnt as ONNX operators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64

from holdtrue.core.catalog import Catalog
from holdtrue.features.graph import Graph

Value = float | int | str | bool | None
Settings = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """One setting a search may vary: a range (`low`, `high`) or a list of `choices`; `default` is tried first."""

    default: Value
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Value, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Encoded rows to learn from.

    Attributes:
        x: one encoded row a line; NaN (missing) appears only for learners of the "tree" flavour.
        y: the code of the class (0, 1, ...) or the number to predict, as float64.
        classes: how many classes; 0 for regression.
        weight: one weight a row, or None.
    """

    x: Float32[np.ndarray, "rows features"]
    y: Float64[np.ndarray, " rows"]
    classes: int
    weight: Float64[np.ndarray, " rows"] | None = None


@runtime_checkable
class Fitted(Protocol):
    """What a learner gives back."""

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        """Probabilities (rows, classes) that sum to 1, or values (rows, 1)."""
        ...

    def emit(self, graph: Graph, features: str) -> str:
        """Add operators that do the same to a float32 (rows, features) tensor; name the float32 result."""
        ...

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows features"] | None:
        """Exact additive contribution of each feature to the raw score of the last class, or None."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner:
    """An algorithm.

    Attributes:
        tasks: "classification", "regression" or both.
        flavour: how it wants its columns encoded: "tree" (ordinal codes, NaN kept), "linear" (imputed, scaled,
            one-hot). See features/encoder.py.
        space: the settings it knows, with defaults and ranges.
        fit: (rows, settings, seed, validation or None) -> Fitted. `settings` holds every key of `space`. Learners
            that can stop early do so on `validation`; the same arguments give the same bits.
        most_rows: more rows than this are thinned by seed before fitting (for learners whose cost is quadratic).
        paper: the reference.
    """

    tasks: frozenset[str]
    flavour: Literal["tree", "linear"]
    space: Mapping[str, Dimension]
    fit: Callable[[Rows, Settings, int, Rows | None], Fitted]
    paper: str
    most_rows: int | None = None


LEARNERS = Catalog(kind="learner", package="holdtrue.models.learners", interface=Learner)
