"""A budget that burns is told of in time, one that does not is left in peace, and what it keeps has a bound."""

import msgspec
import numpy as np
import pytest

from holdtrue.monitoring.budget import DAY_US, HOUR_US, LEAST_EVENTS, MINUTE_US, Tally, burn

NOW_US = 400 * DAY_US


def filled(share: float, *, per_minute: float, hours: int, before: Tally | None = None, end_us: int = NOW_US) -> Tally:
    """Count a steady stream that ends at a time."""
    tally = before or Tally()
    for number in reversed(range(hours * 60)):
        step = 1 if number < 7 * 60 else 60  # minutes are kept for six hours only
        if number % step == 0:
            tally = tally.add(end_us - number * MINUTE_US, per_minute * step, per_minute * step * share)
    return tally


def test_a_steady_stream_within_its_budget_is_kept() -> None:
    found = burn(filled(0.005, per_minute=100, hours=48), 0.01, NOW_US)
    assert (found.state, found.why) == ("kept", "")
    assert found.left == pytest.approx(0.5)
    assert found.rate == pytest.approx(0.5)


@pytest.mark.parametrize(("share", "within_minutes"), [(1.0, 10), (0.3, 40), (0.1, 240)])
def test_an_outage_is_told_of_while_there_is_budget_left(share: float, within_minutes: int) -> None:
    start_us = NOW_US - 12 * HOUR_US
    tally = filled(0.001, per_minute=100, hours=30 * 24 - 12, end_us=start_us)
    found = burn(tally, 0.01, start_us)
    for minute in range(1, within_minutes + 1):
        at_us = start_us + minute * MINUTE_US
        tally = tally.add(at_us, 100, 100 * share)
        found = burn(tally, 0.01, at_us)
        if found.state != "kept":
            break
    assert found.state == "at risk"
    assert found.left > 0.5


def test_an_alarm_ends_soon_after_the_trouble() -> None:
    calm = filled(0.001, per_minute=100, hours=20 * 24, end_us=NOW_US - 3 * HOUR_US)
    bad = filled(0.5, per_minute=100, hours=1, before=calm, end_us=NOW_US - 2 * HOUR_US)
    assert burn(bad, 0.01, NOW_US - 2 * HOUR_US).state == "at risk"
    after = filled(0.0, per_minute=100, hours=2, before=bad)
    assert burn(after, 0.01, NOW_US).state == "kept"


def test_a_budget_that_is_used_up_is_broken() -> None:
    found = burn(filled(0.02, per_minute=100, hours=20 * 24), 0.01, NOW_US)
    assert found.state == "broken"
    assert found.left == pytest.approx(-1.0)


def test_what_came_while_nobody_counted_is_spread_over_that_time() -> None:
    tally = Tally().add(NOW_US, 600, 60, since_us=NOW_US - 10 * HOUR_US)
    assert tally.within(NOW_US, HOUR_US) == pytest.approx((60, 6), rel=0.03)
    assert tally.within(NOW_US, DAY_US) == pytest.approx((600, 60))
    long = Tally().add(NOW_US, 600, 60, since_us=NOW_US - 60 * DAY_US)  # half of it is too old
    assert long.within(NOW_US, 30 * DAY_US) == pytest.approx((300, 30), rel=0.01)


def test_few_events_say_nothing() -> None:
    assert burn(Tally(), 0.01, NOW_US).state == "no data"
    few = Tally().add(NOW_US, LEAST_EVENTS - 1, LEAST_EVENTS - 1)
    assert burn(few, 0.01, NOW_US).state == "no data"
    assert burn(Tally().add(NOW_US, 1_000, 5), 0.0001, NOW_US).state == "no data"  # 50 times too many, but only five
    assert burn(Tally().add(NOW_US, 200, 50), 0.01, NOW_US).state == "broken"


@pytest.mark.slow
@pytest.mark.parametrize("per_minute", [1, 20])
def test_chance_alone_seldom_raises_an_alarm_at_half_the_rate_that_is_allowed(per_minute: int) -> None:
    chance = np.random.default_rng(11)
    alarms, looks = 0, 0
    for _ in range(6):
        tally = Tally()
        for minute in range(5 * 24 * 60):
            at_us = NOW_US + minute * MINUTE_US
            tally = tally.add(at_us, per_minute, float(chance.binomial(per_minute, 0.005)))
            if minute % 30 == 29 and minute > 2 * 24 * 60:
                looks += 1
                alarms += burn(tally, 0.01, at_us).state != "kept"
    assert alarms <= 0.01 * looks


def test_what_is_kept_has_a_bound_and_survives_a_round_trip() -> None:
    tally = filled(0.01, per_minute=10, hours=40 * 24)
    assert len(tally.minutes) <= 6 * 60 + 2
    assert len(tally.hours) <= 30 * 24 + 2
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="impossible"):
        Tally().add(0, 1, 2)
    with pytest.raises(ValueError, match="has no budget"):
        burn(Tally(), 0.0, NOW_US)
