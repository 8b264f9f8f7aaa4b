"""More requests that break the contract are found soon, chance is not, and a few are never enough."""

import numpy as np
import pytest
from scipy.stats import binom

from holdtrue.monitoring.budget import HOUR_US, MINUTE_US, Tally
from holdtrue.monitoring.refusals import SPAN_US, SPANS_A_DAY, more_refused

BUDGET = 1 / 30
NOW_US = 100 * HOUR_US
DAY = Tally().add(NOW_US - 20 * HOUR_US, events=20_000, bad=100)


def test_more_are_found_with_the_shares_of_before_and_now() -> None:
    tally = DAY.add(NOW_US - 2 * MINUTE_US, events=300, bad=30)
    found = more_refused(tally, NOW_US, alarm_budget=BUDGET)
    assert found is not None
    assert (found.requests, found.refused, found.before, found.refused_before) == (300, 30, 20_000, 100)
    assert found.shares == (0.005, 0.1)
    assert found.evidence > 10


@pytest.mark.parametrize(
    ("events", "bad"),
    [(300, 2), (3, 1), (0, 0), (1_000_000, 9_000)],
    ids=["as before", "too few", "none", "too little to matter"],
)
def test_what_is_no_more_than_before_is_nothing(events: float, bad: float) -> None:
    tally = DAY.add(NOW_US - 2 * MINUTE_US, events=events, bad=bad)
    assert more_refused(tally, NOW_US, alarm_budget=BUDGET) is None


def test_fewer_are_no_alarm() -> None:
    tally = Tally().add(NOW_US - 20 * HOUR_US, events=20_000, bad=8_000).add(NOW_US - SPAN_US, events=900, bad=0)
    assert more_refused(tally, NOW_US, alarm_budget=BUDGET) is None


def test_without_a_past_nothing_is_said() -> None:
    tally = Tally().add(NOW_US - 3 * HOUR_US, events=99, bad=0).add(NOW_US - SPAN_US, events=900, bad=900)
    assert more_refused(tally, NOW_US, alarm_budget=BUDGET) is None


def test_five_minutes_are_judged_when_they_are_over_and_are_no_part_of_what_was_before() -> None:
    tally = DAY.add(NOW_US - 2 * MINUTE_US, events=300, bad=30)
    assert more_refused(tally, NOW_US - MINUTE_US, alarm_budget=BUDGET) is None
    again = more_refused(tally, NOW_US + SPAN_US - 1, alarm_budget=BUDGET)
    assert again == more_refused(tally, NOW_US, alarm_budget=BUDGET)
    assert more_refused(tally, NOW_US + SPAN_US, alarm_budget=BUDGET) is None


def test_false_alarms_are_as_rare_as_the_budget_says() -> None:
    """With a budget of 12 a day each five minutes may err in one of 24."""
    chance = np.random.default_rng(5)
    spans, false = 600, 0
    for _ in range(spans):
        past, now = chance.binomial(3_000, 0.05), chance.binomial(200, 0.05)
        tally = Tally().add(NOW_US - 20 * HOUR_US, 3_000, past).add(NOW_US - SPAN_US, 200, now)
        false += more_refused(tally, NOW_US, alarm_budget=12) is not None
    assert false <= binom.ppf(0.999, spans, 12 / SPANS_A_DAY)
