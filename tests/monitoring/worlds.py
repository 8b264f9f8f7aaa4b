"""Rows of a world whose relation between inputs and truth is known, and a model that knows it only roughly."""

from dataclasses import replace

import numpy as np
from scipy.special import expit

from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.estimate import Rows
from holdtrue.monitoring.quality import Pledge

COLUMNS = 5
UNKNOWN = float("nan")


def rows_of(
    chance: np.random.Generator,
    count: int,
    *,
    shift: float = 0.0,
    concept: float = 0.0,
    kind: str = "binary",
    truth_known: float = 1.0,
) -> "tuple[Rows, Predictions]":
    """Draw rows; gives them with the truths that are known, and with all.

    `shift` moves the first column, which moves with the second. `concept` bends what the third says of the truth, which
    the model does not look at. The model leaves out how the third and the fourth hang together, and is too timid.
    """
    columns = chance.normal(size=(count, COLUMNS))
    columns[:, 0] += shift
    columns[:, 1] += 0.6 * columns[:, 0]
    pull = 1.2 * columns[:, 0] - 0.8 * columns[:, 1] + 0.7 * columns[:, 2] * columns[:, 3] - 0.4
    seen = 1.2 * columns[:, 0] - 0.8 * columns[:, 1] - 0.3
    if kind == "binary":
        said = expit(0.85 * seen)
        came = chance.random(count) < expit(pull + 2.0 * concept * (columns[:, 2] - 0.5))
        whole = Predictions(
            truth=came.astype(np.float64),
            classes=("no", "yes"),
            probabilities=np.stack([1 - said, said], axis=1),
            decisions=(said > 0.5).astype(np.int64),
        )
    else:
        noise = (0.5 + 0.4 * np.abs(columns[:, 0])) * chance.normal(size=count)
        truth = pull + noise + concept * columns[:, 2]
        whole = Predictions(truth=truth, values=seen, low=seen - 1.5, high=seen + 1.5)
    known = np.where(chance.random(count) < truth_known, whole.truth, UNKNOWN)
    found = Rows(
        names=tuple(f"x{place}" for place in range(COLUMNS)),
        is_text=np.zeros(COLUMNS, dtype=np.bool_),
        columns=columns.astype(np.float32),
        predictions=replace(whole, truth=known),
        stand_for=count,
    )
    return found, whole


def pledge(metric: str, bound: float = 0.5, direction: str = "at_least") -> Pledge:
    return Pledge(text=f"{metric} {direction} {bound}", metric=metric, direction=direction, bound=bound)  # pyright: ignore[reportArgumentType]
