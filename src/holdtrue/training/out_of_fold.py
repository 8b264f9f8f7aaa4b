"""Out-of-fold predictions: every row is answered by a model, and an encoding, that never saw it."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.models.learner import Value
from holdtrue.training.examples import Examples, Terms
from holdtrue.training.fit import encode_and_fit

Fold = tuple[Int64[np.ndarray, " _train"], Int64[np.ndarray, " _held"]]


def out_of_fold(
    name: str,
    given: Mapping[str, Value],
    examples: Examples,
    folds: Sequence[Fold],
    terms: Terms,
    validation: Examples | None = None,
) -> Float64[np.ndarray, "rows outputs"]:
    """Answer each held row by the model of its fold; a row that no fold holds stays NaN.

    The encoding is learnt again in every fold: a category's frequency or a column's mean must not know the held
    rows. `validation` rows, disjoint from the examples, may stop a booster; the held rows never do, or their
    predictions would be better than those of new rows.
    """
    made = np.full((len(examples.y), terms.classes or 1), np.nan)
    for train, held in folds:
        candidate = encode_and_fit(name, given, examples.take(train), terms, validation)
        made[held] = candidate.predict(examples.frame[held])
    return made
