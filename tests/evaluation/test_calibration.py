import math
from dataclasses import replace

import numpy as np
import pytest

from holdtrue.evaluation.calibration import calibration_error, reliability
from tests.evaluation.world import from_probability, in_clusters, numbers, several


def drawn(rows: int, seed: int, *, off: float = 0.0, shape: tuple[float, float] = (1.2, 2.0)):
    """A model whose every probability is too low by `off`."""
    generator = np.random.default_rng(seed)
    probability = generator.beta(*shape, rows) * (1 - off)
    return from_probability(generator.random(rows) < probability + off, probability)


def test_the_error_of_a_model_that_is_off_by_a_tenth_is_a_tenth() -> None:
    found = calibration_error(drawn(20_000, 1, off=0.1), 0.9, 0)
    assert found.value == pytest.approx(0.1, abs=0.01)
    assert 0.085 < found.low < 0.1 < found.high < 0.115


def test_the_error_of_a_perfect_model_is_near_0_and_does_not_grow_with_the_bins_noise() -> None:
    values = [calibration_error(drawn(2000, seed), 0.9, 0).value for seed in range(30)]
    naive = 0.04  # the mean absolute gap over 15 bins of 133 rows that chance alone makes
    assert np.mean(values) < naive / 3


@pytest.mark.slow
@pytest.mark.parametrize("rows", [300, 2000])
def test_the_lower_limit_of_a_perfect_model_is_0_nearly_always(rows: int) -> None:
    above = np.mean([calibration_error(drawn(rows, seed), 0.9, 0).low > 0 for seed in range(200)])
    assert above <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 200)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1.2, 2.0), (0.5, 15.0), (0.4, 0.4)], ids=["usual", "rare", "sure"])
@pytest.mark.parametrize("rows", [200, 1000])
def test_an_error_exactly_as_large_as_promised_is_seldom_proven_smaller(rows: int, shape: tuple[float, float]) -> None:
    runs = 600
    proven = np.mean(
        [calibration_error(drawn(rows, s, off=0.05, shape=shape), 0.9, 0).high < 0.05 for s in range(runs)]
    )
    assert proven <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / runs)


def test_several_classes_are_judged_by_the_likeliest() -> None:
    found = calibration_error(several(20_000, 3), 0.9, 0)
    assert found.low == 0
    assert found.high < 0.02


def test_an_interval_that_covers_less_than_it_promises_is_off_by_the_difference() -> None:
    rows = numbers(4000, 4)
    inside = np.mean((rows.low <= rows.truth) & (rows.truth <= rows.high))  # type: ignore[operator]
    found = calibration_error(rows, 0.9, 0)
    assert found.value == pytest.approx(abs(inside - 0.9))
    assert found.low <= found.value <= found.high


def test_few_rows_prove_nothing() -> None:
    found = calibration_error(drawn(60, 1), 0.9, 0)
    assert found.high == math.inf


def test_a_constant_probability_has_one_bin() -> None:
    rows = from_probability(np.random.default_rng(0).random(1000) < 0.3, np.full(1000, 0.3))
    assert len(reliability(rows, 0.9)) == 1
    assert calibration_error(rows, 0.9, 0).high < 0.06


def test_copies_in_clusters_do_not_make_it_surer() -> None:
    rows = drawn(800, 5)
    once = calibration_error(replace(rows, clusters=np.arange(800)), 0.9, 0)
    copied = calibration_error(in_clusters(rows, 5), 0.9, 0)
    assert copied.high == pytest.approx(once.high, rel=0.15)
    assert copied.low == once.low == 0
    assert calibration_error(replace(in_clusters(rows, 5), clusters=None), 0.9, 0).low > 0


def test_the_curve_has_every_row_once_and_rises_with_the_prediction() -> None:
    points = reliability(drawn(3000, 6), 0.9)
    assert sum(point["rows"] for point in points) == 3000
    predicted = [point["predicted"] for point in points]
    assert predicted == sorted(predicted)
    assert all(point["low"] <= point["observed"] <= point["high"] for point in points)
