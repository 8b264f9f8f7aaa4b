"""Labels of a source that look wrong are counted where the release is sure, and only beyond its own errors."""

import numpy as np
import pytest

from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.label_issues import Heard, issue_rate, sure_errors


def drawn(chance: np.random.Generator, rows: int, flipped: float) -> Heard:
    """Labels of rows that a release is sure of, right in 98 of 100; a share of them is turned over."""
    against = (chance.random(rows) < 0.02) ^ (chance.random(rows) < flipped)
    return Heard(labels=2 * rows, sure=rows, against=int(against.sum()))


@pytest.mark.parametrize("rows", [20, 400, 5_000])
def test_honest_labels_hold_nothing(rows: int) -> None:
    chance = np.random.default_rng(rows)
    found = [issue_rate(drawn(chance, rows, 0.0), 0.025) for _ in range(2_000)]
    assert np.mean(np.array(found) > 0) <= 0.005
    assert max(found) < 0.1


@pytest.mark.parametrize("flipped", [0.15, 0.3, 0.5])
def test_poisoned_labels_are_found_and_not_overstated(flipped: float) -> None:
    chance = np.random.default_rng(3)
    found = np.array([issue_rate(drawn(chance, 1_000, flipped), 0.025) for _ in range(500)])
    assert np.mean(found > flipped) <= 0.01
    assert found.mean() > flipped - 0.06
    assert found.min() > 0.05


def test_labels_that_are_no_class_count_in_any_case() -> None:
    assert issue_rate(Heard(labels=100, odd=30), 0.01) == 0.3
    assert issue_rate(Heard(), 0.01) == 0.0
    assert issue_rate(Heard(labels=100, sure=50, against=50), 1.0) == 0.0


def test_a_release_that_is_never_sure_says_nothing_of_labels() -> None:
    shares = np.full((50, 2), 0.5)
    assert sure_errors(Predictions(truth=np.zeros(50), classes=("a", "b"), probabilities=shares)) == 1.0
    assert sure_errors(Predictions(truth=np.zeros(3), values=np.zeros(3))) == 1.0


def test_errors_where_a_release_is_sure_are_told_by_their_upper_limit() -> None:
    shares = np.tile([0.99, 0.01], (500, 1))
    truth = np.zeros(500)
    truth[:5] = 1
    assert 0.01 < sure_errors(Predictions(truth=truth, classes=("a", "b"), probabilities=shares)) < 0.03
