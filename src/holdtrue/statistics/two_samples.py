"""Do two samples of counts come from one population? Exact evidence for any sizes, and the size of the difference.

Where both come from one population, the counts of one of them, given the counts of both together, are a multivariate
hypergeometric draw: no unknown number is left. Cut at a tree of bins, that is an independent hypergeometric draw at
each cut. The evidence is how much likelier the counts are where at some cuts the share is another one (a beta-binomial
draw) than under no change at all. The chance is taken over one distribution that is known in full, so its mean is at
most 1 whatever the sizes: a window of 50 rows needs no approximation, and one of a million is no sooner called changed.

The tree follows Ma & Wong 2011 (J. Am. Stat. Assoc. 106, 1553-1565) and Holmes et al. 2015 (Bayesian Analysis 10,
297-320), who compare marginal likelihoods; conditioning on the sum of both samples makes it exact for every population.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import betaln, gammaln, logsumexp

# Where a share changes, it changes by about so many of its standard deviations: 1 / sqrt of these.
CONCENTRATIONS = np.array([4.0, 16.0, 64.0, 256.0, 1024.0])
CHANGED = 0.5  # the prior weight of a change at some cut of a level; a level has twice the cuts of the one above it


@dataclass(frozen=True, slots=True)
class _Cuts:
    """The cuts of a tree over bins: [start, middle) against [middle, stop), and the prior weight of a change there."""

    start: "np.ndarray"
    middle: "np.ndarray"
    stop: "np.ndarray"
    changed: "np.ndarray"


@cache
def _cuts(bins: int, *, first_apart: bool) -> _Cuts:
    """Halve the bins until each stands alone; with `first_apart` the first bin is held against all others before."""
    found: list[tuple[int, int, int, float]] = []
    level = [(0, bins)]
    if first_apart and bins > 1:
        found.append((0, 1, bins, CHANGED))
        level = [(1, bins)]
    weight = CHANGED
    while level:
        below: list[tuple[int, int]] = []
        for start, stop in level:
            if stop - start > 1:
                middle = (start + stop) // 2
                found.append((start, middle, stop, weight))
                below += [(start, middle), (middle, stop)]
        level, weight = below, weight / 2
    start, middle, stop, changed = (np.array(part) for part in zip(*found, strict=True))
    return _Cuts(start, middle, stop, changed)


def log_evidence(
    one: Int64[np.ndarray, "tests bins"], other: Int64[np.ndarray, "tests bins"], *, first_apart: bool = False
) -> Float64[np.ndarray, " tests"]:
    """Give the logarithm of an e-value against "both samples come from one population", for each pair of counts.

    Bins that lie beside each other should belong together, as those of a number do. They must be chosen without looking
    at these counts. With `first_apart` the first bin (such as missing values) is held against all others first.

    >>> quiet, shifted = np.array([[50, 50, 50, 50]]), np.array([[20, 40, 60, 80]])
    >>> log_evidence(quiet, quiet).round(1).tolist(), log_evidence(quiet, shifted).round(1).tolist()
    ([-0.7], [5.3])
    """
    if one.shape[1] < 2:
        return np.zeros(len(one))
    # The smaller sample is the one whose share moves: the share of both together is nearly that of the larger one.
    is_less = (one.sum(axis=1) <= other.sum(axis=1))[:, None]
    small, both = np.where(is_less, one, other), one + other
    cuts = _cuts(one.shape[1], first_apart=first_apart)
    drawn, drawn_left = _at(small, cuts.start, cuts.stop), _at(small, cuts.start, cuts.middle)
    pool, pool_left = _at(both, cuts.start, cuts.stop), _at(both, cuts.start, cuts.middle)
    return np.asarray(_of_cuts(drawn, drawn_left, pool, pool_left, cuts.changed).sum(axis=1))


def _at(counts: "np.ndarray", start: "np.ndarray", stop: "np.ndarray") -> "np.ndarray":
    total = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    return total[:, stop] - total[:, start]


def _of_cuts(
    drawn: "np.ndarray", left: "np.ndarray", pool: "np.ndarray", pool_left: "np.ndarray", changed: "np.ndarray"
) -> "np.ndarray":
    """Give the logarithm of each cut's likelihood ratio; all arrays have the shape (tests, cuts)."""
    right, pool_right = drawn - left, pool - pool_left
    same = _choose(pool_left, left) + _choose(pool_right, right) - _choose(pool, drawn)
    is_open = (pool_left > 0) & (pool_right > 0) & (drawn > 0)  # else nothing can differ here
    share = np.where(is_open, pool_left / np.maximum(pool, 1), 0.5)[..., None]
    a, b = CONCENTRATIONS * share, CONCENTRATIONS * (1 - share)
    moved = _choose(drawn, left)[..., None] + betaln(left[..., None] + a, right[..., None] + b) - betaln(a, b)
    ratio = logsumexp(moved, axis=2) - np.log(len(CONCENTRATIONS)) - same
    return np.where(is_open, np.logaddexp(np.log1p(-changed), np.log(changed) + ratio), 0.0)


def _choose(count: "np.ndarray", taken: "np.ndarray") -> "np.ndarray":
    return np.asarray(gammaln(count + 1) - gammaln(taken + 1) - gammaln(count - taken + 1))


def stability(
    one: Int64[np.ndarray, "tests bins"], other: Int64[np.ndarray, "tests bins"]
) -> Float64[np.ndarray, " tests"]:
    """Give the population stability index beyond what chance gives: 0 for no change, 0.1 moderate, 0.25 large.

    The index is Σ (p - q) ln(p / q), with half a row added to each count. Without any change its mean is nearly
    (bins - 1) (1/n + 1/m) (Yurdakul & Naranjo 2020, J. Risk Model Validation 14(4)); that is taken off, for a day of
    100 rows would have an index of 0.2 by chance alone. Bins that are empty in both samples do not count.

    >>> quiet, shifted = np.array([[50, 50, 50, 50]]), np.array([[20, 40, 60, 80]])
    >>> stability(quiet, quiet).round(2).tolist(), stability(quiet, shifted).round(2).tolist()
    ([0.0], [0.19])
    """
    is_used = (one + other) > 0
    bins = is_used.sum(axis=1)
    rows = one.sum(axis=1), other.sum(axis=1)
    p, q = (
        np.where(is_used, counts + 0.5, 1.0) / (total + 0.5 * bins)[:, None]
        for counts, total in zip((one, other), rows, strict=True)
    )
    index = np.where(is_used, (p - q) * np.log(p / q), 0.0).sum(axis=1)
    by_chance = (bins - 1) * sum(1 / np.maximum(total, 1) for total in rows)
    return np.maximum(index - by_chance, 0.0)


def e_bh(log_evidence: "np.ndarray", level: float) -> "np.ndarray":
    """Say which e-values reject, so that of what is rejected the expected share that is false stays below `level`.

    The k largest are rejected for the largest k whose k-th largest is at least tests / (k · level), whatever the
    dependence (Wang & Ramdas 2022, J. R. Statist. Soc. B 84, 822-852). Where nothing is wrong at all, any rejection is
    false, so there is one in at most `level` of all cases.

    >>> e_bh(np.log([400.0, 1.0, 90.0, 3.0]), 0.05).tolist()
    [True, False, True, False]
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}.")
    tests = len(log_evidence)
    order = np.argsort(-log_evidence, kind="stable")
    wanted = np.log(tests / (np.arange(1, tests + 1) * level))
    enough = np.flatnonzero(log_evidence[order] >= wanted)
    rejected = np.zeros(tests, dtype=bool)
    if len(enough):
        rejected[order[: enough[-1] + 1]] = True
    return rejected
