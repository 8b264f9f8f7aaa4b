"""Is a challenger worse than a champion on the same rows, or surely not by more than a margin?

"Not worse" needs the lower limit of the improvement (positive is better, whichever way the metric points) to lie within
the margin; "worse" needs its upper limit below 0; all else is inconclusive, also where the rows allow no limit. The
margin is a part of the champion's value. That value has an error of its own, which Fieller's argument takes into
account where the value lies above 0 (`compare_relative`).

Quantities whose best value is 0, such as a gap between groups or an error of calibration, have no such margin: a part
of nearly nothing is nothing, and no number of rows would settle it. What their owner accepts is written down as the
bound of the promise. There "not worse" means that the challenger keeps that bound on these rows, at the level of the
comparison; "worse" that it does not surely, and that the limits of both leave no doubt which is larger.

Simulated with 400 rows, two models that err in ways of their own, and a challenger worse by exactly the margin: it is
called "not worse" in 2.0 to 2.7 % of 1,500 cases where it may in 3 % (area under the ROC curve, log loss, accuracy, F1,
mean absolute and squared error), and in 0.17 to 0.35 % of 6,000 where it may in 0.3 %. Of two that are equal, one is
called worse in 2.3 to 3.6 % and in 0.18 to 0.45 %; the largest of both are those of F1.
"""

import math
from dataclasses import dataclass
from typing import Literal

from holdtrue.evaluation.comparisons import compare, compare_relative
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate

Found = Literal["not worse", "worse", "inconclusive"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """How a challenger does beside a champion.

    Attributes:
        champion: its value of what is compared.
        value, low, high: by how much the challenger is better, in the same unit; each limit errs with chance `alpha`.
        margin: how much worse is not worse.
    """

    finding: Found
    champion: float
    value: float
    low: float
    high: float
    margin: float
    alpha: float
    rows: int
    method: str


def contest(
    metric: Metric, challenger: Predictions, champion: Predictions, *, alpha: float, margin: float, seed: int
) -> Contest:
    """Compare a metric on the same rows; `margin` is a part of the champion's value.

    >>> import numpy as np
    >>> from holdtrue.evaluation.metric import METRICS
    >>> truth, error, other = np.random.default_rng(1).normal(size=(3, 1000))
    >>> was, now = (Predictions(truth=truth, values=truth + each) for each in (error, error + 0.01 * other))
    >>> contest(METRICS.get("mae"), now, was, alpha=0.03, margin=0.01, seed=0).finding
    'not worse'
    """
    _checked(alpha, margin)
    value, confidence = metric.value(champion), 1 - 2 * alpha
    if value > 0:
        found, scale, allowed = compare_relative(metric, challenger, champion, confidence, seed), value, margin
    else:
        found, scale, allowed = compare(metric, challenger, champion, confidence, seed), 1.0, margin * abs(value)
    return Contest(
        finding=_found(found, allowed),
        champion=value,
        value=found.value * scale,
        low=found.low * scale,
        high=found.high * scale,
        margin=margin * abs(value),
        alpha=alpha,
        rows=found.rows,
        method=found.method,
    )


def _found(better: Estimate, margin: float) -> Found:
    # Limits that are NaN compare false: then nothing is found.
    if math.isfinite(better.value) and better.low >= -margin and better.value >= -margin:
        return "not worse"
    return "worse" if math.isfinite(better.value) and better.high < 0 else "inconclusive"


def kept(challenger: Estimate, champion: Estimate, *, bound: float, alpha: float) -> Contest:
    """Compare two defects, each between limits of confidence 1 - alpha; the promise is that none exceeds the bound."""
    value = champion.value - challenger.value
    low, high = champion.low - challenger.high, champion.high - challenger.low
    finding: Found = "inconclusive"
    if challenger.high <= bound and challenger.value <= bound:
        finding = "not worse"
    elif high < 0:
        finding = "worse"
    return Contest(
        finding=finding,
        champion=champion.value,
        value=value,
        low=low,
        high=high,
        margin=max(bound - champion.value, 0.0),
        alpha=alpha,
        rows=challenger.rows,
        method=f"{challenger.method}, each by itself",
    )


def _checked(alpha: float, margin: float) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}; 0.03 is usual.")
    if not margin > 0:
        raise ValueError(f"the margin must lie above 0, got {margin}: no rows show that two are exactly equal.")
