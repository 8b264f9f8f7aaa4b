"""Kernel support vectors: scikit-learn's machines, written out."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.svm import SVC, SVR

from holdtrue.models.learners.kernel_svm import PLUGIN, Machine
from holdtrue.models.problems import fit, problem


def test_values_are_those_of_scikit_learn() -> None:
    rows = problem("regression", "linear")
    middle, spread = rows.y.mean(), rows.y.std()
    model = SVR(C=1.0, epsilon=0.1, gamma="scale").fit(rows.x.astype(np.float64), (rows.y - middle) / spread)
    expected = model.predict(rows.x.astype(np.float64)) * spread + middle
    np.testing.assert_allclose(fit(PLUGIN, rows).predict(rows.x)[:, 0], expected, rtol=1e-6)


def test_chances_order_the_rows_as_the_decision_function_does() -> None:
    rows = problem("binary", "linear")
    decision = SVC(C=1.0, gamma="scale").fit(rows.x.astype(np.float64), rows.y).decision_function(rows.x)
    chance = fit(PLUGIN, rows).predict(rows.x)[:, 1]
    assert np.corrcoef(np.argsort(np.argsort(decision)), np.argsort(np.argsort(chance)))[0, 1] > 0.999999


def test_a_ring_is_learnt_that_no_line_can_part() -> None:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(300, 2)).astype(np.float32)
    inside = (np.linalg.norm(x, axis=1) < 1.1).astype(np.float64)
    told = fit(PLUGIN, replace(problem("binary", "linear", rows=300), x=x, y=inside)).predict(x)[:, 1]
    assert ((told > 0.5) == inside).mean() > 0.95


def test_far_away_only_the_intercept_is_left() -> None:
    rows = problem("regression", "linear")
    far = np.full((2, rows.x.shape[1]), 1e30, dtype=np.float32)
    made = fit(PLUGIN, rows)
    assert isinstance(made, Machine)
    np.testing.assert_allclose(made.predict(far)[:, 0], made.offset[0], rtol=1e-12)


def test_a_flat_target_is_answered() -> None:
    rows = problem("regression", "linear", rows=30)
    np.testing.assert_allclose(fit(PLUGIN, replace(rows, y=np.full(30, 4.0))).predict(rows.x), 4.0)


def test_running_out_of_iterations_leaves_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdtrue.models.learners.kernel_svm.MOST_ITERATIONS", 2)
    made = fit(PLUGIN, problem("binary", "linear"))
    assert isinstance(made, Machine)
    assert len(made.notes) == 1
