"""Rows held back from a fit."""

from dataclasses import replace

import numpy as np
import pytest

from holdtrue.models.blocks.classes import taken
from holdtrue.models.blocks.holding import held_back
from holdtrue.models.problems import problem


def test_the_callers_rows_are_taken_as_they_are() -> None:
    rows, validation = problem("binary", "tree"), problem("binary", "tree", seed=1)
    assert held_back(rows, validation, 0) == (rows, validation)


def test_few_rows_are_all_fitted_on() -> None:
    rows = problem("binary", "tree", rows=99)
    assert held_back(rows, None, 0) == (rows, None)


@pytest.mark.parametrize("kind", ["three", "regression"])
def test_one_row_in_ten_is_held_and_none_is_lost(kind: str) -> None:
    rows = problem("three" if kind == "three" else "regression", "linear", rows=300)
    rows = replace(rows, x=np.arange(300, dtype=np.float32).reshape(-1, 1))
    part, held = held_back(rows, None, 3)
    assert held is not None
    assert len(held.y) == 30
    assert sorted([*part.x[:, 0].tolist(), *held.x[:, 0].tolist()]) == list(range(300))
    again = held_back(rows, None, 3)[1]
    assert again is not None
    assert np.array_equal(again.x, held.x)


def test_a_rare_class_keeps_its_rows_to_learn_from() -> None:
    rows = problem("binary", "linear", rows=300)
    rare = replace(rows, y=(np.arange(300) < 3).astype(np.float64))
    part, held = held_back(taken(rare, np.arange(300)), None, 0)
    assert held is not None
    assert part.y.sum() == 3
    assert held.y.sum() == 0
