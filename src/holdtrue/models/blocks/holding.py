"""Rows held back from a fit, by which a learner decides when to stop or how sure to be."""

import numpy as np
from jaxtyping import Bool

from holdtrue.models.blocks.classes import taken
from holdtrue.models.learner import Rows

ONE_IN = 10
FEWEST_ROWS = 100


def held_back(rows: Rows, validation: Rows | None, seed: int) -> tuple[Rows, Rows | None]:
    """Give the rows to fit on and the rows to decide by.

    The latter are the caller's; without them, one row in ten of each class, chosen by the seed. With fewer than 100
    rows there is none: every row is needed for the fit.
    """
    if validation is not None or len(rows.y) < FEWEST_ROWS:
        return rows, validation
    chance = np.random.default_rng(seed)
    held: Bool[np.ndarray, " rows"] = np.zeros(len(rows.y), dtype=bool)
    groups = rows.y if rows.classes else np.zeros_like(rows.y)
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        held[chance.permutation(places)[: len(places) // ONE_IN]] = True
    return (taken(rows, ~held), taken(rows, held)) if held.any() else (rows, None)
