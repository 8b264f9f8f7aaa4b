"""Alarms that are told once: opened when first seen, kept while they last, over when they have been quiet for a while.

An alarm is one thing that is wrong with one release: a column that has changed, or a promise that is broken or at risk.
Whoever looks gives what is seen now; `advance` says which alarms are news. Nothing here touches a disk or a clock.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

Kind = Literal["drift", "contract", "promise", "loop"]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong now.

    Args:
        subject: the column, the promise as its owner wrote it, or what the loop needs a person for.
        what: one sentence.
        why: what it rests on, a line each.
        severity: `critical` for what is proven to break a promise, else `warning`.
    """

    release: str
    kind: Kind
    subject: str
    what: str
    why: tuple[str, ...] = ()
    severity: Literal["critical", "warning"] = "warning"

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.release, self.kind, self.subject)


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm and its life; times are microseconds since 1970.

    Args:
        id: the same for everybody who hears of it, so that a message that comes twice is known.
        over_us: when it was found to be over; 0 while it lasts.
        silent_until_us: until then nobody is told of it; `silenced_by` says who wished that, and why.
        waiting: the names of those who have yet to be told of its beginning or end.
    """

    id: str
    seen: Seen
    opened_us: int
    last_us: int
    over_us: int = 0
    silent_until_us: int = 0
    silenced_by: str = ""
    waiting: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.over_us > 0


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All alarms that last, and those that are over but not yet told to everybody."""

    alarms: tuple[Alarm, ...] = ()


def advance(
    book: Book, seen: Iterable[Seen], *, release: str, now_us: int, quiet_us: int, listeners: Sequence[str]
) -> tuple[Book, tuple[Alarm, ...]]:
    """Take what is seen of a release now; gives the book, and the alarms that have just begun or ended.

    An alarm is over when it was not seen for `quiet_us`, since one at the limit comes and goes.
    A silenced alarm goes on in the book, and tells nobody. When another release is looked at, the alarms of the one
    before are over.
    """
    found: Mapping[tuple[str, str, str], Seen] = {one.key: one for one in seen}
    news: list[Alarm] = []
    kept: list[Alarm] = []
    known: set[tuple[str, str, str]] = set()
    for alarm in book.alarms:
        if alarm.is_over:
            kept.append(alarm)
            continue
        now = found.get(alarm.seen.key)
        known.add(alarm.seen.key)
        after = _after(alarm, now, release=release, now_us=now_us, quiet_us=quiet_us, listeners=listeners)
        kept.append(after)
        if after.is_over:
            news.append(after)
    for key, one in found.items():
        if key not in known:
            opened = Alarm(id=_name(one, now_us), seen=one, opened_us=now_us, last_us=now_us, waiting=tuple(listeners))
            kept.append(opened)
            news.append(opened)
    return Book(alarms=tuple(alarm for alarm in kept if not alarm.is_over or alarm.waiting)), tuple(news)


def _after(
    alarm: Alarm, now: Seen | None, *, release: str, now_us: int, quiet_us: int, listeners: Sequence[str]
) -> Alarm:
    if now is not None:
        return msgspec.structs.replace(alarm, seen=now, last_us=max(alarm.last_us, now_us))
    if now_us - alarm.last_us < quiet_us and alarm.seen.release == release:
        return alarm
    # Who never heard that it began need not hear that it ended.
    told = tuple(name for name in listeners if name not in alarm.waiting)
    waiting = () if alarm.silent_until_us > now_us else told
    return msgspec.structs.replace(alarm, over_us=now_us, waiting=waiting)


def _name(seen: Seen, now_us: int) -> str:
    return hashlib.sha256("\0".join((*seen.key, str(now_us))).encode()).hexdigest()[:16]


def due(book: Book, listener: str, *, now_us: int) -> tuple[Alarm, ...]:
    """Give the alarms that somebody has yet to be told of."""
    return tuple(
        alarm
        for alarm in book.alarms
        if listener in alarm.waiting and (alarm.is_over or alarm.silent_until_us <= now_us)
    )


def told(book: Book, listener: str, ids: Iterable[str]) -> Book:
    """Note that somebody has been told; an alarm that is over and told to all is forgotten."""
    done = set(ids)
    after = [
        msgspec.structs.replace(alarm, waiting=tuple(name for name in alarm.waiting if name != listener))
        if alarm.id in done
        else alarm
        for alarm in book.alarms
    ]
    return Book(alarms=tuple(alarm for alarm in after if not alarm.is_over or alarm.waiting))


def silenced(book: Book, id: str, *, until_us: int, by: str) -> tuple[Book, Alarm | None]:
    """Let nobody hear of an alarm until a time; gives the alarm, None when there is no such one."""
    found = next((alarm for alarm in book.alarms if alarm.id.startswith(id) and not alarm.is_over), None)
    if found is None or not id:
        return book, None
    after = msgspec.structs.replace(found, silent_until_us=until_us, silenced_by=by)
    return Book(alarms=tuple(after if alarm.id == found.id else alarm for alarm in book.alarms)), after
