"""The map from said to true probabilities: known maps are found again, and few rows leave it as it was."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from holdtrue.statistics.recalibration import beta_map, remapped


def drawn(seed: int, rows: int) -> "tuple[np.ndarray, np.ndarray]":
    chance = np.random.default_rng(seed)
    said = chance.beta(1.0, 2.0, rows)
    return said, (chance.random(rows) < expit(0.5 * logit(said) + 1.0)).astype(float)


def test_a_map_of_platt_is_found_again() -> None:
    said, came = drawn(1, 40_000)
    found = remapped(np.array([0.1, 0.3, 0.5, 0.8]), beta_map(said, came, np.ones(len(said))))
    assert found == pytest.approx(expit(0.5 * logit(np.array([0.1, 0.3, 0.5, 0.8])) + 1.0), abs=0.02)


def test_without_its_penalty_it_is_the_likelihoods_own_answer() -> None:
    said, came = drawn(2, 20_000)
    design = np.stack([np.log(said), -np.log1p(-said)], axis=1)
    plain = LogisticRegression(C=1e9, tol=1e-10, max_iter=1_000).fit(design, came)
    found = beta_map(said, came, np.full(len(said), 1_000.0))  # so many rows that the penalty does not weigh
    assert found == pytest.approx([*plain.coef_[0], plain.intercept_[0]], abs=1e-3)


def test_a_weight_is_a_count_of_rows() -> None:
    said, came = drawn(3, 500)
    counts = np.random.default_rng(4).poisson(1.0, 500)
    twice = beta_map(np.repeat(said, counts), np.repeat(came, counts), np.ones(int(counts.sum())))
    assert beta_map(said, came, counts.astype(float)) == pytest.approx(twice, abs=1e-4)


def test_where_the_search_begins_changes_nothing() -> None:
    said, came = drawn(5, 2_000)
    there = beta_map(said, came, np.ones(2_000))
    far = beta_map(said, came, np.ones(2_000), near=np.array([4.0, -3.0, 5.0]))
    assert far == pytest.approx(there, abs=1e-3)


@pytest.mark.parametrize("came", [0.0, 1.0])
def test_rows_that_all_agree_do_not_run_away(came: float) -> None:
    found = beta_map(np.full(20, 0.5), np.full(20, came), np.ones(20))
    assert np.isfinite(found).all()
    assert 0.02 < remapped(np.array([0.5]), found)[0] < 0.98


def test_certain_answers_do_not_break_it() -> None:
    said = np.array([0.0, 1.0] * 50)
    found = beta_map(said, said, np.ones(100))
    assert remapped(np.array([0.0, 1.0]), found) == pytest.approx([0.0, 1.0], abs=1e-3)


def test_no_rows_leave_probabilities_as_they_are() -> None:
    found = beta_map(np.empty(0), np.empty(0), np.empty(0))
    assert remapped(np.array([0.2, 0.9]), found) == pytest.approx([0.2, 0.9])
