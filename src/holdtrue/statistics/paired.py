"""Two models on the same rows: is one better, and by how much."""

import math

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.mean import mean_estimate


def mcnemar(only_one: int, only_two: int) -> float:
    """Give the two-sided mid-p value that two models err equally often, from the rows in which only one of them errs.

    Of those rows either model has half, if both err equally often; the p-value is binomial, with half the chance of the
    count seen. It is used for all counts: the usual χ² with continuity correction above 25 rows approximates the exact
    test and is as conservative, while the mid-p test kept its level in all 9595 cases of Fagerland, Lydersen & Laake
    2013 (BMC Med. Res. Methodol. 13:91).

    >>> round(mcnemar(2, 10), 4)
    0.0225
    """
    from scipy.stats import binom

    if min(only_one, only_two) < 0:
        raise ValueError(f"counts are 0 or more, got {only_one} and {only_two}.")
    both, fewer = only_one + only_two, min(only_one, only_two)
    if only_one == only_two:
        return 1.0
    return min(1.0, float(2 * binom.cdf(fewer, both, 0.5) - binom.pmf(fewer, both, 0.5)))


def mean_difference(
    one: Float64[np.ndarray, " rows"],
    two: Float64[np.ndarray, " _rows"],
    confidence: float,
    seed: int,
    clusters: Int64[np.ndarray, " rows"] | None = None,
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Estimate the mean of one - two, row by row: what both find hard cancels out.

    `bounds` are those of the difference, so (-1, 1) for scores between 0 and 1.

    >>> base = np.linspace(0.0, 5.0, 400)
    >>> gain = mean_difference(base, base - 0.1 + 0.02 * np.sin(np.arange(400)), 0.9, seed=0)
    >>> f"{gain.value:.2f} ({gain.low:.3f} to {gain.high:.3f})"
    '0.10 (0.099 to 0.101)'
    """
    if len(one) != len(two):
        raise ValueError(f"{len(one)} and {len(two)} scores cannot be paired; both must be of the same rows.")
    return mean_estimate(one - two, confidence, seed, clusters, bounds=bounds)
