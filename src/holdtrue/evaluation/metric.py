"""A metric: a function of predictions, which way is better, and how its interval is made."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Float64

from holdtrue.core.catalog import Catalog
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate

Need = Literal["binary", "probabilities", "decisions", "values", "interval"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One number about predictions.

    Attributes:
        needs: what the predictions must offer; "binary" means probabilities of exactly two classes, "decisions"
            decided classes, "values" predicted numbers, "interval" predicted intervals.
        higher_is_better: the direction.
        value: the point value; NaN when the rows do not define it.
        estimate: (predictions, confidence, seed) -> value with its two-sided interval; closed forms where they are
            valid, else a bootstrap. With too few rows the limits are infinite.
        per_row: the score of each row where the metric is their mean (log loss, error, hit), else None.
        title: as printed, such as "ROC AUC".
        paper: the reference of the interval.
        bounds: the least and the greatest possible value.
        influence: how far each row pulls the value, with mean 0 (see influence.py); it lets two models be compared on
            the same rows, and clusters be honoured, whatever the metric.
        paired: (predictions, others on the same rows, confidence) -> the value of the first minus that of the second,
            where a method closer than the influences' is known; None when it does not apply to these rows.
    """

    needs: Need
    higher_is_better: bool
    value: Callable[[Predictions], float]
    estimate: Callable[[Predictions, float, int], Estimate]
    title: str
    paper: str
    per_row: Callable[[Predictions], Float64[np.ndarray, " rows"]] | None = None
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    influence: Callable[[Predictions], Float64[np.ndarray, " rows"]] | None = None
    paired: Callable[[Predictions, Predictions, float], Estimate | None] | None = None


METRICS = Catalog(kind="metric", package="holdtrue.evaluation.metrics", interface=Metric)


@cache
def metric_named(name: str) -> Metric:
    """Look a metric up once; a report asks for the same few a hundred times."""
    return METRICS.get(name)


def offers(predictions: Predictions) -> frozenset[Need]:
    """Say what the predictions hold, to be matched with what a metric needs."""
    held: dict[Need, bool] = {
        "binary": predictions.probabilities is not None and len(predictions.classes) == 2,
        "probabilities": predictions.probabilities is not None,
        "decisions": predictions.decisions is not None,
        "values": predictions.values is not None,
        "interval": predictions.low is not None and predictions.high is not None,
    }
    return frozenset(need for need, is_held in held.items() if is_held)
