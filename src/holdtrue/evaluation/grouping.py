"""The groups of a column: its categories, its few distinct numbers, or the quartiles of its many."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import polars as pl
from jaxtyping import Int64

MISSING = "(missing)"
FEW_VALUES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Grouping:
    """Which group of a column each row is in."""

    column: str
    names: tuple[str, ...]
    codes: Int64[np.ndarray, " rows"]
    are_ranges: bool = False

    def title(self, code: int) -> str:
        """Name a group together with its column."""
        name = self.names[code]
        return f"{self.column} {name}" if self.are_ranges and name != MISSING else f"{self.column} is {name}"

    def mask(self, code: int) -> "np.ndarray":
        return self.codes == code


def group(series: pl.Series, *, is_date: bool = False) -> Grouping:
    """Cut a typed column into groups; missing values are a group of their own.

    >>> group(pl.Series("kind", ["b", "a", None, "b"])).names
    ('a', 'b', '(missing)')
    >>> group(pl.Series("size", [float(n) for n in range(100)])).names
    ('up to 24.75', '24.75 to 49.5', '49.5 to 74.25', 'above 74.25')
    """
    if series.dtype == pl.String:
        kinds = series.drop_nulls().unique().sort()
        return _by_value(series.name, series, kinds, [str(name) for name in kinds])
    numbers = series.cast(pl.Float64).fill_nan(None)
    values = numbers.drop_nulls().unique().sort()
    if len(values) <= FEW_VALUES:
        return _by_value(series.name, numbers, values, [_written(value, is_date=is_date) for value in values])
    return _by_quartile(series.name, numbers, is_date=is_date)


def _by_value(column: str, series: pl.Series, values: pl.Series, names: list[str]) -> Grouping:
    codes = np.full(len(series), len(values), dtype=np.int64)
    known = series.is_not_null().to_numpy()
    codes[known] = values.search_sorted(series.drop_nulls()).to_numpy() if len(values) else 0
    return _with_missing(column, names, codes)


def _by_quartile(column: str, numbers: pl.Series, *, is_date: bool) -> Grouping:
    filled = numbers.to_numpy().astype(np.float64)
    known = ~np.isnan(filled)
    edges = np.unique(np.quantile(filled[known], [0.25, 0.5, 0.75]))
    codes = np.where(known, np.searchsorted(edges, filled, side="left"), len(edges) + 1).astype(np.int64)
    written = [_written(edge, is_date=is_date) for edge in edges.tolist()]
    between = [f"{low} to {high}" for low, high in pairwise(written)]
    names = [f"up to {written[0]}", *between, f"above {written[-1]}"]
    return replace(_with_missing(column, names, codes), are_ranges=True)


def _with_missing(column: str, names: list[str], codes: "np.ndarray") -> Grouping:
    """Name the rows that are in no group, and drop groups without rows."""
    every = [*names, MISSING]
    kept, codes = np.unique(codes, return_inverse=True)
    return Grouping(column=column, names=tuple(every[code] for code in kept.tolist()), codes=codes.astype(np.int64))


def _written(value: float, *, is_date: bool) -> str:
    if is_date:
        return datetime.fromtimestamp(value, UTC).date().isoformat()
    return f"{value:.6g}"
