"""Extremely randomised trees: as a random forest, but the cuts are drawn at random and only the best draw is kept."""

from typing import Any

from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.forest import Forest
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number, whole

MOST_ROWS_A_TREE = 200_000  # a tree of at most 4,096 leaves learns little from more rows than this


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    """Grow the forest. Threads share out whole trees, each with its own seed: their number changes no bit."""
    if rows.classes:
        return fit_present(rows, validation, lambda present, _: _fit(present, settings, seed))
    return _fit(rows, settings, seed)


def _fit(rows: Rows, settings: Settings, seed: int) -> Forest:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    plan: dict[str, Any] = {
        "n_estimators": whole(settings, "trees"),
        "max_leaf_nodes": whole(settings, "leaves"),
        "min_samples_leaf": whole(settings, "rows_per_leaf"),
        "max_features": number(settings, "columns"),
        "bootstrap": len(rows.y) > MOST_ROWS_A_TREE,
        "max_samples": MOST_ROWS_A_TREE if len(rows.y) > MOST_ROWS_A_TREE else None,
        "random_state": seed,
        "n_jobs": -1,
    }
    model = ExtraTreesClassifier(**plan) if rows.classes else ExtraTreesRegressor(**plan)
    model.fit(rows.x, rows.y, sample_weight=rows.weight)
    model.n_jobs = 1  # scikit-learn adds up in the order in which threads finish
    return Forest(model=model, trees=tuple(model.estimators_), classes=rows.classes)


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="tree",
    space={
        "trees": Dimension(default=200, low=50, high=500, integer=True, log=True),
        "leaves": Dimension(default=1024, low=64, high=4096, integer=True, log=True),
        "rows_per_leaf": Dimension(default=3, low=1, high=50, integer=True, log=True),
        "columns": Dimension(default=0.4, low=0.1, high=1.0),
    },
    fit=fit,
    paper="Geurts, Ernst & Wehenkel 2006, doi:10.1007/s10994-006-6226-1",
)
