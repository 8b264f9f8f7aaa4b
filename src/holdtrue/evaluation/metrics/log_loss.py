"""Log loss: the mean of minus the logarithm of the probability given to what came true."""

import math

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.means import PAPER, mean_influence, mean_metric_estimate, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions

# The graph answers in float32; scikit-learn clips probabilities of that type at the same number.
LEAST = float(np.finfo(np.float32).eps)
WORST = -math.log(LEAST)


def score(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    if predictions.probabilities is None:
        raise ValueError("log loss needs probabilities; these predictions hold none.")
    given = predictions.probabilities[np.arange(predictions.rows), predictions.truth.astype(np.int64)]
    return -np.log(np.clip(given, LEAST, 1 - LEAST))


PLUGIN = Metric(
    needs="probabilities",
    higher_is_better=False,
    value=mean_value(score),
    estimate=mean_metric_estimate(score, bounds=(0.0, WORST)),
    influence=mean_influence(score),
    per_row=score,
    title="Log loss",
    paper=PAPER,
    bounds=(0.0, WORST),
)
