"""False positive rate: the share of other rows that are decided to be of the positive class; several: the mean."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.counts import decided_codes, share, true_codes
from holdtrue.evaluation.influence import count_units, share_influence, share_limits, units_of
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate


def _rates(predictions: Predictions) -> list[tuple["np.ndarray", "np.ndarray"]]:
    """Mistaken rows, and the rows that can be mistaken, of each class that other rows can be mistaken for."""
    truth, decided = true_codes(predictions), decided_codes(predictions)
    codes = [1] if len(predictions.classes) == 2 else [int(code) for code in np.union1d(truth, decided)]
    return [(decided == code, truth != code) for code in codes if (truth != code).any()]


def value(predictions: Predictions) -> float:
    rates = _rates(predictions)
    return float(np.mean([mistaken[among].mean() for mistaken, among in rates])) if rates else math.nan


def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    rates = _rates(predictions)
    if not rates:
        return np.zeros(predictions.rows)
    return np.mean([share_influence(mistaken, among) for mistaken, among in rates], axis=0)


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    """Exact for two classes; for more, one row counts in several rates, so the interval is the jackknife's."""
    rates = _rates(predictions)
    if len(rates) <= 1:
        mistaken, among = rates[0] if rates else (np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))
        return share(predictions, mistaken, among, confidence)
    found = value(predictions)
    least = min(count_units(among, predictions.clusters) for _, among in rates)
    units = units_of(influence(predictions), predictions.clusters)
    low, high = share_limits(found, units, confidence, least)
    exact = share(predictions, *rates[0], confidence)
    return replace(
        exact, value=found, low=low, high=high, rows=predictions.rows, method="infinitesimal jackknife, logit scale"
    )


PLUGIN = Metric(
    needs="decisions",
    higher_is_better=False,
    value=value,
    estimate=estimate,
    influence=influence,
    title="False positive rate",
    paper="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    bounds=(0.0, 1.0),
)
