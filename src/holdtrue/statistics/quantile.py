"""Limits for a quantile that hold for any distribution: two of the sorted values themselves."""

import math

import numpy as np
from jaxtyping import Float64

from holdtrue.statistics.estimate import Estimate, tail_of, unlimited


def quantile_bound(values: Float64[np.ndarray, " rows"], q: float, confidence: float) -> Estimate:
    """Estimate the q-quantile with exact limits; a limit beyond the last value is infinite.

    The count of values at or below the true quantile is binomial (at least, when values repeat), so the r-th smallest
    value exceeds the quantile with chance P(B < r), and the s-th falls below it with chance 1 - P(B < s); r is the
    largest and s the smallest rank that keeps each chance within its tail (David & Nagaraja 2003, Order Statistics,
    7.1). The values must be independent: latencies of requests in a queue are not, so measure them in separate bursts.

    >>> wait = quantile_bound(np.arange(1.0, 1001.0), 0.99, 0.9)
    >>> wait.value, wait.low, wait.high
    (990.0, 985.0, 996.0)
    """
    from scipy.stats import binom

    _checked(q)
    method, rows = f"order statistics of the {q:.6g}-quantile", len(values)
    if rows == 0 or bool(np.isnan(values).any()):
        return unlimited(math.nan, rows, method, confidence)
    tail = tail_of(confidence)
    ordered = np.sort(values)
    # binom.ppf gives the smallest k with P(B ≤ k) ≥ tail, so P(B ≤ k - 1) < tail: rank k keeps its tail.
    lower, upper = int(binom.ppf(tail, rows, q)), int(binom.ppf(1 - tail, rows, q)) + 1
    return Estimate(
        value=float(ordered[max(math.ceil(rows * q - 1e-9), 1) - 1]),
        low=float(ordered[lower - 1]) if lower >= 1 else -math.inf,
        high=float(ordered[upper - 1]) if upper <= rows else math.inf,
        rows=rows,
        method=method,
        confidence=confidence,
    )


def quantile_rows_needed(q: float, confidence: float) -> int:
    """Give the fewest rows for which both limits of the q-quantile are finite.

    >>> quantile_rows_needed(0.99, 0.9)
    299
    """
    _checked(q)
    return math.ceil(math.log(tail_of(confidence)) / math.log(max(q, 1 - q)) - 1e-9)


def _checked(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1, got {q}; the median is 0.5.")
