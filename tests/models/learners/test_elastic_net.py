"""Elastic net drops what does not earn its place and meets the optimality conditions of its loss."""

from dataclasses import replace

import numpy as np
import pytest

from holdtrue.models.blocks.linear import Linear
from holdtrue.models.learner import Rows
from holdtrue.models.learners.elastic_net import PLUGIN
from holdtrue.models.problems import problem


def fitted(rows: Rows, alpha: float, share: float) -> Linear:
    made = PLUGIN.fit(rows, {"alpha": alpha, "l1_ratio": share}, 3, None)
    assert isinstance(made, Linear)
    return made


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_no_step_away_improves_the_classification_loss(share: float) -> None:
    rows, alpha = problem("binary", "linear", rows=400), 0.01
    x, positive = rows.x.astype(np.float64), rows.y

    def loss(coefficients: "np.ndarray", offset: float) -> float:
        z = x @ coefficients + offset
        penalty = share * np.abs(coefficients).sum() + (1 - share) / 2 * (coefficients**2).sum()
        return float((np.logaddexp(0, z) - positive * z).mean() + alpha * penalty)

    made = fitted(rows, alpha, share)
    best = loss(made.weights[:, 1], made.offset[1])
    for step in (*(0.02 * np.eye(5)), *(-0.02 * np.eye(5))):
        assert loss(made.weights[:, 1] + step, made.offset[1]) > best


def test_noise_is_dropped() -> None:
    rows = problem("regression", "linear", rows=400)
    noise = np.random.default_rng(0).normal(size=(400, 10)).astype(np.float32)
    made = fitted(replace(rows, x=np.concatenate([rows.x, noise], axis=1)), 0.15, 1.0)
    assert abs(made.weights[0, 0]) > 1
    assert np.count_nonzero(made.weights[5:]) == 0


def test_the_penalty_means_the_same_in_any_unit() -> None:
    rows = problem("regression", "linear")
    metres = fitted(rows, 0.05, 0.5).predict(rows.x)
    millimetres = fitted(replace(rows, y=rows.y * 1000), 0.05, 0.5).predict(rows.x)
    np.testing.assert_allclose(millimetres, metres * 1000, rtol=1e-6)


def test_a_solver_that_runs_out_of_iterations_leaves_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdtrue.models.learners.elastic_net.MOST_ITERATIONS", 1)
    made = fitted(problem("binary", "linear"), 1e-5, 0.5)
    assert made.notes == ("The solver stopped at its limit of iterations before it had converged.",)
