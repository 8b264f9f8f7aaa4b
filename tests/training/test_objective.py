"""A trial is worth its metric on rows that its fit did not see."""

import numpy as np
import polars as pl
import pytest

from holdtrue.training.examples import Examples, Terms
from holdtrue.training.fit import encode_and_fit
from holdtrue.training.objective import on_folds, on_validation
from holdtrue.training.search import Plan, search

TERMS = Terms(kinds={"size": "number", "noise": "number"}, classes=0, seed=3)


def examples(rows: int, seed: int) -> Examples:
    chance = np.random.default_rng(seed)
    frame = pl.DataFrame({"size": chance.normal(size=rows), "noise": chance.normal(size=rows)})
    return Examples(frame=frame, y=3 * frame["size"].to_numpy() + chance.normal(size=rows))


def mean_square(truth: "np.ndarray", answers: "np.ndarray") -> float:
    return float(((answers[:, 0] - truth) ** 2).mean())


def test_validation_gives_one_score() -> None:
    train, held = examples(80, 0), examples(40, 1)
    (score,) = on_validation(train, held, TERMS, mean_square)("ridge", {"alpha": 1.0})
    expected = encode_and_fit("ridge", {}, train, TERMS).predict(held.frame)
    assert score == pytest.approx(mean_square(held.y, expected), rel=1e-12)


def test_folds_give_one_score_each_and_only_when_asked() -> None:
    rows = examples(90, 0)
    number = np.arange(90) % 3
    folds = [(np.flatnonzero(number != held), np.flatnonzero(number == held)) for held in range(3)]
    objective = on_folds(rows, folds, TERMS, mean_square)
    scores = objective("ridge", {})
    train, held = folds[0]
    expected = encode_and_fit("ridge", {}, rows.take(train), TERMS).predict(rows.frame[held])
    assert next(scores) == pytest.approx(mean_square(rows.y[held], expected), rel=1e-12)
    assert [len(part.encoders) for part in objective.parts] == [1, 0, 0]
    assert len(list(scores)) == 2


@pytest.mark.slow
def test_where_a_fit_stopped_is_known_from_the_trial_or_from_a_fit_of_its_own() -> None:
    settings = {"trees": 300, "rows_per_leaf": 5}
    tried, new = (on_validation(examples(200, 0), examples(100, 1), TERMS, mean_square) for _ in range(2))
    list(tried("lightgbm", settings))
    assert len(tried.stopped_at) == 1
    stopped = tried.trees("lightgbm", settings)
    assert stopped == new.trees("lightgbm", settings)
    assert stopped is not None
    assert 0 < stopped < 300
    assert tried.trees("ridge", {}) is None


@pytest.mark.slow
def test_a_search_over_real_fits_repeats_to_the_bit_and_beats_the_mean() -> None:
    objective = on_validation(examples(80, 0), examples(40, 1), TERMS, mean_square)
    plan = Plan(
        learners=("constant", "ridge", "elastic_net"), trials=7, seed=1, scores=objective, higher_is_better=False
    )
    first = search(plan)
    assert first == search(plan)
    assert first.best.learner != "constant"
    assert (first.best.score or 0) < 0.5 * (first.best_of("constant").score or 0)
