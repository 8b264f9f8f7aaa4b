"""MAPE: the mean distance in shares of the true number, over the rows where that is not 0."""

import math

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.means import PAPER, mean_influence, mean_metric_estimate, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions


def score(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    """NaN where the truth is 0; the estimate says how many rows define it."""
    if predictions.values is None:
        raise ValueError("MAPE needs predicted numbers; these predictions hold none.")
    size = np.where(predictions.truth == 0, math.nan, np.abs(predictions.truth))
    return np.abs(predictions.values - predictions.truth) / size


PLUGIN = Metric(
    needs="values",
    higher_is_better=False,
    value=mean_value(score),
    estimate=mean_metric_estimate(score, bounds=(0.0, math.inf)),
    influence=mean_influence(score),
    per_row=score,
    title="MAPE",
    paper=PAPER,
    bounds=(0.0, math.inf),
)
