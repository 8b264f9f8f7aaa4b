"""Curves a reader looks at: ROC, precision and recall, calibration, residuals, and the value of decisions."""

from typing import Any

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.calibration import reliability
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.ranking import levels
from holdtrue.spec.project import Cost

MOST_POINTS = 200
HISTOGRAM_BINS = 30


def curves(predictions: Predictions, confidence: float, seed: int, *, cost: Cost | None = None) -> dict[str, Any]:
    """Give every curve that the predictions have; the others are left out."""
    if predictions.probabilities is None:
        return {"residuals": residuals(predictions, seed)}
    made: dict[str, Any] = {"calibration": reliability(predictions, confidence)}
    if len(predictions.classes) == 2:
        probability = predictions.probabilities[:, 1]
        made["roc"] = roc(predictions.truth == 1, probability)
        made["pr"] = precision_recall(predictions.truth == 1, probability)
        if cost is not None:
            from holdtrue.training.decision import value_curve

            made["decision"] = [list(point) for point in value_curve(predictions.truth, probability, cost)]
    return made


def roc(truth: "np.ndarray", score: Float64[np.ndarray, " rows"]) -> list[list[float]]:
    """Give (false positive rate, true positive rate) for falling thresholds, from (0, 0) to (1, 1)."""
    if not 0 < truth.sum() < len(truth):
        return []
    grouped = levels(truth, score)
    found = np.concatenate([[0.0], np.cumsum(grouped.positives)])
    mistaken = np.concatenate([[0.0], np.cumsum(grouped.rows - grouped.positives)])
    return thinned(np.column_stack([mistaken / mistaken[-1], found / found[-1]]))


def precision_recall(truth: "np.ndarray", score: Float64[np.ndarray, " rows"]) -> list[list[float]]:
    """Give (recall, precision) for falling thresholds."""
    if not 0 < truth.sum() < len(truth):
        return []
    grouped = levels(truth, score)
    found = np.cumsum(grouped.positives)
    return thinned(np.column_stack([found / found[-1], found / np.cumsum(grouped.rows)]))


def residuals(predictions: Predictions, seed: int) -> dict[str, Any]:
    """Give a sample of (predicted, true), and the histogram of true - predicted."""
    if predictions.values is None or predictions.rows == 0:
        return {}
    chosen = np.random.default_rng(seed).permutation(predictions.rows)[:MOST_POINTS]
    points = np.column_stack([predictions.values[chosen], predictions.truth[chosen]])
    errors = predictions.truth - predictions.values
    # A few wild errors would leave one full bar: the ends are those of the middle 99 %, and hold what lies beyond.
    low, high = np.quantile(errors, [0.005, 0.995])
    counts, edges = np.histogram(np.clip(errors, low, high), bins=HISTOGRAM_BINS)
    return {
        "predicted_vs_true": points.tolist(),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def thinned(points: Float64[np.ndarray, "points 2"], most: int = MOST_POINTS) -> list[list[float]]:
    """Keep points at even steps along the curve, and both ends.

    >>> len(thinned(np.column_stack([np.linspace(0, 1, 1000), np.linspace(0, 1, 1000)]), 50))
    50
    """
    if len(points) <= most:
        return points.tolist()
    steps = np.abs(np.diff(points, axis=0)).sum(axis=1)
    walked = np.concatenate([[0.0], np.cumsum(steps)])
    kept = np.searchsorted(walked, np.linspace(0.0, walked[-1], most))
    return points[np.unique(np.clip(kept, 0, len(points) - 1))].tolist()
