"""The evidence for each kind of promise that needs predictions: one estimate each, at the confidence asked for."""

from collections.abc import Callable

import numpy as np
import polars as pl
from jaxtyping import Bool

from holdtrue.evaluation.calibration import calibration_error
from holdtrue.evaluation.comparisons import compare, compare_relative
from holdtrue.evaluation.fairness import MINIMUM, fairness
from holdtrue.evaluation.grouping import group
from holdtrue.evaluation.metric import metric_named
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.robustness import drop
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.quantile import quantile_bound

WARM_UP_RUNS = 50


def measure_quality(
    metric: str,
    predictions: Predictions,
    confidence: float,
    seed: int,
    scope: Bool[np.ndarray, " rows"] | None = None,
) -> Estimate:
    """Measure a metric on all held-out rows, or on those of a scope."""
    rows = predictions if scope is None else predictions.take(scope)
    return metric_named(metric).estimate(rows, confidence, seed)


def measure_beats(
    metric: str,
    predictions: Predictions,
    other: Predictions,
    confidence: float,
    seed: int,
    *,
    relative: bool = False,
) -> Estimate:
    """Measure by how much the model is better than another, in the metric's unit or as a share of the other's value."""
    chosen = metric_named(metric)
    if relative:
        return compare_relative(chosen, predictions, other, confidence, seed)
    return compare(chosen, predictions, other, confidence, seed)


def measure_calibrated(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    """Measure how far predicted probabilities (or intervals) are off."""
    return calibration_error(predictions, confidence, seed)


def measure_fair(
    metric: str,
    predictions: Predictions,
    groups: pl.Series,
    confidence: float,
    seed: int,
    *,
    minimum: int = MINIMUM,
    is_date: bool = False,
) -> Estimate:
    """Measure the largest gap of a metric, or of a definition of fairness, between the groups of a column."""
    return fairness(predictions, group(groups, is_date=is_date), metric, confidence, seed, minimum=minimum).gap


def measure_robust(
    metric: str, predictions: Predictions, disturbed: Predictions, confidence: float, seed: int
) -> Estimate:
    """Measure how much worse the model is when the same rows are disturbed."""
    return drop(metric, predictions, disturbed, confidence, seed)


def measure_fast(
    call: Callable[[], object], runs: int, quantile: float, clock: Callable[[], float], confidence: float
) -> Estimate:
    """Measure a quantile of the milliseconds that one call takes; `clock` gives seconds that only grow.

    The limits are two of the measured times themselves, so they hold for any distribution of independent times. The
    first calls fill caches and are not counted.
    """
    for _ in range(WARM_UP_RUNS):
        call()
    taken_ms = np.empty(runs)
    for run in range(runs):
        began = clock()
        call()
        taken_ms[run] = (clock() - began) * 1000.0
    return quantile_bound(taken_ms, quantile, confidence)
