"""The small network is scikit-learn's forward pass, stopped where held-out rows are best."""

from dataclasses import replace

import numpy as np
import pytest

from holdtrue.models.learners.mlp import PLUGIN, Network
from holdtrue.models.problems import fit, problem


@pytest.mark.slow
def test_a_bent_function_is_learnt_that_no_line_can_follow() -> None:
    x = np.random.default_rng(0).uniform(-2, 2, size=(600, 2)).astype(np.float32)
    rows = replace(problem("regression", "linear", rows=600), x=x, y=np.abs(x[:, 0]).astype(np.float64))
    left = rows.y - fit(PLUGIN, rows).predict(x)[:, 0]
    assert left.var() < 0.05 * rows.y.var()


def test_validation_rows_decide_when_to_stop() -> None:
    rows = problem("binary", "linear", rows=60)
    agrees, contradicts = (problem("binary", "linear", rows=400, seed=2) for _ in range(2))
    contradicts = replace(contradicts, y=1 - contradicts.y)
    sure = fit(PLUGIN, rows, validation=agrees).predict(agrees.x)[:, 1].std()
    unsure = fit(PLUGIN, rows, validation=contradicts).predict(agrees.x)[:, 1].std()
    assert unsure < sure / 2


@pytest.mark.slow
def test_two_layers_are_two_layers() -> None:
    made = PLUGIN.fit(
        problem("three", "linear"), {"units": 8, "layers": 2, "alpha": 1e-4, "learning_rate": 1e-3}, 0, None
    )
    assert isinstance(made, Network)
    assert [part.shape for part in made.weights] == [(5, 8), (8, 8), (8, 3)]


@pytest.mark.slow
def test_the_seed_decides_the_first_weights() -> None:
    rows = problem("binary", "linear")
    one, other = (fit(PLUGIN, rows, seed=seed).predict(rows.x) for seed in (1, 2))
    assert np.abs(one - other).max() > 1e-6


def test_far_outside_the_answer_is_that_at_the_edge() -> None:
    rows = problem("regression", "linear")
    fitted = fit(PLUGIN, rows)
    edge = rows.x.max(axis=0, keepdims=True)
    np.testing.assert_array_equal(fitted.predict(edge * np.float32(1e20)), fitted.predict(edge))
