"""Metrics that are the mean of one score a row: their value, interval and influence from that score alone."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate, unlimited
from holdtrue.statistics.mean import mean_estimate

PerRow = Callable[[Predictions], Float64[np.ndarray, " rows"]]
LEAST_RARE = 5
PAPER = "Hall 1992, J. R. Statist. Soc. B 54, 221-228"


def mean_value(per_row: PerRow) -> Callable[[Predictions], float]:
    """Rows whose score is NaN do not define the metric and are left out."""

    def value(predictions: Predictions) -> float:
        scores = per_row(predictions)
        kept = scores[~np.isnan(scores)]
        return float(kept.mean()) if len(kept) else math.nan

    return value


def mean_influence(per_row: PerRow) -> Callable[[Predictions], Float64[np.ndarray, " rows"]]:
    def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
        scores = per_row(predictions)
        kept = ~np.isnan(scores)
        if not kept.any():
            return np.zeros(len(scores))
        return np.where(kept, scores - scores[kept].mean(), 0.0) * (len(scores) / int(kept.sum()))

    return influence


def mean_metric_estimate(
    per_row: PerRow, *, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Callable[[Predictions, float, int], Estimate]:
    """Give the skewness-corrected interval of the mean; the method says when some rows do not define it.

    With classes, a loss is mostly made by the rows outside the most common one: while fewer than 5 of them were seen,
    nothing limits it (with 2 rare rows expected in 100 the upper end would err in 15 % of cases where it may in 5 %).
    """

    def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
        scores = per_row(predictions)
        found = mean_estimate(scores, confidence, seed, predictions.clusters, bounds=bounds)
        if predictions.classes and _rows_of_rare_classes(predictions) < LEAST_RARE:
            return unlimited(found.value, found.rows, "too few rows outside the most common class", confidence)
        if found.rows == len(scores):
            return found
        return replace(found, method=f"{found.method}; {found.rows} of {len(scores)} rows define it")

    return estimate


def _rows_of_rare_classes(predictions: Predictions) -> int:
    counts = np.bincount(predictions.truth.astype(np.int64), minlength=len(predictions.classes))
    return int(counts.sum() - counts.max(initial=0))
