import math

import numpy as np
import polars as pl
import pytest

from holdtrue.evaluation.calibration import calibration_error
from holdtrue.evaluation.measure import (
    measure_beats,
    measure_calibrated,
    measure_fair,
    measure_fast,
    measure_quality,
    measure_robust,
)
from holdtrue.evaluation.metric import METRICS
from tests.evaluation.world import binary, paired


def test_quality_is_the_metric_on_the_rows_of_the_scope() -> None:
    rows = binary(1000, 1)
    scope = np.arange(1000) < 400
    assert measure_quality("roc_auc", rows, 0.9, 0) == METRICS.get("roc_auc").estimate(rows, 0.9, 0)
    assert measure_quality("accuracy", rows, 0.9, 0, scope).rows == 400


def test_a_scope_without_rows_proves_nothing() -> None:
    found = measure_quality("accuracy", binary(100, 1), 0.9, 0, np.zeros(100, dtype=bool))
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_beating_is_measured_in_the_unit_of_the_metric_or_as_a_share() -> None:
    model, other = paired(2000, 2, noise=(0.1, 0.8))
    plain = measure_beats("log_loss", model, other, 0.9, 0)
    share = measure_beats("log_loss", model, other, 0.9, 0, relative=True)
    assert share.value == pytest.approx(plain.value / METRICS.get("log_loss").value(other))


def test_fairness_takes_the_column_as_it_is() -> None:
    rows = binary(3000, 3)
    groups = pl.Series("region", np.where(np.arange(3000) % 2, "north", "south"))
    found = measure_fair("equalized_odds", rows, groups, 0.9, 0)
    assert 0 < found.value < found.high < 0.15
    assert measure_fair("equalized_odds", rows, groups, 0.9, 0, minimum=5000).high == math.inf


def test_calibration_and_robustness_are_measured_as_they_are_reported() -> None:
    model, other = paired(1000, 4, noise=(0.1, 0.8))
    assert measure_calibrated(model, 0.9, 0) == calibration_error(model, 0.9, 0)
    assert measure_robust("log_loss", model, other, 0.9, 0) == measure_beats("log_loss", model, other, 0.9, 0)


class Clock:
    """A clock that calls move forward by the times it was given."""

    def __init__(self, taken_s: list[float]) -> None:
        self.now = 0.0
        self.taken_s = iter(taken_s)

    def __call__(self) -> float:
        return self.now

    def work(self) -> None:
        self.now += next(self.taken_s)


def test_a_quantile_of_times_is_bounded_by_measured_times_in_milliseconds() -> None:
    clock = Clock([1.0] * 50 + [number / 1000 for number in range(1, 1001)])
    found = measure_fast(clock.work, 1000, 0.99, clock, 0.9)
    assert found.value == pytest.approx(990)
    assert found.low == pytest.approx(985)
    assert found.high == pytest.approx(996)


def test_too_few_runs_bound_no_high_quantile() -> None:
    clock = Clock([0.001] * 150)
    assert measure_fast(clock.work, 100, 0.99, clock, 0.9).high == math.inf
