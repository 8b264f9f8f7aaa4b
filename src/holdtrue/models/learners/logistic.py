"""Logistic regression: log-odds are a weighted sum; multinomial for more than two classes."""

import numpy as np

from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.linear import Linear, classifier
from holdtrue.models.blocks.solver import calm
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number

MOST_ITERATIONS = 2_000  # on scaled columns a hundred is plenty; the rest is for columns that nearly repeat another


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    return fit_present(rows, validation, lambda present, _: _fit(present, number(settings, "c")))


def _fit(rows: Rows, c: float) -> Linear:
    from sklearn.linear_model import LogisticRegression

    x = rows.x.astype(np.float64)
    model = LogisticRegression(C=c, max_iter=MOST_ITERATIONS, tol=1e-5)
    with calm() as notes:
        model.fit(x, rows.y, sample_weight=rows.weight)
    return classifier(model.coef_.T, np.ravel(model.intercept_), x.mean(axis=0), tuple(notes))


PLUGIN = Learner(
    tasks=frozenset({"classification"}),
    flavour="linear",
    space={"c": Dimension(default=1.0, low=1e-4, high=1e4, log=True)},
    fit=fit,
    paper="Cox 1958, doi:10.1111/j.2517-6161.1958.tb00292.x; L-BFGS: Liu & Nocedal 1989, doi:10.1007/BF01589116",
    most_rows=500_000,  # a few hundred coefficients are known to the third digit by then; float64 needs the memory
)
