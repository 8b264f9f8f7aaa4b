"""Numbers made fit for distances and weights: filled, straightened, centred, scaled and clipped, in float64."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from onnx import TensorProto

from holdtrue.features.graph import Graph

MOST_DEVIATIONS = 10.0  # a value further out counts as this far: no single cell decides a prediction
HEAVY_SKEW = 3.0  # that of an exponential is 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """What was learnt of some numeric columns; one entry a column.

    Attributes:
        middle: what stands in for a missing value, the median.
        unit: where a heavy tail is bent, sign(x) log(1 + |x| / unit); 0 leaves the column as it is.
        centre, spread: mean and standard deviation after filling and bending; a spread of 0 drops the values.
        missing: whether training rows lacked the value, which then has a column of its own.
    """

    middle: tuple[float, ...]
    unit: tuple[float, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    missing: tuple[bool, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """The columns whose values are used."""
        return tuple(place for place, spread in enumerate(self.spread) if spread > 0)

    @property
    def indicators(self) -> tuple[int, ...]:
        """The columns that say by themselves that a value is missing."""
        return tuple(place for place, missing in enumerate(self.missing) if missing)


def fit_scaling(wide: Float64[np.ndarray, "rows columns"], *, bendable: int) -> Scaling:
    """Learn the scaling of columns (NaN is missing); only the first `bendable` may be bent."""
    columns = [_fit_column(wide[:, place], bend=place < bendable) for place in range(wide.shape[1])]
    middle, unit, centre, spread = zip(*columns, strict=True) if columns else ((), (), (), ())
    gaps = np.isnan(wide).sum(axis=0)
    missing = tuple(0 < int(count) < len(wide) for count in gaps)
    return Scaling(middle=middle, unit=unit, centre=centre, spread=spread, missing=missing)


def _fit_column(column: Float64[np.ndarray, " rows"], *, bend: bool) -> tuple[float, float, float, float]:
    """Give middle, unit, centre and spread.

    A heavy tail is bent from one standard deviation outwards. Measured against not bending: networks gained on five
    tables of five, ridge on the freight costs of shipments (R² 0.54 for 0.49), logistic regression lost 0.001 of AUC
    on Adult. Bending from 1 in the column's own unit, as log1p alone does, was worse than not bending.
    """
    known = column[~np.isnan(column)]
    if not len(known) or known.min() == known.max():
        return float(known[0]) if len(known) else 0.0, 0.0, 0.0, 0.0
    middle = float(np.median(known))
    filled = np.where(np.isnan(column), middle, column)
    unit = 0.0
    is_two_valued = not ((known != known.min()) & (known != known.max())).any()
    if bend and not is_two_valued and abs(skewness(known)) > HEAVY_SKEW:
        unit = float(known.std())
        filled = np.sign(filled) * np.log1p(np.abs(filled) / unit)
    return middle, unit, float(filled.mean()), float(filled.std())


def skewness(column: Float64[np.ndarray, " rows"]) -> float:
    """Give the third standardised moment; 0 when the values do not differ.

    >>> skewness(np.array([1.0, 1.0])), round(skewness(np.array([0.0, 0.0, 0.0, 1.0])), 3)
    (0.0, 1.155)
    """
    spread = float(column.std())
    return float((((column - column.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0


def emit_scaled(graph: Graph, wide: str, scaling: Scaling) -> list[str]:
    """Write the values, then the missing columns, as float32 parts.

    All stays float64 until the last step: a float32 difference of two large numbers has few digits left.
    """
    gaps = graph.node("IsNaN", wide)
    filled = graph.node("Where", gaps, graph.constant(np.array(scaling.middle)), wide)
    unit = np.array(scaling.unit)
    if unit.any():
        size = graph.node("Div", graph.node("Abs", filled), graph.constant(np.where(unit > 0, unit, 1.0)))
        size = graph.node("Log", graph.node("Add", size, graph.constant(np.float64(1.0))))
        bent = graph.node("Mul", graph.node("Sign", filled), size)
        filled = graph.node("Where", graph.constant(unit > 0), bent, filled)
    parts: list[str] = []
    if scaling.values:
        spread = np.array([value or 1.0 for value in scaling.spread])
        scaled = graph.node("Sub", filled, graph.constant(np.array(scaling.centre)))
        scaled = graph.node("Div", scaled, graph.constant(spread))
        ends = [graph.constant(np.float64(end)) for end in (-MOST_DEVIATIONS, MOST_DEVIATIONS)]
        parts.append(graph.cast(graph.take(graph.node("Clip", scaled, *ends), scaling.values), TensorProto.FLOAT))
    if scaling.indicators:
        parts.append(graph.cast(graph.take(gaps, scaling.indicators), TensorProto.FLOAT))
    return parts
