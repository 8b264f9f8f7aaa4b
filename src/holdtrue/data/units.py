"""Which rows stay together when rows are dealt, and in which order they are dealt.

Identical rows form one unit, so that no row is learnt from and judged by. The order comes from what is in the rows
(their key, if they have one), never from their place in the file: the same rows are dealt the same way in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64, UInt64

from holdtrue.data.hashes import column_hashes, dealt, mixed, row_hashes

# With fewer different rows than this share, rows are equal because there is little to tell them apart (a few yes/no
# columns), not because one was copied. Keeping them together would leave nothing to deal.
LEAST_DIFFERENT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Units:
    """Rows that stay together, and their order.

    Attributes:
        content: equal for rows with the same features and target.
        unit: equal for rows that stay together.
        place: the unit's place in the order.
        repeated: how many rows repeat another one.
        together: whether identical rows were kept together.
    """

    content: UInt64[np.ndarray, " rows"]
    unit: UInt64[np.ndarray, " rows"]
    place: UInt64[np.ndarray, " rows"]
    repeated: int
    together: bool

    def order(self, rows: Int64[np.ndarray, " some"]) -> Int64[np.ndarray, " some"]:
        """Sort rows as they are dealt, whole units side by side."""
        return rows[np.lexsort((rows, self.unit[rows], self.place[rows]))]


def units_of_content(frame: pl.DataFrame, *, content: Sequence[str], key: Sequence[str], seed: int) -> Units:
    """Keep identical rows together, unless rows are hardly different at all."""
    hashes = row_hashes(frame.select(content))
    distinct, code = np.unique(hashes, return_inverse=True)
    together = len(distinct) >= LEAST_DIFFERENT * frame.height
    named = dealt(row_hashes(frame.select(key)), seed) if key else None
    if together:
        unit = hashes
        place = dealt(hashes, seed)
        if named is not None:
            smallest = np.full(len(distinct), np.iinfo(np.uint64).max, dtype=np.uint64)
            np.minimum.at(smallest, code, named)
            place = smallest[code]
    else:
        # The first of equal rows, the second, ...: which is which does not matter, since they are equal.
        unit = mixed(hashes + _occurrence(code).astype(np.uint64))
        place = dealt(unit, seed) if named is None else named
    return Units(content=hashes, unit=unit, place=place, repeated=frame.height - len(distinct), together=together)


def units_of_group(frame: pl.DataFrame, *, content: Sequence[str], group: str, seed: int) -> Units:
    """Keep the rows of a group together; a group's place depends on its name alone."""
    hashes = row_hashes(frame.select(content))
    unit = column_hashes(frame.get_column(group))
    repeated = frame.height - len(np.unique(hashes))
    return Units(content=hashes, unit=unit, place=dealt(unit, seed), repeated=repeated, together=False)


def _occurrence(code: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
    """Count how often the same code came before."""
    order = np.argsort(code, kind="stable")
    arranged = code[order]
    begins = np.concatenate([[True], arranged[1:] != arranged[:-1]]) if len(code) else np.zeros(0, dtype=bool)
    starts = np.maximum.accumulate(np.where(begins, np.arange(len(code)), 0))
    counted = np.empty(len(code), dtype=np.int64)
    counted[order] = np.arange(len(code)) - starts
    return counted


def starts(units: np.ndarray) -> Int64[np.ndarray, " starts"]:
    """Positions, in a sorted row of units, where a new one begins; the first, 0, is left out."""
    changed: Bool[np.ndarray, " gaps"] = units[1:] != units[:-1]
    return np.flatnonzero(changed).astype(np.int64) + 1


def cut(arranged: np.ndarray, fractions: Sequence[float]) -> list[int] | None:
    """Cut a sorted row of units near these fractions of its length, never through a unit; None if they are too few.

    >>> cut(np.array([1, 1, 1, 2, 2, 3, 4, 4]), [0.5, 0.75])
    [3, 6]
    """
    borders = starts(arranged)
    cuts: list[int] = []
    end = len(borders)
    # From the end: where cuts compete for a border, the last one, which decides what judges, is placed best.
    for before, fraction in reversed(list(enumerate(fractions))):
        if before >= end:
            return None
        end = before + int(np.argmin(np.abs(borders[before:end] - fraction * len(arranged))))
        cuts.append(int(borders[end]))
    return cuts[::-1]
