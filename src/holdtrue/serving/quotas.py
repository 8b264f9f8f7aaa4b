"""How much each caller may ask for: buckets that refill with time, and connections counted by where they come from.

A bucket is one number, the moment when it will be full again (the generic cell rate algorithm): nothing ticks, and a
full bucket is the same as one never used.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

DAY_S = 86_400.0
# Of a hundred thirds the last would otherwise come too early, by what adding them up has rounded.
SLACK_S = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one caller may ask of one worker; None is no limit.

    Attributes:
        burst: so many requests may come at once; then `requests_per_s` of them.
        rows_per_day: the size of the bucket of rows, and what flows into it in a day. So no day sees more than twice
            this, and that only when the day before was quiet.
    """

    requests_per_s: float | None = None
    burst: int = 100
    rows_per_day: int | None = None

    def __post_init__(self) -> None:
        if self.requests_per_s is not None and not 0 < self.requests_per_s < math.inf:
            raise ValueError(f"requests_per_s must be above 0, got {self.requests_per_s}; None is no limit.")
        if self.burst < 1:
            raise ValueError(f"burst must be 1 or more, got {self.burst}; 1 lets no two requests come at once.")
        if self.rows_per_day is not None and self.rows_per_day < 1:
            raise ValueError(f"rows_per_day must be 1 or more, got {self.rows_per_day}; None is no limit.")


class Quotas:
    """Keeps the buckets of the callers that came last.

    A caller that is forgotten comes back with full buckets and never with more, so `most_callers` should exceed the
    number of those who call within the time that a bucket takes to fill.
    """

    def __init__(self, limits: Limits, *, most_callers: int = 10_000) -> None:
        if most_callers < 1:
            raise ValueError(f"most_callers must be 1 or more, got {most_callers}; each takes about 300 bytes.")
        self._most = most_callers
        self._unlimited = limits.requests_per_s is None and limits.rows_per_day is None
        self._most_at_once = (limits.burst, math.inf if limits.rows_per_day is None else limits.rows_per_day)
        # How many seconds of filling one request or row takes out, and how many each bucket holds.
        rate, day = limits.requests_per_s, limits.rows_per_day
        self._request_s, self._requests_s = (0.0, math.inf) if rate is None else (1.0 / rate, limits.burst / rate)
        self._row_s, self._rows_s = (0.0, math.inf) if day is None else (DAY_S / day, DAY_S)
        self._full_at: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller_id: str, rows: int, now_s: float, requests: int = 1) -> float:
        """Take a request and its rows out of a caller's buckets: 0.0, or how many seconds to wait before asking again.

        Nothing is taken from who must wait. `inf` is a request that has more rows than the bucket can hold. Rows that
        are counted only after the request was let in are taken with `requests=0`. `now_s` is of a monotonic clock.

        >>> quotas = Quotas(Limits(requests_per_s=2, burst=1))
        >>> quotas.take("ada", 1, 100.0), quotas.take("ada", 1, 100.25), quotas.take("ada", 1, 100.5)
        (0.0, 0.25, 0.0)
        """
        if self._unlimited:
            return 0.0
        known = self._full_at
        requests_at, rows_at = known.get(caller_id) or (now_s, now_s)
        requests_at = (requests_at if requests_at > now_s else now_s) + requests * self._request_s
        rows_at = (rows_at if rows_at > now_s else now_s) + rows * self._row_s
        full_s = now_s + SLACK_S
        # Nobody waits for a bucket that he takes nothing from.
        if (requests and requests_at - self._requests_s > full_s) or (rows and rows_at - self._rows_s > full_s):
            return self._wait(caller_id, rows, now_s, requests)
        known[caller_id] = (requests_at, rows_at)
        known.move_to_end(caller_id)
        if len(known) > self._most:
            known.popitem(last=False)
        return 0.0

    def _wait(self, caller_id: str, rows: int, now_s: float, requests: int) -> float:
        burst, most_rows = self._most_at_once
        if (self._request_s and requests > burst) or rows > most_rows:
            return math.inf
        requests_at, rows_at = self._full_at.get(caller_id) or (now_s, now_s)
        # A bucket is never emptier than empty: a clock that stepped back makes nobody wait longer than that.
        requests_at, rows_at = min(requests_at, now_s + self._requests_s), min(rows_at, now_s + self._rows_s)
        if caller_id in self._full_at:
            self._full_at[caller_id] = (requests_at, rows_at)
        wait_s = requests_at + requests * self._request_s - self._requests_s - now_s if requests else 0.0
        rows_wait_s = rows_at + rows * self._row_s - self._rows_s - now_s if rows else 0.0
        return max(wait_s, rows_wait_s, SLACK_S)


def origin(address: str) -> str:
    """Name where a connection comes from: whoever has an IPv6 address has the 2⁶⁴ beside it too.

    >>> origin("192.0.2.7"), origin("::ffff:192.0.2.7"), origin("2001:db8:1:2:a:b:c:d"), origin("fe80::1%eth0")
    ('192.0.2.7', '192.0.2.7', '2001:db8:1:2::', 'fe80::')
    """
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(IPv6Address(int(parsed) >> 64 << 64)) if mapped is None else str(mapped)


class Connections:
    """Counts open connections, together and for each origin; what is not open takes no memory.

    >>> doors = Connections(most_each=1, most=10)
    >>> doors.enter("192.0.2.7"), doors.enter("192.0.2.7"), doors.enter("192.0.2.8")
    (True, False, True)
    >>> doors.leave("192.0.2.7")
    >>> doors.enter("192.0.2.7")
    True
    """

    def __init__(self, *, most_each: int = 64, most: int = 1024) -> None:
        self._most_each = most_each
        self._most = most
        self._open: dict[str, int] = {}
        self.count = 0

    def enter(self, source: str) -> bool:
        """Count a connection in, unless there are enough; `source` is an `origin`."""
        mine = self._open.get(source, 0)
        if mine >= self._most_each or self.count >= self._most:
            return False
        self._open[source] = mine + 1
        self.count += 1
        return True

    def leave(self, source: str) -> None:
        """Count out a connection that was let in; each leaves once."""
        mine = self._open[source] - 1
        self.count -= 1
        if mine:
            self._open[source] = mine
        else:
            del self._open[source]
