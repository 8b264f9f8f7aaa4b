import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from fairlearn import metrics as fairlearn
from sklearn.metrics import accuracy_score

from holdtrue.core.errors import Misuse
from holdtrue.evaluation.fairness import fairness
from holdtrue.evaluation.grouping import Grouping, group
from holdtrue.evaluation.predictions import Predictions
from tests.evaluation.world import from_probability, numbers


def world(seed: int, sizes: tuple[int, ...], found: tuple[float, ...], mistaken: tuple[float, ...]):
    """Groups in which half of the rows are positive; each has its own true and false positive rate."""
    generator = np.random.default_rng(seed)
    code = np.repeat(np.arange(len(sizes)), sizes)
    truth = generator.random(len(code)) < 0.5
    decided = generator.random(len(code)) < np.where(truth, np.array(found)[code], np.array(mistaken)[code])
    grouping = Grouping(column="g", names=tuple("abcdefgh"[: len(sizes)]), codes=code)
    return from_probability(truth, np.where(decided, 0.9, 0.1)), grouping


FAIRLEARN = {
    "demographic_parity": (fairlearn.demographic_parity_difference, fairlearn.demographic_parity_ratio),
    "equalized_odds": (fairlearn.equalized_odds_difference, fairlearn.equalized_odds_ratio),
    "equal_opportunity": (fairlearn.equal_opportunity_difference, fairlearn.equal_opportunity_ratio),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", FAIRLEARN)
def test_gaps_and_ratios_are_those_of_fairlearn(name: str) -> None:
    rows, grouping = world(1, (300, 400, 500), (0.8, 0.7, 0.75), (0.1, 0.15, 0.2))
    difference, ratio = FAIRLEARN[name]
    given: dict[str, Any] = {"y_true": rows.truth, "y_pred": rows.decisions, "sensitive_features": grouping.codes}
    found = fairness(rows, grouping, name, 0.9, 0)
    assert found.gap.value == pytest.approx(difference(**given))
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(ratio(**given))


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("true_positive_rate", fairlearn.true_positive_rate),
        ("false_positive_rate", fairlearn.false_positive_rate),
        ("selection_rate", fairlearn.selection_rate),
        ("accuracy", accuracy_score),
    ],
)
def test_each_group_has_the_value_of_fairlearns_metric_frame(name: str, reference: Callable[..., float]) -> None:
    rows, grouping = world(2, (300, 400, 500), (0.8, 0.7, 0.75), (0.1, 0.15, 0.2))
    frame = fairlearn.MetricFrame(
        metrics=reference, y_true=rows.truth, y_pred=rows.decisions, sensitive_features=grouping.codes
    )
    found = fairness(rows, grouping, name, 0.9, 0)
    assert [each.value.value for each in found.groups] == pytest.approx(list(frame.by_group))
    assert found.gap.value == pytest.approx(frame.difference())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "found", "mistaken"),
    [
        ((300, 300), (0.8, 0.7), (0.1, 0.1)),
        ((1500, 100), (0.98, 0.88), (0.05, 0.05)),
        ((300, 300, 300, 300), (0.8, 0.7, 0.75, 0.75), (0.1, 0.1, 0.1, 0.1)),
    ],
)
@pytest.mark.parametrize("name", ["true_positive_rate", "equalized_odds"])
def test_a_gap_exactly_as_large_as_promised_is_seldom_proven_smaller(
    name: str, sizes: tuple[int, ...], found: tuple[float, ...], mistaken: tuple[float, ...]
) -> None:
    runs = 400
    gaps = [fairness(*world(seed, sizes, found, mistaken), name, 0.9, 0).gap for seed in range(runs)]
    allowed = 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / runs)
    assert np.mean([gap.high < 0.1 for gap in gaps]) <= allowed
    assert np.mean([gap.low > 0.1 for gap in gaps]) <= allowed


def test_groups_that_are_alike_are_proven_alike_with_enough_rows() -> None:
    assert fairness(*world(3, (5000, 5000), (0.8, 0.8), (0.1, 0.1)), "equalized_odds", 0.9, 0).gap.high < 0.06


def test_a_group_with_too_few_rows_that_count_is_never_fair_and_is_named() -> None:
    rows, grouping = world(4, (5000, 5000, 40), (0.8, 0.8, 0.8), (0.1, 0.1, 0.1))
    found = fairness(rows, grouping, "true_positive_rate", 0.9, 0)
    assert [each.enough for each in found.groups] == [True, True, False]
    assert found.gap.high == math.inf
    assert found.ratio is not None
    assert found.ratio.low == -math.inf
    assert "'c'" in found.note
    assert "'c'" in found.gap.method


def test_a_gap_that_large_groups_prove_counts_though_another_group_is_small() -> None:
    rows, grouping = world(5, (5000, 5000, 20), (0.9, 0.5, 0.8), (0.1, 0.1, 0.1))
    gap = fairness(rows, grouping, "true_positive_rate", 0.9, 0).gap
    assert gap.low > 0.3
    assert gap.high == math.inf


def test_one_group_has_no_gap_to_prove() -> None:
    rows, grouping = world(6, (500,), (0.8,), (0.1,))
    found = fairness(rows, grouping, "accuracy", 0.9, 0)
    assert found.gap.high == math.inf
    assert found.note


def test_clusters_that_cross_groups_make_the_interval_wider() -> None:
    rows, grouping = world(7, (1000, 1000), (0.8, 0.7), (0.1, 0.1))
    alone = fairness(replace(rows, clusters=np.arange(2000)), grouping, "accuracy", 0.9, 0).gap
    crossed = fairness(replace(rows, clusters=np.arange(2000) % 1000), grouping, "accuracy", 0.9, 0).gap
    assert crossed.high > alone.high


def test_errors_of_numbers_can_be_compared_between_groups() -> None:
    rows = numbers(2000, 8)
    assert rows.values is not None
    worse = Predictions(truth=rows.truth, values=np.where(np.arange(2000) < 1000, rows.values, rows.values + 1.0))
    found = fairness(worse, group(pl.Series("half", ["x"] * 1000 + ["y"] * 1000)), "mae", 0.9, 0)
    assert found.gap.low > 0.2


def test_an_unknown_definition_names_the_nearest() -> None:
    with pytest.raises(Misuse, match="equalized_odds"):
        fairness(*world(9, (100, 100), (0.8, 0.8), (0.1, 0.1)), "equalised_odds", 0.9, 0)
