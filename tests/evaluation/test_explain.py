import numpy as np
import polars as pl
import pytest

from holdtrue.evaluation.explain import contribution_summary, permutation_importance
from holdtrue.evaluation.predictions import Predictions
from tests.evaluation.world import from_probability

generator = np.random.default_rng(0)
FRAME = pl.DataFrame({name: generator.normal(size=3000) for name in ("strong", "weak", "unused")}).with_columns(
    pl.lit("same").alias("constant")
)


def predict(frame: pl.DataFrame) -> Predictions:
    odds = (2 * frame["strong"] + 0.5 * frame["weak"]).to_numpy()
    return from_probability(np.zeros(frame.height), 1 / (1 + np.exp(-odds)))


def known() -> Predictions:
    answer = predict(FRAME)
    assert answer.probabilities is not None
    truth = np.random.default_rng(1).random(3000) < answer.probabilities[:, 1]
    return from_probability(truth, answer.probabilities[:, 1])


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "accuracy"])
def test_columns_are_ranked_by_what_the_model_loses_without_them(metric: str) -> None:
    found = permutation_importance(predict, FRAME, known(), metric, 0.95, 0)
    assert [each.feature for each in found[:2]] == ["strong", "weak"]
    assert found[0].low > found[1].high > found[1].value > 0


def test_a_column_the_model_does_not_read_has_no_importance_at_all() -> None:
    found = {each.feature: each for each in permutation_importance(predict, FRAME, known(), "log_loss", 0.95, 0)}
    for name in ("unused", "constant"):
        assert (found[name].value, found[name].low, found[name].high) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    once, again = (permutation_importance(predict, FRAME, known(), "log_loss", 0.95, 3) for _ in range(2))
    assert once == again


def test_the_work_does_not_grow_with_the_columns() -> None:
    answered: list[int] = []

    def counting(frame: pl.DataFrame) -> Predictions:
        answered.append(frame.height)
        return predict(frame)

    wide = FRAME.with_columns(pl.col("unused").alias(f"more {number}") for number in range(120))
    permutation_importance(counting, wide, known(), "log_loss", 0.95, 0)
    assert sum(answered) <= 125_000


def test_the_loss_of_a_shuffled_column_is_that_of_breaking_its_tie_to_the_truth() -> None:
    """For a linear prediction and the squared error it is twice the variance the column brings (Gregorutti 2017)."""
    rows = np.random.default_rng(5)
    frame = pl.DataFrame({"x": rows.normal(size=20_000), "z": rows.normal(size=20_000)})

    def linear(given: pl.DataFrame) -> Predictions:
        return Predictions(truth=np.zeros(given.height), values=(3 * given["x"] + given["z"]).to_numpy())

    values = linear(frame).values
    assert values is not None
    truth = Predictions(truth=values + rows.normal(size=20_000), values=values)
    found = {each.feature: each for each in permutation_importance(linear, frame, truth, "rmse", 0.95, 0)}
    assert (1 + found["x"].value) ** 2 == pytest.approx(1 + 2 * 9, rel=0.1)


def test_contributions_of_features_from_one_column_are_added_before_their_size_is_taken() -> None:
    given = np.array([[2.0, -2.0, 1.0], [1.0, 1.0, -1.0]])
    assert contribution_summary(given, ["a", "a", "b"]) == [("a", 1.0), ("b", 1.0)]
