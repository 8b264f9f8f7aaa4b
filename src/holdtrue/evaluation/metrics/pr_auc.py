"""PR AUC: average precision, the mean precision at the rows of the class; several classes: the mean over them."""

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.influence import count_units, share_limits, units_of
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.ranking import Area, one_vs_rest, precision_area
from holdtrue.statistics.estimate import Estimate, unlimited


def _area(predictions: Predictions) -> Area:
    return one_vs_rest(predictions, precision_area, count_units)


def value(predictions: Predictions) -> float:
    return _area(predictions).value


def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    return _area(predictions).influence


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    """Give the infinitesimal jackknife's interval on the logit scale; the seed is not read.

    The lower end starts from the value without its excess (see ranking.py), taken off once more because the jackknife's
    variance is too small by as much: in simulations with 20 to 100 positive rows this end then errs at its level.
    """
    area = _area(predictions)
    method = "infinitesimal jackknife, logit scale" + (" over clusters" if predictions.clusters is not None else "")
    if area.informative == 0:
        return unlimited(area.value, 0, method, confidence)
    units = units_of(area.influence, predictions.clusters)
    low, _ = share_limits(max(area.value - 2 * area.excess, 0.0), units, confidence, area.informative)
    _, high = share_limits(area.value, units, confidence, area.informative)
    return Estimate(value=area.value, low=low, high=high, rows=predictions.rows, method=method, confidence=confidence)


PLUGIN = Metric(
    needs="probabilities",
    higher_is_better=True,
    value=value,
    estimate=estimate,
    influence=influence,
    title="PR AUC",
    paper="Boyd, Eng and Page 2013, doi:10.1007/978-3-642-40994-3_29",
    bounds=(0.0, 1.0),
)
