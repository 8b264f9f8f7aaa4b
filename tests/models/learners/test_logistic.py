"""Logistic regression stands at the optimum of its own loss."""

from dataclasses import replace

import numpy as np
import statsmodels.api as sm

from holdtrue.models.learners.logistic import PLUGIN
from holdtrue.models.problems import fit, problem


def test_without_a_penalty_it_is_the_maximum_likelihood_estimate() -> None:
    rows = problem("binary", "linear", rows=400)
    reference = sm.Logit(rows.y, sm.add_constant(rows.x.astype(np.float64))).fit(disp=False)
    fitted = PLUGIN.fit(rows, {"c": 1e4}, 0, None)
    np.testing.assert_allclose(
        fitted.predict(rows.x)[:, 1], reference.predict(sm.add_constant(rows.x.astype(np.float64))), atol=2e-3
    )


def test_the_gradient_of_the_penalised_loss_is_zero_for_three_classes() -> None:
    rows, c = problem("three", "linear", rows=300), 0.5
    rows = replace(rows, weight=np.random.default_rng(0).uniform(0.5, 2.0, 300))
    fitted = PLUGIN.fit(rows, {"c": c}, 0, None)
    over = (fitted.predict(rows.x) - np.eye(3)[rows.y.astype(int)]) * np.asarray(rows.weight)[:, None]
    gradient = rows.x.astype(np.float64).T @ over + fitted.weights / c  # pyright: ignore[reportAttributeAccessIssue]
    assert np.abs(gradient).max() < 0.05
    assert np.abs(over.sum(axis=0)).max() < 0.05  # the intercept carries no penalty


def test_contributions_are_coefficients_times_distance_from_the_mean() -> None:
    rows = problem("binary", "linear")
    fitted = fit(PLUGIN, rows)
    chance = fitted.predict(rows.x)[:, 1]
    log_odds = np.log(chance / (1 - chance))
    parts = fitted.contributions(rows.x)
    assert parts is not None
    at_mean = fitted.predict(rows.x.mean(axis=0, keepdims=True))[0, 1]
    np.testing.assert_allclose(parts.sum(axis=1) + np.log(at_mean / (1 - at_mean)), log_odds, atol=1e-5)
    np.testing.assert_allclose(parts.mean(axis=0), 0.0, atol=1e-6)


def test_a_separable_problem_converges() -> None:
    x = np.linspace(-1, 1, 50, dtype=np.float32).reshape(-1, 1)
    rows = replace(problem("binary", "linear", rows=50), x=x, y=(x[:, 0] > 0).astype(np.float64))
    fitted = PLUGIN.fit(rows, {"c": 1e4}, 0, None)
    assert fitted.notes == ()  # pyright: ignore[reportAttributeAccessIssue]
    assert fitted.predict(x)[[0, -1], 1].round(3).tolist() == [0.0, 1.0]
