"""The constant answers the share of each class, or the mean."""

from dataclasses import replace

import numpy as np

from holdtrue.models.learners.constant import PLUGIN
from holdtrue.models.problems import fit, graph_answers, problem


def test_classes_get_their_share() -> None:
    rows = replace(problem("three", "linear", rows=8), y=np.array([0.0, 0, 0, 0, 1, 1, 2, 2]))
    assert fit(PLUGIN, rows).predict(rows.x[:2]).tolist() == [[0.5, 0.25, 0.25]] * 2


def test_weights_count() -> None:
    rows = replace(problem("binary", "linear", rows=4), y=np.array([0.0, 0, 0, 1]), weight=np.array([1.0, 1, 1, 3]))
    assert fit(PLUGIN, rows).predict(rows.x[:1]).tolist() == [[0.5, 0.5]]


def test_a_number_gets_the_mean() -> None:
    rows = replace(problem("regression", "linear", rows=3), y=np.array([1.0, 2.0, 6.0]))
    assert fit(PLUGIN, rows).predict(rows.x).tolist() == [[3.0]] * 3


def test_the_graph_gives_one_answer_a_row_even_where_values_are_missing() -> None:
    rows = problem("binary", "linear")
    (answers,) = graph_answers(fit(PLUGIN, rows), np.full((5, rows.x.shape[1]), np.nan, dtype=np.float32))
    assert answers.shape == (5, 2)
    assert np.isfinite(answers).all()
