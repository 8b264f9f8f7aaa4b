"""Gaps between groups, in fairlearn's definitions, with limits that hold for the largest of all differences.

The gap is the largest less the smallest value over the groups, so it is too large on average and no interval of one
difference fits it. The true gap is the difference of one pair of groups, unknown which. Therefore:

- The upper limit is the largest over all pairs of the upper limit of their difference, each at the full level: it can
  only fall below the true gap if that of the right pair does, whose chance is one tail (the argument is called
  intersection-union).
- The lower limit is the largest over all pairs of the lower limit, each at the level divided by the number of ordered
  pairs (Bonferroni), since any of them could be wrong.

A difference's limits come from the groups' own by MOVER (combine.py). A group with too few rows that count makes the
upper limit infinite: not enough rows is never fair. Gaps that the other groups prove still count against the model.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from holdtrue.core.errors import Misuse, nearest
from holdtrue.evaluation.combine import differences, ratios
from holdtrue.evaluation.grouping import Grouping
from holdtrue.evaluation.metric import METRICS, metric_named
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate, unlimited

MINIMUM = 30

# What each definition compares; of several rates the larger gap counts, as in fairlearn's equalized_odds_difference.
DEFINITIONS: dict[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
    "accuracy_parity": ("accuracy",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupValue:
    """One group: its rows that count (positives, for a true positive rate), its value, and whether they are enough."""

    name: str
    rows: int
    value: Estimate
    enough: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Fairness:
    """How far groups differ; `ratio` (smallest over largest) only where the metric is never negative."""

    across: str
    metric: str
    gap: Estimate
    ratio: Estimate | None
    groups: tuple[GroupValue, ...]
    note: str


def fairness(
    predictions: Predictions,
    grouping: Grouping,
    metric: str,
    confidence: float,
    seed: int,
    *,
    minimum: int = MINIMUM,
) -> Fairness:
    """Compare a metric, or a definition of fairness, between the groups of a column."""
    names = DEFINITIONS.get(metric, (metric,))
    if metric not in DEFINITIONS and metric not in METRICS.names():
        raise Misuse(f"There is no metric named {metric!r}{nearest(metric, (*DEFINITIONS, *METRICS.names()))}")
    parts = [
        _compare(predictions, grouping, name, confidence, seed, minimum=minimum, definitions=len(names))
        for name in names
    ]
    if len(parts) == 1:
        return replace(parts[0], metric=metric)
    worst = max(parts, key=lambda part: -math.inf if math.isnan(part.gap.value) else part.gap.value)
    smallest = [part.ratio for part in parts if part.ratio is not None]
    notes = [f"the larger gap is that of the {metric_named(worst.metric).title.lower()}"]
    return Fairness(
        across=grouping.column,
        metric=metric,
        gap=_joined([part.gap for part in parts], np.nanmax, max),
        ratio=_joined(smallest, np.nanmin, min) if len(smallest) == len(parts) else None,
        groups=worst.groups,
        note="; ".join(notes + [part.note for part in parts if part.note]),
    )


def _joined(
    estimates: list[Estimate], value: Callable[["np.ndarray"], float], end: Callable[[Iterable[float]], float]
) -> Estimate:
    values = np.array([estimate.value for estimate in estimates])
    return replace(
        estimates[0],
        value=math.nan if bool(np.isnan(values).all()) else float(value(values)),
        low=end(estimate.low for estimate in estimates),
        high=end(estimate.high for estimate in estimates),
        rows=min(estimate.rows for estimate in estimates),
        method=f"{estimates[0].method}, of {len(estimates)} rates",
    )


def _compare(
    predictions: Predictions,
    grouping: Grouping,
    name: str,
    confidence: float,
    seed: int,
    *,
    minimum: int,
    definitions: int,
) -> Fairness:
    metric = metric_named(name)
    members = [predictions.take(grouping.mask(code)) for code in range(len(grouping.names))]
    shown = [metric.estimate(rows, confidence, seed) for rows in members]
    enough = [found.rows >= minimum and math.isfinite(found.low) for found in shown]
    groups = tuple(
        GroupValue(name=group, rows=found.rows, value=found, enough=is_enough)
        for group, found, is_enough in zip(grouping.names, shown, enough, strict=True)
    )
    large = [rows for rows, is_enough in zip(members, enough, strict=True) if is_enough]
    note = _not_enough(groups, minimum)
    judged = _Judged(
        values=[found.value for found, is_enough in zip(shown, enough, strict=True) if is_enough],
        rows=sum(found.rows for found in shown),
        all_enough=all(enough) and len(large) > 1,
        method="largest difference of all pairs of groups by MOVER" + (f"; {note}" if note else ""),
        confidence=confidence,
    )
    if len(large) < 2:
        gap = unlimited(math.nan, judged.rows, judged.method, confidence)
        return Fairness(
            across=grouping.column, metric=name, gap=gap, ratio=None, groups=groups, note=note or "there is one group"
        )
    independent = not _shared(predictions.clusters, grouping)
    pairs = len(large) * (len(large) - 1) * definitions * (1 if independent else 2)
    once = _confidence(confidence, 1 if independent else 2)
    wide = [metric.estimate(rows, once, seed) for rows in large]
    strict = [metric.estimate(rows, _confidence(confidence, pairs), seed) for rows in large]
    return Fairness(
        across=grouping.column,
        metric=name,
        gap=_gap(judged, wide, strict, independent=independent),
        ratio=_ratio(judged, wide, strict, independent=independent) if metric.bounds[0] >= 0 else None,
        groups=groups,
        note=note,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judged:
    """What the gap and the ratio have in common."""

    values: list[float]
    rows: int
    all_enough: bool
    method: str
    confidence: float


def _gap(judged: _Judged, wide: list[Estimate], strict: list[Estimate], *, independent: bool) -> Estimate:
    lows, _ = differences(strict, independent=independent)
    _, highs = differences(wide, independent=independent)
    return Estimate(
        value=max(judged.values) - min(judged.values),
        low=max(0.0, _other(lows, -math.inf).max()),
        high=float(_other(highs, -math.inf).max()) if judged.all_enough else math.inf,
        rows=judged.rows,
        method=judged.method,
        confidence=judged.confidence,
    )


def _ratio(judged: _Judged, wide: list[Estimate], strict: list[Estimate], *, independent: bool) -> Estimate:
    """The smallest ratio is the largest gap on another scale, so the ends change places."""
    lows, _ = ratios(wide, independent=independent)
    _, highs = ratios(strict, independent=independent)
    largest = max(judged.values)
    return Estimate(
        value=min(judged.values) / largest if largest > 0 else math.nan,
        low=float(_other(lows, math.inf).min()) if judged.all_enough else -math.inf,
        high=min(1.0, float(_other(highs, math.inf).min())),
        rows=judged.rows,
        method=judged.method.replace("largest difference", "smallest ratio"),
        confidence=judged.confidence,
    )


def _other(matrix: "np.ndarray", filler: float) -> "np.ndarray":
    """Leave out each group's comparison with itself."""
    matrix = matrix.copy()
    np.fill_diagonal(matrix, filler)
    return matrix


def _confidence(confidence: float, parts: int) -> float:
    """Divide the tail by a number of parts."""
    return 1 - (1 - confidence) / parts


def _shared(clusters: "np.ndarray | None", grouping: Grouping) -> bool:
    """Whether a cluster has rows in several groups, so that the groups are not independent."""
    if clusters is None:
        return False
    pairs = np.unique(np.stack([clusters, grouping.codes]), axis=1)
    return pairs.shape[1] > len(np.unique(clusters))


def _not_enough(groups: tuple[GroupValue, ...], minimum: int) -> str:
    small = [group for group in groups if not group.enough]
    if not small:
        return ""
    named = ", ".join(f"{group.name!r} ({group.rows})" for group in small[:3])
    more = f" and {len(small) - 3} more" if len(small) > 3 else ""
    return f"not enough rows that count in {named}{more}; {minimum} are needed"
