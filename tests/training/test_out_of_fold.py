"""Out-of-fold predictions know nothing of the rows they answer."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from holdtrue.training.examples import Examples, Terms
from holdtrue.training.fit import encode_and_fit
from holdtrue.training.out_of_fold import Fold, out_of_fold

TERMS = Terms(kinds={"size": "number", "colour": "category"}, classes=0, seed=3)
ROWS = 90


def examples() -> Examples:
    chance = np.random.default_rng(0)
    size = chance.normal(size=ROWS)
    frame = pl.DataFrame({"size": size, "colour": chance.choice(["red", "green", "blue"], ROWS)})
    return Examples(frame=frame, y=size + chance.normal(size=ROWS))


def folds(count: int = 3) -> list[Fold]:
    number = np.arange(ROWS) % count
    return [(np.flatnonzero(number != held), np.flatnonzero(number == held)) for held in range(count)]


def test_each_row_is_answered_by_the_model_of_its_fold() -> None:
    rows = examples()
    made = out_of_fold("ridge", {"alpha": 2.0}, rows, folds(), TERMS)
    for train, held in folds():
        expected = encode_and_fit("ridge", {"alpha": 2.0}, rows.take(train), TERMS).predict(rows.frame[held])
        np.testing.assert_array_equal(made[held], expected)


@pytest.mark.parametrize("learner", ["ridge", "mlp", "k_nearest"])
def test_what_is_held_out_changes_no_prediction_for_it(learner: str) -> None:
    rows, (_, held) = examples(), folds()[0]
    strange = rows.y.copy()
    strange[held] = 1e6
    before = out_of_fold(learner, {}, rows, folds()[:1], TERMS)
    after = out_of_fold(learner, {}, replace(rows, y=strange), folds()[:1], TERMS)
    np.testing.assert_array_equal(before[held], after[held])


def test_a_column_of_a_held_row_does_not_change_the_encoding_of_another() -> None:
    rows, (_, held) = examples(), folds()[0]
    size = rows.frame["size"].to_numpy().copy()
    size[held[0]] = 1e9
    moved = replace(rows, frame=rows.frame.with_columns(size=pl.Series(size)))
    before = out_of_fold("ridge", {}, rows, folds()[:1], TERMS)
    after = out_of_fold("ridge", {}, moved, folds()[:1], TERMS)
    np.testing.assert_array_equal(before[held[1:]], after[held[1:]])
    assert (before[held[0]] != after[held[0]]).all()


def test_rows_that_no_fold_holds_are_not_answered() -> None:
    made = out_of_fold("ridge", {}, examples(), folds()[:2], TERMS)
    assert np.isnan(made[:, 0]).sum() == ROWS // 3


def test_classes_get_one_column_each() -> None:
    rows = examples()
    labelled = replace(rows, y=np.digitize(rows.y, [-0.5, 0.5]).astype(np.float64))
    made = out_of_fold("logistic", {}, labelled, folds(), replace(TERMS, classes=3))
    assert made.shape == (ROWS, 3)
    np.testing.assert_allclose(made.sum(axis=1), 1.0)
