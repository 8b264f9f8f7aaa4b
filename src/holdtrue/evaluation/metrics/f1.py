"""F1: the harmonic mean of precision and recall of the positive class; several classes: the mean over them."""

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.class_shares import (
    counted_classes,
    mean_class_estimate,
    mean_class_influence,
    mean_class_value,
)
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate


def value(predictions: Predictions) -> float:
    return mean_class_value(predictions, "f1", counted_classes(predictions))


def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    return mean_class_influence(predictions, "f1", counted_classes(predictions))


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    return mean_class_estimate(predictions, "f1", counted_classes(predictions), confidence)


PLUGIN = Metric(
    needs="decisions",
    higher_is_better=True,
    value=value,
    estimate=estimate,
    influence=influence,
    title="F1",
    paper="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; Zou and Donner 2008, doi:10.1002/sim.3095",
    bounds=(0.0, 1.0),
)
