"""Ridge regression: least squares with a price on the squared coefficients, solved exactly."""

import numpy as np

from holdtrue.models.blocks.linear import Linear
from holdtrue.models.blocks.solver import calm
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    from sklearn.linear_model import Ridge

    x = rows.x.astype(np.float64)
    model = Ridge(alpha=number(settings, "alpha"), solver="cholesky")
    with calm() as notes:
        model.fit(x, rows.y, sample_weight=rows.weight)
    return Linear(
        weights=model.coef_.reshape(-1, 1),
        offset=np.array([float(model.intercept_)]),
        centre=x.mean(axis=0),
        link="value",
        notes=tuple(notes),
    )


PLUGIN = Learner(
    tasks=frozenset({"regression"}),
    flavour="linear",
    space={"alpha": Dimension(default=1.0, low=1e-3, high=1e5, log=True)},
    fit=fit,
    paper="Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634",
    most_rows=500_000,
)
