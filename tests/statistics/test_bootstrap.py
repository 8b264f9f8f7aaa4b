import math
from time import perf_counter

import numpy as np
import pytest
from scipy import stats

from holdtrue.statistics.bootstrap import bootstrap, bootstrap_many
from holdtrue.statistics.mean import mean_estimate


def test_the_limits_of_a_mean_are_close_to_the_closed_ones() -> None:
    scores = np.random.default_rng(1).exponential(size=500)
    drawn = bootstrap(lambda index: float(scores[index].mean()), 500, 0.9, 0, draws=4000)
    closed = mean_estimate(scores, 0.9, 0)
    width = closed.high - closed.low
    assert (drawn.low, drawn.high) == pytest.approx((closed.low, closed.high), abs=0.06 * width)


def test_the_limits_are_close_to_those_of_scipys_bca() -> None:
    scores = np.random.default_rng(2).lognormal(size=300)
    drawn = bootstrap(lambda index: float(np.median(scores[index]) ** 2), 300, 0.9, 0, draws=4000)
    reference = stats.bootstrap(
        (scores,),
        lambda values, axis: np.median(values, axis=axis) ** 2,
        confidence_level=0.9,
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (drawn.low, drawn.high) == pytest.approx(tuple(reference), abs=0.1 * (reference.high - reference.low))


def test_bca_moves_the_limits_to_where_the_skewness_points_and_percentile_does_not() -> None:
    scores = np.random.default_rng(3).exponential(size=60)
    bca, percentile = (
        bootstrap(lambda index: float(scores[index].mean()), 60, 0.9, 0, draws=4000, method=method)
        for method in ("bca", "percentile")
    )
    assert bca.low > percentile.low
    assert bca.high > percentile.high


def test_the_same_seed_gives_the_same_limits_and_several_numbers_share_their_draws() -> None:
    scores = np.random.default_rng(4).normal(size=100)
    one = bootstrap(lambda index: float(scores[index].mean()), 100, 0.9, 7, draws=200)
    mean, spread = bootstrap_many(
        lambda index: [float(scores[index].mean()), float(scores[index].std())], 100, 0.9, 7, draws=200
    )
    assert mean == one
    assert spread.low < float(scores.std()) < spread.high
    assert bootstrap(lambda index: float(scores[index].mean()), 100, 0.9, 8, draws=200) != one


def test_rows_of_one_cluster_are_no_independent_evidence() -> None:
    once = np.random.default_rng(5).normal(size=100)
    scores, clusters = np.repeat(once, 9), np.repeat(np.arange(100), 9)
    alone = bootstrap(lambda index: float(scores[index].mean()), 900, 0.9, 0, draws=1000)
    together = bootstrap(lambda index: float(scores[index].mean()), 900, 0.9, 0, draws=1000, clusters=clusters)
    assert together.high - together.low == pytest.approx(3 * (alone.high - alone.low), rel=0.15)


def test_strata_take_out_the_difference_between_them() -> None:
    strata = np.repeat([0, 1], 100)
    scores = 10.0 * strata + np.random.default_rng(6).normal(size=200)
    loose = bootstrap(lambda index: float(scores[index].mean()), 200, 0.9, 0, draws=500)
    strict = bootstrap(lambda index: float(scores[index].mean()), 200, 0.9, 0, draws=500, strata=strata)
    assert strict.high - strict.low < 0.4 * (loose.high - loose.low)


def test_undefined_draws_count_against_both_limits() -> None:
    scores = np.random.default_rng(7).normal(size=200)

    def sometimes(share: float):
        worst = np.sort(scores)[-round(share * 200) :]

        def statistic(index: "np.ndarray") -> float:
            drawn = scores[index]
            return math.nan if index[0] != 0 and drawn[0] in worst else float(drawn.mean())

        return bootstrap(statistic, 200, 0.9, 0, draws=1000)

    rare, common = sometimes(0.02), sometimes(0.2)
    always = bootstrap(lambda index: float(scores[index].mean()), 200, 0.9, 0, draws=1000)
    assert rare.low < always.low < always.high < rare.high
    assert (common.low, common.high) == (-math.inf, math.inf)


def test_a_statistic_that_never_moves_proves_nothing() -> None:
    found = bootstrap(lambda index: 1.0, 100, 0.9, 0, draws=100)
    assert (found.value, found.low, found.high) == (1.0, -math.inf, math.inf)
    assert "never moved" in found.method


@pytest.mark.parametrize("rows", [1, 5, 9])
def test_fewer_than_ten_units_prove_nothing(rows: int) -> None:
    scores = np.arange(float(rows))
    found = bootstrap(lambda index: float(scores[index].mean()), rows, 0.9, 0, draws=50)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_an_undefined_value_has_no_limits() -> None:
    found = bootstrap(lambda index: math.nan, 100, 0.9, 0, draws=50)
    assert math.isnan(found.value)
    assert found.high == math.inf


@pytest.mark.slow
def test_25_000_rows_and_1000_draws_take_seconds() -> None:
    generator = np.random.default_rng(8)
    cell, clusters = generator.integers(0, 4, 25_000), generator.integers(0, 5000, 25_000)

    def f1(index: "np.ndarray") -> float:
        hit, false, missed, _ = np.bincount(cell[index], minlength=4).tolist()
        return 2 * hit / (2 * hit + false + missed)

    start = perf_counter()
    bootstrap(f1, 25_000, 0.9, 0)
    bootstrap(f1, 25_000, 0.9, 0, clusters=clusters)
    assert perf_counter() - start < 10
