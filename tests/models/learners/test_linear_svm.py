"""Linear support vectors: scikit-learn's margins, with chances fitted on rows left out."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.svm import LinearSVC, LinearSVR

from holdtrue.models.learners.linear_svm import PLUGIN
from holdtrue.models.problems import fit, problem

PRIMAL: dict[str, Any] = {"dual": False}


def test_chances_order_the_rows_as_the_margins_do() -> None:
    rows = problem("binary", "linear")
    margins = LinearSVC(C=0.1, **PRIMAL).fit(rows.x.astype(np.float64), rows.y).decision_function(rows.x)
    chance = fit(PLUGIN, rows).predict(rows.x)[:, 1]
    assert (np.argsort(margins) == np.argsort(chance)).all()


def test_chances_are_calibrated_on_fresh_rows() -> None:
    rows, fresh = problem("binary", "linear", rows=600), problem("binary", "linear", rows=4000, seed=9)
    chance = fit(PLUGIN, rows).predict(fresh.x)[:, 1]
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.0)):
        part = (chance >= low) & (chance <= high)
        assert abs(chance[part].mean() - fresh.y[part].mean()) < 0.06


def test_labels_that_are_noise_get_the_prior() -> None:
    rows = problem("binary", "linear", rows=400)
    noise = replace(rows, y=(np.random.default_rng(1).random(400) < 0.3).astype(np.float64))
    assert np.abs(fit(PLUGIN, noise).predict(rows.x)[:, 1] - 0.3).max() < 0.2


def test_values_agree_with_scikit_learn_on_a_scaled_target() -> None:
    rows = problem("regression", "linear")
    middle, spread = rows.y.mean(), rows.y.std()
    model = LinearSVR(C=0.1, epsilon=0.1, loss="squared_epsilon_insensitive", tol=1e-8, **PRIMAL)
    expected = model.fit(rows.x.astype(np.float64), (rows.y - middle) / spread).predict(rows.x) * spread + middle
    np.testing.assert_allclose(fit(PLUGIN, rows).predict(rows.x)[:, 0], expected, atol=1e-3 * spread)


def test_values_shift_with_the_target() -> None:
    rows = problem("regression", "linear")
    moved = fit(PLUGIN, replace(rows, y=rows.y * 3 - 1e4)).predict(rows.x)
    np.testing.assert_allclose(moved, fit(PLUGIN, rows).predict(rows.x) * 3 - 1e4, rtol=1e-6)
