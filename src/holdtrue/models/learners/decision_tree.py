"""One decision tree, small enough to be drawn."""

from typing import Any

from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.forest import Forest
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number, whole


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    if rows.classes:
        return fit_present(rows, validation, lambda present, _: _fit(present, settings, seed))
    return _fit(rows, settings, seed)


def _fit(rows: Rows, settings: Settings, seed: int) -> Forest:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    plan: dict[str, Any] = {
        "max_leaf_nodes": whole(settings, "leaves"),
        "min_samples_leaf": whole(settings, "rows_per_leaf"),
        # The weakest branches are pruned; the measure is impurity, so for numbers it is a share of their variance.
        "ccp_alpha": number(settings, "pruning") * (1.0 if rows.classes else float(rows.y.var())),
        "random_state": seed,
    }
    model = DecisionTreeClassifier(**plan) if rows.classes else DecisionTreeRegressor(**plan)
    model.fit(rows.x, rows.y, sample_weight=rows.weight)
    return Forest(model=model, trees=(model,), classes=rows.classes)


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="tree",
    space={
        "leaves": Dimension(default=64, low=4, high=1024, integer=True, log=True),
        "rows_per_leaf": Dimension(default=20, low=1, high=200, integer=True, log=True),
        "pruning": Dimension(default=1e-5, low=1e-6, high=1e-2, log=True),
    },
    fit=fit,
    paper="Breiman, Friedman, Olshen & Stone 1984, Classification and Regression Trees",
)
