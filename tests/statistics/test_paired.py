import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from holdtrue.statistics.mean import mean_estimate
from holdtrue.statistics.paired import mcnemar, mean_difference


def test_the_worked_example_of_fagerland_and_others() -> None:
    """Airway hyper-responsiveness, 1 and 7 discordant pairs: mid-p 0.039 (2013, table 6)."""
    assert mcnemar(1, 7) == pytest.approx(0.039, abs=0.0005)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mid_p_lies_half_a_step_below_the_exact_p(only_one: int, only_two: int) -> None:
    exact = binomtest(only_one, only_one + only_two).pvalue if only_one + only_two else 1.0
    if only_one == only_two:
        assert mcnemar(only_one, only_two) == 1
    else:
        step = binom.pmf(min(only_one, only_two), only_one + only_two, 0.5)
        assert mcnemar(only_one, only_two) == pytest.approx(exact - step, abs=1e-12)


@pytest.mark.parametrize("level", [0.05, 0.01])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_equal_models_are_told_apart_no_more_often_than_the_level(level: float, share: float) -> None:
    rows, most = 100, 60
    size = 0.0
    for both in range(most):
        # The largest count of the rarer kind that is still significant; the other tail is as likely.
        told = [fewer for fewer in range((both + 1) // 2) if mcnemar(fewer, both - fewer) <= level]
        size += float(binom.pmf(both, rows, share)) * 2 * (float(binom.cdf(told[-1], both, 0.5)) if told else 0.0)
    assert size <= level


def test_a_difference_is_the_mean_of_the_differences() -> None:
    generator = np.random.default_rng(1)
    one, two = generator.exponential(size=100), generator.exponential(size=100)
    assert mean_difference(one, two, 0.9, 0) == mean_estimate(one - two, 0.9, 0)


def test_pairing_takes_out_what_both_models_find_hard() -> None:
    generator = np.random.default_rng(2)
    hard = generator.exponential(size=400)
    one, two = hard + generator.normal(0, 0.01, 400), hard + generator.normal(0, 0.01, 400)
    paired = mean_difference(one, two, 0.9, 0)
    assert paired.high - paired.low < 0.01 < mean_estimate(one, 0.9, 0).high - mean_estimate(one, 0.9, 0).low


def test_equal_scores_are_equal_up_to_what_the_rows_can_show() -> None:
    same = np.random.default_rng(3).random(1000)
    assert mean_difference(same, same, 0.9, 0).high == math.inf
    assert mean_difference(same, same, 0.9, 0, bounds=(-1, 1)).high == pytest.approx(0.003, abs=0.0005)


def test_scores_of_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 4 scores cannot be paired"):
        mean_difference(np.zeros(3), np.zeros(4), 0.9, 0)
    with pytest.raises(ValueError, match="0 or more"):
        mcnemar(-1, 2)
