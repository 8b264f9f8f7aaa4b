"""Alarms of a project: kept in a book beside the store, written into the ledger, and told to who listens.

The book is written before anybody is told, and again afterwards, so a process that is killed in between tells again: a
listener hears of an alarm at least once, under the same id.
"""

import fcntl
import os
import smtplib
import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import final
from urllib.parse import unquote, urlsplit

import msgspec

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.core.files import write_whole
from holdtrue.core.web import ask, checked_url
from holdtrue.loop.actions import RaiseAlarm
from holdtrue.monitoring.alarms import Alarm, Book, Seen, advance, due, silenced, told
from holdtrue.monitoring.budget import Burn
from holdtrue.monitoring.drift import Drift
from holdtrue.monitoring.harm import harm_told
from holdtrue.monitoring.messages import alertmanager, headline, plain, signed, slack, webhook
from holdtrue.monitoring.quality import Held
from holdtrue.monitoring.refusals import Refusals
from holdtrue.pipeline.budgeting import CONTRACT
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.watched import DAY_US, Watched
from holdtrue.registry.ledger import Deed, append
from holdtrue.spec.project import Listener, Watch

BOOK = "alarms.json"
QUIET_WINDOWS = 3
MAIL_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What came of a look: alarms that began or ended, how many messages went out, and who could not be told."""

    news: tuple[Alarm, ...]
    lasting: tuple[Alarm, ...]
    sent: int
    failed: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "news": [{"id": each.id, "over": each.is_over, "what": each.seen.what} for each in self.news],
            "lasting": len(self.lasting),
            "told": self.sent,
            "untold": list(self.failed),
        }


def note(keeper: Keeper, watched: Watched, settings: Watch, *, now: datetime) -> Told:
    """Take what was seen into the book and the ledger, and tell who has yet to hear of it."""
    return _note(keeper, seen_in(watched), settings, release=watched.release, now=now)


def note_loop(keeper: Keeper, raised: Sequence[RaiseAlarm], settings: Watch, *, release: str, now: datetime) -> Told:
    """Take what the loop needs a person for into the book and the ledger, and tell who listens."""
    seen = [Seen(release=release, kind="loop", subject=one.what, what=one.what, why=(one.do,)) for one in raised]
    return _note(keeper, seen, settings, release=release, now=now)


def note_burning(keeper: Keeper, found: Mapping[str, Burn], settings: Watch, *, release: str, now: datetime) -> Told:
    """Take error budgets that burn, or are used up, into the book and the ledger, and tell who listens."""
    seen = [
        Seen(
            release=release,
            kind="promise",
            subject=text,
            what=f"the error budget is {'used up' if each.state == 'broken' else 'burning'}: {text}",
            why=(f"{each.why}; {each.left:.0%} of the budget of 30 days is left",),
            severity="critical" if each.state == "broken" else "warning",
        )
        for text, each in found.items()
        if each.state in ("at risk", "broken")
    ]
    return _note(keeper, seen, settings, release=release, now=now)


def note_refusals(keeper: Keeper, found: Refusals, settings: Watch, *, release: str, now: datetime) -> Told:
    """Take it into the book that more requests break the contract than before, and tell who listens."""
    was, is_ = found.shares
    seen = Seen(
        release=release,
        kind="contract",
        subject=CONTRACT,
        what="more requests break the contract",
        why=(
            f"{found.refused:,} of {found.requests:,} in {found.span}, {is_:.1%}; {was:.1%} of {found.before:,} before",
            f"evidence 10^{found.evidence:.1f}",
        ),
    )
    return _note(keeper, [seen], settings, release=release, now=now)


def _note(keeper: Keeper, seen: Sequence[Seen], settings: Watch, *, release: str, now: datetime) -> Told:
    now_us = round(now.timestamp() * 1e6)
    names = [_name(place, listener) for place, listener in enumerate(settings.tell)]
    quiet_us = round(QUIET_WINDOWS * settings.window * DAY_US)
    with _held(keeper) as shelf:
        after, news = advance(shelf.book, seen, release=release, now_us=now_us, quiet_us=quiet_us, listeners=names)
        if news:
            deeds = [_deed(keeper, alarm) for alarm in news]
            keeper.database().write(lambda connection: append(connection, deeds, actor=keeper.actor, now=now))
        shelf.keep(after)
        sent, failed = 0, list[str]()
        for name, listener in zip(names, settings.tell, strict=True):
            waiting = due(shelf.book, name, now_us=now_us)
            try:
                done = _tell(listener, waiting, project=keeper.project, runbook=settings.runbook)
            except HoldtrueError as error:
                failed.append(f"{name}: {error.what}")
                continue
            sent += len(done)
            shelf.keep(told(shelf.book, name, done))
        lasting = tuple(alarm for alarm in shelf.book.alarms if not alarm.is_over)
    if news:
        keeper.seal()
    return Told(news=news, lasting=lasting, sent=sent, failed=tuple(failed))


def alarms(keeper: Keeper) -> tuple[Alarm, ...]:
    """Give the alarms that last."""
    with _held(keeper) as shelf:
        return tuple(alarm for alarm in shelf.book.alarms if not alarm.is_over)


def silence(keeper: Keeper, id: str, *, until_us: int, reason: str, now: datetime) -> Alarm:
    """Let nobody be told of an alarm until a time; raises `Misuse` when there is no such alarm."""
    with _held(keeper) as shelf:
        after, found = silenced(shelf.book, id, until_us=until_us, by=f"{keeper.actor}: {reason}")
        if found is None:
            raise Misuse(f"There is no alarm {id!r} that lasts.", do="See: holdtrue alarms")
        deed = Deed(
            action="alarm silenced",
            project=keeper.project,
            subject=found.id,
            detail={"until_us": until_us, "reason": reason},
        )
        keeper.database().write(lambda connection: append(connection, [deed], actor=keeper.actor, now=now))
        shelf.keep(after)
    keeper.seal()
    return found


def seen_in(watched: Watched) -> list[Seen]:
    """Give what is wrong by the last window that has rows, and by the labels."""
    windows = [window for window in watched.windows if window.rows]
    found = [_of_drift(watched, drift) for drift in (windows[-1].alarms if windows else ())]
    return found + [
        _of_promise(watched.release, held) for held in watched.quality.promises if held.state in ("broken", "at risk")
    ]


def _of_drift(watched: Watched, drift: Drift) -> Seen:
    harms = [each for each in watched.harms if each.column == drift.column]
    changed = tuple(
        f"{name}: {before:.1%} of the rows before, {after:.1%} now" for name, before, after in drift.changed
    )
    length = "one window" if drift.windows == 1 else f"{drift.windows} windows"
    return Seen(
        release=watched.release,
        kind="drift",
        subject=drift.column,
        what=f"columns hang together otherwise: {', '.join(drift.by)}"
        if drift.by
        else f"the column {drift.column} has changed",
        why=(
            f"evidence 10^{drift.evidence:.1f}, stability index {drift.size:.2f}, over {length}",
            *changed,
            *map(harm_told, harms),
        ),
    )


def _of_promise(release: str, held: Held) -> Seen:
    found = held.estimate
    assert found is not None
    limits = f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g}) by {found.rows:,} rows; {found.method}"
    return Seen(
        release=release,
        kind="promise",
        subject=held.pledge.text,
        what=f"the promise is {held.state}: {held.pledge.text}",
        why=(limits,),
        severity="critical" if held.state == "broken" else "warning",
    )


def _deed(keeper: Keeper, alarm: Alarm) -> Deed:
    return Deed(
        action="alarm over" if alarm.is_over else "alarm raised",
        project=keeper.project,
        subject=alarm.seen.release,
        detail={"id": alarm.id, "kind": alarm.seen.kind, "what": alarm.seen.what, "why": list(alarm.seen.why)},
    )


@final
class _Shelf:
    """The book of a project, and where it is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.book = msgspec.json.decode(path.read_bytes(), type=Book)
        except FileNotFoundError:
            self.book = Book()
        except msgspec.DecodeError as error:
            raise Refused(
                f"{path} cannot be read: {error}.", do="Delete it: the alarms that last are then raised again."
            ) from None

    def keep(self, book: Book) -> None:
        self.book = book
        write_whole(self._path, msgspec.json.encode(book), mode=0o600)


@contextmanager
def _held(keeper: Keeper) -> Generator[_Shelf]:
    """Hold the book, so that two who look at once do not both tell."""
    path = keeper.home.path / "watch" / BOOK
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield _Shelf(path)
    finally:
        os.close(handle)


def _name(place: int, listener: Listener) -> str:
    """Name a listener by its kind and place, never by its address: that of Slack is a secret."""
    return f"{listener.kind} {place + 1}"


def _tell(listener: Listener, waiting: Sequence[Alarm], *, project: str, runbook: str) -> list[str]:
    """Tell a listener of some alarms; gives the ids of those it took. Raises when it takes none."""
    if not waiting:
        return []
    if listener.alertmanager is not None:
        place = listener.alertmanager.rstrip("/") + "/api/v2/alerts"
        _post(place, alertmanager(waiting, project, runbook), listener)
        return [alarm.id for alarm in waiting]
    done: list[str] = []
    for alarm in waiting:
        try:
            if listener.webhook is not None:
                _post(listener.webhook, webhook(alarm, project, runbook), listener, id=_message(alarm))
            elif listener.slack is not None:
                _post(listener.slack, slack(alarm, project, runbook), listener)
            else:
                _mail(listener, headline(alarm, project), plain(alarm, project, runbook), id=_message(alarm))
        except HoldtrueError:
            if not done:
                raise
            break  # the rest is told at the next look
        done.append(alarm.id)
    return done


def _message(alarm: Alarm) -> str:
    return f"{alarm.id}-{'over' if alarm.is_over else 'opened'}"


def _post(url: str, body: bytes, listener: Listener, *, id: str = "") -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "holdtrue"}
    if listener.secret is not None and id:
        headers |= signed(body, id=id, now_s=int(time.time()), secret=listener.secret)
    host = checked_url(url).hostname
    try:
        answer = ask(url, body=body, headers=headers, inside=listener.private)
    except HoldtrueError as error:  # without the address: that of Slack is a secret
        raise HoldtrueError(error.what.replace(url, str(host)), do=error.do) from None
    if not 200 <= answer.status < 300:
        raise HoldtrueError(f"{host} answered {answer.status}.", do="It is told again at the next look.")


def _mail(listener: Listener, subject: str, text: str, *, id: str) -> None:
    parts = urlsplit(listener.smtp or "")
    host = parts.hostname or ""
    message = EmailMessage()
    message["Subject"] = subject.replace("\n", " ")[:200]
    message["From"], message["To"] = listener.sender, ", ".join(listener.email)
    message["Message-ID"] = f"<{id}@holdtrue>"
    message.set_content(text)
    context = ssl.create_default_context()
    try:
        if parts.scheme == "smtps":
            server = smtplib.SMTP_SSL(host, parts.port or 465, timeout=MAIL_S, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=MAIL_S)
        with server:
            if parts.scheme != "smtps" and host not in ("localhost", "127.0.0.1", "::1"):
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise HoldtrueError(f"{host} took no mail: {error}.", do="Check smtp in the project file.") from None
