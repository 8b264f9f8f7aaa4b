"""Decision tree: parity with scikit-learn, and its size follows the settings."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from holdtrue.models.learner import Settings
from holdtrue.models.learners.decision_tree import PLUGIN
from holdtrue.models.problems import problem
from holdtrue.models.settings import defaults

DEFAULTS: Settings = defaults(PLUGIN.space)


def leaves(settings: Settings) -> int:
    fitted = PLUGIN.fit(problem("binary", "tree", rows=2000), {**DEFAULTS, **settings}, 0, None)
    return fitted.model.get_n_leaves()  # pyright: ignore[reportAttributeAccessIssue]


def test_its_probabilities_are_those_of_scikit_learn() -> None:
    rows = problem("three", "tree")
    by_hand = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=20, ccp_alpha=1e-5, random_state=2)
    expected = np.asarray(by_hand.fit(rows.x, rows.y).predict_proba(rows.x))
    assert PLUGIN.fit(rows, DEFAULTS, 2, None).predict(rows.x).tobytes() == expected.tobytes()


def test_settings_bound_its_size() -> None:
    assert leaves({"leaves": 4}) == 4
    assert leaves({"rows_per_leaf": 200}) < leaves({"rows_per_leaf": 1, "leaves": 1024})
    assert leaves({"pruning": 1e-2}) < leaves({"pruning": 1e-6})


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_pruning_does_not_depend_on_the_unit_of_the_target(unit: float) -> None:
    rows = problem("regression", "tree", rows=600)
    fitted = PLUGIN.fit(rows, DEFAULTS, 0, None)
    scaled = PLUGIN.fit(replace(rows, y=rows.y * unit), DEFAULTS, 0, None)
    np.testing.assert_allclose(scaled.predict(rows.x), fitted.predict(rows.x) * unit, rtol=1e-6)
