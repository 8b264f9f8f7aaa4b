"""What the model looks at: the loss when a column is shuffled, and exact contributions where a learner gives them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float64

from holdtrue.evaluation.influence import mean_limits, units_of
from holdtrue.evaluation.metric import metric_named
from holdtrue.evaluation.predictions import Predictions

Predict = Callable[[pl.DataFrame], Predictions]

# Work is bounded in predicted rows, so that wide tables take no longer than narrow ones.
PREDICTED_ROWS = 120_000
MOST_ROWS = 2_000
LEAST_ROWS = 300
REPEATS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """How much worse the metric gets when a column says nothing; `low` and `high` are its limits over the rows."""

    feature: str
    value: float
    low: float
    high: float


def answered(predict: Predict, frame: pl.DataFrame, like: Predictions) -> Predictions:
    """Predict rows whose truth is known from elsewhere."""
    return replace(predict(frame), truth=like.truth, classes=like.classes, clusters=like.clusters)


def permutation_importance(
    predict: Predict,
    frame: pl.DataFrame,
    predictions: Predictions,
    metric: str,
    confidence: float,
    seed: int,
) -> list[Importance]:
    """Shuffle one source column after the other and see what is lost; the most important first.

    Columns that say the same share their importance: shuffling one leaves the other (Breiman 2001; Fisher, Rudin and
    Dominici 2019). The interval is over rows, with the shuffles' mean; a column that changes no prediction gets exactly
    0. Measured on at most 2000 held-out rows, drawn by the seed.
    """
    generator = np.random.default_rng(seed)
    most = PREDICTED_ROWS // max(frame.width * REPEATS, 1)
    rows = min(predictions.rows, max(LEAST_ROWS, min(MOST_ROWS, most)))
    chosen = np.sort(generator.choice(predictions.rows, rows, replace=False))
    sample, known = frame[chosen], predictions.take(chosen)
    found = [
        _importance(predict, sample, known, column, metric, confidence, generator)
        for column in frame.columns
        if sample.get_column(column).n_unique() > 1
    ]
    found += [
        Importance(feature=column, value=0.0, low=0.0, high=0.0)
        for column in frame.columns
        if sample.get_column(column).n_unique() <= 1
    ]
    return sorted(found, key=lambda importance: -importance.value)


def _importance(
    predict: Predict,
    sample: pl.DataFrame,
    known: Predictions,
    column: str,
    metric: str,
    confidence: float,
    generator: np.random.Generator,
) -> Importance:
    chosen = metric_named(metric)
    sign = 1.0 if chosen.higher_is_better else -1.0
    values = sample.get_column(column)
    lost: list[float] = []
    pulls: list[np.ndarray] = []
    for _ in range(REPEATS):
        shuffled = sample.with_columns(values[generator.permutation(sample.height)])
        guessed = answered(predict, shuffled, known)
        lost.append(sign * (chosen.value(known) - chosen.value(guessed)))
        if chosen.influence is not None:
            pulls.append(sign * (chosen.influence(known) - chosen.influence(guessed)))
    value = float(np.mean(lost))
    if not pulls:
        return Importance(feature=column, value=value, low=-np.inf, high=np.inf)
    units = units_of(np.mean(pulls, axis=0), known.clusters)
    if not np.abs(units).max() > 0:
        return Importance(feature=column, value=value, low=value, high=value)
    low, high = mean_limits(value, units, confidence)
    return Importance(feature=column, value=value, low=low, high=high)


def contribution_summary(
    contributions: Float64[np.ndarray, "rows features"], origins: Sequence[str]
) -> list[tuple[str, float]]:
    """Sum exact contributions by the column each feature comes from; give their mean size, the largest first.

    >>> contribution_summary(np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -0.5]]), ["age", "age", "city"])
    [('age', 1.0), ('city', 0.5)]
    """
    columns = list(dict.fromkeys(origins))
    sums = {column: np.zeros(len(contributions)) for column in columns}
    for feature, column in enumerate(origins):
        sums[column] += contributions[:, feature]
    sizes = [(column, float(np.abs(sums[column]).mean())) for column in columns]
    return sorted(sizes, key=lambda pair: -pair[1])
