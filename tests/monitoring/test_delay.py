"""The delay of labels is found though the youngest rows have had no time to be labelled."""

import numpy as np
import pytest

from holdtrue.monitoring.delay import delay_of

DAY_S = 86_400.0
NONE = np.array([])


def test_without_labels_nothing_is_known() -> None:
    assert delay_of(NONE, np.array([5.0]), np.array([100.0])) is None


def test_without_rows_that_wait_it_is_what_was_seen() -> None:
    found = delay_of(np.arange(1.0, 11.0), NONE, NONE)
    assert found is not None
    assert (found.half_s, found.most_s, found.to_come) == (5.0, 9.0, 0.0)


def test_rows_as_old_as_the_longest_wait_wait_for_nothing() -> None:
    found = delay_of(np.array([1.0, 2.0]), np.array([2.0, 50.0]), np.array([3.0, 4.0]))
    assert found is not None
    assert found.to_come == 0.0


def test_a_label_before_its_prediction_took_no_time() -> None:
    found = delay_of(np.array([-30.0, 0.0, 0.0]), NONE, NONE)
    assert found is not None
    assert (found.half_s, found.most_s) == (0.0, 0.0)


@pytest.mark.parametrize("ever", [1.0, 0.6])
def test_young_rows_do_not_make_labels_seem_quick(ever: float) -> None:
    """Rows of thirty days, more each day; labels take eight days in the mean, and of some rows never come."""
    chance = np.random.default_rng(3)
    ages = 30 * DAY_S * np.sqrt(chance.random(40_000))[::-1]
    ages = 30 * DAY_S - ages  # most are young
    waits = np.where(chance.random(40_000) < ever, chance.exponential(8 * DAY_S, 40_000), np.inf)
    came = waits <= ages
    hours = np.floor(ages[~came] / 3600)
    kinds, rows = np.unique(hours, return_counts=True)
    found = delay_of(waits[came], (kinds + 0.5) * 3600, rows.astype(np.float64))
    assert found is not None
    within = 8 * DAY_S * -np.log(1 - 0.5 * (1 - np.exp(-30 / 8)))  # half of those that take at most thirty days
    assert found.half_s == pytest.approx(within, rel=0.05)
    assert np.median(waits[came]) < 0.75 * within  # what is seen without that
    coming = ((waits > ages) & (waits <= 30 * DAY_S)).sum()
    assert found.to_come == pytest.approx(coming, rel=0.05)
