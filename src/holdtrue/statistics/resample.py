"""Drawing rows again, by cluster and within strata, and leaving groups of them out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampler:
    """Rows sorted by the unit that is drawn as a whole (a row, or a cluster), and the units of each stratum.

    Attributes:
        order: row numbers, those of one unit side by side.
        start, size: where each unit begins in `order`, and how many rows it has.
        strata: the units of each stratum; as many are drawn from it as it has.
    """

    order: Int64[np.ndarray, " rows"]
    start: Int64[np.ndarray, " units"]
    size: Int64[np.ndarray, " units"]
    strata: tuple[Int64[np.ndarray, " _members"], ...]

    @property
    def units(self) -> int:
        return len(self.size)

    @property
    def freedom(self) -> int:
        return self.units - len(self.strata)

    def rows_of(self, units: "np.ndarray") -> Int64[np.ndarray, " drawn"]:
        if len(self.order) == self.units:
            return self.order[units]
        sizes = self.size[units]
        ends = np.cumsum(sizes)
        return self.order[np.repeat(self.start[units] - ends + sizes, sizes) + np.arange(ends[-1] if len(ends) else 0)]

    def draw(self, generator: np.random.Generator) -> Int64[np.ndarray, " drawn"]:
        picks = [units[generator.integers(0, len(units), len(units))] for units in self.strata]
        return self.rows_of(picks[0] if len(picks) == 1 else np.concatenate(picks))

    def leave_out(self, groups: int, generator: np.random.Generator) -> "list[Int64[np.ndarray, ' kept']]":
        """Give the rows that remain when each of up to `groups` random groups of units is left out."""
        groups = min(groups, self.units)
        group = np.empty(self.units, dtype=np.int64)
        group[generator.permutation(self.units)] = np.arange(self.units) % groups
        return [self.rows_of(np.flatnonzero(group != left)) for left in range(groups)]


def resampler(
    rows: int,
    clusters: Int64[np.ndarray, " rows"] | None = None,
    strata: Int64[np.ndarray, " rows"] | None = None,
) -> Resampler:
    """Prepare to draw `rows` rows; every cluster must lie in one stratum."""
    for name, labels in (("clusters", clusters), ("strata", strata)):
        if labels is not None and len(labels) != rows:
            raise ValueError(f"{name} holds {len(labels)} labels for {rows} rows; give one a row.")
    if clusters is None:
        order = np.arange(rows)
        start, size = order, np.ones(rows, dtype=np.int64)
    else:
        _, code = np.unique(clusters, return_inverse=True)
        order = np.argsort(code, kind="stable")
        size = np.bincount(code)
        start = np.cumsum(size) - size
    if strata is None:
        return Resampler(order=order, start=start, size=size, strata=(np.arange(len(size)),))
    of_unit = strata[order[start]]
    if clusters is not None and not np.array_equal(np.repeat(of_unit, size), strata[order]):
        raise ValueError("a cluster lies in more than one stratum; draw by clusters alone, or by finer clusters.")
    members = tuple(np.flatnonzero(of_unit == stratum) for stratum in np.unique(of_unit))
    return Resampler(order=order, start=start, size=size, strata=members)
