"""What a changed column does to a promise, as far as the held-out rows can tell.

The held-out rows are weighted until their shares of the column's bins are those of now, and the metric is taken again.
That is right when only the shares of this column have changed: not what the column means for the answer, nor how it
hangs together with others. A change within a slice is held to leave the other rows, and the slice's size, as they were.
Where now has rows of a kind that the held-out rows hardly have, nobody can tell.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from holdtrue.evaluation.metric import METRICS, Metric, metric_named, offers
from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.quality import Pledge
from holdtrue.monitoring.ruler import Ruler, Texts

LEAST_IN_BIN = 10
MOST_UNKNOWN = 0.05  # of the rows of now
LEAST_EFFECTIVE = 100
DRAWS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Harm:
    """How much worse a metric is estimated to be by what changed in one column.

    Attributes:
        worse: by how much, in the unit of the metric; below 0 where it is better. None when nobody can tell.
        error: the standard error of that, from drawing the rows again.
        slack: how far the metric of the held-out rows is on the good side of the promise's bound.
        why: what keeps it from being told.
    """

    column: str
    promise: str
    worse: float | None = None
    error: float = math.nan
    slack: float = math.nan
    why: str = ""

    @property
    def breaks(self) -> bool:
        """Whether the promise would not hold with so much harm, beyond the error of the estimate."""
        return self.worse is not None and self.worse - 2 * self.error > self.slack

    @property
    def is_harmful(self) -> bool:
        return self.worse is not None and self.worse > 2 * self.error and self.worse > 0

    def to_json(self) -> dict[str, object]:
        known = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }
        return {**known, "harmful": self.is_harmful, "breaks": self.breaks}


def harm(
    ruler: Ruler,
    values: "np.ndarray | Texts",
    now: "np.ndarray",
    predictions: Predictions,
    pledge: Pledge,
    *,
    within: "np.ndarray | None" = None,
) -> Harm:
    """Estimate the harm of one column: its held-out `values`, the counts of `now`, and what was answered there.

    `within` says of each held-out row whether it is one of a slice, where the counts are of that slice alone.
    """
    if pledge.metric not in METRICS.names() or metric_named(pledge.metric).needs not in offers(predictions):
        return Harm(column=ruler.name, promise=pledge.text, why="the held-out rows do not say it of this promise")
    metric = metric_named(pledge.metric)
    places = ruler.places(values)
    here = np.ones(len(places), dtype=bool) if within is None else within
    there = np.bincount(places[here], minlength=ruler.bins)
    share = now / max(now.sum(), 1)
    unknown = float(share[there < LEAST_IN_BIN].sum())
    if unknown > MOST_UNKNOWN:
        why = f"{unknown:.0%} of the rows are of a kind that the held-out rows hardly have"
        return Harm(column=ruler.name, promise=pledge.text, why=why)
    weights = np.where(there >= LEAST_IN_BIN, share / np.maximum(there, 1), 0.0)[places]
    known = weights[here]
    effective = float(known.sum() ** 2 / max((known**2).sum(), 1e-300))
    if effective < LEAST_EFFECTIVE:
        why = f"the held-out rows are worth only {effective:.0f} rows of now"
        return Harm(column=ruler.name, promise=pledge.text, why=why)
    weights = np.where(here, weights / known.sum() * here.sum(), 1.0)
    return _weighted(ruler.name, metric, predictions, pledge, weights / weights.sum())


def _weighted(column: str, metric: Metric, predictions: Predictions, pledge: Pledge, weights: "np.ndarray") -> Harm:
    """Take the metric on rows drawn evenly, and on rows drawn by weight out of these, in pairs.

    Drawn by weight at once, the few rows that stand for many would seem to be as many.
    """
    chance = np.random.default_rng(0)
    rows, sign = predictions.rows, -1 if metric.higher_is_better else 1
    before = metric.value(predictions)
    drawn: list[float] = []
    for _ in range(DRAWS):
        evenly = chance.integers(0, rows, rows)
        ends = np.cumsum(weights[evenly])
        by_weight = evenly[np.searchsorted(ends, chance.random(rows) * ends[-1], side="right").clip(max=rows - 1)]
        drawn.append(sign * (metric.value(predictions.take(by_weight)) - metric.value(predictions.take(evenly))))
    found = np.array([each for each in drawn if math.isfinite(each)])
    if len(found) < DRAWS // 2:
        return Harm(column=column, promise=pledge.text, why="the metric is not defined on such rows")
    slack = (before - pledge.bound) if pledge.direction == "at_least" else (pledge.bound - before)
    return Harm(
        column=column, promise=pledge.text, worse=float(found.mean()), error=float(found.std(ddof=1)), slack=slack
    )


def harm_told(one: Harm) -> str:
    """Say in one line what is estimated.

    >>> harm_told(Harm(column="age", promise="ROC AUC is at least 0.8", worse=0.0213, error=0.004, slack=0.05))
    'ROC AUC is at least 0.8: estimated 0.021 (± 0.008) worse by this alone, which leaves 0.029'
    """
    if one.worse is None:
        return f"{one.promise}: cannot tell, {one.why}"
    if not one.is_harmful:
        return f"{one.promise}: no harm by this alone, as far as the held-out rows tell"
    left = "which breaks it" if one.breaks else f"which leaves {one.slack - one.worse:.2g}"
    return f"{one.promise}: estimated {one.worse:.2g} (± {2 * one.error:.1g}) worse by this alone, {left}"


def ranked(harms: Sequence[Harm]) -> list[Harm]:
    """Put first what breaks a promise, then what does most harm, then what nobody can tell, then the harmless."""

    def rank(one: Harm) -> tuple[int, float]:
        if one.worse is None:
            return (2, 0.0)
        return (0 if one.breaks else 1 if one.is_harmful else 3, -one.worse)

    return sorted(harms, key=rank)
