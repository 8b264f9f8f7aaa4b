"""Calibration helps or is left out."""

import numpy as np
import pytest
from scipy.special import expit, logit, softmax

from holdtrue.training.calibrate import calibrate, log_loss


def binary(rows: int, a: float, b: float, seed: int = 0) -> tuple["np.ndarray", "np.ndarray"]:
    """Probabilities p where sigmoid(a * logit(p) + b) would be right."""
    chance = np.random.default_rng(seed)
    right = chance.beta(2, 3, rows)
    told = expit((logit(right) - b) / a)
    return (chance.random(rows) < right).astype(np.float64), np.stack([1 - told, told], axis=1)


def many(rows: int, temperature: float) -> tuple["np.ndarray", "np.ndarray"]:
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(rows, 4)) * 2
    right = softmax(logits, axis=1)
    truth = (right.cumsum(axis=1) > chance.random((rows, 1))).argmax(axis=1)
    return truth.astype(np.float64), softmax(logits * temperature, axis=1)


def test_the_sigmoid_that_was_bent_is_straightened() -> None:
    found = calibrate(*binary(20_000, 0.5, -0.8), seed=0)
    assert found.method == "platt"
    assert found.correction.slope == pytest.approx(0.5, abs=0.03)
    assert found.correction.offset == pytest.approx(-0.8, abs=0.05)
    assert found.after < found.before
    fresh, told = binary(20_000, 0.5, -0.8, seed=1)
    better = found.correction.apply(told)
    np.testing.assert_allclose(better.sum(axis=1), 1.0)
    assert log_loss(fresh, better) < log_loss(fresh, told) - 0.01
    assert abs(better[:, 1].mean() - fresh.mean()) < 0.01


def test_a_temperature_that_was_off_is_found() -> None:
    found = calibrate(*many(10_000, 2.5), seed=0)
    assert found.method == "temperature"
    assert 1 / found.correction.slope == pytest.approx(2.5, rel=0.05)
    truth, told = many(10_000, 2.5)
    assert log_loss(truth, found.correction.apply(told)) < log_loss(truth, told)
    assert (found.correction.apply(told).argmax(axis=1) == told.argmax(axis=1)).all()


def test_right_probabilities_are_left_alone_or_hardly_touched() -> None:
    for seed in range(5):
        truth, told = binary(2000, 1.0, 0.0, seed)
        found = calibrate(truth, told, seed)
        assert np.abs(found.correction.apply(told) - told).max() < 0.06
        assert found.after >= found.before or found.method == "platt"


def test_few_rows_are_not_enough_to_judge() -> None:
    truth, told = binary(80, 0.3, 1.0)
    found = calibrate(truth, told, 0)
    assert found.method == "none"
    assert found.correction.apply(told) is told


def test_certain_and_wrong_probabilities_stay_finite() -> None:
    truth = np.tile([0.0, 1.0], 200)
    told = np.eye(2)[(np.random.default_rng(0).random(400) < 0.5).astype(int)]
    found = calibrate(truth, told, 0)
    assert np.isfinite(found.correction.apply(told)).all()
    assert found.after < found.before


def test_probabilities_that_point_the_wrong_way_are_not_turned_around() -> None:
    truth, told = binary(2000, 1.0, 0.0)
    assert calibrate(truth, told[:, ::-1].copy(), 0).method == "none"
