import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.power import normal_power, zt_ind_solve_power

from holdtrue.statistics.binomial import clopper_pearson
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.mean import mean_estimate
from holdtrue.statistics.power import binomial_rows_needed, minimum_detectable, rows_needed

SEEN = Estimate(value=0.83, low=0.81, high=0.85, rows=1000, method="", confidence=0.9)


def test_rows_needed_are_those_of_a_one_sided_z_test_in_statsmodels() -> None:
    deviation = 0.02 / 1.6448536 * math.sqrt(1000)
    reference = zt_ind_solve_power(effect_size=0.01 / deviation, alpha=0.05, power=0.8, ratio=0, alternative="larger")
    assert rows_needed(SEEN, 0.82, "at_least", 0.9) == pytest.approx(reference, rel=1e-3)
    assert rows_needed(SEEN, 0.84, "at_most", 0.9) == pytest.approx(reference, rel=1e-3)


def test_with_the_rows_needed_four_of_five_samples_prove_it() -> None:
    generator = np.random.default_rng(1)
    pilot = mean_estimate(generator.exponential(size=400), 0.9, 0)
    known = replace(pilot, value=1.0, low=1.0 - 1.645 / 20, high=1.0 + 1.645 / 20)
    rows = rows_needed(known, 1.1, "at_most", 0.9)
    assert rows is not None
    proven = [mean_estimate(generator.exponential(size=rows), 0.9, 0).high <= 1.1 for _ in range(1000)]
    assert np.mean(proven) == pytest.approx(0.8, abs=0.04)


@given(st.floats(0.811, 0.829))
def test_what_is_unproven_needs_more_rows_than_there_are(bound: float) -> None:
    needed = rows_needed(SEEN, bound, "at_least", 0.9)
    assert needed is not None
    assert needed > SEEN.rows


@given(st.floats(0.5, 0.82), st.floats(0.001, 0.009))
def test_a_closer_bound_needs_more_rows(bound: float, closer: float) -> None:
    far, near = (rows_needed(SEEN, one, "at_least", 0.9) for one in (bound, bound + closer))
    assert far is not None
    assert near is not None
    assert far <= near


@pytest.mark.parametrize("bound", [0.83, 0.84, 2.0])
def test_no_number_of_rows_is_named_when_the_value_is_on_the_wrong_side(bound: float) -> None:
    assert rows_needed(SEEN, bound, "at_least", 0.9) is None
    assert rows_needed(replace(SEEN, value=math.nan), bound, "at_most", 0.9) is None


def test_without_limits_the_least_rows_are_named() -> None:
    few = replace(SEEN, rows=4, low=-math.inf, high=math.inf)
    assert rows_needed(few, 0.8, "at_least", 0.9) == 30
    assert rows_needed(replace(few, rows=100), 0.8, "at_least", 0.9) == 200


def test_at_the_detectable_distance_the_rows_at_hand_are_those_needed() -> None:
    distance = minimum_detectable(SEEN, "at_least", 0.9)
    assert rows_needed(SEEN, SEEN.value - distance, "at_least", 0.9) == pytest.approx(SEEN.rows, abs=1)
    assert minimum_detectable(SEEN, "at_most", 0.9, rows=4000) == pytest.approx(distance / 2)
    assert normal_power(distance, 1000, 0.1, sigma=0.02 / 1.6448536 * math.sqrt(1000)) == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize(("share", "bound"), [(0.85, 0.8), (0.99, 0.95), (1.0, 0.9), (0.03, 0.1), (0.0, 0.02)])
def test_so_many_rows_prove_a_share_with_the_power_and_one_fewer_does_not(share: float, bound: float) -> None:
    rows = binomial_rows_needed(share, bound, 0.9)
    assert rows is not None

    def chance(count: int) -> float:
        hits = np.arange(count + 1)
        found = [clopper_pearson(hit, count, 0.9) for hit in hits.tolist()]
        kept = np.array([one.low >= bound if share > bound else one.high <= bound for one in found])
        return float(binom.pmf(hits, count, share)[kept].sum())

    assert chance(rows - 1) < 0.8 <= min(chance(count) for count in range(rows, rows + 30))


def test_a_share_equal_to_its_bound_is_never_proven() -> None:
    assert binomial_rows_needed(0.8, 0.8, 0.9) is None
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        binomial_rows_needed(80, 0.8, 0.9)
    assert binomial_rows_needed(0.80001, 0.8, 0.9) == pytest.approx(9.9e9, rel=0.01)
