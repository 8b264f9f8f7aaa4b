"""Requests that break the contract of a release: are there more of them than there were?

The requests of the last five minutes are held against those of the thirty days before, as the counts of a column are:
exactly, whatever their number. Requests of one client hang together, so a client that sends one mistake again and again
is found too; that is meant.
"""

from dataclasses import dataclass

import numpy as np

from holdtrue.monitoring.budget import BUDGET_US, HOUR_US, MINUTE_US, Tally
from holdtrue.statistics.two_samples import log_evidence

SPAN_US = 5 * MINUTE_US
SPANS_A_DAY = 288
LEAST_BEFORE = 100  # requests, for "as before" to mean anything
MATTERS = 0.01  # of the requests, by which the share must have grown


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """Requests and those that broke the contract, in five minutes and before; `evidence` is to base 10."""

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

    Each five minutes are judged once they are over. Where nothing changes there are at most `alarm_budget` findings a
    day.

    >>> calm = Tally().add(0, events=5_000, bad=10)
    >>> end_us = 26 * HOUR_US
    >>> more_refused(calm.add(end_us - SPAN_US, events=80, bad=1), end_us, alarm_budget=1 / 30) is None
    True
    >>> more_refused(calm.add(end_us - SPAN_US, events=80, bad=9), end_us, alarm_budget=1 / 30).shares
    (0.002, 0.1125)
    """
    end_us = now_us // SPAN_US * SPAN_US
    requests, refused = _between(tally.minutes, MINUTE_US, end_us - SPAN_US, end_us)
    # Whole hours: that of these minutes is not over.
    began_us = (end_us - SPAN_US) // HOUR_US * HOUR_US
    before, refused_before = _between(tally.hours, HOUR_US, began_us - BUDGET_US, began_us)
    if not requests or before < LEAST_BEFORE:
        return None
    one, other = ([[bad, events - bad]] for events, bad in ((before, refused_before), (requests, refused)))
    evidence = float(log_evidence(np.array(one, dtype=np.int64), np.array(other, dtype=np.int64))[0])
    found = Refusals(
        requests=requests,
        refused=refused,
        before=before,
        refused_before=refused_before,
        evidence=evidence / float(np.log(10)),
    )
    was, is_ = found.shares
    enough = evidence >= np.log(SPANS_A_DAY / alarm_budget)
    return found if enough and is_ - was >= MATTERS else None


def _between(kept: dict[int, tuple[float, float]], unit_us: int, since_us: int, until_us: int) -> tuple[int, int]:
    found = [pair for number, pair in kept.items() if since_us <= number * unit_us < until_us]
    return round(sum(events for events, _ in found)), round(sum(bad for _, bad in found))
