"""Platt scaling finds the sigmoid that maximises its likelihood."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from holdtrue.models.blocks.platt import fit_crossed, fit_sigmoid, stratified
from holdtrue.models.problems import problem


def drawn(rows: int, a: float, b: float) -> tuple["np.ndarray", "np.ndarray"]:
    chance = np.random.default_rng(0)
    scores = chance.normal(size=rows) * 3
    return scores, (chance.random(rows) < expit(a * scores + b)).astype(np.float64)


def test_the_sigmoid_that_made_the_rows_is_found() -> None:
    a, b = fit_sigmoid(*drawn(50_000, 1.5, -0.7))
    assert abs(a - 1.5) < 0.05
    assert abs(b + 0.7) < 0.05


def test_it_agrees_with_logistic_regression_where_rows_are_many() -> None:
    scores, truth = drawn(5_000, 0.8, 0.3)
    reference = np.asarray(sm.Logit(truth, sm.add_constant(scores)).fit(disp=False).params)
    np.testing.assert_allclose(fit_sigmoid(scores, truth), (reference[1], reference[0]), atol=5e-3)


def test_a_clean_split_stays_finite() -> None:
    a, b = fit_sigmoid(np.array([-2.0, -1, 1, 2]), np.array([0.0, 0, 1, 1]))
    assert 0 < a < 10
    assert abs(b) < 1e-6


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_unit_of_the_scores_does_not_matter(scale: float) -> None:
    scores, truth = drawn(500, 1.0, 0.5)
    a, b = fit_sigmoid(scores, truth)
    scaled = fit_sigmoid(scores * scale, truth)
    np.testing.assert_allclose((scaled[0] * scale, scaled[1]), (a, b), rtol=1e-6)


def test_scores_that_are_all_the_same_give_the_share() -> None:
    a, b = fit_sigmoid(np.full(10, 3.0), np.array([1.0] * 4 + [0.0] * 6))
    assert abs(expit(a * 3.0 + b) - 0.4) < 0.03


def test_a_row_of_weight_two_is_two_rows() -> None:
    scores, truth = drawn(200, 1.0, 0.0)
    weight = np.where(np.arange(200) < 50, 2.0, 1.0)
    twice = np.concatenate([np.arange(200), np.arange(50)])
    np.testing.assert_allclose(
        fit_sigmoid(scores, truth, weight), fit_sigmoid(scores[twice], truth[twice]), rtol=1e-5, atol=1e-7
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.integers(2, 5), st.integers(0, 99))
def test_every_class_is_spread_over_the_folds(codes: list[int], folds: int, seed: int) -> None:
    array = np.array(codes, dtype=np.float64)
    fold = stratified(array, folds, seed)
    for code in set(codes):
        counts = np.bincount(fold[array == code], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_a_class_of_one_row_falls_back_on_the_training_scores() -> None:
    rows = problem("binary", "linear", rows=20)
    lonely = replace(rows, y=np.eye(20)[0])
    fits: list[int] = []

    def fit(part: object) -> "object":
        fits.append(1)
        return lambda x: x[:, :1].astype(np.float64)

    a, b = fit_crossed(lonely, 0, fit)  # pyright: ignore[reportArgumentType]
    assert len(fits) == 1
    assert np.isfinite([*a, *b]).all()
