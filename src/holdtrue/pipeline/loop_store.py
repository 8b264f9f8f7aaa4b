"""Where a loop is kept: its state, its leader, what it was told, and what it shall do; each change is one transaction.

One worker leads, by a lease with a token that grows with every new leader. Whatever is written or done for the loop
shows the token, and is refused (`Fenced`) once a newer one was given, however long a worker was held in between.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from holdtrue.core.errors import Busy, Refused
from holdtrue.loop.actions import Action, RaiseAlarm, RecordDecision
from holdtrue.loop.actions import Deed as LoopDeed
from holdtrue.loop.events import Event, Outcome
from holdtrue.loop.state import State, begin
from holdtrue.pipeline.keeping import Keeper
from holdtrue.registry.ledger import Deed, append
from holdtrue.registry.moment import moment
from holdtrue.registry.schema import LOOP_ALARMS, LOOP_DEEDS, LOOP_INBOX, LOOPS

LEASE_US = 120_000_000
MOST_WAITING = 1_000  # words of persons that nobody has taken; more are refused

T = TypeVar("T")
encode = msgspec.json.Encoder().encode
_state = msgspec.json.Decoder(State).decode
_event: Callable[[str], Event] = msgspec.json.Decoder(Event).decode
_deed: Callable[[str], LoopDeed] = msgspec.json.Decoder(LoopDeed).decode
_alarm = msgspec.json.Decoder(RaiseAlarm).decode


class Fenced(Busy):
    """Another worker leads the loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Journaled:
    """A deed that was written down and has no outcome yet; `asked_us` is when it was first asked for."""

    deed: LoopDeed
    asked_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopStore:
    """The loop of one project."""

    keeper: Keeper

    def begin(self, champion: str, at_us: int) -> None:
        """Begin the loop with the release that serves, unless it has begun."""

        def begun(connection: Connection) -> None:
            if _row(connection, self.keeper.project) is None:
                first = {"state": encode(begin(champion, at_us=at_us)).decode(), "holder": "", "memory": "{}"}
                numbers = {"token": 0, "until_us": 0, "messages": 0}
                connection.execute(LOOPS.insert().values(project=self.keeper.project, **first, **numbers))

        self._write(begun)

    def read(self) -> State | None:
        """Give the state; None before the loop has begun."""
        row = self._read(lambda connection: _row(connection, self.keeper.project))
        return None if row is None else _state(row.state)

    def leader(self) -> tuple[str, int]:
        """Say who leads, and until when; nobody before the loop has begun."""
        row = self._read(lambda connection: _row(connection, self.keeper.project))
        return ("", 0) if row is None else (row.holder, row.until_us)

    def acquire(self, holder: str, now_us: int, is_dead: Callable[[str], bool] = lambda _: False) -> int | None:
        """Get or keep the lease; None while another worker has it, unless that one is known to be dead."""

        def acquired(connection: Connection) -> int | None:
            row = _known(connection, self.keeper.project)
            # A lease that ends far in the future was given by a clock that was wrong since.
            lasts = now_us < row.until_us <= now_us + LEASE_US
            if row.holder not in ("", holder) and lasts and not is_dead(row.holder):
                return None
            token = row.token + (row.holder != holder)
            self._set(connection, holder=holder, token=token, until_us=now_us + LEASE_US)
            return int(token)

        return self._write(acquired)

    def release(self, token: int) -> None:
        """Give the lease back, so that another worker need not wait for its end."""

        def released(connection: Connection) -> None:
            if _known(connection, self.keeper.project).token == token:
                self._set(connection, holder="", until_us=0)

        self._write(released)

    def put(self, event: Event) -> None:
        """Leave a message; raises `Busy` when nobody takes them."""

        def left(connection: Connection) -> None:
            here = select(func.count()).select_from(LOOP_INBOX).where(LOOP_INBOX.c.project == self.keeper.project)
            if connection.execute(here).scalar_one() >= MOST_WAITING:
                raise Busy("Nobody takes what the loop is told.", do="Start its worker: holdtrue up")
            self._leave(connection, event)

        self._write(left)

    def next_message(self) -> tuple[int, Event] | None:
        """Give the oldest message, and its number."""
        mine = LOOP_INBOX.c.project == self.keeper.project
        query = LOOP_INBOX.select().where(mine).order_by(LOOP_INBOX.c.id).limit(1)
        row = self._read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else (row.id, _event(row.event))

    def commit(self, token: int, key: int | None, before: State, after: State, actions: Sequence[Action]) -> bool:
        """Write what was decided: state, ledger, journal and alarms, and that the message `key` is taken.

        False when the message was taken already, or the state is no longer the one that was decided from: then nothing
        is written. Raises `Fenced`.
        """

        def committed(connection: Connection) -> bool:
            row = _fenced(connection, self.keeper.project, token)
            if _state(row.state) != before:
                return False
            if key is not None:
                mine = (LOOP_INBOX.c.project == self.keeper.project, LOOP_INBOX.c.id == key)
                if connection.execute(LOOP_INBOX.delete().where(*mine)).rowcount == 0:
                    return False
            self._set(connection, state=encode(after).decode())
            self._journal(connection, actions, after)
            return True

        done = self._write(committed)
        if done and any(isinstance(action, RecordDecision | RaiseAlarm) for action in actions):
            self.keeper.seal()
        return done

    def open_deed(self) -> Journaled | None:
        """Give the deed that the state awaits, unless it has an outcome; all others are void."""

        def opened(connection: Connection) -> Journaled | None:
            row = _row(connection, self.keeper.project)
            awaited = None if row is None else _state(row.state).awaited
            if awaited is None or awaited.failed:
                return None
            found = connection.execute(LOOP_DEEDS.select().where(*self._numbered(awaited.deed.id))).one_or_none()
            if found is None or found.outcome:
                return None
            return Journaled(deed=_deed(found.deed), asked_us=found.asked_us)

        return self._read(opened)

    def report(self, token: int, outcome: Outcome) -> None:
        """Write down what came of a deed, and leave it as a message; raises `Fenced`."""

        def reported(connection: Connection) -> None:
            _fenced(connection, self.keeper.project, token)
            done = LOOP_DEEDS.update().where(*self._numbered(outcome.action), LOOP_DEEDS.c.outcome == "")
            if connection.execute(done.values(outcome=encode(outcome).decode())).rowcount:
                self._leave(connection, outcome)

        self._write(reported)

    def memory(self) -> str:
        """Give what the worker wrote down for itself."""
        row = self._read(lambda connection: _row(connection, self.keeper.project))
        return "{}" if row is None else row.memory

    def remember(self, token: int, memory: str) -> None:
        """Write something down for the next turn, or the next worker; raises `Fenced`."""

        def remembered(connection: Connection) -> None:
            _fenced(connection, self.keeper.project, token)
            self._set(connection, memory=memory)

        self._write(remembered)

    def alarms(self) -> list[RaiseAlarm]:
        """Give the alarms that nobody was told of yet."""
        query = LOOP_ALARMS.select().where(LOOP_ALARMS.c.project == self.keeper.project).order_by(LOOP_ALARMS.c.id)
        return [_alarm(row.alarm) for row in self._read(lambda connection: connection.execute(query).all())]

    def told(self, until: int) -> None:
        """Note that the alarms up to a number are in the book of alarms."""
        mine = (LOOP_ALARMS.c.project == self.keeper.project, LOOP_ALARMS.c.id <= until)
        self._write(lambda connection: connection.execute(LOOP_ALARMS.delete().where(*mine)))

    def _journal(self, connection: Connection, actions: Sequence[Action], after: State) -> None:
        project = self.keeper.project
        now = moment(after.clock_us)
        for action in actions:
            match action:
                case RecordDecision():
                    detail = {"id": action.id, "why": action.why, "event": action.event, "phase": after.phase}
                    detail |= {"what": action.what, "causes": list(action.causes), "at_us": action.at_us}
                    made = Deed(action="loop decided", project=project, subject=_subject(after), detail=detail)
                    append(connection, [made], actor="loop", now=now)
                case RaiseAlarm():
                    values = {"project": project, "id": action.id, "alarm": encode(action).decode()}
                    connection.execute(LOOP_ALARMS.insert().values(values))
                case _:
                    self._ask(connection, action, after.clock_us)

    def _ask(self, connection: Connection, deed: LoopDeed, at_us: int) -> None:
        """Write a deed into the journal. The same number again means that it is taken for not reported."""
        again = LOOP_DEEDS.update().where(*self._numbered(deed.id)).values(outcome="")
        if connection.execute(again).rowcount == 0:
            values = {"project": self.keeper.project, "id": deed.id, "deed": encode(deed).decode()}
            connection.execute(LOOP_DEEDS.insert().values(**values, outcome="", asked_us=at_us))

    def _leave(self, connection: Connection, event: Event) -> None:
        number = _known(connection, self.keeper.project).messages + 1
        self._set(connection, messages=number)
        values = {"project": self.keeper.project, "id": number, "event": encode(event).decode()}
        connection.execute(LOOP_INBOX.insert().values(values))

    def _numbered(self, number: int) -> tuple[ColumnElement[bool], ...]:
        return (LOOP_DEEDS.c.project == self.keeper.project, LOOP_DEEDS.c.id == number)

    def _set(self, connection: Connection, **values: object) -> None:
        connection.execute(LOOPS.update().where(LOOPS.c.project == self.keeper.project).values(**values))

    def _read(self, act: Callable[[Connection], T]) -> T:
        return self.keeper.database().read(act)

    def _write(self, act: Callable[[Connection], T]) -> T:
        return self.keeper.database().write(act)


def check(connection: Connection, project: str, *, token: int, deed: int) -> None:
    """Refuse, within the transaction of a deed, one that is not awaited any more, or comes from a leader of before."""
    awaited = _state(_fenced(connection, project, token).state).awaited
    if deed and (awaited is None or awaited.deed.id != deed):
        raise Fenced(f"The deed {deed} is not awaited any more.")


def _subject(state: State) -> str:
    return state.challenger.release if state.challenger is not None else state.champion


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """The row of a loop."""

    project: str
    state: str
    holder: str
    memory: str
    token: int
    until_us: int
    messages: int


def _row(connection: Connection, project: str) -> _Row | None:
    row = connection.execute(LOOPS.select().where(LOOPS.c.project == project)).mappings().one_or_none()
    return None if row is None else _Row(**row)


def _known(connection: Connection, project: str) -> _Row:
    row = _row(connection, project)
    if row is None:
        raise Refused("The loop of this project has not begun.", do="Start its worker: holdtrue up")
    return row


def _fenced(connection: Connection, project: str, token: int) -> _Row:
    row = _known(connection, project)
    if row.token != token:
        raise Fenced(f"Another worker leads the loop now: {row.holder or 'nobody'}.")
    return row
