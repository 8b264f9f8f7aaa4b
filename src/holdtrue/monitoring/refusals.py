"""Requests that break the contract of a release: are there more of them than there were?

The requests of the last five minutes, hour and day are held against those of the thirty days before, as the counts of
a column are: exactly, whatever their number. Five minutes find a flood soon; a day finds what a few requests in it can
show. Requests of one client hang together, so a client that sends one mistake again and again is found too; that is
meant.
"""

from dataclasses import dataclass

import numpy as np

from holdtrue.monitoring.budget import BUDGET_US, DAY_US, HOUR_US, MINUTE_US, Tally
from holdtrue.statistics.two_samples import log_evidence

SPANS = {"five minutes": 5 * MINUTE_US, "an hour": HOUR_US, "a day": DAY_US}
LEAST_BEFORE = 100  # requests, for "as before" to mean anything
MATTERS = 0.01  # of the requests, by which the share must have grown


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """Requests and those that broke the contract, in a span of time and before; `evidence` is to base 10."""

    span: str
    requests: int
    refused: int
    before: int
    refused_before: int
    evidence: float

    @property
    def shares(self) -> tuple[float, float]:
        """The share that broke the contract before, and now."""
        return self.refused_before / self.before, self.refused / self.requests


def more_refused(tally: Tally, now_us: int, *, alarm_budget: float) -> Refusals | None:
    """Say whether more requests break the contract than before; None while chance would do.

    Each span is judged once it is over. Where nothing changes there are at most `alarm_budget` findings a day.

    >>> calm = Tally().add(0, events=5_000, bad=10)
    >>> end_us = 26 * HOUR_US
    >>> more_refused(calm.add(end_us - MINUTE_US, events=80, bad=1), end_us, alarm_budget=1 / 30) is None
    True
    >>> more_refused(calm.add(end_us - MINUTE_US, events=80, bad=9), end_us, alarm_budget=1 / 30).shares
    (0.002, 0.1125)
    """
    return next((found for name in SPANS if (found := _more(tally, now_us, name, alarm_budget)) is not None), None)


def _more(tally: Tally, now_us: int, name: str, alarm_budget: float) -> Refusals | None:
    span_us = SPANS[name]
    end_us = now_us // span_us * span_us
    kept, unit_us = (tally.minutes, MINUTE_US) if span_us < HOUR_US else (tally.hours, HOUR_US)
    requests, refused = _between(kept, unit_us, end_us - span_us, end_us)
    # Whole hours: that of five minutes is not over.
    began_us = (end_us - span_us) // HOUR_US * HOUR_US
    before, refused_before = _between(tally.hours, HOUR_US, began_us - BUDGET_US, began_us)
    if not requests or before < LEAST_BEFORE:
        return None
    one, other = ([[bad, events - bad]] for events, bad in ((before, refused_before), (requests, refused)))
    evidence = float(log_evidence(np.array(one, dtype=np.int64), np.array(other, dtype=np.int64))[0])
    found = Refusals(
        span=name,
        requests=requests,
        refused=refused,
        before=before,
        refused_before=refused_before,
        evidence=evidence / float(np.log(10)),
    )
    was, is_ = found.shares
    looks_a_day = len(SPANS) * DAY_US / span_us  # each sort of span has its part of the budget
    return found if evidence >= np.log(looks_a_day / alarm_budget) and is_ - was >= MATTERS else None


def _between(kept: dict[int, tuple[float, float]], unit_us: int, since_us: int, until_us: int) -> tuple[int, int]:
    found = [pair for number, pair in kept.items() if since_us <= number * unit_us < until_us]
    return round(sum(events for events, _ in found)), round(sum(bad for _, bad in found))
