"""RMSE: the root of the mean squared error."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.means import PAPER
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.mean import mean_estimate


def _squares(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    if predictions.values is None:
        raise ValueError("RMSE needs predicted numbers; these predictions hold none.")
    return (predictions.values - predictions.truth) ** 2


def value(predictions: Predictions) -> float:
    return math.sqrt(float(_squares(predictions).mean())) if predictions.rows else math.nan


def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    squares = _squares(predictions)
    mean = float(squares.mean())
    return (squares - mean) / (2 * math.sqrt(mean)) if mean > 0 else np.zeros(len(squares))


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    """Give the roots of the mean squared error's limits: a root keeps the order, so it keeps the confidence."""
    squared = mean_estimate(_squares(predictions), confidence, seed, predictions.clusters, bounds=(0.0, math.inf))
    return replace(
        squared,
        value=math.sqrt(squared.value) if squared.rows else math.nan,
        low=math.sqrt(squared.low) if math.isfinite(squared.low) else squared.low,
        high=math.sqrt(squared.high),
        method=f"root of a {squared.method}",
    )


PLUGIN = Metric(
    needs="values",
    higher_is_better=False,
    value=value,
    estimate=estimate,
    influence=influence,
    title="RMSE",
    paper=PAPER,
    bounds=(0.0, math.inf),
)
