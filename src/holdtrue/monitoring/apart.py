"""How well two sets of rows can be told apart, by a classifier that is asked about rows it did not learn from.

Boosted trees of few leaves: they see how columns hang together, need no scaling, and take missing values as they are.
A fit takes about a tenth of a second and does not grow with the traffic, for only so many rows of a set are taken.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

FOLDS = 2
ROUNDS, LEAVES, RATE, IN_LEAF = 40, 8, 0.1, 20


def fitted(
    one: Float32[np.ndarray, "ones columns"], other: Float32[np.ndarray, "others columns"]
) -> "HistGradientBoostingClassifier":
    """Learn to tell the other rows (class 1) from the ones (class 0)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_leaf_nodes=LEAVES,
        learning_rate=RATE,
        min_samples_leaf=IN_LEAF,
        l2_regularization=1.0,
        early_stopping=False,  # pyright: ignore[reportArgumentType]  # its annotation names only the default
        random_state=0,
    )
    return trees.fit(np.concatenate([one, other]), np.repeat([0, 1], [len(one), len(other)]))


def scores(trees: "HistGradientBoostingClassifier", rows: Float32[np.ndarray, "rows columns"]) -> "np.ndarray":
    """Give the logarithm of the odds that a row is one of the others; higher is more like them."""
    return np.asarray(trees.decision_function(rows), dtype=np.float64)


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
        trees, fair = fitted(ones, others), np.log(len(others) / len(ones))
        for place, rows in enumerate((before, now)):
            found[place][folds[place] == fold] = np.exp(scores(trees, rows[folds[place] == fold]) - fair)
    return found
