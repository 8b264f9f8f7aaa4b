"""Do the columns of a window hang together as they did? A classifier learns to tell it from the past, and is tested.

Two columns may change how they move together while neither changes by itself. A classifier sees that (the two-sample
test of Lopez-Paz & Oquab 2017, ICLR, arXiv:1610.06545). It learns from one half of the reference rows and one half of
the window's. The other halves, which it has not seen, are then counted by its score in bins that were laid by what it
learned from: without a change they come from one population whatever it learned, so the exact e-value of any column
(`statistics/two_samples.py`) is exact here too. The halves of the window change parts, and both e-values are averaged,
which is an e-value again; of the reference one half always learns, for the rulers of its columns were laid by it.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from holdtrue.monitoring.apart import Apart, fitted
from holdtrue.statistics.two_samples import log_evidence, stability

JOINT = "(joint)"
LEAST_ROWS = 100  # of a window; fewer teach a classifier nothing
MOST_ROWS = 2_000
BINS = 8
WORTH_A_LOOK = math.log(10)  # evidence from which on it is asked which columns tell the two apart
MOST_NAMED, TELLING = 3, 0.2  # of what the most telling column does
SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Joint:
    """What a classifier says of a window.

    Attributes:
        log_evidence: the e-value against "nothing changed", as a natural logarithm.
        size: the population stability index of its score, beyond chance.
        by: the columns without which it would tell the two apart less well, the most telling first.
    """

    log_evidence: float
    size: float
    by: tuple[str, ...] = ()


def joint(
    reference: Float32[np.ndarray, "references columns"],
    now: Float32[np.ndarray, "nows columns"],
    names: tuple[str, ...],
) -> Joint | None:
    """Hold a window against the reference; None where there is nothing to hang together, or too few rows.

    The rows of the window must lie in an order that says nothing of them, and those of the reference as `gauge_of` had
    them: the even ones learn.
    """
    if len(names) < 2 or min(len(now), len(reference)) < LEAST_ROWS:
        return None
    learning, testing = reference[:MOST_ROWS:2], reference[1:MOST_ROWS:2]
    halves = now[:MOST_ROWS:2], now[1:MOST_ROWS:2]
    logs, sizes, losses = [], [], np.zeros(len(names))
    for mine, other in (halves, halves[::-1]):
        apart = fitted(learning, mine)
        learnt = np.concatenate([apart.scores(learning), apart.scores(mine)])
        edges = np.unique(np.quantile(learnt, np.arange(1, BINS) / BINS))
        found = [_counts(apart.scores(rows), edges) for rows in (testing, other)]
        logs.append(float(log_evidence(found[0], found[1])[0]))
        sizes.append(float(stability(found[0], found[1])[0]))
        if logs[-1] > WORTH_A_LOOK:
            losses += _losses(apart, testing, other)
    together = float(np.logaddexp(*logs)) - math.log(2)
    most = max(float(losses.max()), 0.0)
    order = [place for place in np.argsort(-losses, kind="stable")[:MOST_NAMED] if losses[place] > TELLING * most]
    return Joint(log_evidence=together, size=float(np.mean(sizes)), by=tuple(names[place] for place in order))


def _counts(values: "np.ndarray", edges: "np.ndarray") -> "np.ndarray":
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)[None, :]


def _losses(apart: Apart, one: "np.ndarray", other: "np.ndarray") -> "np.ndarray":
    """Say for each column how much closer the scores of both samples come when its values are mixed."""
    chance = np.random.default_rng(SEED)

    def distance(first: "np.ndarray", second: "np.ndarray") -> float:
        said = [apart.scores(rows) for rows in (first, second)]
        return float(said[1].mean() - said[0].mean())

    whole = distance(one, other)
    lost: list[float] = []
    for place in range(one.shape[1]):
        # Values of both samples, mixed: neither where the column lies nor what it goes with tells anything any more.
        both = chance.permutation(np.concatenate([one[:, place], other[:, place]]))
        mixed = one.copy(), other.copy()
        mixed[0][:, place], mixed[1][:, place] = both[: len(one)], both[len(one) :]
        lost.append(whole - distance(*mixed))
    return np.array(lost)
