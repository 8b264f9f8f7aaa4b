"""Columns that know the target too well: whoever writes a project by hand has had no `init` to find them."""

import numpy as np

from holdtrue.data.leaks import leaks
from holdtrue.data.scores import Target
from holdtrue.pipeline.prepare import Prepared

SAMPLE_ROWS = 5_000
FEWEST_ROWS = 50  # with fewer, a column fits by luck
FEWEST_OF_A_CLASS = 5


def leak_notes(prepared: Prepared, *, seed: int) -> tuple[str, ...]:
    """Look at a sample of the training rows, as `init` does; a note for each column that gives the target away."""
    rows = prepared.parts.train
    if len(rows) > SAMPLE_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE_ROWS, replace=False))
    truth = prepared.truth[rows]
    few = prepared.classes and np.bincount(truth.astype(np.int64)).min() < FEWEST_OF_A_CLASS
    if len(rows) < FEWEST_ROWS or few:
        return ()
    target = Target(name=prepared.table.target, values=truth, classes=prepared.classes)
    return tuple(
        f"The column {leak.column!r} may be known only afterwards: {leak.reason}. If so, name it in data.drop."
        for leak in leaks(prepared.frame[rows], target, prepared.contract.kinds, {})
    )
