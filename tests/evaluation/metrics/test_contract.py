"""What every metric must keep, whatever it measures."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.evaluation.metric import METRICS, offers
from holdtrue.evaluation.predictions import Predictions
from tests.evaluation.world import binary, in_clusters, numbers, several

WORLDS = {"binary": binary(400, 5), "several": several(600, 6), "numbers": numbers(400, 7)}
CASES = [
    (name, world)
    for world, rows in WORLDS.items()
    for name in METRICS.names()
    if METRICS.get(name).needs in offers(rows) and (name, world) != ("selection_rate", "several")
]
metric_and_world = pytest.mark.parametrize(("name", "world"), CASES)


@metric_and_world
def test_the_value_lies_between_its_limits_and_within_its_bounds(name: str, world: str) -> None:
    metric, rows = METRICS.get(name), WORLDS[world]
    found = metric.estimate(rows, 0.95, 0)
    assert found.value == pytest.approx(metric.value(rows), rel=1e-12)
    assert metric.bounds[0] <= found.low < found.value < found.high <= metric.bounds[1]
    assert found.rows > 0
    assert found.confidence == 0.95
    assert found.method


@metric_and_world
def test_more_confidence_gives_a_wider_interval(name: str, world: str) -> None:
    metric, rows = METRICS.get(name), WORLDS[world]
    narrow, wide = metric.estimate(rows, 0.8, 0), metric.estimate(rows, 0.99, 0)
    assert wide.low < narrow.low
    assert narrow.high < wide.high


@metric_and_world
def test_the_order_of_rows_does_not_matter(name: str, world: str) -> None:
    metric, rows = METRICS.get(name), WORLDS[world]
    mixed = metric.estimate(rows.take(np.random.default_rng(0).permutation(rows.rows)), 0.9, 0)
    found = metric.estimate(rows, 0.9, 0)
    assert (mixed.value, mixed.low, mixed.high) == pytest.approx((found.value, found.low, found.high), rel=1e-9)


@metric_and_world
def test_the_influence_is_the_derivative_by_the_weight_of_a_row(name: str, world: str) -> None:
    """Copy one row once more and the value moves by its influence over the rows, up to terms of the second order."""
    metric = METRICS.get(name)
    assert metric.influence is not None
    rows = WORLDS[world].take(np.repeat(np.arange(WORLDS[world].rows), 20))
    influence, value = metric.influence(rows), metric.value(rows)
    assert influence.mean() == pytest.approx(0.0, abs=1e-9 * np.abs(influence).max() + 1e-12)
    for copied in range(0, rows.rows, rows.rows // 12):
        moved = metric.value(rows.take(np.append(np.arange(rows.rows), copied))) - value
        assert moved * rows.rows == pytest.approx(influence[copied], abs=0.02 * np.abs(influence).max())


@metric_and_world
def test_copies_of_a_row_in_one_cluster_say_nothing_new(name: str, world: str) -> None:
    metric, rows = METRICS.get(name), WORLDS[world]
    alone = metric.estimate(replace(rows, clusters=np.arange(rows.rows)), 0.9, 0)
    copied = metric.estimate(in_clusters(rows, 4), 0.9, 0)
    assert copied.value == pytest.approx(alone.value, rel=1e-9)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.03)


@metric_and_world
def test_clusters_of_one_row_change_the_interval_little(name: str, world: str) -> None:
    metric, rows = METRICS.get(name), WORLDS[world]
    plain, alone = metric.estimate(rows, 0.9, 0), metric.estimate(replace(rows, clusters=np.arange(rows.rows)), 0.9, 0)
    assert alone.high - alone.low == pytest.approx(plain.high - plain.low, rel=0.12)


@metric_and_world
def test_a_mean_of_scores_is_the_value(name: str, world: str) -> None:
    metric, rows = METRICS.get(name), WORLDS[world]
    if metric.per_row is not None:
        assert float(np.nanmean(metric.per_row(rows))) == pytest.approx(metric.value(rows), rel=1e-12)


@metric_and_world
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_hardly_any_row_proves_nothing_and_breaks_nothing(name: str, world: str, rows: int) -> None:
    metric = METRICS.get(name)
    few = WORLDS[world].take(np.arange(rows))
    found = metric.estimate(few, 0.95, 0)
    width = metric.bounds[1] - metric.bounds[0]
    assert found.high - found.low >= 0.3 * min(width, 1.0)


@given(
    truth=st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40),
    levels=st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0]), min_size=40, max_size=40),
    name=st.sampled_from([name for name, world in CASES if world == "binary"]),
)
@settings(max_examples=50, deadline=None)
def test_any_rows_give_limits_around_the_value(truth: list[float], levels: list[float], name: str) -> None:
    probability = np.array(levels[: len(truth)])
    rows = Predictions(
        truth=np.array(truth),
        classes=("no", "yes"),
        probabilities=np.column_stack([1 - probability, probability]),
        decisions=(probability >= 0.5).astype(np.int64),
    )
    found = METRICS.get(name).estimate(rows, 0.9, 0)
    if math.isnan(found.value):
        assert (found.low, found.high) == (-math.inf, math.inf)
    else:
        assert found.low <= found.value <= found.high


def test_a_rate_of_one_class_among_several_is_not_defined() -> None:
    found = METRICS.get("selection_rate").estimate(several(100, 1), 0.9, 0)
    assert math.isnan(found.value)
    assert math.isinf(found.high)
