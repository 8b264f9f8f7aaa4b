"""Histogram boosting: parity with scikit-learn, and its best iteration."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from holdtrue.models.learner import Settings
from holdtrue.models.learners.hist_boosting import PLUGIN
from holdtrue.models.problems import problem
from holdtrue.models.settings import defaults

QUICK: Settings = {**defaults(PLUGIN.space), "trees": 30}
BY_HAND: dict[str, Any] = {
    "max_iter": 30,
    "learning_rate": 0.06,
    "max_features": 0.8,
    "l2_regularization": 1e-3,
    "early_stopping": False,
    "random_state": 5,
}


@pytest.mark.parametrize("kind", ["binary", "three"])
def test_its_probabilities_are_those_of_scikit_learn(kind: Any) -> None:
    rows = problem(kind, "tree", rows=99)
    with threadpool_limits(limits=1):
        expected = HistGradientBoostingClassifier(**BY_HAND).fit(rows.x, rows.y).predict_proba(rows.x)
    np.testing.assert_allclose(PLUGIN.fit(rows, QUICK, 5, None).predict(rows.x), expected, rtol=1e-9)


def test_its_values_are_those_of_scikit_learn() -> None:
    rows = problem("regression", "tree", rows=99)
    with threadpool_limits(limits=1):
        expected = HistGradientBoostingRegressor(**BY_HAND).fit(rows.x, rows.y).predict(rows.x)
    np.testing.assert_allclose(PLUGIN.fit(rows, QUICK, 5, None).predict(rows.x)[:, 0], expected, rtol=1e-12)


def test_it_keeps_the_iteration_that_was_best_on_validation_rows() -> None:
    rows, held = problem("binary", "tree", rows=400), problem("binary", "tree", rows=400, seed=1)
    fitted: Any = PLUGIN.fit(rows, {**QUICK, "trees": 500}, 0, held)
    best = int(np.argmax(fitted.model.validation_score_))
    assert fitted.iterations == best < len(fitted.model.validation_score_) - 1
    assert log_loss(held.y, fitted.predict(held.x)) == pytest.approx(-fitted.model.validation_score_[best])


@pytest.mark.slow
def test_threads_change_no_bit() -> None:
    rows = problem("binary", "tree", rows=2000, features=12)
    plan: dict[str, Any] = {**BY_HAND, "max_iter": 5}
    made: list[bytes] = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            model = HistGradientBoostingClassifier(**plan).fit(rows.x, rows.y)
            made.append(model.predict_proba(rows.x).tobytes())
    assert made[0] == made[1]
