"""MCC: the correlation of decided and true classes (Matthews; for several classes Gorodkin's)."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from holdtrue.evaluation.counts import confusion, decided_codes, true_codes
from holdtrue.evaluation.influence import count_units, share_limits, units_of
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """Covariance of truth and decisions, and their variances, in counts (Gorodkin 2004)."""

    both: float
    decided: float
    true: float
    right: float
    rows: float
    per_decided: Float64[np.ndarray, " classes"]
    per_true: Float64[np.ndarray, " classes"]

    @property
    def value(self) -> float:
        return self.both / math.sqrt(self.decided * self.true) if self.decided * self.true > 0 else math.nan


def _parts(predictions: Predictions) -> _Parts:
    counts = confusion(predictions).astype(np.float64)
    per_true, per_decided = counts.sum(axis=1), counts.sum(axis=0)
    rows, right = float(counts.sum()), float(np.trace(counts))
    return _Parts(
        both=right * rows - float(per_true @ per_decided),
        decided=rows * rows - float(per_decided @ per_decided),
        true=rows * rows - float(per_true @ per_true),
        right=right,
        rows=rows,
        per_decided=per_decided,
        per_true=per_true,
    )


def value(predictions: Predictions) -> float:
    """NaN when the truth or the decisions hold one class only."""
    return _parts(predictions).value


def influence(predictions: Predictions) -> Float64[np.ndarray, " rows"]:
    """Differentiate by the weight of each row."""
    parts = _parts(predictions)
    if math.isnan(parts.value):
        return np.zeros(predictions.rows)
    truth, decided = true_codes(predictions), decided_codes(predictions)
    both = (truth == decided) * parts.rows + parts.right - parts.per_true[decided] - parts.per_decided[truth]
    shrink = (parts.rows - parts.per_decided[decided]) / parts.decided + (
        parts.rows - parts.per_true[truth]
    ) / parts.true
    return parts.rows * (both / math.sqrt(parts.decided * parts.true) - parts.value * shrink)


def estimate(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    """Give limits on Fisher's scale, which is the logit scale of (1 + MCC) / 2; the seed is not read."""
    parts = _parts(predictions)
    outside = count_units(predictions.truth != int(parts.per_true.argmax()), predictions.clusters)
    units = units_of(influence(predictions), predictions.clusters) / 2
    low, high = share_limits((1 + parts.value) / 2, units, confidence, outside)
    return Estimate(
        value=parts.value,
        low=2 * low - 1 if math.isfinite(low) else low,
        high=2 * high - 1 if math.isfinite(high) else high,
        rows=predictions.rows,
        method="infinitesimal jackknife, Fisher's scale"
        + (" over clusters" if predictions.clusters is not None else ""),
        confidence=confidence,
    )


PLUGIN = Metric(
    needs="decisions",
    higher_is_better=True,
    value=value,
    estimate=estimate,
    influence=influence,
    title="MCC",
    paper="Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006",
    bounds=(-1.0, 1.0),
)
