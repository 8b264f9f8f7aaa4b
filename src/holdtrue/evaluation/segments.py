"""Segments of rows that a small tree finds where losses are high, in words a person can check."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import polars as pl
from jaxtyping import Float64

DEPTH = 3
LEAST_LEAF = 50
MOST_SEGMENTS = 8
MOST_NAMED = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What a segment asks of one column: a number above `above` and up to `up_to`, or one of the categories `among`.

    Numbers that are missing count as below every other; categories that the tree never saw belong to no segment.
    """

    column: str
    above: float = -np.inf
    up_to: float = np.inf
    among: frozenset[str | None] | None = None
    is_date: bool = False

    def holds(self, series: pl.Series) -> "np.ndarray":
        if self.among is not None:
            named = [name for name in self.among if name is not None]
            missing = series.is_null() if None in self.among else pl.repeat(False, len(series), eager=True)
            return (series.is_in(named).fill_null(False) | missing).to_numpy()
        numbers = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        numbers = np.where(np.isnan(numbers), -np.inf, numbers)
        return ((numbers > self.above) | np.isneginf(self.above)) & (numbers <= self.up_to)

    def __str__(self) -> str:
        if self.among is not None:
            names = sorted("(missing)" if name is None else name for name in self.among)
            more = f" or {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            return f"{self.column} is {' or '.join(names[:MOST_NAMED])}{more}"
        parts = [
            word + self._written(edge)
            for word, edge in (("above ", self.above), ("up to ", self.up_to))
            if np.isfinite(edge)
        ]
        return f"{self.column} {' and '.join(parts)}"

    def _written(self, edge: float) -> str:
        return datetime.fromtimestamp(edge, UTC).date().isoformat() if self.is_date else f"{edge:.6g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Rows for which all conditions hold."""

    conditions: tuple[Condition, ...]

    @property
    def columns(self) -> str:
        return ", ".join(condition.column for condition in self.conditions)

    @property
    def name(self) -> str:
        return " and ".join(str(condition) for condition in self.conditions)

    def contains(self, frame: pl.DataFrame) -> "np.ndarray":
        kept = np.ones(frame.height, dtype=bool)
        for condition in self.conditions:
            kept &= condition.holds(frame.get_column(condition.column))
        return kept


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """The frame as numbers: categories in the order of their mean loss, missing numbers below all others."""

    matrix: Float64[np.ndarray, "rows columns"]
    columns: list[str]
    orders: dict[str, list[str | None]]
    dates: frozenset[str]
    floors: dict[str, float] = field(default_factory=dict[str, float])


def find_segments(
    frame: pl.DataFrame, loss: Float64[np.ndarray, " rows"], dates: frozenset[str] = frozenset()
) -> list[Segment]:
    """Grow a tree on the losses and give its leaves with more than the mean loss, the worst first."""
    from sklearn.tree import DecisionTreeRegressor

    known = ~np.isnan(loss)
    frame, loss = frame.filter(pl.Series(known)), loss[known]
    table = _table(frame, loss, dates)
    least = max(LEAST_LEAF, frame.height // 100)
    # The loss of one row may be a hundred times the usual: without a cap the tree isolates such rows.
    capped = np.minimum(loss, np.quantile(loss, 0.99))
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=0).fit(table.matrix, capped)
    leaves = _leaves(tree.tree_, table)
    bad = [(value, segment) for value, segment in leaves if value > float(capped.mean()) and segment.conditions]
    return [segment for _, segment in sorted(bad, key=lambda pair: -pair[0])[:MOST_SEGMENTS]]


def _table(frame: pl.DataFrame, loss: "np.ndarray", dates: frozenset[str]) -> _Table:
    made: list[np.ndarray] = []
    orders: dict[str, list[str | None]] = {}
    floors: dict[str, float] = {}
    for series in frame.iter_columns():
        if series.dtype == pl.String:
            ranked = (
                pl.DataFrame({"name": series, "loss": loss})
                .group_by("name", maintain_order=True)
                .agg((pl.col("loss").sum() + 20 * float(loss.mean())) / (pl.len() + 20))
                .sort("loss", "name")
                .get_column("name")
            )
            orders[series.name] = ranked.to_list()
            place = pl.DataFrame({"name": ranked, "code": np.arange(len(ranked), dtype=np.float64)})
            codes = (
                series.rename("name")
                .to_frame()
                .join(place, on="name", how="left", nulls_equal=True, maintain_order="left")
            )
            made.append(codes.get_column("code").to_numpy())
        else:
            numbers = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            least = float(np.nanmin(numbers)) if not np.isnan(numbers).all() else 0.0
            floors[series.name] = least
            made.append(np.where(np.isnan(numbers), least - 1 - abs(least), numbers))
    return _Table(matrix=np.column_stack(made), columns=frame.columns, orders=orders, dates=dates, floors=floors)


def _leaves(tree: "object", table: _Table) -> list[tuple[float, Segment]]:
    """Walk the tree; each leaf is what its path asks of the columns."""
    left, right = getattr(tree, "children_left"), getattr(tree, "children_right")  # noqa: B009
    feature, threshold, value = (getattr(tree, name) for name in ("feature", "threshold", "value"))
    found: list[tuple[float, Segment]] = []
    paths: list[tuple[int, dict[int, tuple[float, float]]]] = [(0, {})]
    while paths:
        node, path = paths.pop()
        if left[node] == right[node]:
            conditions = tuple(_condition(table, column, *limits) for column, limits in sorted(path.items()))
            found.append((float(value[node].ravel()[0]), Segment(conditions=conditions)))
            continue
        column, edge = int(feature[node]), float(threshold[node])
        above, up_to = path.get(column, (-np.inf, np.inf))
        paths.append((int(left[node]), {**path, column: (above, min(up_to, edge))}))
        paths.append((int(right[node]), {**path, column: (max(above, edge), up_to)}))
    return found


def _condition(table: _Table, column: int, above: float, up_to: float) -> Condition:
    name = table.columns[column]
    if name in table.orders:
        order = table.orders[name]
        among = frozenset(kind for code, kind in enumerate(order) if above < code <= up_to)
        return Condition(column=name, among=among)
    return Condition(column=name, above=above, up_to=up_to, is_date=name in table.dates)
