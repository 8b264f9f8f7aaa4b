"""A measured number is never bare: it has an interval, the rows behind it and the method that made it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value between two confidence limits.

    `confidence` is that of the two-sided, equal-tailed interval. A promise tested at level α on one side reads the
    end of the interval with confidence 1 - 2α. `rows` counts what carries the information (positives for a recall).
    A limit that is not defined (too few rows) is infinite, so nothing is ever proven by it.
    """

    value: float
    low: float
    high: float
    rows: int
    method: str
    confidence: float


def unlimited(value: float, rows: int, method: str, confidence: float) -> Estimate:
    """Say that the rows do not suffice for limits: both are infinite."""
    return Estimate(value=value, low=-math.inf, high=math.inf, rows=rows, method=method, confidence=confidence)


def tail_of(confidence: float) -> float:
    """Give the chance left to each side of an equal-tailed interval.

    >>> round(tail_of(0.9), 10)
    0.05
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}; 0.95 is usual.")
    return (1 - confidence) / 2
