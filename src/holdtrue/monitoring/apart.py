"""How well two sets of rows can be told apart, by a classifier that is asked about rows it did not learn from.

Boosted trees of few leaves: they see how columns hang together, need no scaling, and take missing values as they are.
A fit takes about a tenth of a second and does not grow with the traffic, for only so many rows of a set are taken. It
takes one thread: threads that wait for each other on a busy machine, as beside an endpoint, take many times as long.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64, Int64
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

FOLDS = 2
ROUNDS, LEAVES, RATE, IN_LEAF = 40, 8, 0.1, 20
BINS = 128


@dataclass(frozen=True, slots=True)
class Apart:
    """What tells two sets of rows apart.

    Values are given to the trees as the number of their bin, 0 where they are missing: a column without a value, with
    one alone or with an infinite one is then nothing out of the ordinary.

    Attributes:
        edges: of the bins of each column; none where all rows have the same, and the column says nothing.
        trees: none where no column says anything.
    """

    edges: "tuple[np.ndarray, ...]"
    useful: Int64[np.ndarray, " _used"]
    trees: "HistGradientBoostingClassifier | None"

    def scores(self, rows: Float32[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " rows"]:
        """Give the logarithm of the odds that a row is one of the others; higher is more like them."""
        if self.trees is None:
            return np.zeros(len(rows))
        with threadpool_limits(limits=1):
            found = self.trees.decision_function(_binned(rows, self.edges)[:, self.useful])
        return np.asarray(found, dtype=np.float64)


def fitted(one: Float32[np.ndarray, "ones columns"], other: Float32[np.ndarray, "others columns"]) -> Apart:
    """Learn to tell the other rows (class 1) from the ones (class 0)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    both = np.concatenate([one, other])
    edges = tuple(_edges(column) for column in both.T)
    binned = _binned(both, edges)
    useful = np.flatnonzero((binned != binned[:1]).any(axis=0))
    if not len(useful):
        return Apart(edges, useful, None)
    trees = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        learning_rate=RATE,
        min_samples_leaf=IN_LEAF,
        l2_regularization=1.0,
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # its annotation names only the default
        random_state=0,
    )
    with threadpool_limits(limits=1):
        trees.fit(binned[:, useful], np.repeat([0, 1], [len(one), len(other)]))
    return Apart(edges, useful, trees)


def _edges(column: "np.ndarray") -> "np.ndarray":
    known = column[~np.isnan(column)]
    if not len(known):
        return known
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf"))


def _binned(rows: "np.ndarray", edges: "tuple[np.ndarray, ...]") -> "np.ndarray":
    """Give the bin of each value; above the largest edge is a bin of its own."""
    found = np.zeros(rows.shape, dtype=np.float64)
    for place, cuts in enumerate(edges):
        column = rows[:, place]
        found[:, place] = np.where(np.isnan(column), 0, np.searchsorted(cuts, column, side="left") + 1)
    return found


def density_ratio(
    before: Float32[np.ndarray, "befores columns"], now: Float32[np.ndarray, "nows columns"], seed: int
) -> tuple[Float64[np.ndarray, " befores"], Float64[np.ndarray, " nows"]]:
    """Say of each row how many times likelier it is now than before, by trees that did not learn from it.

    The odds of a row, over those of any row, are the ratio of the two densities (Bickel, Brückner & Scheffer 2009,
    J. Mach. Learn. Res. 10, 2137-2155). Both sets are cut into two folds by chance, drawn from `seed`.
    """
    chance = np.random.default_rng(seed)
    folds = [chance.permutation(len(rows)) % FOLDS for rows in (before, now)]
    found = np.empty(len(before)), np.empty(len(now))
    for fold in range(FOLDS):
        ones, others = before[folds[0] != fold], now[folds[1] != fold]
        apart, fair = fitted(ones, others), np.log(len(others) / len(ones))
        if apart.trees is None:
            fair = 0.0
        for place, rows in enumerate((before, now)):
            found[place][folds[place] == fold] = np.exp(apart.scores(rows[folds[place] == fold]) - fair)
    return found
