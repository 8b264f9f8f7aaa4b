"""Extra trees: parity with scikit-learn."""

from typing import Any

import pytest
from sklearn.ensemble import ExtraTreesClassifier

from holdtrue.models.learner import Settings
from holdtrue.models.learners import extra_trees
from holdtrue.models.learners.extra_trees import PLUGIN
from holdtrue.models.problems import problem
from holdtrue.models.settings import defaults

QUICK: Settings = {**defaults(PLUGIN.space), "trees": 50}
BY_HAND: dict[str, Any] = {"max_leaf_nodes": 1024, "min_samples_leaf": 3, "max_features": 0.4, "random_state": 2}


def test_its_probabilities_are_those_of_one_thread() -> None:
    rows = problem("binary", "tree")
    by_hand = ExtraTreesClassifier(50, **BY_HAND)
    expected = by_hand.fit(rows.x, rows.y).predict_proba(rows.x)
    assert PLUGIN.fit(rows, QUICK, 2, None).predict(rows.x).tobytes() == expected.tobytes()


def test_a_tree_sees_no_more_rows_than_it_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra_trees, "MOST_ROWS_A_TREE", 100)
    fitted = PLUGIN.fit(problem("binary", "tree", rows=400), QUICK, 0, None)
    roots = [tree.tree_.weighted_n_node_samples[0] for tree in fitted.trees]  # pyright: ignore[reportAttributeAccessIssue]
    assert set(roots) == {100.0}
