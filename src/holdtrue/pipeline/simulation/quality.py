"""How good the answers were, period by period, with the loop and without it; and the difference, on the same rows.

With the loop, several releases answer in turn. A metric that is the mean of one number a row (a log loss, an error) may
be taken over all of them at once. One that ranks rows, such as the area under the ROC curve, would then also hold the
scores of one release against those of another, which nobody does who uses them on the day. So every other metric is
taken within each period, and averaged over the periods by their rows: for both sides alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.evaluation.influence import mean_limits, units_of, with_unseen
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.bootstrap import bootstrap

DAY_US = 86_400_000_000
FEWEST, MOST = 12, 40  # points of a curve that can be read
YEAR_DAYS = 365
ENOUGH_DAYS = 60  # of which each can be one unit, with all its rows
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """A stretch of time, and how good the answers to its rows were; NaN where its rows do not define the metric."""

    start_us: int
    end_us: int
    rows: int
    frozen: float
    loop: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """By how much the loop was better, with limits; positive is better, whichever way the metric points.

    Attributes:
        since_us: from when on the rows count.
        how: how the two values were made of the rows, and the limits.
    """

    frozen: float
    loop: float
    value: float
    low: float
    high: float
    rows: int
    since_us: int
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """The same rows, in the order of time, answered by the loop's releases and by the frozen one."""

    time_us: Int64[np.ndarray, " rows"]
    loop: Predictions
    frozen: Predictions

    def take(self, index: "np.ndarray") -> "Sides":
        return Sides(time_us=self.time_us[index], loop=self.loop.take(index), frozen=self.frozen.take(index))


def edges(first_us: int, last_us: int) -> list[int]:
    """Divide time into months or weeks or days, whichever gives 12 to 40 periods; else into 20 equal ones.

    >>> made = edges(round(datetime(2016, 6, 1, tzinfo=UTC).timestamp() * 1e6),
    ...              round(datetime(2017, 8, 31, tzinfo=UTC).timestamp() * 1e6))
    >>> len(made) - 1, datetime.fromtimestamp(made[1] / 1e6, UTC).isoformat()
    (15, '2016-07-01T00:00:00+00:00')
    """
    for made in (_months(first_us, last_us), _spans(first_us, last_us, 7 * DAY_US), _spans(first_us, last_us, DAY_US)):
        if FEWEST <= len(made) - 1 <= MOST:
            return made
    return [round(edge) for edge in np.linspace(first_us, last_us + 1, 21).tolist()]


def _months(first_us: int, last_us: int) -> list[int]:
    at = datetime.fromtimestamp(first_us / 1e6, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    made = [round(at.timestamp() * 1e6)]
    while made[-1] <= last_us and len(made) <= MOST + 1:
        at = (at + timedelta(days=32)).replace(day=1)
        made.append(round(at.timestamp() * 1e6))
    return made


def _spans(first_us: int, last_us: int, span_us: int) -> list[int]:
    start, end = first_us // span_us, last_us // span_us + 1
    return [number * span_us for number in range(start, min(end, start + MOST + 1) + 1)]


def periods(metric: Metric, sides: Sides, bounds: Sequence[int]) -> tuple[Period, ...]:
    """Give the quality of both sides in each period that has rows."""
    made: list[Period] = []
    for start_us, end_us in pairwise(bounds):
        index = _within(sides, start_us, end_us)
        if len(index):
            here = sides.take(index)
            made.append(
                Period(
                    start_us=start_us,
                    end_us=end_us,
                    rows=len(index),
                    frozen=_value(metric, here.frozen),
                    loop=_value(metric, here.loop),
                )
            )
    return tuple(made)


def difference(metric: Metric, sides: Sides, bounds: Sequence[int], *, seed: int) -> Difference:
    """Hold both sides against each other over the last year, or all of the time where it is shorter."""
    since_us = max(int(sides.time_us[0]), int(sides.time_us[-1]) - YEAR_DAYS * DAY_US)
    recent = sides.take(np.flatnonzero(sides.time_us >= since_us))
    groups = [np.arange(len(recent.time_us))]
    how = "the mean over all rows"
    if metric.per_row is None:
        found = [_within(recent, *pair) for pair in pairwise(bounds)]
        groups = [index for index in found if len(index) and not math.isnan(_value(metric, recent.frozen.take(index)))]
        groups = [index for index in groups if not math.isnan(_value(metric, recent.loop.take(index)))]
        how = f"the mean over {len(groups)} periods, by their rows"
    rows = sum(map(len, groups))
    if not rows:
        nothing = "no period defines the metric"
        return Difference(
            frozen=math.nan, loop=math.nan, value=math.nan, low=-math.inf, high=math.inf, rows=0, since_us=since_us,
            how=nothing,
        )  # fmt: skip
    frozen, loop = (_mean(metric, side, groups) for side in (recent.frozen, recent.loop))
    value = (loop - frozen) * (1 if metric.higher_is_better else -1)
    low, high, limits = _limits(metric, recent, groups, value, seed)
    return Difference(
        frozen=frozen, loop=loop, value=value, low=low, high=high, rows=rows, since_us=since_us, how=f"{how}; {limits}"
    )


def _limits(
    metric: Metric, sides: Sides, groups: Sequence["np.ndarray"], value: float, seed: int
) -> tuple[float, float, str]:
    """Give the limits of the difference.

    The influence of a row on a mean over groups, by their rows, is its influence on its own group: the groups' shares
    of the rows cancel. Rows of one day belong together, for what is odd about a day is odd about all of them.
    """
    sign = 1 if metric.higher_is_better else -1
    order = np.concatenate(groups)
    days = sides.time_us[order] // DAY_US
    clusters = days if len(np.unique(days)) >= ENOUGH_DAYS else None
    unit = "row" if clusters is None else "day"
    if metric.influence is None:
        place = np.cumsum([0, *map(len, groups)])
        strata = np.repeat(np.arange(len(groups)), np.diff(place))

        def drawn(index: "np.ndarray") -> float:
            picked = [order[index[strata[index] == group]] for group in range(len(groups))]
            return sign * (_mean(metric, sides.loop, picked) - _mean(metric, sides.frozen, picked))

        found = bootstrap(drawn, len(order), CONFIDENCE, seed, clusters=None, strata=strata, draws=400)
        return found.low, found.high, f"limits by {found.method}"
    units = units_of(sign * _influences(metric, sides, groups), clusters)
    if not np.abs(units).max() > 1e-12:
        return value, value, "no answer differs"
    low, high = mean_limits(value, with_unseen(units), CONFIDENCE)
    return low, high, f"limits paired by {unit}, t corrected for skewness"


def _influences(metric: Metric, sides: Sides, groups: Sequence["np.ndarray"]) -> Float64[np.ndarray, " rows"]:
    influence = metric.influence
    assert influence is not None
    return np.concatenate([influence(sides.loop.take(each)) - influence(sides.frozen.take(each)) for each in groups])


def _mean(metric: Metric, side: Predictions, groups: Sequence["np.ndarray"]) -> float:
    kept = [index for index in groups if len(index)]
    return float(np.average([_value(metric, side.take(index)) for index in kept], weights=list(map(len, kept))))


def _value(metric: Metric, predictions: Predictions) -> float:
    """Give the value, NaN where the rows do not define it, such as those of one class alone."""
    if predictions.classes and len(np.unique(predictions.truth)) < 2 and metric.per_row is None:
        return math.nan
    return metric.value(predictions)


def _within(sides: Sides, start_us: int, end_us: int) -> "np.ndarray":
    return np.flatnonzero((sides.time_us >= start_us) & (sides.time_us < end_us))
