"""Each encoding is learnt and made once; classes weigh what they should; thinning keeps their shares."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.models.learner import LEARNERS
from holdtrue.training.examples import Examples, Matrices, Terms, class_weights, thinned

TERMS = Terms(kinds={"size": "number", "colour": "category"}, classes=2, seed=3)


def examples(rows: int, seed: int = 0) -> Examples:
    chance = np.random.default_rng(seed)
    size = chance.normal(size=rows)
    frame = pl.DataFrame({"size": size, "colour": chance.choice(["red", "green", "blue"], rows)})
    return Examples(frame=frame, y=(size + chance.normal(size=rows) > 0.5).astype(np.float64))


def test_one_flavour_is_encoded_once() -> None:
    made = Matrices(train=examples(60), held=examples(20, 1), terms=TERMS)
    logistic, svm = LEARNERS.get("logistic"), LEARNERS.get("linear_svm")
    assert made.rows(logistic).x is made.rows(svm).x
    assert made.encoder("linear") is made.encoder("linear")
    held, again = made.held_rows(logistic), made.held_rows(svm)
    assert held is not None
    assert again is not None
    assert held.x is again.x


def test_held_rows_do_not_change_the_encoding() -> None:
    one, other = (Matrices(train=examples(60), held=examples(20, seed), terms=TERMS) for seed in (1, 2))
    assert one.encoder("linear") == other.encoder("linear")


def test_a_learner_that_takes_fewer_rows_gets_fewer() -> None:
    made = Matrices(train=examples(60), terms=TERMS)
    learner = LEARNERS.get("k_nearest")
    few, fewer = (made.rows(replace(learner, most_rows=most)) for most in (30, 12))
    assert 30 <= len(few.y) <= 31
    assert 12 <= len(fewer.y) <= 13
    assert few.x.shape[0] == len(few.y)
    assert len(made.rows(learner).y) == 60


def test_balanced_classes_weigh_the_same_in_all() -> None:
    y = np.array([0.0] * 90 + [1.0] * 10)
    made = class_weights(y, replace(TERMS, class_weight="balanced"))
    assert made is not None
    assert made[0] * 90 == pytest.approx(50)
    assert made[1] * 10 == pytest.approx(50)


def test_given_weights_keep_their_ratio_and_a_mean_of_one() -> None:
    y = np.array([0.0] * 90 + [1.0] * 10)
    made = class_weights(y, replace(TERMS, class_weight={1: 4.0}))
    assert made is not None
    assert made[1] / made[0] == pytest.approx(4.0)
    assert made[0] * 0.9 + made[1] * 0.1 == pytest.approx(1.0)


def test_held_rows_weigh_as_in_training() -> None:
    terms = replace(TERMS, class_weight="balanced")
    train, held = examples(60), examples(20, 1)
    rows = Matrices(train=train, held=held, terms=terms).held_rows(LEARNERS.get("logistic"))
    made = class_weights(train.y, terms)
    assert rows is not None
    assert made is not None
    np.testing.assert_array_equal(rows.weight, made[held.y.astype(int)])


def test_a_number_carries_no_class_weight() -> None:
    assert class_weights(np.arange(3.0), replace(TERMS, classes=0, class_weight="balanced")) is None


@given(st.integers(20, 300), st.integers(1, 19), st.integers(0, 9))
def test_thinning_keeps_the_shares_and_every_class(rows: int, most: int, seed: int) -> None:
    y = np.array([2.0] + [0.0, 1.0, 1.0] * rows)
    kept = thinned(y, 3, most, seed)
    counts = np.bincount(y[kept].astype(int), minlength=3)
    assert counts.min() >= 1
    assert most <= len(kept) <= most + 3
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(kept, thinned(y, 3, most, seed))
    assert len(thinned(np.linspace(0, 1, len(y)), 0, most, seed)) == most
