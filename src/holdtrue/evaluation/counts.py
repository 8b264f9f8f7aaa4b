"""Counts of decided against true classes, and the shares made of them."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.evaluation.influence import count_units, share_influence, share_limits, units_of
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.binomial import clopper_pearson, paired_shares
from holdtrue.statistics.estimate import Estimate, unlimited


def confusion(predictions: Predictions) -> Int64[np.ndarray, "classes classes"]:
    """Count rows by true class (line) and decided class (column)."""
    classes = len(predictions.classes)
    cell = true_codes(predictions) * classes + decided_codes(predictions)
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes)


def true_codes(predictions: Predictions) -> Int64[np.ndarray, " rows"]:
    return predictions.truth.astype(np.int64)


def decided_codes(predictions: Predictions) -> Int64[np.ndarray, " rows"]:
    if predictions.decisions is None:
        raise ValueError("this metric needs decided classes; these predictions hold none.")
    return predictions.decisions


def share(predictions: Predictions, hit: "np.ndarray", among: "np.ndarray", confidence: float) -> Estimate:
    """Estimate the share of `hit` among the rows `among`; exact, unless rows belong together in clusters."""
    rows = int(among.sum())
    if rows == 0:
        return unlimited(math.nan, 0, "no row defines it", confidence)
    if predictions.clusters is None:
        return clopper_pearson(int((hit & among).sum()), rows, confidence)
    value = float((hit & among).sum() / rows)
    influence = share_influence(hit, among)
    informative = count_units(among, predictions.clusters)
    low, high = share_limits(value, units_of(influence, predictions.clusters), confidence, informative)
    return Estimate(
        value=value, low=low, high=high, rows=rows, method="logit interval over clusters", confidence=confidence
    )


def paired_hits(
    per_row: Callable[[Predictions], Float64[np.ndarray, " rows"]],
) -> Callable[[Predictions, Predictions, float], Estimate | None]:
    """Compare two models by the rows in which only one of both is a hit; clusters need another method."""

    def paired(model: Predictions, other: Predictions, confidence: float) -> Estimate | None:
        one, two = per_row(model), per_row(other)
        if model.clusters is not None or bool(np.isnan(one).any()):
            return None
        return paired_shares(int((one > two).sum()), int((two > one).sum()), model.rows, confidence)

    return paired
