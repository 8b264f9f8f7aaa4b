"""A loop that a test leads by the hand: it answers what is asked, and reads as a story."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from holdtrue.loop.actions import (
    Action,
    Compare,
    Deed,
    EndCanary,
    Promote,
    RaiseAlarm,
    RecordDecision,
    RollBack,
    SetShare,
    StartShadow,
    Train,
)
from holdtrue.loop.controller import step
from holdtrue.loop.events import (
    CanaryLooked,
    Compared,
    Done,
    Event,
    Failed,
    Found,
    Looked,
    PromiseSeen,
    Sign,
    Signal,
    Ticked,
    Trained,
)
from holdtrue.loop.policy import DAY_US, MINUTE_US, Policy
from holdtrue.loop.state import State, begin

BROKEN = (PromiseSeen(promise="recall", state="broken"),)
PROMISES = ("recall", "brier")


@dataclass
class Walk:
    """The state, what was asked for, and a clock that goes on by a minute with each event."""

    policy: Policy = field(default_factory=Policy)
    state: State = field(default_factory=lambda: begin("old", at_us=0))
    now_us: int = 2 * DAY_US
    actions: list[Action] = field(default_factory=list[Action])
    last: tuple[Action, ...] = ()

    def tell(self, make: Callable[[int], Event]) -> "Walk":
        """Say what happened now; `make` is given the time."""
        return self.hear(make(self.now_us))

    def hear(self, event: Event) -> "Walk":
        state = msgspec.json.decode(msgspec.json.encode(self.state), type=State)
        assert state == self.state
        self.state, self.last = step(state, event, self.policy)
        self.actions += self.last
        self.now_us += MINUTE_US
        return self

    # What is around the loop

    def look(self, promises: tuple[PromiseSeen, ...] = BROKEN, release: str = "") -> "Walk":
        return self.hear(Looked(at_us=self.now_us, release=release or self.state.champion, promises=promises))

    def wait(self, time_us: int = 0) -> "Walk":
        self.now_us += time_us
        return self.hear(Ticked(at_us=self.now_us))

    def trained(self, release: str = "new", *, cost: float = 1.0) -> "Walk":
        number = self.deed(Train).id
        return self.tell(
            lambda at_us: Trained(
                at_us=at_us, action=number, release=release, verdict="proven", promises=PROMISES, cost=cost
            )
        )

    def compared(self, finding: Found = "not worse") -> "Walk":
        number = self.deed(Compare).id
        findings: dict[str, Found] = {"recall": "not worse", "brier": finding}
        return self.tell(lambda at_us: Compared(at_us=at_us, action=number, findings=findings))

    def done(self) -> "Walk":
        number = self.deed(StartShadow | SetShare | Promote | RollBack | EndCanary).id
        return self.tell(lambda at_us: Done(at_us=at_us, action=number))

    def fails(self, why: str = "no disk") -> "Walk":
        number = self.awaited.id
        return self.tell(lambda at_us: Failed(at_us=at_us, action=number, why=why))

    def canary(
        self, sign: Sign = "not worse", *signals: Signal, release: str = "", share: float | None = None
    ) -> "Walk":
        """Look at the canary: all that is needed is not worse, but the signals that are named are as said."""
        challenger = self.state.challenger
        signs: dict[Signal, Sign] = dict.fromkeys(("errors", "latency", "scores"), "not worse")
        signs |= dict.fromkeys(signals, sign)
        look = CanaryLooked(
            at_us=self.now_us,
            release=release or (challenger.release if challenger is not None else self.state.champion),
            share=share if share is not None else (challenger.share if challenger is not None else 0.0),
            signals=signs,
            requests=5_000,
        )
        return self.hear(look)

    # Shortcuts to where a story begins

    def to_shadow(self) -> "Walk":
        return self.look().trained().compared().done()

    def to_canary(self) -> "Walk":
        return self.to_shadow().wait(self.policy.shadow_us).done()

    def to_last_stage(self) -> "Walk":
        self.to_canary()
        for _ in self.policy.shares[1:]:
            self.canary().done()
        return self

    def to_guard(self) -> "Walk":
        return self.to_last_stage().canary().done()

    # What was asked for

    @property
    def awaited(self) -> Deed:
        assert self.state.awaited is not None, f"nothing is awaited in {self.state.phase}"
        return self.state.awaited.deed

    def deed(self, kind: object) -> Deed:
        deed = self.awaited
        assert isinstance(deed, kind)  # pyright: ignore[reportArgumentType]  (a union of classes is one for isinstance)
        return deed

    @property
    def kinds(self) -> list[str]:
        """The kinds of what was asked for last, without what is only written."""
        return [str(one.__struct_config__.tag) for one in self.last if not isinstance(one, RecordDecision | RaiseAlarm)]

    @property
    def decisions(self) -> list[str]:
        return [one.what for one in self.actions if isinstance(one, RecordDecision)]

    @property
    def why(self) -> str:
        """Why the last decision was taken."""
        return [one.why for one in self.actions if isinstance(one, RecordDecision)][-1]

    @property
    def alarms(self) -> list[str]:
        return [one.what for one in self.actions if isinstance(one, RaiseAlarm)]
