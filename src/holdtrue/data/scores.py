"""How well one column tells the target: a small model on it alone, scored on rows it was not fitted to."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from holdtrue.data.codes import codes_of
from holdtrue.data.hashes import dealt

Numbers = Float64[np.ndarray, " rows"]
FOLDS, LEAVES, LEAST_IN_LEAF = 3, 16, 5
SMOOTHING = 1.0  # a category counts as if the base rate had been seen in it once


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is to be told: the code of a class for each row, with the names of the classes, or a number."""

    name: str
    values: Numbers
    classes: tuple[str, ...] = ()


def score(column: pl.Series | Numbers, target: Target) -> float:
    """Give the ROC AUC (one class against the rest, weighted by size) or the R² of a single column; 1 is perfect."""
    fold = (dealt(np.arange(len(column), dtype=np.uint64), seed=0) % np.uint64(FOLDS)).astype(np.int64)
    outcomes = _outcomes(target)
    told = np.empty_like(outcomes)
    series = column if isinstance(column, pl.Series) else pl.Series(column).fill_nan(None)
    if series.dtype == pl.String:
        read, tell = codes_of(series)[0] + 1, _category_means
    else:
        read, tell = _ranks(series), _tree
    for number in range(FOLDS):
        inside, outside = fold != number, fold == number
        if inside.all() or outside.all():  # of a handful of rows none, or all, may fall into a fold
            told[outside] = outcomes.mean(axis=0)
        else:
            told[outside] = tell(read[inside], outcomes[inside], read[outside])
    if target.classes:
        return _auc(outcomes, told)
    total = float(((outcomes - outcomes.mean()) ** 2).sum())
    return max(0.0, 1 - float(((outcomes - told) ** 2).sum()) / total) if total else 0.0


def _ranks(column: pl.Series) -> Numbers:
    """Numbers by their order alone: a tree asks for no more, and its float32 would blur seconds since 1970."""
    codes = codes_of(column)[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def _outcomes(target: Target) -> Float64[np.ndarray, "rows outputs"]:
    """One column of 0 and 1 for each class (one is enough for two), or the numbers themselves."""
    if not target.classes:
        return target.values[:, None]
    codes = range(1, 2) if len(target.classes) == 2 else range(len(target.classes))
    return np.stack([target.values == code for code in codes], axis=1).astype(np.float64)


def _category_means(
    codes: Int64[np.ndarray, " inside"],
    outcomes: Float64[np.ndarray, "inside outputs"],
    asked: Int64[np.ndarray, " outside"],
) -> Float64[np.ndarray, "outside outputs"]:
    size = int(max(codes.max(initial=0), asked.max(initial=0))) + 1
    count = np.bincount(codes, minlength=size)[:, None]
    sums = np.stack([np.bincount(codes, weights=each, minlength=size) for each in outcomes.T], axis=1)
    return ((sums + SMOOTHING * outcomes.mean(axis=0)) / (count + SMOOTHING))[asked]


def _tree(
    numbers: Float64[np.ndarray, " inside"],
    outcomes: Float64[np.ndarray, "inside outputs"],
    asked: Float64[np.ndarray, " outside"],
) -> Float64[np.ndarray, "outside outputs"]:
    from sklearn.tree import DecisionTreeRegressor

    # The mean of 0 and 1 is the share of the class: squared error splits as Gini does.
    tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_IN_LEAF, random_state=0)
    tree.fit(numbers[:, None], outcomes)
    return np.asarray(tree.predict(asked[:, None])).reshape(-1, outcomes.shape[1])


def _auc(outcomes: Float64[np.ndarray, "rows outputs"], told: Float64[np.ndarray, "rows outputs"]) -> float:
    sizes = outcomes.sum(axis=0)
    areas = [auc(outcomes[:, number] > 0, told[:, number]) for number in range(outcomes.shape[1])]
    return float(np.average(areas, weights=sizes)) if sizes.sum() else 0.5


def auc(positive: Bool[np.ndarray, " rows"], told: Numbers) -> float:
    """The chance that a positive row is told higher than a negative one (Hanley and McNeil 1982).

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    from scipy.stats import rankdata

    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return 0.5
    return float((rankdata(told)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
