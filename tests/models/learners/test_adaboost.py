"""AdaBoost: the votes and the weighted median are scikit-learn's; probabilities are as sure as held rows allow."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from holdtrue.models.learner import Rows, Settings
from holdtrue.models.learners.adaboost import PLUGIN
from holdtrue.models.problems import problem
from holdtrue.models.settings import defaults

QUICK: Settings = {**defaults(PLUGIN.space), "trees": 30}


@pytest.mark.parametrize("kind", ["binary", "three"])
def test_its_votes_are_those_of_scikit_learn(kind: Any) -> None:
    rows = problem(kind, "linear", rows=99)
    by_hand = AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=2), n_estimators=30, learning_rate=0.5, random_state=2
    )
    expected = by_hand.fit(rows.x, rows.y).predict_proba(rows.x)
    fitted: Any = PLUGIN.fit(rows, QUICK, 2, None)
    assert fitted.sureness == 1.0  # fewer than a hundred rows: none is held back
    np.testing.assert_allclose(fitted.predict(rows.x), expected, rtol=1e-9)


def test_its_values_are_those_of_scikit_learn() -> None:
    rows = problem("regression", "linear")
    by_hand = AdaBoostRegressor(DecisionTreeRegressor(max_depth=5), n_estimators=30, learning_rate=0.5, random_state=2)
    expected = by_hand.fit(rows.x, rows.y).predict(rows.x)
    np.testing.assert_array_equal(PLUGIN.fit(rows, QUICK, 2, None).predict(rows.x)[:, 0], expected)


@pytest.mark.parametrize("kind", ["binary", "three"])
def test_held_rows_make_the_probabilities_better_than_the_bare_average(kind: Any) -> None:
    rows, held, new = (problem(kind, "tree", rows=1000, seed=seed) for seed in range(3))
    fitted: Any = PLUGIN.fit(rows, QUICK, 0, held)
    bare = softmax(fitted.votes(new.x), axis=1)
    assert log_loss(new.y, fitted.predict(new.x)) < 0.9 * log_loss(new.y, bare)


def test_few_perfect_rows_do_not_make_it_certain() -> None:
    x = np.linspace(-1, 1, 120, dtype=np.float32).reshape(-1, 1)
    rows = Rows(x=x, y=(x[:, 0] > 0).astype(np.float64), classes=2)
    assert PLUGIN.fit(rows, QUICK, 0, None).predict(x).max() < 0.99


def test_columns_that_say_nothing_leave_the_shares_of_the_classes() -> None:
    rows = Rows(x=np.zeros((40, 2), dtype=np.float32), y=np.tile([0.0, 1.0], 20), classes=2)
    np.testing.assert_allclose(PLUGIN.fit(rows, QUICK, 0, None).predict(rows.x[:1]), [[0.5, 0.5]])
    weighted = replace(rows, weight=np.tile([1.0, 3.0], 20))
    np.testing.assert_allclose(PLUGIN.fit(weighted, QUICK, 0, None).predict(rows.x[:1])[0, 1], 0.75, atol=0.3)


def test_missing_values_can_be_told_apart() -> None:
    x = np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32)
    x[::2] = np.nan
    rows = Rows(x=x, y=np.isnan(x[:, 0]).astype(np.float64), classes=2)
    assert (PLUGIN.fit(rows, QUICK, 0, None).predict(x).argmax(axis=1) == rows.y).all()
