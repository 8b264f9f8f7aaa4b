"""Neighbours fade in and out, so the answer is continuous and no tie has to be broken."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.models.learner import Rows
from holdtrue.models.learners.k_nearest import PLUGIN
from holdtrue.models.problems import graph_answers, problem


def on_a_line(places: list[float], values: list[float]) -> Rows:
    return Rows(x=np.array(places, dtype=np.float32).reshape(-1, 1), y=np.array(values, dtype=np.float64), classes=0)


def answer(rows: Rows, neighbours: int, x: float) -> float:
    fitted = PLUGIN.fit(rows, {"neighbours": neighbours}, 0, None)
    return float(fitted.predict(np.array([[x]], dtype=np.float32))[0, 0])


def test_the_weights_are_those_worked_out_by_hand() -> None:
    # From 1 the distances are 0, 1, 3: the third is the width, so the weights are 1 and 1 - 1/9 and 0.
    told = answer(on_a_line([1, 2, 4, 7], [10, 20, 30, 40]), 2, 1.0)
    assert abs(told - (10 + 20 * 8 / 9) / (1 + 8 / 9)) < 1e-3


def test_the_order_of_the_rows_does_not_matter_even_with_ties() -> None:
    rows = problem("three", "linear")
    rounded = replace(rows, x=rows.x.round(0))
    mixed = np.random.default_rng(0).permutation(len(rows.y))
    other = replace(rounded, x=rounded.x[mixed], y=rounded.y[mixed])
    first, second = (PLUGIN.fit(each, {"neighbours": 7}, 0, None).predict(rounded.x) for each in (rounded, other))
    np.testing.assert_allclose(first, second, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=12),
    st.integers(2, 6),
    st.floats(-100, 100, width=32),
    st.integers(0, 2**16),
)
def test_the_answer_is_a_mean_of_targets_wherever_it_is_asked(places: list[int], k: int, x: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=len(places))
    told = answer(on_a_line([float(place) for place in places], list(values)), k, x)
    assert values.min() - 1e-9 <= told <= values.max() + 1e-9


def test_the_answer_does_not_jump() -> None:
    rows = problem("regression", "linear", features=2, rows=120)
    fitted = PLUGIN.fit(rows, {"neighbours": 5}, 0, None)
    path = np.linspace([-2, 0], [2, 1], 20_001).astype(np.float32)
    steps = np.abs(np.diff(fitted.predict(path)[:, 0]))
    assert steps.max() < 0.02 * np.ptp(rows.y)


def test_rows_without_weight_are_forgotten() -> None:
    rows = replace(on_a_line([0, 1, 2, 3], [5, 5, 5, 900]), weight=np.array([1.0, 1, 1, 0]))
    assert abs(answer(rows, 2, 3.0) - 5.0) < 1e-9


def test_no_chance_is_ever_zero() -> None:
    rows = problem("three", "linear")
    assert PLUGIN.fit(rows, {"neighbours": 5}, 0, None).predict(rows.x).min() > 0.01


def test_the_graph_agrees_where_every_distance_ties() -> None:
    corners = np.array(np.meshgrid(*[[0, 1]] * 6)).reshape(6, -1).T.astype(np.float32)
    rows = Rows(x=corners, y=(corners.sum(axis=1) % 2).astype(np.float64), classes=2)
    fitted = PLUGIN.fit(rows, {"neighbours": 9}, 0, None)
    for batch in (corners, corners + np.float32(0.5), corners * np.float32(1e6)):
        (told,) = graph_answers(fitted, batch)
        np.testing.assert_allclose(told, fitted.predict(batch), atol=1e-6)
