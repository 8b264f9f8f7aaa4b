"""Precision, recall and F1 of one class, and their means over the classes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64

from holdtrue.evaluation.combine import mean_of
from holdtrue.evaluation.counts import decided_codes, share, true_codes
from holdtrue.evaluation.influence import share_influence, units_of
from holdtrue.evaluation.metric import Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.estimate import Estimate, unlimited

Kind = Literal["precision", "recall", "f1"]


def _masks(
    predictions: Predictions, kind: Kind, code: int
) -> tuple[Bool[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """Give the rows that are hits, and those among which they count.

    F1 is 2q / (1 + q) of q = hits among the rows that are of the class or decided to be: given how many those are, the
    hits are binomial, so F1 has exact limits too.
    """
    is_class, decided = true_codes(predictions) == code, decided_codes(predictions) == code
    among = {"precision": decided, "recall": is_class, "f1": is_class | decided}[kind]
    return is_class & decided, among


def _f1(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard) if math.isfinite(jaccard) else jaccard


def class_value(predictions: Predictions, kind: Kind, code: int) -> float:
    hit, among = _masks(predictions, kind, code)
    if not among.any():
        return math.nan
    value = float(hit.sum() / among.sum())
    return _f1(value) if kind == "f1" else value


def class_estimate(predictions: Predictions, kind: Kind, code: int, confidence: float) -> Estimate:
    found = share(predictions, *_masks(predictions, kind, code), confidence)
    if kind != "f1":
        return found
    return replace(
        found,
        value=_f1(found.value),
        low=_f1(found.low),
        high=_f1(found.high),
        method=f"{found.method} of hits among rows of the class, true or decided",
    )


def class_influence(predictions: Predictions, kind: Kind, code: int) -> Float64[np.ndarray, " rows"]:
    hit, among = _masks(predictions, kind, code)
    pull = share_influence(hit, among)
    if kind != "f1" or not among.any():
        return pull
    return pull * 2 / (1 + hit.sum() / among.sum()) ** 2


def counted_classes(predictions: Predictions) -> tuple[int, ...]:
    """The positive class of two; of more, those that occur in the truth or the decisions (as scikit-learn counts)."""
    if len(predictions.classes) == 2:
        return (1,)
    return tuple(int(code) for code in np.union1d(true_codes(predictions), decided_codes(predictions)))


def mean_class_metric(kind: Kind, classes: Callable[[Predictions], Sequence[int]], *, title: str) -> Metric:
    """Make the metric that is the mean of one share over the classes that `classes` names."""
    return Metric(
        needs="decisions",
        higher_is_better=True,
        value=lambda predictions: _mean_value(predictions, kind, classes(predictions)),
        estimate=lambda predictions, confidence, seed: _mean_estimate(
            predictions, kind, classes(predictions), confidence
        ),
        influence=lambda predictions: _mean_influence(predictions, kind, classes(predictions)),
        title=title,
        paper="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; Zou and Donner 2008, doi:10.1002/sim.3095",
        bounds=(0.0, 1.0),
    )


def _mean_value(predictions: Predictions, kind: Kind, codes: Sequence[int]) -> float:
    """Average over classes; among several, one that these rows leave undefined counts as 0."""
    if not codes:
        return math.nan
    values = [class_value(predictions, kind, code) for code in codes]
    return values[0] if len(values) == 1 else float(np.nan_to_num(values).mean())


def _mean_influence(predictions: Predictions, kind: Kind, codes: Sequence[int]) -> Float64[np.ndarray, " rows"]:
    if not codes:
        return np.zeros(predictions.rows)
    return np.mean([class_influence(predictions, kind, code) for code in codes], axis=0)


def _mean_estimate(predictions: Predictions, kind: Kind, codes: Sequence[int], confidence: float) -> Estimate:
    """Combine the limits of each class; those of F1 share rows, so their correlation is measured."""
    if not codes:
        return unlimited(math.nan, 0, "no class occurs", confidence)
    parts = [class_estimate(predictions, kind, code, confidence) for code in codes]
    if len(parts) == 1:
        return parts[0]
    parts = [part if part.rows else replace(part, value=0.0, low=0.0, high=1.0) for part in parts]
    together = kind == "f1" or predictions.clusters is not None
    low, high = mean_of(parts, _correlation(predictions, kind, codes) if together else None)
    return Estimate(
        value=float(np.mean([part.value for part in parts])),
        low=max(low, 0.0) if math.isfinite(low) else low,
        high=min(high, 1.0) if math.isfinite(high) else high,
        rows=sum(part.rows for part in parts),
        method=f"mean over {len(parts)} classes by MOVER, each by {parts[0].method}",
        confidence=confidence,
    )


def _correlation(predictions: Predictions, kind: Kind, codes: Sequence[int]) -> Float64[np.ndarray, "classes classes"]:
    units = np.array([units_of(class_influence(predictions, kind, code), predictions.clusters) for code in codes])
    covariance = units @ units.T
    size = np.sqrt(np.diag(covariance))
    size[size == 0] = math.inf
    matrix = covariance / np.outer(size, size)
    np.fill_diagonal(matrix, 1.0)
    return matrix
