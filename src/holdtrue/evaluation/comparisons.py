"""Two models on the same rows: how much better one is, with an interval that uses the pairing.

Each row's influence on the difference is the difference of its influences: for a mean that is the paired t interval,
for the area under the ROC curve DeLong's paired one, for any other metric the infinitesimal jackknife's.
"""

import math
from dataclasses import replace

import numpy as np

from holdtrue.evaluation.influence import (
    ENOUGH_DIFFERING,
    effective_units,
    mean_limits,
    quotient_limits,
    units_of,
    with_unseen,
)
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.bootstrap import bootstrap
from holdtrue.statistics.estimate import Estimate, unlimited


def compare(metric: Metric, model: Predictions, other: Predictions, confidence: float, seed: int) -> Estimate:
    """Estimate by how much `model` is better than `other`: positive is better, whichever way the metric points."""
    _same_rows(model, other)
    sign = 1.0 if metric.higher_is_better else -1.0
    value = sign * (metric.value(model) - metric.value(other))
    if math.isnan(value):
        return unlimited(value, 0, "not defined on these rows", confidence)
    special = metric.paired(model, other, confidence) if metric.paired else None
    if special is not None:
        return special if sign > 0 else _negated(special)
    if metric.influence is None:
        return _bootstrapped(metric, model, other, confidence, seed)
    units = units_of(sign * (metric.influence(model) - metric.influence(other)), model.clusters)
    if not np.abs(units).max() > 1e-12:
        return _no_row_differs(metric, model, confidence)
    low, high = mean_limits(value, with_unseen(units), confidence)
    method = f"paired by influence, t corrected for skewness{'' if model.clusters is None else ' over clusters'}"
    return Estimate(value=value, low=low, high=high, rows=model.rows, method=method, confidence=confidence)


def compare_relative(metric: Metric, model: Predictions, other: Predictions, confidence: float, seed: int) -> Estimate:
    """Estimate the improvement as a share of the other's value (0.02 is 2 % better).

    Fieller's argument: a share m lies within the limits as long as improvement - m * baseline may be 0, so the error of
    the baseline counts too. Not defined when the baseline is 0 or below.
    """
    improvement = compare(metric, model, other, confidence, seed)
    baseline = metric.value(other)
    if not baseline > 0 or math.isnan(improvement.value):
        return unlimited(math.nan, improvement.rows, "not defined: the baseline's value is not above 0", confidence)
    low, high = improvement.low / baseline, improvement.high / baseline
    if metric.influence is not None and math.isfinite(low) and math.isfinite(high):
        sign = 1.0 if metric.higher_is_better else -1.0
        gain = units_of(sign * (metric.influence(model) - metric.influence(other)), model.clusters)
        scale = units_of(metric.influence(other), model.clusters)
        # Where few rows differ their influences say too little, and the limits of the improvement stand.
        if effective_units(gain) >= ENOUGH_DIFFERING:
            low, high = quotient_limits(improvement.value, baseline, gain, scale, confidence)
    return replace(
        improvement,
        value=improvement.value / baseline,
        low=low,
        high=high,
        method=f"{improvement.method}; relative to the baseline by Fieller's argument",
    )


_NONE_DIFFERS = "paired: no row differs"


def _same_rows(model: Predictions, other: Predictions) -> None:
    if model.rows != other.rows or not np.array_equal(model.truth, other.truth):
        raise ValueError(
            f"a comparison needs the same rows in the same order; got {model.rows} and {other.rows} rows"
            " or different truths."
        )


def _negated(found: Estimate) -> Estimate:
    return replace(found, value=-found.value, low=-found.high, high=-found.low)


def _no_row_differs(metric: Metric, model: Predictions, confidence: float) -> Estimate:
    """Bound the difference by what so many equal rows leave possible; nothing is known of a metric without bounds."""
    width = metric.bounds[1] - metric.bounds[0]
    informative = metric.estimate(model, confidence, 0).rows
    reach = math.inf
    if math.isfinite(width) and informative > 0:
        reach = width * min(1.0, 2 * (1 - ((1 - confidence) / 2) ** (1 / informative)))
    return Estimate(value=0.0, low=-reach, high=reach, rows=model.rows, method=_NONE_DIFFERS, confidence=confidence)


def _bootstrapped(metric: Metric, model: Predictions, other: Predictions, confidence: float, seed: int) -> Estimate:
    """For a metric of another package that gives no influence."""
    sign = 1.0 if metric.higher_is_better else -1.0

    def difference(index: "np.ndarray") -> float:
        return sign * (metric.value(model.take(index)) - metric.value(other.take(index)))

    return bootstrap(difference, model.rows, confidence, seed, clusters=model.clusters)
