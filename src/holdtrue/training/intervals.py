"""Limits around predicted numbers, learnt from out-of-fold errors: conformal, and as narrow as the rows allow."""

from dataclasses import dataclass
from itertools import product
from math import ceil, inf, isfinite

import numpy as np
from jaxtyping import Float64

from holdtrue.models.answers import Interval

FOLDS = 5
FEWEST_ROWS = 100
FLOOR_SHARE = 0.25  # a quarter of the predictions are smaller than the floor below which an interval stops shrinking


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """An interval, how it was made, and whether the rows were enough for the coverage that was asked."""

    interval: Interval
    method: str
    enough: bool


def limits(
    truth: Float64[np.ndarray, " rows"], predicted: Float64[np.ndarray, " rows"], coverage: float, seed: int
) -> Limits:
    """Choose the interval that covers a share `coverage` of new truths.

    Four are tried: the same reach on both sides or one of its own on each, in the target's unit or in shares of the
    predicted size. The one of least interval score on rows left out is taken (Gneiting & Raftery 2007,
    doi:10.1198/016214506000001437: width, plus 2/alpha times the distance by which a truth falls outside); of equals
    the simplest. Give out-of-fold predictions.
    """
    shapes = list(product((False, True), (False, True)))  # (in shares of the size, each side on its own)
    if len(truth) >= FEWEST_ROWS:
        fold = np.random.default_rng(seed).permutation(len(truth)) % FOLDS
        scores = [_crossed(truth, predicted, coverage, fold, scaled=scaled, sided=sided) for scaled, sided in shapes]
        shapes = [shapes[int(np.argmin(scores))]]
    scaled, sided = shapes[0]
    interval, enough = _fitted(truth, predicted, coverage, scaled=scaled, sided=sided)
    method = f"conformal, {'each side on its own' if sided else 'both sides alike'}"
    return Limits(interval=interval, method=method + (", relative to the size" if scaled else ""), enough=enough)


def reach(errors: Float64[np.ndarray, " rows"], coverage: float) -> float:
    """Give the size that a share `coverage` of new errors will not exceed.

    The k-th smallest with k = ceil((n + 1) * coverage), as in split conformal prediction (Lei et al. 2018,
    doi:10.1080/01621459.2017.1307116); infinite when the rows are too few for that. With out-of-fold errors the
    models of the folds stand in for the final one, so the coverage is measured again on held-out rows.

    >>> reach(np.arange(9.0), 0.9), reach(np.arange(8.0), 0.9)
    (8.0, inf)
    """
    # A hair less: in floating point 0.55 * 100 is just above 55, and would ask for one error more.
    place = ceil((len(errors) + 1) * coverage - 1e-9)
    return inf if place > len(errors) else float(np.sort(errors)[place - 1])


def half_width(truth: Float64[np.ndarray, " rows"], predicted: Float64[np.ndarray, " rows"], coverage: float) -> float:
    """Give the distance from the prediction that a share `coverage` of new truths will not exceed."""
    return reach(np.abs(truth - predicted), coverage)


def interval_score(
    truth: Float64[np.ndarray, " rows"],
    low: Float64[np.ndarray, " rows"],
    high: Float64[np.ndarray, " rows"],
    coverage: float,
) -> float:
    """Give the mean width plus the penalty for truths outside; lower is better."""
    outside = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return float((high - low + 2.0 / (1.0 - coverage) * outside).mean())


def _crossed(
    truth: Float64[np.ndarray, " rows"],
    predicted: Float64[np.ndarray, " rows"],
    coverage: float,
    fold: "np.ndarray",
    *,
    scaled: bool,
    sided: bool,
) -> float:
    total = 0.0
    for number in range(FOLDS):
        held = fold == number
        interval, _ = _fitted(truth[~held], predicted[~held], coverage, scaled=scaled, sided=sided)
        total += interval_score(truth[held], *interval.apply(predicted[held]), coverage) * held.sum()
    return total


def _fitted(
    truth: Float64[np.ndarray, " rows"],
    predicted: Float64[np.ndarray, " rows"],
    coverage: float,
    *,
    scaled: bool,
    sided: bool,
) -> tuple[Interval, bool]:
    floor = float(np.quantile(np.abs(predicted), FLOOR_SHARE)) if scaled else 0.0
    shrinks = floor > 0
    error = (truth - predicted) / (np.maximum(np.abs(predicted), floor) if shrinks else 1.0)
    tail = 1.0 - (1.0 - coverage) / 2
    asked = (reach(-error, tail), reach(error, tail)) if sided else (reach(np.abs(error), coverage),) * 2
    most = float(np.abs(error).max())
    below, above = (max(found, 0.0) if isfinite(found) else most for found in asked)
    enough = all(isfinite(found) for found in asked)
    return Interval(below=below, above=above, floor=floor if shrinks else None), enough
