"""Are predicted probabilities right? The calibration error without the part that chance makes, and the curve itself.

Rows are sorted by predicted probability and cut into bins of equal size. A bin's gap is the mean of (what came true -
what was predicted). The error is the root of the mean squared gap, which is never below the mean absolute gap (the
"expected calibration error"), so a bound for it bounds both. Squared gaps of a perfect model are not 0 but as large as
chance makes them; that part is taken off (Bröcker 2012; Ferro and Fricker 2012; Kumar, Liang and Ma 2019).

The limits come from the distribution of the sum of squared gaps, a quadratic form of nearly normal numbers: the upper
limit is the largest error under which so small a sum has a chance of one tail, taken for the arrangement of gaps that
makes small sums likeliest. Wiggles of the probabilities inside one bin are not seen.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import brentq
from scipy.special import ndtr

from holdtrue.evaluation.counts import share
from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.binomial import wilson
from holdtrue.statistics.estimate import Estimate, tail_of, unlimited

BINS = 15
LEAST_IN_BIN = 20
LEAST_ROWS = 100
DRAWS = 4000
METHOD = "root mean squared gap over equal bins, bias removed"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gaps:
    """The weighted gap of each bin (the squares add up to the squared error) and the covariance chance gives them."""

    gap: Float64[np.ndarray, " bins"]
    covariance: Float64[np.ndarray, "bins bins"]
    predicted: Float64[np.ndarray, " bins"]
    hits: Float64[np.ndarray, " bins"]
    rows: Int64[np.ndarray, " bins"]


def calibration_error(predictions: Predictions, confidence: float, seed: int) -> Estimate:
    """Estimate the calibration error.

    Two classes: of the probability of the positive class. Several: of the probability of the likeliest class (is a
    decision said to be 80 % sure right in 80 % of cases?). Numbers: the distance between the share of rows that the
    predicted interval covers and the share it promises.
    """
    if predictions.probabilities is None:
        return _interval_error(predictions, confidence)
    probability, hit = _judged(predictions)
    if predictions.rows < LEAST_ROWS:
        return unlimited(math.nan, predictions.rows, f"{METHOD}; {LEAST_ROWS} rows are needed", confidence)
    gaps = _gaps(probability, hit, predictions.clusters)
    observed = float(gaps.gap @ gaps.gap)
    noise = np.linalg.eigvalsh(gaps.covariance).clip(min=0.0)
    tail = tail_of(confidence)
    rest, strongest = _chance(noise, seed)
    value = math.sqrt(max(observed - float(noise.sum()), 0.0))
    return Estimate(
        value=value,
        low=_limit(observed, rest, strongest, 1 - tail),
        high=_limit(observed, rest, strongest, tail),
        rows=predictions.rows,
        method=f"{METHOD}, {len(gaps.gap)} bins",
        confidence=confidence,
    )


def reliability(predictions: Predictions, confidence: float) -> list[dict[str, float | int]]:
    """Give the points of the calibration curve: predicted against observed, with Wilson's interval in each bin."""
    if predictions.probabilities is None or predictions.rows == 0:
        return []
    gaps = _gaps(*_judged(predictions), predictions.clusters)
    points: list[dict[str, float | int]] = []
    for predicted, hits, rows in zip(gaps.predicted.tolist(), gaps.hits.tolist(), gaps.rows.tolist(), strict=True):
        observed = wilson(hits, rows, confidence)
        points.append(
            {
                "predicted": predicted,
                "observed": observed.value,
                "low": observed.low,
                "high": observed.high,
                "rows": rows,
            }
        )
    return points


def _judged(predictions: Predictions) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
    """Give the probability that is judged and whether what it speaks of came true."""
    probabilities = predictions.probabilities
    assert probabilities is not None
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], (predictions.truth == 1).astype(np.float64)
    likeliest = probabilities.argmax(axis=1)
    return probabilities.max(axis=1), (likeliest == predictions.truth).astype(np.float64)


def _gaps(
    probability: Float64[np.ndarray, " rows"],
    hit: Float64[np.ndarray, " rows"],
    clusters: Int64[np.ndarray, " rows"] | None,
) -> _Gaps:
    rows = len(hit)
    bins = max(1, min(BINS, rows // LEAST_IN_BIN))
    order = np.argsort(probability, kind="stable")
    # Equal probabilities share a bin: where a tie is cut, what falls on which side would be chance.
    edges = np.searchsorted(probability[order], probability[order][np.arange(1, bins) * rows // bins])
    place = np.empty(rows, dtype=np.int64)
    place[order] = np.searchsorted(np.unique(edges[edges > 0]), np.arange(rows), side="right")
    size = np.bincount(place).astype(np.float64)
    hits, predicted = np.bincount(place, weights=hit), np.bincount(place, weights=probability)
    gap = (hits - predicted) / np.sqrt(size * rows)
    return _Gaps(
        gap=gap,
        covariance=_covariance(probability, hit, place, size, clusters),
        predicted=predicted / size,
        hits=hits,
        rows=size.astype(np.int64),
    )


def _covariance(
    probability: "np.ndarray", hit: "np.ndarray", place: "np.ndarray", size: "np.ndarray", clusters: "np.ndarray | None"
) -> Float64[np.ndarray, "bins bins"]:
    """Give what chance alone makes of the weighted gaps.

    A bin's hits vary like those of a coin of its own share. The share is moved by one row towards what was predicted,
    so that a bin of rare events that saw none is not thought certain. Clusters add what their rows do together.
    """
    rows = len(hit)
    share = (np.bincount(place, weights=hit) + np.bincount(place, weights=probability) / size) / (size + 1)
    coins = np.diag(share * (1 - share) * size / (size - 1).clip(min=1) / rows)
    if clusters is None:
        return coins
    _, code = np.unique(clusters, return_inverse=True)
    mean_gap = (np.bincount(place, weights=hit - probability) / size)[place]
    pulls = np.zeros((int(code.max()) + 1, len(size)))
    np.add.at(pulls, (code, place), (hit - probability - mean_gap) / np.sqrt(size[place] * rows))
    together = pulls.T @ pulls * (len(pulls) / max(len(pulls) - 1, 1))
    # Few clusters can by luck look less varied than coins; the larger variance is taken.
    return together if np.trace(together) > np.trace(coins) else coins


def _chance(noise: "np.ndarray", seed: int) -> "tuple[np.ndarray, float]":
    """Draw the part of the sum of squares that the weaker directions make; name the strongest direction's variance."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((DRAWS, len(noise) - 1)) ** 2 @ noise[:-1], float(noise[-1])


def _limit(observed: float, rest: "np.ndarray", strongest: float, level: float) -> float:
    """Find the error under which a sum of squares up to the observed one has the chance `level`; 0 if none is so large.

    All of the error lies in the direction that chance moves most: there the sum varies most, so that both tails are
    the heaviest that an error of that size can make.
    """
    root, spread = np.sqrt(np.clip(observed - rest, 0.0, None)), math.sqrt(strongest)
    if spread == 0:
        return math.sqrt(observed)

    def excess(error: float) -> float:
        inside = ndtr((root - error) / spread) - ndtr((-root - error) / spread)
        return float(inside.mean()) - level

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, math.sqrt(observed) + 10 * spread))


def _interval_error(predictions: Predictions, confidence: float) -> Estimate:
    """Give limits of |coverage - promised|: the interval of the coverage, folded at what was promised."""
    if predictions.low is None or predictions.high is None or predictions.coverage is None:
        raise ValueError("calibration needs probabilities, or predicted intervals and their coverage.")
    inside = (predictions.low <= predictions.truth) & (predictions.truth <= predictions.high)
    covered = share(predictions, inside, np.ones(predictions.rows, dtype=bool), confidence)
    if covered.rows == 0 or not math.isfinite(covered.low):
        return unlimited(math.nan, covered.rows, covered.method, confidence)
    below, above = covered.low - predictions.coverage, covered.high - predictions.coverage
    return Estimate(
        value=abs(covered.value - predictions.coverage),
        low=max(0.0, below, -above),
        high=max(abs(below), abs(above)),
        rows=predictions.rows,
        method=f"distance of the interval's coverage from its promise, {covered.method}",
        confidence=confidence,
    )
