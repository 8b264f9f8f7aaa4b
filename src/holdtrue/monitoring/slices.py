"""The columns of a release within parts of its rows: what changes for some may not show in all.

A slice is the rows of one value of a column of texts. Each column is counted in each slice, in the bins of the whole
column, and is one more test beside the whole columns; they share one budget of false alarms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import polars as pl

from holdtrue.core.errors import Misuse, nearest
from holdtrue.monitoring.ruler import Columns, Gauge, Ruler, Texts, held_half

MOST_SLICES = 10  # of a column, the most frequent ones
LEAST_ROWS = 30  # of the reference: fewer would be a test that finds nothing, and that the others pay for

Counts: TypeAlias = Mapping[str, "np.ndarray"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """The rows whose value in `column` is `value`, and the other columns as they are counted within it."""

    column: str
    value: str
    gauge: Gauge

    def named(self, ruler: Ruler) -> Ruler:
        return replace(ruler, name=f"{ruler.name} where {self.column} is {self.value}")

    def rows(self, columns: Columns) -> "np.ndarray":
        """Say of each row whether it is one of the slice."""
        return np.array([text == self.value for text in columns[self.column]], dtype=bool)

    def count(self, columns: Columns) -> "dict[str, np.ndarray]":
        here = self.rows(columns)
        names = [ruler.name for ruler in self.gauge.rulers]
        counts = self.gauge.count({name: _where(columns[name], here) for name in names})
        return {self.named(ruler).name: counts[ruler.name] for ruler in self.gauge.rulers}


@dataclass(frozen=True, kw_only=True, slots=True)
class Slices:
    """All slices that are watched; none until a project names columns."""

    slices: tuple[Slice, ...] = ()

    @property
    def rulers(self) -> tuple[Ruler, ...]:
        return tuple(one.named(ruler) for one in self.slices for ruler in one.gauge.rulers)

    @property
    def whole(self) -> dict[str, str]:
        """The column that each column of a slice is a part of, by its name."""
        return {one.named(ruler).name: ruler.name for one in self.slices for ruler in one.gauge.rulers}

    def of(self, name: str) -> Slice | None:
        """Give the slice that a column is counted in; None for a whole column."""
        return next(
            (one for one in self.slices if any(one.named(ruler).name == name for ruler in one.gauge.rulers)), None
        )

    def count(self, columns: Columns) -> "dict[str, np.ndarray]":
        return {name: counts for one in self.slices for name, counts in one.count(columns).items()}


def slices_of(names: Sequence[str], gauge: Gauge, past: Columns) -> "tuple[Slices, dict[str, np.ndarray]]":
    """Slice the rows by some columns; gives the counts of the reference too.

    Args:
        gauge: the rulers of the columns of `past`, as `gauge_of` laid them by the other half of its rows.

    Raises `Misuse` for a name that is no watched column of texts.
    """
    texts = {ruler.name: ruler for ruler in gauge.texts}
    for name in names:
        if name not in texts:
            raise Misuse(
                f"Rows cannot be sliced by {name!r}, which is no watched column of texts{nearest(name, list(texts))}",
                do="Mend watch.slices.",
            )
    held = held_half(past)
    found: list[Slice] = []
    for name in names:
        within = Gauge(numbers=gauge.numbers, texts=tuple(ruler for ruler in gauge.texts if ruler.name != name))
        frequent = [value for value in texts[name].texts if sum(text == value for text in held[name]) >= LEAST_ROWS]
        found += [Slice(column=name, value=value, gauge=within) for value in frequent[:MOST_SLICES]]
    made = Slices(slices=tuple(found))
    return made, made.count(held)


def _where(values: "np.ndarray | Texts", here: "np.ndarray") -> "np.ndarray | Texts":
    if isinstance(values, np.ndarray):
        return values[here]
    if isinstance(values, pl.Series):
        return values.filter(pl.Series(here))
    return [text for text, is_here in zip(values, here, strict=True) if is_here]
