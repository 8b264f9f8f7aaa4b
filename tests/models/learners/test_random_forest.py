"""Random forest: parity with scikit-learn, and threads that change no bit."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from holdtrue.models.learner import Settings
from holdtrue.models.learners import random_forest
from holdtrue.models.learners.random_forest import PLUGIN
from holdtrue.models.problems import problem
from holdtrue.models.settings import defaults

QUICK: Settings = {**defaults(PLUGIN.space), "trees": 50}
BY_HAND: dict[str, Any] = {"max_leaf_nodes": 1024, "min_samples_leaf": 3, "max_features": 0.4, "random_state": 2}


def test_its_probabilities_are_those_of_one_thread() -> None:
    rows = problem("three", "tree")
    by_hand = RandomForestClassifier(50, **BY_HAND)
    expected = by_hand.fit(rows.x, rows.y).predict_proba(rows.x)
    assert PLUGIN.fit(rows, QUICK, 2, None).predict(rows.x).tobytes() == expected.tobytes()


def test_its_values_are_those_of_one_thread() -> None:
    rows = problem("regression", "tree")
    by_hand = RandomForestRegressor(50, **BY_HAND)
    expected = by_hand.fit(rows.x, rows.y).predict(rows.x)
    assert PLUGIN.fit(rows, QUICK, 2, None).predict(rows.x)[:, 0].tobytes() == expected.tobytes()


def test_a_tree_sees_no_more_rows_than_it_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_forest, "MOST_ROWS_A_TREE", 100)
    rows = problem("binary", "tree", rows=400)
    fitted = PLUGIN.fit(rows, QUICK, 0, None)
    roots = [tree.tree_.weighted_n_node_samples[0] for tree in fitted.trees]  # pyright: ignore[reportAttributeAccessIssue]
    assert set(roots) == {100.0}
    assert np.isfinite(fitted.predict(rows.x)).all()
