"""MAE: the mean distance between the predicted and the true number."""

import math

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.means import PAPER, mean_influence, mean_metric_estimate, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions


def score(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    if predictions.values is None:
        raise ValueError("MAE needs predicted numbers; these predictions hold none.")
    return np.abs(predictions.values - predictions.truth)


PLUGIN = Metric(
    needs="values",
    higher_is_better=False,
    value=mean_value(score),
    estimate=mean_metric_estimate(score, bounds=(0.0, math.inf)),
    influence=mean_influence(score),
    per_row=score,
    title="MAE",
    paper=PAPER,
    bounds=(0.0, math.inf),
)
