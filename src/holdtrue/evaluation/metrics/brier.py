"""Brier score: the mean squared distance of the probabilities from what came true."""

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.means import PAPER, mean_influence, mean_metric_estimate, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions


def score(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    """Two classes: the squared error of the second's probability (0 to 1); more: summed over the classes (0 to 2)."""
    if predictions.probabilities is None:
        raise ValueError("the Brier score needs probabilities; these predictions hold none.")
    if predictions.probabilities.shape[1] == 2:
        return (predictions.probabilities[:, 1] - predictions.truth) ** 2
    came_true = np.eye(predictions.probabilities.shape[1])[predictions.truth.astype(np.int64)]
    return ((predictions.probabilities - came_true) ** 2).sum(axis=1)


PLUGIN = Metric(
    needs="probabilities",
    higher_is_better=False,
    value=mean_value(score),
    estimate=mean_metric_estimate(score, bounds=(0.0, 2.0)),
    influence=mean_influence(score),
    per_row=score,
    title="Brier score",
    paper=PAPER,
    bounds=(0.0, 2.0),
)
