"""Pinball loss of the predicted interval: the mean over its two ends, each at its own level."""

import math

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.means import PAPER, mean_influence, mean_metric_estimate, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions


def score(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    """An interval that promises to cover 90 % has its ends at the 5 % and the 95 % quantile."""
    if predictions.low is None or predictions.high is None or predictions.coverage is None:
        raise ValueError("the pinball loss needs predicted intervals and their coverage; these predictions hold none.")
    level = (1 - predictions.coverage) / 2
    below = predictions.truth - predictions.low
    above = predictions.truth - predictions.high
    low_loss = np.maximum(level * below, (level - 1) * below)
    high_loss = np.maximum((1 - level) * above, -level * above)
    return (low_loss + high_loss) / 2


PLUGIN = Metric(
    needs="interval",
    higher_is_better=False,
    value=mean_value(score),
    estimate=mean_metric_estimate(score, bounds=(0.0, math.inf)),
    influence=mean_influence(score),
    per_row=score,
    title="Pinball loss",
    paper=PAPER,
    bounds=(0.0, math.inf),
)
