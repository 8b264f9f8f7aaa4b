"""A store, an endpoint and two workers around the controller, in virtual time. Test code, for a protocol that is not.

The protocol, which a real worker follows too:

1. A lease makes one worker the leader. Each new holder gets a higher token. Before it does anything else it shows the
   token to all who do deeds; from then on they refuse lower ones (`Fenced`).
2. The leader takes one message of the inbox, reads the state, makes a step, and commits in one transaction: the new
   state, the decisions, the deeds in the journal, and that this message is taken. The store refuses a token that is not
   the newest one. Deciding touches nothing, so a worker that dies here leaves nothing behind.
3. Only what is in the journal is done, and of that only the deed that the state awaits; all others are void.
4. Whoever does a deed remembers its number and its outcome. The same number again gives the same outcome and does
   nothing; a lower number than that of the last deed is refused (`TooLate`).
5. An outcome is reported as a message that names the deed. Messages may be late, doubled, in another order or lost.
6. After a restart, or as a new leader, a worker knows nothing: it begins at 1. A deed that was done and not reported
   is done again, which rule 4 makes harmless.
7. A deed that the controller asks for again, by the same number, is taken for not reported.

A worker is two generators, one that decides and one that does. They yield how long they wait; at every yield they may
be killed, or held for so long that the lease is lost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from holdtrue.loop.actions import Action, Compare, Deed, RaiseAlarm, RecordDecision, Train
from holdtrue.loop.events import Event, Outcome
from holdtrue.loop.policy import Policy
from holdtrue.loop.state import State, begin

SECOND_US = 1_000_000
MOMENT_US = SECOND_US // 10  # between two lines of a worker, where it may be killed
LEASE_US = 120 * SECOND_US

Step = Callable[[State, Event, Policy], tuple[State, tuple[Action, ...]]]
encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(State).decode


class Fenced(Exception):
    """Another worker has the lease."""


class TooLate(Exception):
    """A later deed has been done."""


@dataclass(frozen=True)
class Flaws:
    """What a broken worker, store or endpoint does wrong; none by default."""

    acts_before_journaling: bool = False
    unfenced_store: bool = False
    unfenced_endpoint: bool = False
    forgets_after_restart: bool = False
    numbers_anew: bool = False
    does_late_deeds: bool = False
    commits_in_two: bool = False


@dataclass
class Commit:
    token: int
    event: Event
    before: State
    after: State
    actions: tuple[Action, ...]


class Watched(Protocol):
    """Sees what happens, as it happens."""

    def committed(self, made: Commit) -> None: ...

    def applied(self, deed: Deed, token: int) -> None: ...


@dataclass
class Store:
    """A database: a lease, the state, the journal, the inbox; each method is one transaction."""

    champion: str
    oracle: Watched
    flaws: Flaws
    state: bytes = b""
    holder: str = ""
    token: int = 0
    until_us: int = 0
    journal: dict[int, Deed] = field(default_factory=dict[int, Deed])
    reported: set[int] = field(default_factory=set[int])
    inbox: dict[int, tuple[int, Event]] = field(default_factory=dict[int, tuple[int, Event]])
    messages: int = 0

    def __post_init__(self) -> None:
        self.state = encode(begin(self.champion, at_us=0))
        self._read = (self.state, decode(self.state))

    def acquire(self, holder: str, now_us: int) -> int | None:
        """Get or keep the lease."""
        if holder != self.holder:
            if now_us < self.until_us:
                return None
            self.holder, self.token = holder, self.token + 1
        self.until_us = now_us + LEASE_US
        return self.token

    def put(self, event: Event, due_us: int) -> None:
        self.messages += 1
        self.inbox[self.messages] = (due_us, event)

    def next_message(self, now_us: int) -> tuple[int, Event] | None:
        due = [(due_us, key) for key, (due_us, _) in self.inbox.items() if due_us <= now_us]
        if not due:
            return None
        key = min(due)[1]
        return key, self.inbox[key][1]

    def commit(self, token: int, key: int, made: Commit) -> None:
        if not self.flaws.unfenced_store:
            if token != self.token:
                raise Fenced
            if key not in self.inbox:
                return  # taken by this leader already
        self.inbox.pop(key, None)
        self.state = encode(made.after)
        for action in made.actions:
            if not isinstance(action, RecordDecision | RaiseAlarm):
                self.journal[action.id] = action
                self.reported.discard(action.id)
        self.oracle.committed(made)

    def open_deed(self) -> Deed | None:
        awaited = self.read().awaited
        return None if awaited is None or awaited.deed.id in self.reported else awaited.deed

    def read(self) -> State:
        if self._read[0] is not self.state:  # read anew only when it was written anew
            self._read = (self.state, decode(self.state))
        return self._read[1]

    def report(self, token: int, deed: Deed) -> None:
        if token != self.token and not self.flaws.unfenced_store:
            raise Fenced
        self.reported.add(deed.id)


@dataclass
class Endpoint:
    """What is served, and everything else that deeds are done to."""

    champion: str
    oracle: Watched
    flaws: Flaws
    canary: str = ""
    share: float = 0.0
    shadow: str = ""
    token: int = 0
    last_id: int = 0
    outcomes: dict[int, Outcome] = field(default_factory=dict[int, Outcome])

    def fence(self, token: int) -> None:
        self.token = max(self.token, token)

    def check(self, deed: Deed, token: int) -> None:
        if token < self.token and not self.flaws.unfenced_endpoint:
            raise Fenced
        if deed.id < self.last_id and not self.flaws.does_late_deeds:
            raise TooLate

    def apply(self, deed: Deed, token: int, outcome: Outcome) -> Outcome:
        """Do a deed, unless it is done."""
        self.check(deed, token)
        if deed.id in self.outcomes:
            return self.outcomes[deed.id]
        self.outcomes[deed.id], self.last_id = outcome, deed.id
        self.oracle.applied(deed, token)
        if not isinstance(deed, Train | Compare):
            champion, challenger = deed.champion, getattr(deed, "challenger", "")
            kind = str(deed.__struct_config__.tag)
            self.champion = champion
            self.share = getattr(deed, "share", 0.0)
            self.canary = challenger if kind == "set share" else ""
            self.shadow = challenger if kind == "start shadow" else ""
        return outcome


class Around(Protocol):
    """What a worker finds around it."""

    store: Store
    endpoint: Endpoint
    policy: Policy
    now_us: int

    def work(self, deed: Deed) -> Iterator[int]: ...

    def outcome(self, deed: Deed, token: int) -> Outcome: ...

    def send(self, outcome: Outcome) -> None: ...

    def note(self, what: str) -> None: ...


@dataclass
class Worker:
    """One life of a worker, from its start to its death."""

    name: str
    around: Around
    step: Step
    flaws: Flaws
    token: int | None = None
    fresh: bool = True

    def deciding(self) -> Iterator[int]:
        around, store = self.around, self.around.store
        while True:
            token = store.acquire(self.name, around.now_us)
            if token is None:
                self.token = None
                yield 90 * SECOND_US
                continue
            if token != self.token:
                yield MOMENT_US
                around.endpoint.fence(token)
                yield MOMENT_US
                self.token = token
                around.note("leaders")
            message = store.next_message(around.now_us)
            if message is None:
                yield 60 * SECOND_US
                continue
            try:
                yield from self._decide(token, *message)
            except Fenced:
                around.note("fenced commits")
                self.token = None
            yield MOMENT_US

    def _decide(self, token: int, key: int, event: Event) -> Iterator[int]:
        around, store = self.around, self.around.store
        before = store.read()
        if self.flaws.forgets_after_restart and self.fresh:
            before = msgspec.structs.replace(before, trained_us=0, trainings=())
        self.fresh = False
        after, actions = self.step(before, event, around.policy)
        if self.flaws.numbers_anew:
            after, actions = _renumbered(before, after, actions)
        yield MOMENT_US  # decided, and nothing is written
        made = Commit(token=token, event=event, before=before, after=after, actions=actions)
        if self.flaws.acts_before_journaling:
            for action in actions:
                if not isinstance(action, RecordDecision | RaiseAlarm | Train | Compare):
                    around.endpoint.apply(action, token, around.outcome(action, token))
            yield MOMENT_US
        if self.flaws.commits_in_two and actions:
            store.state = encode(after)
            yield MOMENT_US
        store.commit(token, key, made)

    def doing(self) -> Iterator[int]:
        around, store = self.around, self.around.store
        while True:
            token, deed = self.token, store.open_deed()
            if token is None or deed is None:
                yield 60 * SECOND_US
                continue
            yield MOMENT_US  # journaled, and not begun
            try:
                yield from around.work(deed)
                outcome = around.outcome(deed, token)
                yield MOMENT_US  # done, and not reported
                store.report(token, deed)
                around.send(outcome)
            except Fenced:
                around.note("fenced deeds")
                self.token = None
            except TooLate:
                around.note("void deeds")
            yield MOMENT_US


def _renumbered(before: State, after: State, actions: tuple[Action, ...]) -> tuple[State, tuple[Action, ...]]:
    """Give a deed that is asked for again a new number, which a controller must not."""
    awaited = after.awaited
    repeated = before.awaited is not None and awaited is not None and before.awaited.deed == awaited.deed in actions
    if awaited is None or not repeated:
        return after, actions
    deed = msgspec.structs.replace(awaited.deed, id=after.next_id)
    changed = msgspec.structs.replace(awaited, deed=deed)
    kept = tuple(deed if action == awaited.deed else action for action in actions)
    return msgspec.structs.replace(after, awaited=changed, next_id=after.next_id + 1), kept
