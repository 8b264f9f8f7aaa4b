"""Interval coverage: the share of rows whose true number lies within the predicted interval."""

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.counts import paired_hits, share
from holdtrue.evaluation.means import mean_influence, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate


def covered(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    if predictions.low is None or predictions.high is None:
        raise ValueError("interval coverage needs predicted intervals; these predictions hold none.")
    inside = (predictions.low <= predictions.truth) & (predictions.truth <= predictions.high)
    return inside.astype(np.float64)


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    return share(predictions, covered(predictions) > 0, np.ones(predictions.rows, dtype=bool), confidence)


PLUGIN = Metric(
    needs="interval",
    higher_is_better=True,
    value=mean_value(covered),
    estimate=estimate,
    influence=mean_influence(covered),
    per_row=covered,
    paired=paired_hits(covered),
    title="Interval coverage",
    paper="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    bounds=(0.0, 1.0),
)
