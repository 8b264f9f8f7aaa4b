"""Areas under the ROC and the precision-recall curve of one class, with the influence of each row."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from holdtrue.evaluation.influence import LEAST_INFORMATIVE, count_units
from holdtrue.evaluation.predictions import Predictions


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """Rows grouped by score, the highest first: `level` is the group of each row; counts are per group."""

    level: Int64[np.ndarray, " rows"]
    positives: Float64[np.ndarray, " levels"]
    rows: Float64[np.ndarray, " levels"]
    scores: Float64[np.ndarray, " levels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Area:
    """An area and what is known of its error.

    `excess` is how much too large the value is on average; `informative` counts the units that carry the information.
    """

    value: float
    influence: Float64[np.ndarray, " rows"]
    informative: int = 0
    excess: float = 0.0


def levels(truth: Bool[np.ndarray, " rows"], score: Float64[np.ndarray, " rows"]) -> Levels:
    """Group tied scores, so that no order among them is invented."""
    scores, level, rows = np.unique(-score, return_inverse=True, return_counts=True)
    positives = np.bincount(level, weights=truth.astype(np.float64), minlength=len(scores))
    return Levels(level=level, positives=positives, rows=rows.astype(np.float64), scores=-scores)


def roc_area(truth: Bool[np.ndarray, " rows"], score: Float64[np.ndarray, " rows"]) -> Area:
    """The chance that a positive row scores above a negative one (a tie counts half), and DeLong's components.

    >>> roc_area(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8])).value
    0.75
    """
    n, positives = len(truth), int(truth.sum())
    if positives in (0, n):
        return Area(value=math.nan, influence=np.zeros(n))
    grouped = levels(truth, score)
    negatives = grouped.rows - grouped.positives
    above = np.cumsum(grouped.positives) - grouped.positives / 2
    below = (n - positives) - np.cumsum(negatives) + negatives / 2
    wins_of_positive = below[grouped.level] / (n - positives)
    wins_over_negative = above[grouped.level] / positives
    value = float(wins_of_positive[truth].mean())
    influence = np.where(
        truth, (wins_of_positive - value) * (n / positives), (wins_over_negative - value) * (n / (n - positives))
    )
    return Area(value=value, influence=influence)


def precision_area(truth: Bool[np.ndarray, " rows"], score: Float64[np.ndarray, " rows"]) -> Area:
    """Average precision: the mean, over the positive rows, of the precision at their score.

    The influence is the derivative of that sum with respect to the weight of each row. The sum is too large on average
    because each positive row counts itself: without itself (t - 1) / (r - 1) of t positives in r rows would be left,
    which differs by about (1 - t / r) / r.
    """
    n, positives = len(truth), int(truth.sum())
    if positives in (0, n):
        return Area(value=math.nan, influence=np.zeros(n))
    grouped = levels(truth, score)
    taken = np.cumsum(grouped.rows)
    precision = np.cumsum(grouped.positives) / taken
    value = float(grouped.positives @ precision) / positives
    # A row also changes the precision at every lower score: sums over the levels from its own downwards.
    gain = np.cumsum((grouped.positives / taken)[::-1])[::-1]
    loss = np.cumsum((grouped.positives * precision / taken)[::-1])[::-1]
    own = (precision[grouped.level] - value + gain[grouped.level]) * truth
    return Area(
        value=value,
        influence=(own - loss[grouped.level]) * (n / positives),
        excess=float(gain[0] - loss[0]) / positives,
    )


def one_vs_rest(
    predictions: Predictions,
    area: Callable[["np.ndarray", "np.ndarray"], Area],
    informative: Callable[["np.ndarray", "np.ndarray | None"], int],
) -> Area:
    """Average an area over the classes, each against the rest; with two classes it is that of the second alone.

    `informative` counts the units that carry the information on a class, given which rows are of it and the clusters.
    Classes of which these rows hold none (or nothing else) do not count. A mean over classes carries as much
    information as the variances of its parts allow, or nearly none when one class has hardly any row.
    """
    probabilities, truth = predictions.probabilities, predictions.truth
    if probabilities is None:
        raise ValueError("an area under a curve needs probabilities; these predictions hold none.")
    codes = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    parts = [
        replace(part, informative=informative(truth == code, predictions.clusters))
        for code in codes
        if not math.isnan((part := area(truth == code, probabilities[:, code])).value)
    ]
    if not parts:
        return Area(value=math.nan, influence=np.zeros(predictions.rows))
    # A row counts itself, and in a cluster its likes too.
    copies = predictions.rows / count_units(np.ones(predictions.rows, dtype=bool), predictions.clusters)
    count, least = len(parts), min(part.informative for part in parts)
    together = int(count * count / sum(1 / part.informative for part in parts))
    return Area(
        value=sum(part.value for part in parts) / count,
        influence=np.mean([part.influence for part in parts], axis=0),
        informative=together if least >= LEAST_INFORMATIVE else least,
        excess=sum(part.excess for part in parts) / count * copies,
    )
