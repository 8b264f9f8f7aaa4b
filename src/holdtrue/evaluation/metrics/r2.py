"""R²: the share of the target's variance that the predictions explain."""

import math

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.influence import quotient_limits, units_of
from holdtrue.evaluation.means import PAPER
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate, unlimited


def _parts(predictions: Predictions) -> tuple["np.ndarray", "np.ndarray"]:
    """Squared errors of the model and of the mean."""
    if predictions.values is None:
        raise ValueError("R² needs predicted numbers; these predictions hold none.")
    truth = predictions.truth
    return (predictions.values - truth) ** 2, (truth - truth.mean()) ** 2


def value(predictions: Predictions) -> float:
    if predictions.rows < 2:
        return math.nan
    errors, spread = _parts(predictions)
    return 1 - float(errors.sum() / spread.sum()) if spread.sum() > 0 else math.nan


def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    errors, spread = _parts(predictions)
    if spread.sum() <= 0:
        return np.zeros(len(errors))
    return (spread * (errors.sum() / spread.sum()) - errors) / spread.mean()


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    found = value(predictions)
    method = "quotient of two means (Fieller), t corrected for skewness"
    method += " over clusters" if predictions.clusters is not None else ""
    if math.isnan(found):
        return unlimited(found, predictions.rows, method, confidence)
    errors, spread = _parts(predictions)
    top, bottom = (units_of(part - part.mean(), predictions.clusters) for part in (errors, spread))
    low, high = quotient_limits(float(errors.mean()), float(spread.mean()), top, bottom, confidence)
    return Estimate(
        value=found,
        low=1 - high,
        high=min(1 - low, 1.0) if math.isfinite(low) else math.inf,
        rows=predictions.rows,
        method=method,
        confidence=confidence,
    )


PLUGIN = Metric(
    needs="values",
    higher_is_better=True,
    value=value,
    estimate=estimate,
    influence=influence,
    title="R²",
    paper=PAPER,
    bounds=(-math.inf, 1.0),
)
