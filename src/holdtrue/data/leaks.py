"""Columns that know too much: they give the target away alone, by being missing, by their date, or together.

What is found is a suspicion with its evidence. It rests on values; a name supports it and never makes it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64

from holdtrue.data.codes import codes_of
from holdtrue.data.guesses import BEFOREHAND
from holdtrue.data.rules import Kind
from holdtrue.data.scores import Numbers, Target, auc, score

# Of a perfect score: from NEARLY on a column is suspected, from SURE on there is hardly another explanation.
NEARLY, SURE = 0.99, 0.995
STRONG, TIMES_BETTER = 0.9, 5.0
EXACT = 0.9999
MOST_DATES = 6
FLAG_VALUES, FLAG_ROWS, FLAG_CHANCE = 10, 5, 1e-6
COVERED, COVERED_SURELY = 0.9, 0.95
AFTERWARDS = re.compile(
    r"status|outcome|result|resol|closed|return|cancel|actual|final|deliver|paid|finish", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """A column that seems to know the target; `sure` when it should be left out until someone has looked."""

    column: str
    reason: str
    sure: bool


def leaks(
    frame: pl.DataFrame, target: Target, kinds: Mapping[str, Kind], times: Mapping[str, Numbers]
) -> tuple[Leak, ...]:
    """Look for columns of a typed sample (without the target) that give the target away.

    `times` are moments made of several columns, in seconds since 1970; dates are compared with them and each other.
    """
    found: dict[str, Leak] = {}
    looks: list[Callable[[pl.DataFrame], Iterator[Leak]]] = [
        lambda rest: _missing(rest, target),
        lambda rest: _alone(rest, target),
        lambda rest: _dates(rest, target, kinds, times),
        lambda rest: _flags(rest, target) if target.classes else _sums(rest, target),
    ]
    for look in looks:
        # What is sure explains nothing else; what is only suspected may yet be proven by a later look.
        sure = {name for name, leak in found.items() if leak.sure}
        new = {leak.column: leak for leak in look(frame.select([name for name in frame.columns if name not in sure]))}
        found |= {name: leak for name, leak in new.items() if leak.sure or name not in found}
    return tuple(_supported(found[name]) for name in frame.columns if name in found)


def _supported(leak: Leak) -> Leak:
    if not AFTERWARDS.search(leak.column):
        return leak
    return Leak(
        column=leak.column, reason=f"{leak.reason}; its name fits something known only afterwards", sure=leak.sure
    )


def _measure(target: Target, value: float) -> str:
    return f"ROC AUC {value:.4f}" if target.classes else f"R² {value:.4f}"


def _missing(frame: pl.DataFrame, target: Target) -> Iterator[Leak]:
    """Columns that are filled in for one outcome and not for the other."""
    for column in frame.iter_columns():
        gaps = column.is_null()
        if not 0 < gaps.sum() < len(gaps):
            continue
        value = score(gaps.cast(pl.Float64), target)
        if value >= NEARLY:
            told = f"whether it is missing tells {target.name!r} ({_measure(target, value)})"
            yield Leak(column=column.name, reason=told, sure=value >= SURE)


def _alone(frame: pl.DataFrame, target: Target) -> Iterator[Leak]:
    """Columns that tell the target by themselves, almost perfectly or far better than all others."""
    scores = {column.name: score(column, target) for column in frame.iter_columns()}
    next_best = max((value for value in scores.values() if value < STRONG), default=0.5 if target.classes else 0.0)
    strong = sum(STRONG <= value < NEARLY for value in scores.values())
    for name, value in scores.items():
        if value >= NEARLY:
            yield Leak(
                column=name, reason=f"it alone tells {target.name!r} ({_measure(target, value)})", sure=value >= SURE
            )
        elif value >= STRONG and strong == 1 and (1 - next_best) >= TIMES_BETTER * (1 - value):
            reason = f"it alone tells {target.name!r} far better than any other column "
            yield Leak(column=name, reason=f"{reason}({_measure(target, value)}, the next {next_best:.4f})", sure=False)


def _dates(
    frame: pl.DataFrame, target: Target, kinds: Mapping[str, Kind], times: Mapping[str, Numbers]
) -> Iterator[Leak]:
    """Dates whose distance from another date tells the target: they were written down when it was known."""
    moments = {name: _numbers(frame.get_column(name)) for name in frame.columns if kinds[name] == "date"}
    known = [*times, *list(moments)[:MOST_DATES]]
    moments |= times
    suspects: dict[str, Leak] = {}
    for first, second in combinations(known, 2):
        gap = moments[second] - moments[first]
        value = score(gap, target)
        if value < NEARLY:
            continue
        reason = f"tells {target.name!r} ({_measure(target, value)}): one of the two was known only afterwards"
        for later, other in _later(first, second, times):
            told = f"its distance from {other} {reason}"
            suspects.setdefault(later, Leak(column=later, reason=told, sure=True))
    yield from suspects.values()


def _later(first: str, second: str, times: Mapping[str, Numbers]) -> list[tuple[str, str]]:
    """Of two dates, give the one that knows, beside the other; both when nothing tells them apart.

    What the rows are ordered by is not suspected. Else only the names can tell a plan from what came of it.
    """
    pairs = [(first, second), (second, first)]
    for known_before in (
        [name in times for name in (first, second)],
        [bool(BEFOREHAND.search(name)) for name in (first, second)],
        [not AFTERWARDS.search(name) for name in (first, second)],
    ):
        if known_before[0] != known_before[1]:
            return [pairs[1]] if known_before[0] else [pairs[0]]
    return pairs


def _numbers(column: pl.Series) -> Numbers:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _flags(frame: pl.DataFrame, target: Target) -> Iterator[Leak]:
    """Columns with a value that stands only beside one rare class, and that together find that class."""
    for code in range(len(target.classes)):
        of_class = target.values == code
        base = float(of_class.mean())
        if not 0 < base < 0.5:
            continue
        flags = {
            column.name: flag for column in frame.iter_columns() if (flag := _flag(column, of_class, base)) is not None
        }
        if len(flags) < 2:
            continue
        union = np.logical_or.reduce(list(flags.values()))
        covered = float((union & of_class).sum() / of_class.sum())
        if covered < COVERED:
            continue
        names = ", ".join(flags)
        reason = (
            f"together {names} tell {covered:.0%} of {target.name!r} = {target.classes[code]} without an error "
            f"(ROC AUC {auc(of_class, union.astype(np.float64)):.4f}), so they are parts of it"
        )
        yield from (Leak(column=name, reason=reason, sure=covered >= COVERED_SURELY) for name in flags)


def _flag(column: pl.Series, of_class: Bool[np.ndarray, " rows"], base: float) -> Bool[np.ndarray, " rows"] | None:
    """Where the column has values that stand only beside the class, too often for chance."""
    codes = codes_of(column)[0] + 1
    count = np.bincount(codes)
    if np.count_nonzero(count) > FLAG_VALUES:
        return None
    of_these = np.bincount(codes, weights=of_class)
    pure = (count >= FLAG_ROWS) & (of_these == count) & (count * np.log(base) < np.log(FLAG_CHANCE))
    return pure[codes] if pure.any() else None


def _sums(frame: pl.DataFrame, target: Target) -> Iterator[Leak]:
    """Numbers that add up to the target."""
    columns = {column.name: _numbers(column) for column in frame.iter_columns() if column.dtype == pl.Float64}
    columns = {name: each for name, each in columns.items() if np.isfinite(each).all() and each.std() > 0}
    if not columns or target.values.std() == 0:
        return
    parts = list(columns)
    fit, weights = _linear(columns, parts, target.values)
    if fit < EXACT:
        return
    # The least needed first: what remains are the parts without which the sum is not exact.
    for name in sorted(parts, key=lambda name: abs(weights[name]) * columns[name].std()):
        fewer = [part for part in parts if part != name]
        if fewer and _linear(columns, fewer, target.values)[0] >= EXACT:
            parts = fewer
    fit, weights = _linear(columns, parts, target.values)
    formula = " ".join(f"{weights[name]:+.4g}·{name}" for name in parts).removeprefix("+")
    reason = f"{target.name!r} is {formula} up to a constant (R² {fit:.6f}), so the parts give it away"
    yield from (Leak(column=name, reason=reason, sure=True) for name in parts)


def _linear(columns: Mapping[str, Numbers], names: list[str], target: Numbers) -> tuple[float, dict[str, float]]:
    """Fit a weighted sum by least squares; gives its R² on every third row, which was left out, and the weights."""
    table: Float64[np.ndarray, "rows columns"] = np.stack([columns[name] for name in names], axis=1)
    spread = table.std(axis=0)
    scaled = (table - table.mean(axis=0)) / spread
    centred = target - target.mean()
    judged = np.arange(len(target)) % 3 == 2
    weights = np.linalg.lstsq(scaled[~judged], centred[~judged], rcond=None)[0]
    left = float(((centred - scaled @ weights)[judged] ** 2).sum() / (centred[judged] ** 2).sum())
    return 1 - left, dict(zip(names, (weights / spread).tolist(), strict=True))
