"""More requests that break the contract are found soon, chance is not, and a few are never enough."""

import numpy as np
import pytest
from scipy.stats import binom

from holdtrue.monitoring.budget import DAY_US, HOUR_US, MINUTE_US, Tally
from holdtrue.monitoring.refusals import SPANS, more_refused

BUDGET = 1 / 30
SPAN_US = SPANS["five minutes"]
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
    later = more_refused(tally, NOW_US + SPAN_US, alarm_budget=BUDGET)
    assert later is not None
    assert later.span == "an hour"  # which they are a part of
    assert more_refused(tally, NOW_US + 48 * HOUR_US, alarm_budget=BUDGET) is None


def test_where_requests_are_seldom_the_whole_day_tells_what_five_minutes_and_an_hour_cannot() -> None:
    """An endpoint that is asked twice an hour, and refuses all since yesterday."""
    end_us = 40 * DAY_US
    tally = Tally().add(end_us - DAY_US - 1, events=1_440, bad=3, since_us=end_us - 30 * DAY_US)
    for hour in range(24):
        tally = tally.add(end_us - hour * HOUR_US - 1, events=2, bad=2)
    found = more_refused(tally, end_us + MINUTE_US, alarm_budget=BUDGET)
    assert found is not None
    assert (found.span, found.requests, found.refused, found.before) == ("a day", 48, 48, 1_440)


def test_an_hour_tells_what_five_minutes_cannot() -> None:
    tally = DAY
    for minute in range(60):
        tally = tally.add(NOW_US - minute * MINUTE_US - 1, events=1, bad=minute % 6 == 0)
    found = more_refused(tally, NOW_US, alarm_budget=BUDGET)
    assert found is not None
    assert (found.span, found.requests, found.refused) == ("an hour", 60, 10)


def test_false_alarms_are_as_rare_as_the_budget_says() -> None:
    """With a budget of 36 a day the five minutes may err twelve times, so each in one of 24."""
    chance = np.random.default_rng(5)
    spans, false = 600, 0
    for _ in range(spans):
        past, now = chance.binomial(3_000, 0.05), chance.binomial(200, 0.05)
        tally = Tally().add(NOW_US - 20 * HOUR_US, 3_000, past).add(NOW_US - SPAN_US, 200, now)
        found = more_refused(tally, NOW_US, alarm_budget=36)
        false += found is not None and found.span == "five minutes"
    assert false <= binom.ppf(0.999, spans, 12 * SPAN_US / DAY_US)
