"""The trivial baseline: the share of each class, or the mean, whatever the row says."""

import numpy as np

from holdtrue.models.blocks.constant import Constant
from holdtrue.models.learner import Fitted, Learner, Rows, Settings


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    if rows.classes:
        shares = np.bincount(rows.y.astype(np.int64), weights=weight, minlength=rows.classes)
        return Constant(answer=(shares / shares.sum()).reshape(1, -1), features=rows.x.shape[1])
    return Constant(answer=np.array([[np.average(rows.y, weights=weight)]]), features=rows.x.shape[1])


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="linear",
    space={},
    fit=fit,
    paper="The best answer that ignores the row: Gneiting & Raftery 2007, doi:10.1198/016214506000001437",
)
