import math
from dataclasses import replace

import numpy as np
import pytest

from holdtrue.evaluation.comparisons import compare, compare_relative
from holdtrue.evaluation.metric import METRICS, Metric
from tests.evaluation.world import binary, from_probability, in_clusters, numbers, paired

NAMES = ["roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "recall", "precision", "f1", "mcc", "balanced_accuracy"]


@pytest.mark.parametrize("name", NAMES)
def test_positive_is_better_whichever_way_the_metric_points(name: str) -> None:
    model, other = paired(3000, 1, noise=(0.1, 1.0))
    metric = METRICS.get(name)
    sign = 1 if metric.higher_is_better else -1
    gain = compare(metric, model, other, 0.9, 0)
    assert gain.value == pytest.approx(sign * (metric.value(model) - metric.value(other)), abs=1e-12)
    assert gain.low <= gain.value <= gain.high


@pytest.mark.parametrize("name", NAMES)
def test_the_other_way_round_it_is_the_same_with_the_sign_turned(name: str) -> None:
    model, other = paired(1000, 2, noise=(0.3, 0.6))
    there = compare(METRICS.get(name), model, other, 0.9, 0)
    back = compare(METRICS.get(name), other, model, 0.9, 0)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_pairing_makes_the_interval_narrower_than_that_of_two_separate_ones(name: str) -> None:
    model, other = paired(2000, 3, noise=(0.1, 0.3))
    metric = METRICS.get(name)
    together = compare(metric, model, other, 0.9, 0)
    one, two = metric.estimate(model, 0.9, 0), metric.estimate(other, 0.9, 0)
    assert together.high - together.low < math.hypot(one.high - one.low, two.high - two.low)


@pytest.mark.parametrize("name", [*NAMES, "true_positive_rate", "selection_rate"])
def test_equal_predictions_do_not_prove_that_one_is_at_least_as_good(name: str) -> None:
    model = binary(500, 4)
    gain = compare(METRICS.get(name), model, model, 0.9, 0)
    assert gain.value == 0
    assert gain.low < 0 < gain.high


def test_equal_predictions_of_numbers_leave_everything_possible() -> None:
    model = numbers(500, 4)
    gain = compare(METRICS.get("rmse"), model, model, 0.9, 0)
    assert (gain.low, gain.high) == (-math.inf, math.inf)


def test_more_equal_rows_leave_less_possible() -> None:
    few, many = (compare(METRICS.get("log_loss"), binary(rows, 4), binary(rows, 4), 0.9, 0) for rows in (100, 10_000))
    assert many.high < few.high / 10


@pytest.mark.parametrize("name", NAMES)
def test_copies_in_clusters_prove_nothing_more(name: str) -> None:
    model, other = paired(800, 5, noise=(0.2, 0.8))
    alone = replace(model, clusters=np.arange(800)), replace(other, clusters=np.arange(800))
    once = compare(METRICS.get(name), *alone, 0.9, 0)
    copied = compare(METRICS.get(name), in_clusters(model, 3), in_clusters(other, 3), 0.9, 0)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.03)


def test_the_relative_gain_is_the_gain_over_the_value_of_the_other() -> None:
    model, other = paired(2000, 6, noise=(0.1, 0.8))
    metric = METRICS.get("log_loss")
    share = compare_relative(metric, model, other, 0.9, 0)
    assert share.value == pytest.approx(1 - metric.value(model) / metric.value(other))
    assert share.low < share.value < share.high


def test_the_limits_of_the_relative_gain_are_where_the_gain_less_its_share_of_the_other_may_be_0() -> None:
    """Fieller: scale the other's scores by 1 - m, and the limit of that difference is 0 at the limit m."""
    model, other = numbers(1500, 7), numbers(1500, 7)
    assert other.values is not None
    other = replace(other, values=other.values + np.random.default_rng(1).normal(0.0, 0.8, 1500))
    metric = METRICS.get("mae")
    share = compare_relative(metric, model, other, 0.9, 0)
    assert metric.per_row is not None
    difference = (1 - share.low) * metric.per_row(other) - metric.per_row(model)
    error = difference.std(ddof=1) / math.sqrt(1500)
    assert difference.mean() / error == pytest.approx(1.646, abs=0.05)


def test_a_share_of_a_value_that_is_not_above_0_is_not_defined() -> None:
    rows = numbers(300, 8)
    assert rows.values is not None
    useless = replace(rows, values=-5 * rows.values)
    share = compare_relative(METRICS.get("r2"), rows, useless, 0.9, 0)
    assert math.isnan(share.value)
    assert share.low == -math.inf


def test_a_metric_that_one_model_leaves_undefined_favours_neither() -> None:
    model = binary(300, 9)
    silent = from_probability(model.truth, np.full(300, 0.3))
    gain = compare(METRICS.get("precision"), model, silent, 0.9, 0)
    assert math.isnan(gain.value)
    assert (gain.low, gain.high) == (-math.inf, math.inf)


@pytest.mark.slow
def test_a_metric_of_another_package_without_influence_is_bootstrapped() -> None:
    model, other = paired(200, 10, noise=(0.1, 1.5))
    accuracy = METRICS.get("accuracy")
    plain = Metric(
        needs="decisions",
        higher_is_better=True,
        value=accuracy.value,
        estimate=accuracy.estimate,
        title="Their accuracy",
        paper="",
    )
    theirs, ours = compare(plain, model, other, 0.9, 0), compare(accuracy, model, other, 0.9, 0)
    assert "bootstrap" in theirs.method
    assert theirs.low == pytest.approx(ours.low, abs=0.02)


def test_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="the same rows"):
        compare(METRICS.get("accuracy"), binary(100, 1), binary(100, 2), 0.9, 0)
