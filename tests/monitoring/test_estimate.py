"""Estimates without labels: right where only the inputs changed, and off where they cannot be."""

import json
from dataclasses import replace

import numpy as np
import pytest

from holdtrue.evaluation.metric import metric_named
from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.estimate import ASSUMES, Estimated, Rows, clocks, estimated, support
from tests.monitoring.worlds import pledge, rows_of

NONE = Predictions(truth=np.empty(0))


def labelled(rows: Rows) -> Predictions:
    return rows.labelled().predictions


def one(held: Rows, now: Rows, metric: str, *, bound: float = 0.5, direction: str = "at_least") -> Estimated:
    (found,) = estimated([pledge(metric, bound, direction)], held, now, labelled(now), confidence=0.95)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "metrics"),
    [
        ("binary", ("roc_auc", "accuracy", "log_loss", "brier", "f1", "precision", "recall")),
        ("regression", ("mae", "rmse", "r2", "interval_coverage")),
    ],
)
def test_metrics_of_shifted_rows_are_foreseen_and_the_held_out_ones_are_left_behind(
    kind: str, metrics: tuple[str, ...]
) -> None:
    chance = np.random.default_rng(3)
    held, past = rows_of(chance, 3_000, kind=kind)
    now, whole = rows_of(chance, 2_000, kind=kind, shift=1.0, truth_known=0.0)
    found = estimated([pledge(metric) for metric in metrics], held, now, NONE, confidence=0.999)
    for metric, each in zip(metrics, found, strict=True):
        real = metric_named(metric).value(whole)
        assert each.estimate is not None
        assert each.estimate.low <= real <= each.estimate.high, metric
        assert each.estimate.rows == 2_000
        assert each.labelled == 0
    moved = {"binary": "precision", "regression": "mae"}[kind]
    made, real = found[metrics.index(moved)].estimate, metric_named(moved).value(whole)
    assert made is not None
    assert abs(made.value - real) < abs(metric_named(moved).value(past) - real) / 2


@pytest.mark.slow
def test_the_state_follows_from_where_the_interval_lies() -> None:
    chance = np.random.default_rng(5)
    held, _ = rows_of(chance, 1_500)
    now, _ = rows_of(chance, 800, truth_known=0.0)
    middle = one(held, now, "roc_auc", bound=0.5).estimate
    assert middle is not None
    states = {bound: one(held, now, "roc_auc", bound=bound).state for bound in (0.5, middle.value, 0.95)}
    assert states == {0.5: "kept", middle.value: "open", 0.95: "at risk"}
    assert one(held, now, "log_loss", bound=0.1, direction="at_most").state == "at risk"
    assert one(held, now, "log_loss", bound=2.0, direction="at_most").state == "kept"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "metric"), [("binary", "log_loss"), ("regression", "mae")])
def test_labels_that_contradict_it_switch_it_off(kind: str, metric: str) -> None:
    chance = np.random.default_rng(7)
    held, _ = rows_of(chance, 2_000, kind=kind)
    calm, _ = rows_of(chance, 1_500, kind=kind, truth_known=0.3)
    found = one(held, calm, metric, bound=9.0, direction="at_most")
    assert found.state == "kept"
    assert found.labelled == int((~np.isnan(calm.predictions.truth)).sum())
    assert found.foreseen is not None
    assert found.realised == pytest.approx(metric_named(metric).value(labelled(calm)))
    changed, _ = rows_of(chance, 1_500, kind=kind, concept=1.5, truth_known=0.3)
    off = one(held, changed, metric, bound=9.0, direction="at_most")
    assert off.state == "off"
    assert "labels contradict it" in off.why
    assert off.estimate is not None  # what it would have said can be looked at


def test_a_few_labels_say_nothing_yet() -> None:
    chance = np.random.default_rng(8)
    held, _ = rows_of(chance, 1_000)
    now, _ = rows_of(chance, 500, concept=3.0, truth_known=0.05)
    found = one(held, now, "log_loss", bound=9.0, direction="at_most")
    assert (found.state, found.labelled, found.realised) == ("kept", 0, None)


def test_columns_where_held_out_rows_never_were_switch_it_off_by_name() -> None:
    chance = np.random.default_rng(9)
    held, _ = rows_of(chance, 1_000)
    now, _ = rows_of(chance, 500, truth_known=0.0)
    columns = now.columns.copy()
    columns[:, 3] = np.resize([40.0, 0.0, 0.0, 0.0, 0.0], 500)
    found = one(held, replace(now, columns=columns), "roc_auc")
    assert found.state == "off"
    assert found.why == "x3: 20% of the rows have values that the held-out rows hardly have"
    columns[::5, 3] = np.nan
    assert one(held, replace(now, columns=columns), "roc_auc").why.startswith("x3: 20%")


def test_texts_that_held_out_rows_hardly_had_switch_it_off() -> None:
    chance = np.random.default_rng(10)
    held, _ = rows_of(chance, 1_000)
    now, _ = rows_of(chance, 500, truth_known=0.0)
    columns = [rows.columns.copy() for rows in (held, now)]
    columns[0][:, 4] = chance.integers(1, 4, 1_000)
    columns[1][:, 4] = chance.integers(1, 5, 500)
    is_text = np.array([False, False, False, False, True])
    rows = [replace(each, columns=made, is_text=is_text) for each, made in zip((held, now), columns, strict=True)]
    assert one(rows[0], rows[1], "roc_auc").why.startswith("x4: 2")


def test_rows_that_no_single_column_gives_away_switch_it_off_together() -> None:
    chance = np.random.default_rng(11)
    held, _ = rows_of(chance, 2_000)
    now, _ = rows_of(chance, 1_000, truth_known=0.0)
    columns = [rows.columns.copy() for rows in (held, now)]
    for made, sign in zip(columns, (1, -1), strict=True):
        made[:, 4] = sign * made[:, 3] + 0.05 * made[:, 4]
    found = one(replace(held, columns=columns[0]), replace(now, columns=columns[1]), "roc_auc")
    assert found.state == "off"
    assert "by their columns together" in found.why or "worth only" in found.why


def test_few_rows_on_either_side_say_so() -> None:
    chance = np.random.default_rng(12)
    held, _ = rows_of(chance, 299)
    now, _ = rows_of(chance, 99, truth_known=0.0)
    assert one(held, now, "roc_auc").why == "only 299 held-out rows are kept; 300 are needed"
    held, _ = rows_of(chance, 300)
    assert one(held, now, "roc_auc").why == "only 99 rows came; 100 are needed"


def test_columns_that_run_with_time_are_left_aside_and_named() -> None:
    chance = np.random.default_rng(13)
    held, _ = rows_of(chance, 1_000)
    now, _ = rows_of(chance, 500, truth_known=0.0)
    past, here = held.columns.copy(), now.columns.copy()
    past[:, 4], here[:, 4] = np.arange(1_000), np.arange(1_000, 1_500)
    past[:, 3], here[:, 3] = 2016, 2017
    held, now = replace(held, columns=past), replace(now, columns=here)
    assert clocks(held).tolist() == [False, False, False, False, True]
    (found,) = estimated([pledge("roc_auc")], held, now, NONE, confidence=0.95, time=("x3",))
    assert found.state == "kept"
    assert found.aside == ("x3", "x4")
    assert estimated([pledge("roc_auc")], held, now, NONE, confidence=0.95)[0].state == "off"


def test_probabilities_that_no_map_sets_right_are_not_used() -> None:
    chance = np.random.default_rng(14)
    held, _ = rows_of(chance, 4_000)
    now, whole = rows_of(chance, 2_000, truth_known=0.0)

    def crooked(rows: Rows, truths: Predictions) -> tuple[Rows, Predictions]:
        assert truths.probabilities is not None
        block, rest = np.divmod(truths.probabilities[:, 1] * 4, 1)  # quarters change places: up, down and up again
        said = (np.array([1, 3, 0, 2])[block.astype(np.int64).clip(max=3)] + rest) / 4
        made = {"probabilities": np.stack([1 - said, said], axis=1), "decisions": (said > 0.5).astype(np.int64)}
        return replace(rows, predictions=replace(rows.predictions, **made)), replace(truths, **made)

    held, _ = crooked(held, held.predictions)
    now, whole = crooked(now, whole)
    found = one(held, now, "accuracy", bound=0.1).estimate
    assert found is not None
    assert found.method == "held-out rows drawn by weight"
    assert found.low <= metric_named("accuracy").value(whole) <= found.high


def test_what_is_no_metric_of_these_answers_is_left_out() -> None:
    chance = np.random.default_rng(15)
    held, _ = rows_of(chance, 400)
    now, _ = rows_of(chance, 200, truth_known=0.0)
    assert estimated([pledge("mae"), pledge("no such metric")], held, now, NONE, confidence=0.95) == ()


@pytest.mark.slow
def test_it_says_what_it_assumes_wherever_it_goes_and_the_same_each_time() -> None:
    chance = np.random.default_rng(16)
    held, _ = rows_of(chance, 400)
    now, _ = rows_of(chance, 200, truth_known=0.0)
    found = one(held, now, "roc_auc")
    told = json.loads(json.dumps(found.to_json()))
    assert told["assumes"] == ASSUMES
    assert told["estimate"]["low"] < told["estimate"]["value"] < told["estimate"]["high"]
    assert one(held, now, "roc_auc") == found


def test_weights_turn_the_held_out_rows_into_those_of_now() -> None:
    chance = np.random.default_rng(17)
    held, _ = rows_of(chance, 3_000)
    now, _ = rows_of(chance, 2_000, shift=0.6, truth_known=0.0)
    why, weights = support(held, now)
    assert (why, weights is not None) == ("", True)
    before, after = held.columns[:, 0].mean(), now.columns[:, 0].mean()
    weighted = np.average(held.columns[:, 0], weights=weights)
    assert abs(weighted - after) < 0.3 * abs(before - after)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "metric"), [("binary", "roc_auc"), ("binary", "f1"), ("regression", "mae")])
def test_the_interval_covers_what_labels_say_as_often_as_it_promises(kind: str, metric: str) -> None:
    missed = 0
    for seed in range(40):
        chance = np.random.default_rng(1_000 + seed)
        held, _ = rows_of(chance, 1_000, kind=kind)
        now, whole = rows_of(chance, 500, kind=kind, shift=0.5, truth_known=0.0)
        found = one(held, now, metric, bound=0.0).estimate
        assert found is not None
        missed += not found.low <= metric_named(metric).value(whole) <= found.high
    assert missed <= 6  # with 5 % of misses seven or more have a chance of 0.3 %
