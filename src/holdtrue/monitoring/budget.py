"""The error budget of a promise in service: how much of it is left, and how fast it burns.

A promise such as "99 of 100 answers take at most 20 ms" allows a share of bad events. What is allowed of the events of
a month is the budget; the burn rate is how many times faster than that bad events come. An alarm needs a high rate over
a long window, so that a hiccup is none, and over a short one, so that it ends when the trouble has ended (Google, The
Site Reliability Workbook, 2018, chapter 5). A rate of few events says nothing: so a long window must also hold so many
bad events that chance alone would seldom bring them at that rate.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
DAY_US = 24 * HOUR_US
BUDGET_US = 30 * DAY_US
MINUTES_US = 6 * HOUR_US  # so long minutes are kept; hours are kept for as long as the budget runs
LEAST_BAD = 10
LEAST_EVENTS = 100  # before anything is said at all

State = Literal["kept", "at risk", "broken", "no data"]


class Rule(msgspec.Struct, frozen=True):
    """A burn rate that raises an alarm when it is exceeded in both windows."""

    long_us: int
    short_us: int
    rate: float


# Of a budget of 30 days: 2 % of it in an hour, 5 % in six hours, 10 % in three days.
RULES = (
    Rule(HOUR_US, 5 * MINUTE_US, 14.4),
    Rule(6 * HOUR_US, 30 * MINUTE_US, 6.0),
    Rule(3 * DAY_US, 6 * HOUR_US, 1.0),
)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Events and bad ones by minute and by hour; keys are numbers of minutes and hours since 1970.

    Its size has a bound: the minutes of six hours, the hours of thirty days.
    """

    minutes: dict[int, tuple[float, float]] = {}
    hours: dict[int, tuple[float, float]] = {}

    def add(self, at_us: int, events: float, bad: float, *, since_us: int | None = None) -> "Tally":
        """Count events at a time, or evenly since an earlier one; what has grown too old is left out."""
        if not 0 <= bad <= events:
            raise ValueError(f"{bad} bad events of {events} is impossible; 0 ≤ bad ≤ events must hold.")
        since_us = at_us if since_us is None else min(since_us, at_us)
        return Tally(
            minutes=_added(self.minutes, since_us, at_us, MINUTE_US, MINUTES_US, events, bad),
            hours=_added(self.hours, since_us, at_us, HOUR_US, BUDGET_US, events, bad),
        )

    def within(self, now_us: int, span_us: int) -> tuple[float, float]:
        """Give the events, and the bad ones, of the time before now; by whole minutes, or hours for longer times."""
        kept, unit_us = (self.minutes, MINUTE_US) if span_us <= MINUTES_US else (self.hours, HOUR_US)
        found = [pair for number, pair in kept.items() if now_us - span_us < (number + 1) * unit_us <= now_us + unit_us]
        return sum(pair[0] for pair in found), sum(pair[1] for pair in found)


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """How a promise's budget stands.

    Args:
        allowed: the share of events that may be bad.
        left: the part of the month's budget that is left; below 0 when it is overdrawn. 1 without events.
        rate: of the last hour, or the last three days where that hour has too few events; 1 uses the budget up in time.
        why: what raised an alarm.
    """

    state: State
    allowed: float
    events: float
    bad: float
    left: float
    rate: float
    why: str = ""


def burn(tally: Tally, allowed: float, now_us: int) -> Burn:
    """Judge a budget: broken when it is used up, at risk while it burns too fast, else kept.

    >>> calm = Tally().add(0, events=10_000, bad=20)
    >>> found = burn(calm, 0.01, MINUTE_US)
    >>> found.state, found.left, found.rate
    ('kept', 0.8, 0.2)
    """
    if not 0 < allowed < 1:
        raise ValueError(f"allowed must lie between 0 and 1, got {allowed}: what may never happen has no budget.")
    events, bad = tally.within(now_us, BUDGET_US)
    rates = {span_us: _rate(*tally.within(now_us, span_us), allowed) for span_us in (HOUR_US, 3 * DAY_US)}
    rate = rates[HOUR_US] if tally.within(now_us, HOUR_US)[0] >= LEAST_EVENTS else rates[3 * DAY_US]
    left = 1 - _rate(events, bad, allowed)
    needed = LEAST_BAD / allowed  # fewer say nothing, unless so many of them are bad that it needs no more
    if events < min(needed, LEAST_EVENTS) or (events < needed and bad < LEAST_BAD):
        why = f"{events:,.0f} events in 30 days; {needed:,.0f} are needed"
        return Burn(state="no data", allowed=allowed, events=events, bad=bad, left=left, rate=rate, why=why)
    alarms = list(_alarms(tally, allowed, now_us))
    state: State = "broken" if left < 0 else "at risk" if alarms else "kept"
    why = "the budget of 30 days is used up" if state == "broken" else "; ".join(alarms)
    return Burn(state=state, allowed=allowed, events=events, bad=bad, left=left, rate=rate, why=why)


def _alarms(tally: Tally, allowed: float, now_us: int) -> Iterator[str]:
    for rule in RULES:
        events, bad = tally.within(now_us, rule.long_us)
        if bad < LEAST_BAD or _rate(events, bad, allowed) <= rule.rate:
            continue
        if _rate(*tally.within(now_us, rule.short_us), allowed) > rule.rate:
            yield f"{_rate(events, bad, allowed):.1f} times too many in {rule.long_us // HOUR_US} h"


def _rate(events: float, bad: float, allowed: float) -> float:
    return bad / events / allowed if events else 0.0


def _added(
    kept: Mapping[int, tuple[float, float]],
    since_us: int,
    at_us: int,
    unit_us: int,
    keep_us: int,
    events: float,
    bad: float,
) -> dict[int, tuple[float, float]]:
    first, last = since_us // unit_us, at_us // unit_us
    newest = max(last, *kept, last)
    oldest = newest - keep_us // unit_us
    fresh = {place: pair for place, pair in kept.items() if place >= oldest}
    for number in range(max(first, oldest), last + 1):
        # The first and the last unit are not whole; events that came in no time at all are in the one.
        begin_us, end_us = max(number * unit_us, since_us), min((number + 1) * unit_us, at_us)
        part = (end_us - begin_us) / (at_us - since_us) if at_us > since_us else 1.0
        old = fresh.get(number, (0.0, 0.0))
        fresh[number] = (old[0] + part * events, old[1] + part * bad)
    return fresh
