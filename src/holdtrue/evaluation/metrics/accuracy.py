"""Accuracy: the share of rows whose decided class is the true one."""

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.counts import decided_codes, paired_hits, share
from holdtrue.evaluation.means import mean_influence, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate


def hit(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    return (decided_codes(predictions) == predictions.truth).astype(np.float64)


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    return share(predictions, hit(predictions) > 0, np.ones(predictions.rows, dtype=bool), confidence)


PLUGIN = Metric(
    needs="decisions",
    higher_is_better=True,
    value=mean_value(hit),
    estimate=estimate,
    influence=mean_influence(hit),
    per_row=hit,
    paired=paired_hits(hit),
    title="Accuracy",
    paper="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    bounds=(0.0, 1.0),
)
