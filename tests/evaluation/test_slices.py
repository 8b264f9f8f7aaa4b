from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.segments import find_segments
from holdtrue.evaluation.slices import Slice, slice_metric, slices
from tests.evaluation.world import from_probability, in_clusters, numbers


def world(seed: int, rows: int = 4000, *, weak: bool = True) -> tuple[Predictions, pl.DataFrame]:
    """A calibrated model that guesses where `size` is above 1 and `kind` is b."""
    generator = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "size": generator.normal(size=rows),
            "kind": generator.choice(["a", "b", "c"], rows),
            "noise": generator.normal(size=rows),
            "city": generator.choice([f"c{number}" for number in range(30)], rows),
        }
    )
    probability = generator.beta(0.5, 1.0, rows).clip(0.01, 0.99)
    bad = ((frame["size"] > 0.8) & (frame["kind"] == "b")).to_numpy() & weak
    truth = generator.random(rows) < np.where(bad, 1 - probability, probability)
    return from_probability(truth, probability), frame


def test_the_tree_finds_where_the_model_guesses_and_says_it_in_words() -> None:
    found = slices(*world(1), "log_loss", 0.95, 0)
    worst = found[0]
    assert worst.weak
    assert worst.found == "tree"
    assert "size above 0." in worst.name
    assert "kind is b" in worst.name
    assert worst.value.low > worst.rest


def test_every_category_with_enough_rows_is_judged_and_numbers_by_quartile() -> None:
    found = slices(*world(2), "log_loss", 0.95, 0)
    by_column = {column: [each for each in found if each.column == column] for column in ("kind", "size", "city")}
    assert {each.name for each in by_column["kind"]} == {"kind is a", "kind is b", "kind is c"}
    assert len([each for each in by_column["size"] if each.found == "category"]) == 4
    assert len(by_column["city"]) == 30
    assert sum(each.value.rows for each in by_column["kind"]) == 4000


def test_a_category_with_few_rows_is_left_out() -> None:
    predictions, frame = world(3, rows=300)
    names = {each.name for each in slices(predictions, frame, "log_loss", 0.95, 0)}
    counts = dict(frame["city"].value_counts().iter_rows())
    assert {name for name in names if name.startswith("city is") and " or " not in name} == {
        f"city is {city}" for city, rows in counts.items() if rows >= 30
    }


@pytest.mark.slow
def test_a_model_that_is_equally_good_everywhere_is_seldom_called_weak_anywhere() -> None:
    runs = 100
    alarms = [
        any(each.weak for each in slices(*world(seed, 1500, weak=False), "log_loss", 0.95, seed))
        for seed in range(runs)
    ]
    assert np.mean(alarms) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / runs)


def test_hits_count_as_losses_when_they_are_missed() -> None:
    found = slices(*world(4), "accuracy", 0.95, 0)
    weak = [each for each in found if each.weak]
    assert weak
    assert all(each.value.value < each.rest for each in weak)


def judged(predictions: Predictions, frame: pl.DataFrame) -> dict[str, Slice]:
    return {each.name: each for each in slices(predictions, frame, "log_loss", 0.95, 0) if each.found == "category"}


@pytest.mark.slow
def test_copies_in_clusters_make_a_slice_no_surer() -> None:
    predictions, frame = world(5, 1000)
    index = np.repeat(np.arange(1000), 5)
    alone, copied = judged(predictions, frame), judged(in_clusters(predictions, 5), frame[index])
    unaware = judged(replace(in_clusters(predictions, 5), clusters=None), frame[index])
    # Slices with fewer than 30 rows become large enough by copies, so the adjustment differs a little.
    assert copied["kind is b"].p_adjusted == pytest.approx(alone["kind is b"].p_adjusted, rel=0.9)
    assert unaware["kind is b"].p_adjusted < copied["kind is b"].p_adjusted / 100


def test_a_metric_that_is_no_mean_gives_way_to_the_loss_of_the_task() -> None:
    assert slice_metric("roc_auc", world(6, 100)[0]) == "log_loss"
    assert slice_metric("rmse", numbers(100, 1)) == "mae"
    assert slice_metric("brier", world(6, 100)[0]) == "brier"


def test_missing_values_can_be_a_slice_and_part_of_a_segment() -> None:
    predictions, frame = world(7)
    forgotten = frame.with_columns(
        pl.when(pl.col("size") > 0.8).then(None).otherwise(pl.col("size")).alias("size"),
        pl.when(pl.col("kind") == "b").then(None).otherwise(pl.col("kind")).alias("kind"),
    )
    found = slices(predictions, forgotten, "log_loss", 0.95, 0)
    assert any(each.name == "kind is (missing)" and each.weak for each in found)
    assert any(each.found == "tree" and "(missing)" in each.name and each.weak for each in found)


def test_a_segment_contains_the_rows_it_names() -> None:
    predictions, frame = world(8)
    loss = np.abs(predictions.truth - predictions.probabilities[:, 1])  # type: ignore[index]
    for segment in find_segments(frame, loss):
        inside = segment.contains(frame)
        assert inside.sum() >= 50
        assert loss[inside].mean() > loss.mean()


def test_equal_losses_have_no_segments() -> None:
    _, frame = world(9, 500)
    assert find_segments(frame, np.ones(500)) == []


def test_a_frame_without_columns_has_no_slices() -> None:
    predictions, _ = world(10, 500)
    assert slices(predictions, pl.DataFrame(), "log_loss", 0.95, 0) == []
