"""Intervals cover what they promise, in the shape that the errors have."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.training.intervals import half_width, interval_score, limits, reach


def test_the_width_covers_new_rows_as_promised() -> None:
    chance = np.random.default_rng(0)
    covered = [
        (np.abs(chance.standard_t(3, 200)) <= half_width(chance.standard_t(3, 99), np.zeros(99), 0.9)).mean()
        for _ in range(300)
    ]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)


def test_too_few_rows_give_no_width() -> None:
    assert half_width(np.zeros(8), np.zeros(8), 0.9) == inf
    assert half_width(np.zeros(9), np.arange(9.0), 0.9) == 8.0
    assert half_width(np.zeros(99), np.arange(99.0), 0.55) == 54.0


@given(st.integers(1, 400), st.floats(0.5, 0.99))
def test_the_share_of_rows_within_reach_is_at_least_the_coverage(rows: int, coverage: float) -> None:
    errors = np.random.default_rng(rows).normal(size=rows)
    found = reach(errors, coverage)
    assert (errors <= found).mean() >= coverage or found == inf


def drawn(rows: int, shape: str, seed: int = 0) -> tuple["np.ndarray", "np.ndarray"]:
    chance = np.random.default_rng(seed)
    predicted = chance.uniform(10, 1000, rows)
    error = {
        "even": 20 * chance.normal(size=rows),
        "skewed": 20 * (chance.exponential(size=rows) - 1.0),
        "growing": 0.2 * predicted * chance.normal(size=rows),
    }[shape]
    return predicted + error, predicted


@pytest.mark.parametrize(
    ("shape", "method"),
    [
        ("even", "conformal, both sides alike"),
        ("skewed", "conformal, each side on its own"),
        ("growing", "conformal, both sides alike, relative to the size"),
    ],
)
def test_the_shape_follows_the_errors_and_new_rows_are_covered(shape: str, method: str) -> None:
    found = limits(*drawn(4000, shape), coverage=0.9, seed=0)
    truth, predicted = drawn(20_000, shape, seed=1)
    low, high = found.interval.apply(predicted)
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.9, abs=0.015)
    assert found.method == method
    assert found.enough


def test_few_rows_get_the_largest_error_and_say_so() -> None:
    found = limits(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 4.0]), coverage=0.9, seed=0)
    assert (found.interval.below, found.interval.above) == (5.0, 5.0)
    assert not found.enough


def test_predictions_that_are_all_zero_have_no_size_to_be_relative_to() -> None:
    truth = np.random.default_rng(0).normal(size=300)
    found = limits(truth, np.zeros(300), coverage=0.8, seed=0)
    assert found.interval.floor is None


def test_the_interval_score_is_width_plus_penalty() -> None:
    score = interval_score(np.array([0.0, 5.0]), np.array([-1.0, 1.0]), np.array([1.0, 3.0]), coverage=0.9)
    assert score == pytest.approx((2 + 2 + 20 * 2) / 2)
