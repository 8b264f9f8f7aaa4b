"""Sends requests of the grammar through connections that are kept, many at a time, and looks at every answer."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic

from tests.serving.endpoint import Served
from tests.serving.grammar import Case
from tests.serving.raw import Raw, Reply

AT_ONCE = 24
ALLOWED = frozenset({200, 400, 401, 403, 404, 405, 413, 414, 415, 421, 422, 431})
# What our own sentences never say: places on the disk, names of parts, addresses in memory, a traceback.
TELLING = re.compile(
    rb"Traceback|File \\?\"|site-packages|/work/|/tmp/|/root/|/home/|\.py\b|\bonnxruntime\b|\bpolars\b|\bmsgspec\b|"
    rb"\bnumpy\b|\bpyarrow\b|0x[0-9a-f]{6,}|holdtrue\.serving|<class|object at",
)


@dataclass(kw_only=True, slots=True)
class Seen:
    """What came of many requests; `wrong` is what must not be there, `slowest_s` how long a few took at most."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list[str])

    def look(self, case: Case, made: Reply) -> None:
        """Hold one answer against what every answer must be."""
        self.statuses[made.status] += 1
        fault = ""
        if made.status not in ALLOWED:
            fault = f"status {made.status}"
        elif TELLING.search(made.body):
            fault = "it tells of its inside"
        elif made.status != 200:
            told = made.json
            if not {"error", "code", "request_id"} <= set(told) or not all(
                map(told.get, ("error", "code", "request_id"))
            ):
                fault = "an error without its three words"
        if fault:
            self.wrong.append(f"{fault}: {made.body[:300]!r} for {case.path[:80]} {case.headers} {case.body[:600]!r}")


def fuzz(served: Served, stream: Iterable[Case], count: int, seen: Seen) -> None:
    """Send `count` requests; raises when one gets no answer within the time of the connection."""
    cases = islice(stream, count)
    raw = Raw(link=served.connect())
    while batch := list(islice(cases, AT_ONCE)):
        start = monotonic()
        raw = _through(served, raw, batch, seen)
        seen.slowest_s = max(seen.slowest_s, monotonic() - start)
        if len(seen.wrong) > 20:
            break
    raw.close()


def _through(served: Served, raw: Raw, batch: list[Case], seen: Seen) -> Raw:
    """Send some at once and read their answers; gives the connection to go on with."""
    waiting = list(batch)
    while waiting:
        raw.send(b"".join(case.sent for case in waiting))
        for made in _answers(raw, len(waiting)):
            seen.look(waiting.pop(0), made)
            if made.headers.get("connection") == "close":
                raw.close()
                raw = Raw(link=served.connect())
                break
    return raw


def _answers(raw: Raw, count: int) -> Iterator[Reply]:
    for _ in range(count):
        yield raw.reply()
