"""Selection rate: the share of rows decided to be of the positive class; what demographic parity compares."""

import math

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.counts import decided_codes, paired_hits, share
from holdtrue.evaluation.means import mean_influence, mean_value
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate, unlimited


def selected(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    """With more than two classes none is the positive one, and no row defines the rate."""
    decided = decided_codes(predictions)
    if len(predictions.classes) != 2:
        return np.full(len(decided), math.nan)
    return (decided == 1).astype(np.float64)


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    if len(predictions.classes) != 2:
        return unlimited(math.nan, 0, "defined for two classes only", confidence)
    return share(predictions, selected(predictions) > 0, np.ones(predictions.rows, dtype=bool), confidence)


PLUGIN = Metric(
    needs="decisions",
    higher_is_better=True,
    value=mean_value(selected),
    estimate=estimate,
    influence=mean_influence(selected),
    per_row=selected,
    paired=paired_hits(selected),
    title="Selection rate",
    paper="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    bounds=(0.0, 1.0),
)
