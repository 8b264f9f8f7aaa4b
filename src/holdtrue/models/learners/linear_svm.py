"""Linear support vectors: the widest margin between classes, or the flattest tube around a number."""

from dataclasses import replace
from typing import Any

import numpy as np

from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.linear import Linear, classifier
from holdtrue.models.blocks.platt import Decide, fit_crossed
from holdtrue.models.blocks.solver import calm
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number

MOST_ITERATIONS = 2_000


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    if rows.classes:
        return fit_present(rows, validation, lambda present, _: _classes(present, number(settings, "c"), seed))
    return _values(rows, number(settings, "c"), number(settings, "epsilon"))


def _classes(rows: Rows, c: float, seed: int) -> Linear:
    """Margins, then one sigmoid a class fitted on margins of rows that were left out (Platt 1999)."""
    from sklearn.svm import LinearSVC

    def margins(part: Rows) -> LinearSVC:
        # The primal problem is solved by a trust region; the dual one would draw random coordinates.
        plan: dict[str, Any] = {"C": c, "dual": False, "max_iter": MOST_ITERATIONS, "random_state": 0}
        return LinearSVC(**plan).fit(part.x.astype(np.float64), part.y, sample_weight=part.weight)

    def decide(part: Rows) -> Decide:
        model = margins(part)
        return lambda x: np.reshape(model.decision_function(x.astype(np.float64)), (len(x), -1))

    with calm() as notes:
        a, b = fit_crossed(rows, seed, decide)
        model = margins(rows)
    weights, offset = model.coef_.T * a, model.intercept_ * a + b
    centre = rows.x.mean(axis=0, dtype=np.float64)
    made = classifier(weights, offset, centre, tuple(notes))
    return made if rows.classes == 2 else replace(made, link="sigmoids")


def _values(rows: Rows, c: float, epsilon: float) -> Linear:
    from sklearn.svm import LinearSVR

    # The penalty and the tube are measured in the target's own spread, so they mean the same for any unit.
    middle, spread = float(rows.y.mean()), float(rows.y.std()) or 1.0
    x = rows.x.astype(np.float64)
    plan: dict[str, Any] = {"C": c, "dual": False, "max_iter": MOST_ITERATIONS, "tol": 1e-6, "random_state": 0}
    model = LinearSVR(epsilon=epsilon, loss="squared_epsilon_insensitive", **plan)
    with calm() as notes:
        model.fit(x, (rows.y - middle) / spread, sample_weight=rows.weight)
    return Linear(
        weights=model.coef_.reshape(-1, 1) * spread,
        offset=np.ravel(model.intercept_) * spread + middle,
        centre=x.mean(axis=0),
        link="value",
        notes=tuple(notes),
    )


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="linear",
    space={
        "c": Dimension(default=0.1, low=1e-4, high=1e2, log=True),
        "epsilon": Dimension(default=0.1, low=0.0, high=1.0),
    },
    fit=fit,
    paper="Fan et al. 2008 (LIBLINEAR), jmlr.org/papers/v9/fan08a.html; Platt 1999; Lin, Lin & Weng 2007",
    most_rows=200_000,
)
