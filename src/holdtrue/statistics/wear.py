"""Held-out rows wear out: each candidate that is judged on them spends a part of the level."""

import math


def alpha_for_use(use: int, alpha: float) -> float:
    """Give the level at which the `use`-th distinct candidate is judged on the same held-out rows.

    α · 6 / (π² k²) sums to α over all k, so the chance that any of them, however many, is released although it breaks
    a promise stays below α (the union bound). The first candidate gets 61 % of α, the tenth 0.6 %: fresh rows are
    cheaper than many tries. The sequence is fixed beforehand, so a candidate may depend on the verdicts before it.

    It covers what was judged, and nothing else. A person who reads the printed numbers and tunes by them, or picks
    among several projects on the same rows, learns from the rows without a candidate being counted. To see a
    candidate's numbers on the validation rows costs nothing; that is what they are for.

    >>> [round(alpha_for_use(use, 0.05), 4) for use in (1, 2, 10)]
    [0.0304, 0.0076, 0.0003]
    """
    if use < 1:
        raise ValueError(f"uses count from 1, got {use}.")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}; 0.05 is usual.")
    return alpha * 6 / (math.pi * use) ** 2
