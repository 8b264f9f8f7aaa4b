"""What labels say of the promises of a release: limits that may be looked at whenever new labels come.

A promise whose metric is a mean of bounded scores (accuracy, Brier score, coverage), or the area under the ROC curve,
has limits that hold at all times at once, so looking every day costs nothing. Where it moves, they are limits of its
average. Any other metric has the interval that it was proven by, with its chance of error divided among the looks.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from holdtrue.evaluation.metric import METRICS, Metric, metric_named, offers
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.confidence_sequence import MeanSequence, PairedWins
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.running_mean import running_mean

AREA = "roc_auc"
WAITING = 200  # rows for a row of the other class to be paired with: none is to wait until the world has changed

State = Literal["kept", "broken", "at risk", "open", "no data", "cannot tell"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pledge:
    """A promise about a metric, as the release made it; `text` is as its owner wrote it."""

    text: str
    metric: str
    direction: Literal["at_least", "at_most"]
    bound: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What labels say of a promise.

    Attributes:
        state: kept and broken are proven by the limits. At risk: the value is on the wrong side of the bound, and the
            limits do not decide. Open: it is on the right side, and they do not decide.
        estimate: the value and its limits; `rows` are those that carry the information.
        why: what keeps it from being told.
    """

    pledge: Pledge
    state: State
    estimate: Estimate | None = None
    why: str = ""

    def to_json(self) -> dict[str, object]:
        found = None if self.estimate is None else asdict(self.estimate)
        if found is not None:
            found |= {name: None for name in ("value", "low", "high") if not math.isfinite(found[name])}
        return {**asdict(self.pledge), "state": self.state, "estimate": found, "why": self.why}


def held(pledge: Pledge, predictions: Predictions, *, confidence: float, looks: int) -> Held:
    """Judge a promise by labelled rows, in the order in which their labels came.

    `confidence` is that of a promise: each verdict errs with a chance of at most 1 - confidence. `looks` is how often
    the same rows may have been looked at before, for metrics without limits that hold at all times.
    """
    if pledge.metric not in METRICS.names():
        return Held(pledge=pledge, state="cannot tell", why="labels alone do not say it")
    metric = metric_named(pledge.metric)
    if not predictions.rows:
        return Held(pledge=pledge, state="no data", why="no prediction has a label yet")
    if metric.needs not in offers(predictions):
        return Held(pledge=pledge, state="cannot tell", why=f"the answers hold no {metric.needs}")
    estimate = _estimate(pledge.metric, metric, predictions, 1 - 2 * (1 - confidence), looks)
    if math.isnan(estimate.value):
        return Held(pledge=pledge, state="no data", estimate=estimate, why="the labelled rows do not define it yet")
    return Held(pledge=pledge, state=_state(pledge, estimate), estimate=estimate)


def _estimate(name: str, metric: Metric, predictions: Predictions, confidence: float, looks: int) -> Estimate:
    if name == AREA and predictions.probabilities is not None:
        wins = PairedWins(most_waiting=WAITING).update(predictions.probabilities[:, 1], predictions.truth == 1)
        found = _of_mean(wins, confidence)
        return replace(found, method=f"{found.method}, over pairs of a positive and a negative row")
    low, high = metric.bounds
    if metric.per_row is None or not (math.isfinite(low) and math.isfinite(high)):
        found = metric.estimate(predictions, 1 - (1 - confidence) / looks, 0)
        return replace(found, method=f"{found.method}, for {looks} looks")
    scores = metric.per_row(predictions)
    found = _of_mean((scores[~np.isnan(scores)] - low) / (high - low), confidence)
    value, least, most = (low + (high - low) * part for part in (found.value, found.low, found.high))
    return replace(found, value=value, low=least, high=most)


def _of_mean(scores: "np.ndarray", confidence: float) -> Estimate:
    """Give the mean with limits that hold at all times: close ones for one mean, wider ones for the average of many.

    Each errs with half of the chance, so whichever is shown, both together err no more often than they may.
    """
    sequence = MeanSequence(1 - (1 - confidence) / 2)
    sequence.update(scores)
    found = sequence.limits()
    # Limits that no longer hold the mean so far are about to refute every mean.
    if sequence.moved or not found.low <= found.value <= found.high:
        found = running_mean(float(scores.sum()), len(scores), 1 - (1 - confidence) / 2)
    return replace(found, confidence=confidence)


def _state(pledge: Pledge, found: Estimate) -> State:
    sign = 1 if pledge.direction == "at_least" else -1
    worst, best = (found.low, found.high) if sign > 0 else (-found.high, -found.low)
    bound = sign * pledge.bound
    if worst >= bound:
        return "kept"
    if best < bound:
        return "broken"
    return "open" if sign * found.value >= bound else "at risk"
