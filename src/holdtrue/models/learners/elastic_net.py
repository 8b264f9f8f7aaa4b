"""Elastic net: a price on the size of the coefficients that also drops those that do not earn their place."""

import numpy as np

from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.linear import Linear, classifier
from holdtrue.models.blocks.solver import calm
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number

MOST_ITERATIONS = 1_000


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    alpha, share = number(settings, "alpha"), number(settings, "l1_ratio")
    if rows.classes:
        return fit_present(rows, validation, lambda present, _: _classes(present, alpha, share, seed))
    return _values(rows, alpha, share, seed)


def _classes(rows: Rows, alpha: float, share: float, seed: int) -> Linear:
    """Logistic loss by SAGA, the one solver of scikit-learn that knows both penalties.

    It draws rows at random, from `seed`. An accelerated proximal gradient on all rows was tried and took as long.
    """
    from sklearn.linear_model import LogisticRegression

    x = rows.x.astype(np.float64)
    total = len(rows.y) if rows.weight is None else float(rows.weight.sum())
    model = LogisticRegression(
        C=1.0 / (alpha * total), l1_ratio=share, solver="saga", max_iter=MOST_ITERATIONS, random_state=seed
    )
    with calm() as notes:
        model.fit(x, rows.y, sample_weight=rows.weight)
    return classifier(model.coef_.T, np.ravel(model.intercept_), x.mean(axis=0), tuple(notes))


def _values(rows: Rows, alpha: float, share: float, seed: int) -> Linear:
    from sklearn.linear_model import ElasticNet

    # The penalty is measured in the target's own spread, so it means the same for any unit.
    middle, spread = float(rows.y.mean()), float(rows.y.std()) or 1.0
    x = rows.x.astype(np.float64)
    model = ElasticNet(alpha=alpha, l1_ratio=share, max_iter=MOST_ITERATIONS, random_state=seed)
    with calm() as notes:
        model.fit(x, (rows.y - middle) / spread, sample_weight=rows.weight)
    return Linear(
        weights=model.coef_.reshape(-1, 1) * spread,
        offset=np.array([float(model.intercept_) * spread + middle]),
        centre=x.mean(axis=0),
        link="value",
        notes=tuple(notes),
    )


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="linear",
    space={
        "alpha": Dimension(default=1e-3, low=1e-5, high=1.0, log=True),
        "l1_ratio": Dimension(default=0.5, low=0.0, high=1.0),
    },
    fit=fit,
    paper="Zou & Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x; SAGA: Defazio, Bach & Lacoste-Julien 2014",
    most_rows=100_000,
)
