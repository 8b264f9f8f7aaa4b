import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from holdtrue.statistics.auc import delong, delong_paired


def drawn(seed: int, rows: int = 400, share: float = 0.3, shift: float = 1.0, levels: int | None = None):
    generator = np.random.default_rng(seed)
    truth = generator.random(rows) < share
    score = generator.normal(shift * truth)
    return truth, np.round(score * levels) / levels if levels else score


def variance_by_pairs(truth: "np.ndarray", scores: "list[np.ndarray]", signs: list[float]) -> float:
    """DeLong's variance straight from its definition, over all pairs of rows."""
    wins = 0.0
    for score, sign in zip(scores, signs, strict=True):
        gaps = score[truth][:, None] - score[~truth]
        wins = wins + sign * ((gaps > 0) + 0.5 * (gaps == 0))
    assert isinstance(wins, np.ndarray)
    return wins.mean(axis=1).var(ddof=1) / truth.sum() + wins.mean(axis=0).var(ddof=1) / (~truth).sum()


@pytest.mark.parametrize("levels", [None, 3])
def test_the_area_is_that_of_scikit_learn_ties_included(levels: int | None) -> None:
    truth, score = drawn(1, levels=levels)
    assert delong(truth, score, 0.9).value == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 3])
def test_with_many_rows_the_limits_are_those_of_delongs_variance(levels: int | None) -> None:
    truth, score = drawn(2, rows=3000, levels=levels)
    found = delong(truth, score, 0.9)
    half = norm.ppf(0.95) * math.sqrt(variance_by_pairs(truth, [score], [1.0]))
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.05 * half)


@pytest.mark.parametrize("levels", [None, 3])
def test_with_many_rows_the_paired_limits_are_those_of_delongs_covariance(levels: int | None) -> None:
    truth, score = drawn(3, rows=3000)
    other = score + np.random.default_rng(4).normal(size=len(score))
    if levels:
        other = np.round(other * levels) / levels
    found = delong_paired(truth, score, other, 0.9)
    half = norm.ppf(0.95) * math.sqrt(variance_by_pairs(truth, [score, other], [1.0, -1.0]))
    assert found.value == pytest.approx(roc_auc_score(truth, score) - roc_auc_score(truth, other), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.05 * half)


@given(st.integers(0, 10**6), st.integers(4, 60), st.sampled_from([1, 2, 10]))
def test_an_area_lies_within_its_limits_and_they_within_0_and_1(seed: int, rows: int, levels: int) -> None:
    found = delong(*drawn(seed, rows=rows, share=0.5, levels=levels), 0.9)
    if not math.isnan(found.value):
        assert 0 <= found.low <= found.value <= found.high <= 1


@given(st.integers(0, 10**6), st.sampled_from([1, 3]))
def test_only_the_order_of_the_scores_matters(seed: int, levels: int) -> None:
    truth, score = drawn(seed, rows=80, levels=levels)
    assert delong(truth, np.exp(score), 0.9) == delong(truth, score, 0.9)


@given(st.integers(0, 10**6))
def test_the_opposite_score_has_the_opposite_area(seed: int) -> None:
    truth, score = drawn(seed, rows=120, shift=1.5)
    there, back = delong(truth, score, 0.9), delong(truth, -score, 0.9)
    assert (1 - back.high, 1 - back.low) == pytest.approx((there.low, there.high), abs=1e-9)


def test_a_perfect_order_of_30_and_500_rows_is_as_sure_as_30_hits_in_30_pairs() -> None:
    truth = np.arange(530) < 30
    found = delong(truth, truth.astype(np.float64), 0.9)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.05 ** (1 / 30))


def test_a_constant_score_has_an_area_of_a_half_and_wide_limits() -> None:
    truth, score = drawn(5)
    found = delong(truth, np.zeros_like(score), 0.9)
    assert found.value == 0.5
    assert found.low < 0.46
    assert found.high > 0.54


def test_one_class_defines_no_area() -> None:
    found = delong(np.ones(10, dtype=bool), np.arange(10.0), 0.9)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(delong_paired(np.zeros(10, dtype=bool), np.arange(10.0), np.arange(10.0), 0.9).value)


def test_two_models_that_order_all_rows_alike_are_within_three_in_the_smaller_class() -> None:
    truth, score = drawn(6, rows=2000, share=0.2)
    pairs = int(truth.sum())
    found = delong_paired(truth, score, np.exp(score), 0.9)
    assert found.value == 0
    assert found.high == pytest.approx(1 - 0.05 ** (1 / pairs))
    assert found.low == pytest.approx(-found.high)


def test_a_few_rows_that_change_places_widen_the_limits_by_little() -> None:
    truth, score = drawn(7, rows=2000, share=0.2)
    other = score.copy()
    other[np.flatnonzero(truth)[:3]] = -10.0
    same, changed = delong_paired(truth, score, score, 0.9), delong_paired(truth, score, other, 0.9)
    assert 0 < changed.value < 3 / truth.sum()
    assert changed.low < 0.01
    assert same.high < changed.high < 0.03


@given(st.integers(0, 10**6), st.sampled_from([0.01, 1.0]))
def test_the_paired_difference_mirrors_when_the_models_change_places(seed: int, noise: float) -> None:
    truth, score = drawn(seed, rows=150)
    other = score + noise * np.random.default_rng(seed + 1).normal(size=len(score))
    there, back = delong_paired(truth, score, other, 0.9), delong_paired(truth, other, score, 0.9)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)


def test_a_lower_limit_near_1_errs_no_more_often_than_it_may_where_plain_delong_errs_three_times_as_often() -> None:
    """An area of 0.99 with 100 positives and 300 negatives: the fewer pairs in the wrong order, the surer DeLong is."""
    generator = np.random.default_rng(8)
    truth = np.arange(400) < 100
    shift, runs = norm.ppf(0.99) * math.sqrt(2), 400
    errors = plain = 0
    for _ in range(runs):
        score = generator.normal(shift * truth)
        found = delong(truth, score, 0.9)
        errors += found.low > 0.99
        plain += found.value - norm.ppf(0.95) * math.sqrt(variance_by_pairs(truth, [score], [1.0])) > 0.99
    assert errors / runs <= 0.05
    assert plain / runs > 0.1
