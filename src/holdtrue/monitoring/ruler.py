"""A column measured by counts in bins that never change: windows add up, and need no more room for more rows.

The bins are laid by one half of a release's reference rows, and later rows are held against the other half. Laid by the
same rows, the bins would hold their counts evenly by construction, and every later sample would look uneven.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

BINS = 16  # beside the one for missing values
IN_CACHE = 1 << 15  # values that are compared at once
MISSING, OTHER = "missing", "all others"

Texts: TypeAlias = Sequence[str] | pl.Series
Columns: TypeAlias = Mapping[str, "np.ndarray | Texts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruler:
    """How values of one column are counted: missing ones first, then in order.

    Attributes:
        edges: where the bins of a column of numbers begin, but for the first; none for texts.
        texts: the texts that have a bin each, the most frequent one first; all others share the last bin.
        dated: the numbers are moments, in seconds since 1970 UTC.
    """

    name: str
    edges: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    dated: bool = False

    @property
    def bins(self) -> int:
        return 2 + (len(self.texts) or len(self.edges))

    def labels(self) -> tuple[str, ...]:
        """Name the bins, for people.

        >>> Ruler(name="age", edges=(18.0, 65.0)).labels()
        ('missing', 'below 18', '18 to 65', '65 and more')
        >>> Ruler(name="seen", edges=(1_435_708_800.0,), dated=True).labels()
        ('missing', 'before 2015-07-01', '2015-07-01 and later')
        """
        if self.texts:
            return (MISSING, *self.texts, OTHER)
        if not self.edges:
            return (MISSING, "any")
        told = [_moment(edge) if self.dated else f"{edge:.6g}" for edge in self.edges]
        before, after = ("before", "later") if self.dated else ("below", "more")
        inner = [f"{low} to {high}" for low, high in pairwise(told)]
        return (MISSING, f"{before} {told[0]}", *inner, f"{told[-1]} and {after}")

    def count_numbers(self, values: Float64[np.ndarray, " rows"]) -> Int64[np.ndarray, " bins"]:
        """Count numbers; NaN is missing.

        >>> Ruler(name="age", edges=(18.0, 65.0)).count_numbers(np.array([3.0, 18.0, np.nan, 70.0])).tolist()
        [1, 1, 1, 1]
        """
        counts = np.zeros(self.bins, dtype=np.int64)
        for start in range(0, len(values), IN_CACHE):
            part = values[start : start + IN_CACHE]
            # A comparison a bin takes a fifth of the time of looking each value's bin up.
            reached = [int(np.count_nonzero(part >= edge)) for edge in self.edges]
            missing = int(np.count_nonzero(np.isnan(part)))
            counts += np.diff([0, missing, *(len(part) - each for each in reached), len(part)])
        return counts

    def places(self, values: "np.ndarray | Texts") -> Int64[np.ndarray, " rows"]:
        """Give the bin of each value.

        >>> Ruler(name="age", edges=(18.0, 65.0)).places(np.array([3.0, 18.0, np.nan, 70.0])).tolist()
        [1, 2, 0, 3]
        """
        if isinstance(values, np.ndarray):
            found = np.searchsorted(np.array(self.edges), values, side="right") + 1
            return np.where(np.isnan(values), 0, found)
        place_of = {"": 0, **{text: place for place, text in enumerate(self.texts, 1)}}
        return np.array([place_of.get(text, self.bins - 1) for text in values], dtype=np.int64)

    def count_texts(self, values: "Texts") -> Int64[np.ndarray, " bins"]:
        """Count texts; the empty one is missing.

        >>> Ruler(name="way", texts=("road", "rail")).count_texts(["rail", "", "sea", "rail"]).tolist()
        [1, 0, 2, 1]
        """
        place_of = {"": 0, **{text: place for place, text in enumerate(self.texts, 1)}}
        counts = np.zeros(self.bins, dtype=np.int64)
        for text, count in _counted(values):
            counts[place_of.get(text, -1)] += count
        return counts


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d}" if seconds % 86_400 == 0 else f"{moment:%Y-%m-%d %H:%M}"


def _counted(values: "Texts") -> Iterable[tuple[str, int]]:
    """Count equal texts; a column of a table may have nulls, which are missing."""
    if isinstance(values, pl.Series):
        return values.fill_null("").value_counts().iter_rows()
    return Counter(values).items()


def ruler_of_numbers(name: str, values: Float64[np.ndarray, " rows"]) -> Ruler:
    """Lay the bins of a column of numbers so that each has about as many of these values; equal ones stay together."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Ruler(name=name)
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    # A bin below the least value would be there for nothing.
    return Ruler(name=name, edges=tuple(edges[edges > known.min()].tolist()))


def ruler_of_texts(name: str, values: Sequence[str]) -> Ruler:
    """Give the most frequent texts a bin each, the more frequent one first."""
    texts, counts = np.unique([text for text in values if text], return_counts=True)
    order = np.lexsort((texts, -counts))[: BINS - 1]
    return Ruler(name=name, texts=tuple(str(text) for text in texts[order]))


@dataclass(frozen=True, slots=True)
class Gauge:
    """The rulers of all columns that are watched: `numbers` and `texts`."""

    numbers: tuple[Ruler, ...]
    texts: tuple[Ruler, ...]

    @property
    def rulers(self) -> tuple[Ruler, ...]:
        return self.numbers + self.texts

    def count(self, columns: Columns) -> "dict[str, np.ndarray]":
        """Count rows: an array for each column of numbers, texts for each other one."""
        counts = {ruler.name: ruler.count_numbers(np.asarray(columns[ruler.name])) for ruler in self.numbers}
        return counts | {ruler.name: ruler.count_texts(columns[ruler.name]) for ruler in self.texts}  # pyright: ignore[reportArgumentType]


def gauge_of(columns: Columns, *, dates: Collection[str] = ()) -> "tuple[Gauge, dict[str, np.ndarray]]":
    """Lay the bins by every other row of a reference, and count the rows between; gives both.

    Numbers under the names in `dates` are moments.
    """
    laid, held = {name: values[::2] for name, values in columns.items()}, held_half(columns)
    numbers = {name: values for name, values in laid.items() if isinstance(values, np.ndarray)}
    gauge = Gauge(
        numbers=tuple(replace(ruler_of_numbers(name, values), dated=name in dates) for name, values in numbers.items()),
        texts=tuple(ruler_of_texts(name, values) for name, values in laid.items() if name not in numbers),  # pyright: ignore[reportArgumentType]
    )
    return gauge, gauge.count(held)


def held_half(columns: Columns) -> Columns:
    """Give the rows of a reference that are counted, which did not lay the bins."""
    return {name: values[1::2] for name, values in columns.items()}
