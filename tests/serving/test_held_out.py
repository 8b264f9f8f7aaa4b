"""The held-out rows of a release: kept when it is made, without what is personal, and as it answered them."""

from pathlib import Path

import numpy as np
import polars as pl

from holdtrue.evaluation.predictions import Predictions
from holdtrue.pipeline.held_out import laid_out, read_held_out
from holdtrue.pipeline.keeping import keeper_of
from holdtrue.release.predictor import Predictor
from holdtrue.serving.plan import Plan


def test_they_are_what_the_release_answered_and_hold_nothing_personal(
    trips_made: Path, plan: Plan, predictor: Predictor
) -> None:
    keeper = keeper_of(trips_made, {}, actor="tester")
    digest = keeper.folder_of("champion").name
    found = read_held_out(keeper.home, digest, plan.classes)
    assert found is not None
    rows = found.predictions.rows
    assert rows > 50
    assert {len(values) for values in found.columns.values()} == {rows}
    assert set(found.columns) == set(predictor.contract.names)
    assert found.predictions.probabilities is not None
    assert np.allclose(found.predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    assert set(found.predictions.truth.tolist()) <= set(range(len(plan.classes)))


def test_a_personal_column_is_left_out() -> None:
    frame = pl.DataFrame({"age": [31.0, None], "name": ["Ann", "Bob"]})
    answers = Predictions(truth=np.array([1.0, 2.0]), values=np.array([1.5, 2.5]), low=np.zeros(2), high=np.ones(2))
    made = laid_out(frame, answers, {"name"})
    assert made.columns == ["input.age", "truth", "values.0", "low.0", "high.0"]
    assert made.get_column("values.0").to_list() == [1.5, 2.5]


def test_of_a_release_made_elsewhere_there_are_none(trips_made: Path) -> None:
    keeper = keeper_of(trips_made, {}, actor="tester")
    assert read_held_out(keeper.home, "f" * 64, ("no", "yes")) is None
