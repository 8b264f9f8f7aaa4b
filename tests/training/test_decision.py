"""The threshold that costs least, found by theory or by rows, and what decisions are worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.spec.project import Cost
from holdtrue.training.decision import (
    best_threshold,
    choose_threshold,
    least_cost,
    row_values,
    theory_threshold,
    value_curve,
    value_per_1000,
    value_without_model,
)

COSTS = st.builds(
    Cost,
    false_positive=st.floats(0.1, 20),
    false_negative=st.floats(0.1, 20),
    true_positive=st.floats(-20, 0),
    true_negative=st.floats(-20, 0),
)
ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0])), min_size=1, max_size=30
)


def drawn(rows: int, power: float = 1.0, seed: int = 0) -> tuple["np.ndarray", "np.ndarray"]:
    """Calibrated probabilities; a power other than 1 makes them wrong without changing their order."""
    chance = np.random.default_rng(seed)
    probability = chance.beta(1, 3, rows)
    return (chance.random(rows) < probability).astype(np.float64), probability**power


@given(COSTS, st.floats(0.001, 0.999))
def test_theory_decides_as_the_expected_costs_do(cost: Cost, p: float) -> None:
    positive = p * cost.true_positive + (1 - p) * cost.false_positive
    negative = p * cost.false_negative + (1 - p) * cost.true_negative
    if abs(positive - negative) > 1e-9:
        assert (p >= theory_threshold(cost)) == (positive < negative)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(ROWS, COSTS)
def test_no_other_threshold_costs_less_on_the_rows(rows: list[tuple[bool, float]], cost: Cost) -> None:
    truth = np.array([float(true) for true, _ in rows])
    probability = np.array([p for _, p in rows])
    found = value_per_1000(truth, probability, best_threshold(truth, probability, cost), cost)
    others = [value_per_1000(truth, probability, other, cost) for other in np.linspace(0, 1, 41)]
    assert found >= max(others) - 1e-6 * max(abs(found), 1)


def test_theory_is_kept_where_the_rows_like_it_as_well() -> None:
    cost = Cost(false_positive=1, false_negative=3)
    assert best_threshold(np.array([0.0, 1.0]), np.array([0.1, 0.9]), cost) == theory_threshold(cost) == 0.25


def test_right_probabilities_leave_theory_in_charge() -> None:
    truth, probability = drawn(4000)
    chosen = choose_threshold(truth, probability, Cost(false_positive=1, false_negative=4), seed=0)
    assert (chosen.method, chosen.value) == ("theory", 0.2)


def test_wrong_probabilities_are_corrected_by_the_rows() -> None:
    truth, probability = drawn(4000, power=3.0)
    cost = Cost(false_positive=1, false_negative=4)
    chosen = choose_threshold(truth, probability, cost, seed=0)
    assert chosen.method == "empirical"
    assert abs(chosen.value - 0.2**3) < 0.01
    fresh, asked = drawn(20_000, power=3.0, seed=1)
    assert value_per_1000(fresh, asked, chosen.value, cost) > value_per_1000(fresh, asked, 0.2, cost) + 20


def test_noise_seldom_moves_the_threshold_off_theory() -> None:
    cost = Cost(false_positive=1, false_negative=4)
    chosen = [choose_threshold(*drawn(200, seed=seed), cost, seed).method for seed in range(40)]
    assert chosen.count("empirical") <= 6


def test_few_rows_leave_theory_and_no_costs_leave_a_half() -> None:
    truth, probability = drawn(12)
    assert choose_threshold(truth, probability, Cost(false_negative=9), 0).method == "theory"
    assert choose_threshold(truth, probability, None, 0).value == 0.5


def test_values_are_costs_with_the_sign_turned() -> None:
    cost = Cost(false_positive=1, false_negative=4, true_positive=-10, true_negative=-0.5)
    values = row_values(np.array([0.0, 0, 1, 1]), np.array([True, False, True, False]), cost)
    assert values.tolist() == [-1.0, 0.5, 10.0, -4.0]


def test_without_a_model_the_better_of_all_and_none_is_what_is_left() -> None:
    truth = np.array([1.0] + [0.0] * 9)
    assert value_without_model(truth, Cost(false_positive=1, false_negative=4)) == pytest.approx(-400)
    assert value_without_model(truth, Cost(false_positive=1, false_negative=40)) == pytest.approx(-900)


def test_the_curve_runs_from_all_positive_to_none() -> None:
    truth, probability = drawn(500)
    cost = Cost(false_positive=1, false_negative=4)
    curve = value_curve(truth, probability, cost)
    assert len(curve) == 101
    assert curve[0] == (0.0, value_per_1000(truth, probability, 0.0, cost))
    assert curve[0][1] == pytest.approx(-1000 * (1 - truth.mean()))
    assert curve[-1][1] == pytest.approx(-4000 * truth.mean())


@given(st.integers(0, 1000))
def test_equal_mistakes_decide_for_the_likeliest_class(seed: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(4), size=5)
    assert least_cost(probabilities, 1.0 - np.eye(4)).tolist() == probabilities.argmax(axis=1).tolist()
