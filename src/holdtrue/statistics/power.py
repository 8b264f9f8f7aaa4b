"""How many rows would settle a promise, and how small a distance the rows at hand can settle."""

import math
from typing import Literal

import numpy as np
from scipy.special import ndtri

from holdtrue.statistics.estimate import Estimate, tail_of

Direction = Literal["at_least", "at_most"]

# Where there are no limits yet there is no error to scale; every method here has limits by this many rows, unless the
# rows say next to nothing.
LEAST_ROWS = 30
MOST_ROWS = 10**12


def rows_needed(
    estimate: Estimate, bound: float, direction: Direction, confidence: float, power: float = 0.8
) -> int | None:
    """Give the rows at which the bound is proven with chance `power`, if the truth is the value seen.

    The error shrinks with the root of the rows, so rows · ((z + z_power) · error / distance)². None when the value is
    on the wrong side of the bound or unknown: more rows would then rather refute. Without limits there is nothing to
    scale, and the answer is the fewest rows at which there may be some.

    Args:
        confidence: of the two-sided interval that will be taken then.

    >>> seen = Estimate(value=0.83, low=0.81, high=0.85, rows=1000, method="", confidence=0.9)
    >>> rows_needed(seen, 0.82, "at_least", 0.9)
    9141
    """
    distance = estimate.value - bound if direction == "at_least" else bound - estimate.value
    if not distance > 0:
        return None
    error = standard_error(estimate, direction)
    if not math.isfinite(error):
        return max(LEAST_ROWS, 2 * estimate.rows)
    # Beyond 10⁶ the square is of no use to anyone, and may overflow.
    ratio = min((float(ndtri(1 - tail_of(confidence))) + float(ndtri(power))) * error / distance, 1e6)
    return min(max(math.ceil(estimate.rows * ratio**2), 1), MOST_ROWS)


def minimum_detectable(
    estimate: Estimate, direction: Direction, confidence: float, power: float = 0.8, *, rows: int | None = None
) -> float:
    """Give how far on the right side of a bound the truth must lie to be proven with chance `power`.

    >>> seen = Estimate(value=0.83, low=0.81, high=0.85, rows=1000, method="", confidence=0.9)
    >>> round(minimum_detectable(seen, "at_least", 0.9), 4)
    0.0302
    >>> round(minimum_detectable(seen, "at_least", 0.9, rows=4000), 4)
    0.0151
    """
    error = standard_error(estimate, direction)
    if math.isfinite(error) and rows is not None:
        error *= math.sqrt(estimate.rows / rows)
    return (float(ndtri(1 - tail_of(confidence))) + float(ndtri(power))) * error


def standard_error(estimate: Estimate, direction: Direction) -> float:
    """Read the standard error off the half of the interval that a promise of this direction rests on."""
    half = estimate.value - estimate.low if direction == "at_least" else estimate.high - estimate.value
    if half == 0:
        return 0.0
    return half / float(ndtri(1 - tail_of(estimate.confidence)))


def binomial_rows_needed(share: float, bound: float, confidence: float, power: float = 0.8) -> int | None:
    """Give the fewest rows from which on a true `share` is proven against `bound` by Clopper-Pearson's limit.

    At least the bound when the share is above it, at most when below; None when they are equal. The chance to prove
    is not monotone in the rows (counts are whole numbers), so the answer is the number after the last one that fails.

    >>> binomial_rows_needed(0.85, 0.80, 0.9)
    398
    >>> binomial_rows_needed(1.0, 0.95, 0.9)
    59
    """
    if not (0 <= share <= 1 and 0 <= bound <= 1):
        raise ValueError(f"share and bound lie in [0, 1], got {share} and {bound}.")
    if share == bound:
        return None
    if share < bound:
        share, bound = 1 - share, 1 - bound
    if bound == 0:
        return 1
    tail = tail_of(confidence)
    z = float(ndtri(1 - tail)) * math.sqrt(bound * (1 - bound)) + float(ndtri(power)) * math.sqrt(share * (1 - share))
    rough = (z / (share - bound)) ** 2
    if rough > 1e7:
        return math.ceil(rough)
    # The saw's teeth are about 1 / (share - bound) wide; nothing fails again far beyond the rough answer.
    trials = np.arange(1, math.ceil(2 * rough + 20 / (share - bound) + 50))
    failing = np.flatnonzero(_chance_to_prove(trials, share, bound, tail) < power)
    return int(trials[failing[-1]]) + 1 if len(failing) else 1


def _chance_to_prove(trials: "np.ndarray", share: float, bound: float, tail: float) -> "np.ndarray":
    from scipy.stats import binom

    # Clopper-Pearson's limit keeps the bound exactly when P(X ≥ k | bound) ≤ tail, so from k = isf + 1 successes on:
    # isf gives the smallest k with P(X > k) ≤ tail.
    fewest = np.asarray(binom.isf(tail, trials, bound)) + 1
    return np.asarray(binom.sf(fewest - 1, trials, share))
