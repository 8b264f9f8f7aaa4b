"""One fit, from typed rows to answers for typed rows."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.models.learner import LEARNERS
from holdtrue.training.examples import Examples, Terms
from holdtrue.training.fit import encode_and_fit

TERMS = Terms(kinds={"size": "number", "colour": "category"}, classes=2, seed=3)


def examples(rows: int = 300, seed: int = 0) -> Examples:
    chance = np.random.default_rng(seed)
    size, red = chance.normal(size=rows), chance.random(rows) < 0.4
    frame = pl.DataFrame(
        {
            "size": pl.Series(size).set(pl.Series(chance.random(rows) < 0.1), None),
            "colour": np.where(red, "red", "blue"),
        }
    )
    return Examples(frame=frame, y=(size + 2 * red + chance.normal(size=rows) > 1.5).astype(np.float64))


def test_a_candidate_answers_typed_rows() -> None:
    candidate = encode_and_fit("logistic", {}, examples(), TERMS)
    fresh = examples(seed=1)
    told = candidate.predict(fresh.frame)
    assert told.shape == (300, 2)
    assert ((told[:, 1] > 0.5) == fresh.y).mean() > 0.7
    assert candidate.rows == 300
    assert candidate.notes == ()


def test_settings_that_are_not_given_take_their_defaults_and_wrong_ones_are_refused() -> None:
    assert encode_and_fit("logistic", {}, examples(), TERMS).settings == {"c": 1.0}
    with pytest.raises(Misuse, match="did you mean 'c'"):
        encode_and_fit("logistic", {"cc": 1.0}, examples(), TERMS)


def test_the_same_fit_twice_gives_the_same_bits() -> None:
    first, second = (encode_and_fit("mlp", {"units": 8}, examples(), TERMS) for _ in range(2))
    assert first.predict(examples().frame).tobytes() == second.predict(examples().frame).tobytes()
    assert first.encoder == second.encoder


def test_balancing_the_classes_raises_the_chance_of_the_rare_one() -> None:
    plain = encode_and_fit("logistic", {}, examples(), TERMS).predict(examples().frame)[:, 1]
    balanced = encode_and_fit("logistic", {}, examples(), replace(TERMS, class_weight="balanced"))
    assert examples().y.mean() < 0.4
    assert (balanced.predict(examples().frame)[:, 1] > plain).all()


def test_thinning_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(LEARNERS.get("k_nearest"), most_rows=50)
    monkeypatch.setattr("holdtrue.models.learners.k_nearest.PLUGIN", few)
    candidate = encode_and_fit("k_nearest", {}, examples(), TERMS)
    assert candidate.notes == (f"It was fitted on {candidate.rows} of 300 rows, chosen by the seed.",)


def test_validation_rows_reach_the_learner() -> None:
    inverted = examples(seed=1)
    inverted = replace(inverted, y=1 - inverted.y)
    stopped = encode_and_fit("mlp", {"units": 8}, examples(), TERMS, inverted).predict(examples().frame)[:, 1]
    trained = encode_and_fit("mlp", {"units": 8}, examples(), TERMS, examples(seed=1)).predict(examples().frame)[:, 1]
    assert stopped.std() < trained.std()
