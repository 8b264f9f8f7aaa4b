"""ROC AUC: the chance that a row of the class scores above a row of another; several classes: the mean over them."""

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.influence import count_units, share_limits, units_of
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.ranking import Area, one_vs_rest, roc_area
from holdtrue.statistics.auc import delong, delong_paired
from holdtrue.statistics.estimate import Estimate, unlimited


def _area(predictions: Predictions) -> Area:
    return one_vs_rest(predictions, roc_area, _scarcer)


def _scarcer(is_class: "np.ndarray", clusters: "np.ndarray | None") -> int:
    return min(count_units(is_class, clusters), count_units(~is_class, clusters))


def value(predictions: Predictions) -> float:
    return _area(predictions).value


def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    return _area(predictions).influence


def _is_plain(predictions: Predictions) -> bool:
    return len(predictions.classes) == 2 and predictions.clusters is None


def _positive(predictions: Predictions) -> "np.ndarray":
    assert predictions.probabilities is not None
    return predictions.probabilities[:, 1]


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    """Two classes: DeLong's variance, corrected; several, or clusters: the same from influences, on the logit scale."""
    area = _area(predictions)
    if _is_plain(predictions):
        return delong(predictions.truth == 1, _positive(predictions), confidence)
    method = "DeLong by influence, logit scale" + (" over clusters" if predictions.clusters is not None else "")
    if area.informative == 0:
        return unlimited(area.value, 0, method, confidence)
    units = units_of(area.influence, predictions.clusters)
    low, high = share_limits(area.value, units, confidence, area.informative)
    return Estimate(value=area.value, low=low, high=high, rows=predictions.rows, method=method, confidence=confidence)


def paired(model: Predictions, other: Predictions, confidence: float) -> Estimate | None:
    if not _is_plain(model):
        return None
    return delong_paired(model.truth == 1, _positive(model), _positive(other), confidence)


PLUGIN = Metric(
    needs="probabilities",
    higher_is_better=True,
    value=value,
    estimate=estimate,
    influence=influence,
    paired=paired,
    title="ROC AUC",
    paper="DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595",
    bounds=(0.0, 1.0),
)
