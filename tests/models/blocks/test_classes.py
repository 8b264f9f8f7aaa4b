"""Classes that the rows lack keep their place in the answer."""

import numpy as np

from holdtrue.models.blocks.classes import Widened, fit_present, taken
from holdtrue.models.blocks.constant import Constant
from holdtrue.models.learner import Fitted, Rows
from holdtrue.models.problems import graph_answers, problem


def shares(rows: Rows, validation: Rows | None) -> Fitted:
    counts = np.bincount(rows.y.astype(int), minlength=rows.classes)
    assert len(counts) == rows.classes
    assert validation is None or set(validation.y) <= set(range(rows.classes))
    return Constant(answer=(counts / counts.sum()).reshape(1, -1), features=rows.x.shape[1])


def test_a_missing_class_in_the_middle_gets_a_column_of_zeros() -> None:
    rows = problem("three", "linear", rows=60)
    made = fit_present(taken(rows, rows.y != 1), rows, shares)
    assert isinstance(made, Widened)
    assert made.predict(rows.x[:1]).tolist() == [[0.5, 0.0, 0.5]]
    (told,) = graph_answers(made, rows.x[:2])
    assert told.tolist() == [[0.5, 0.0, 0.5]] * 2
    assert made.contributions(rows.x) is not None


def test_nothing_is_explained_when_the_last_class_is_missing() -> None:
    rows = problem("three", "linear", rows=60)
    assert fit_present(taken(rows, rows.y != 2), None, shares).contributions(rows.x) is None


def test_one_class_alone_is_answered_without_a_solver() -> None:
    rows = problem("three", "linear", rows=60)
    made = fit_present(taken(rows, rows.y == 1), rows, shares)
    assert isinstance(made, Constant)
    assert made.predict(rows.x[:1]).tolist() == [[0.0, 1.0, 0.0]]


def test_all_classes_there_changes_nothing() -> None:
    rows = problem("three", "linear", rows=60)
    assert isinstance(fit_present(rows, None, shares), Constant)
