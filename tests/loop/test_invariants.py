"""Whatever happens in whatever order, the rules hold: events that no sane world would send are drawn too."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from holdtrue.loop.actions import Compare, Train
from holdtrue.loop.controller import step
from holdtrue.loop.events import (
    Approved,
    CanaryLooked,
    Compared,
    Done,
    Event,
    Failed,
    Looked,
    Refused,
    Requested,
    Resumed,
    Stopped,
    Ticked,
    Trained,
)
from holdtrue.loop.policy import DAY_US, HOUR_US, Policy
from holdtrue.loop.state import State, begin
from tests.loop.oracle import Oracle
from tests.loop.simulation import Commit, Endpoint, Flaws

POLICIES = st.builds(
    Policy,
    on_at_risk=st.booleans(),
    every_us=st.sampled_from([None, DAY_US]),
    cooldown_us=st.sampled_from([0, HOUR_US]),
    most_trainings=st.integers(1, 20),
    cost_cap=st.sampled_from([None, 5.0]),
    cost_each=st.sampled_from([None, 2.0]),
    storm=st.integers(1, 4),
    feedback=st.sampled_from(["warn", "hold"]),
    approvals=st.integers(0, 2),
    shares=st.sampled_from([(0.5,), (0.01, 0.1)]),
    guard_us=st.sampled_from([0, HOUR_US]),
    shadow_us=st.sampled_from([0, HOUR_US]),
)
RELEASES = st.sampled_from(["first", "challenger", "champion"])
JUMPS = st.sampled_from([0, 0, 1, HOUR_US, DAY_US, -HOUR_US, -DAY_US])
ANY = st.from_type(Looked) | st.from_type(CanaryLooked) | st.from_type(Failed)


class Loop(RuleBasedStateMachine):
    """A controller, and an endpoint that does what is awaited when the draw says so."""

    @initialize(policy=POLICIES)
    def start(self, policy: Policy) -> None:
        self.policy = policy
        self.oracle = Oracle(policy=policy)
        self.endpoint = Endpoint(champion="first", oracle=self.oracle, flaws=Flaws())
        self.oracle.endpoint = self.endpoint
        self.state = begin("first", at_us=0)
        self.now_us, self.made = DAY_US, 0

    def hear(self, event: Event) -> None:
        before = msgspec.json.decode(msgspec.json.encode(self.state), type=State)
        assert before == self.state
        after, actions = step(before, event, self.policy)
        assert (after, actions) == step(self.state, event, self.policy)
        assert after.clock_us >= before.clock_us
        self.state = after
        self.oracle.committed(Commit(token=1, event=event, before=before, after=after, actions=actions))

    def named(self, name: str) -> str:
        """Give a release its digest."""
        challenger = self.state.challenger
        known = {"champion": self.state.champion, "challenger": challenger.release if challenger else "nobody"}
        return known.get(name, name)

    @rule(jump=JUMPS)
    def tick(self, jump: int) -> None:
        self.now_us += jump
        self.hear(Ticked(at_us=self.now_us))

    @rule(
        verdict=st.sampled_from(["proven", "proven", "proven", "unproven"]),
        found=st.sampled_from(["not worse", "not worse", "not worse", "worse", "inconclusive"]),
        cost=st.floats(0.0, 2.0),
    )
    def outcome(self, verdict: str, found: str, cost: float) -> None:
        """Do what is awaited, and say so."""
        awaited = self.state.awaited
        if awaited is None:
            return
        deed = awaited.deed
        said: dict[str, object] = {"at_us": self.now_us, "action": deed.id}
        if isinstance(deed, Train):
            self.made += 1
            cost = cost if deed.budget is None else min(cost, deed.budget)
            said |= {"kind": "trained", "release": f"made {self.made}", "verdict": verdict}
            said |= {"promises": ["recall"], "cost": cost}
            event: Event = msgspec.convert(said, Trained)
        elif isinstance(deed, Compare):
            event = msgspec.convert({**said, "kind": "compared", "findings": {"recall": found}}, Compared)
        else:
            event = Done(at_us=self.now_us, action=deed.id)
        if deed.id not in self.endpoint.outcomes:
            self.endpoint.apply(deed, 1, event)  # pyright: ignore[reportArgumentType]
        self.hear(event)

    @rule(release=RELEASES, worse=st.sampled_from([(), (), (), (), ("scores",), ("errors",)]), stage=st.booleans())
    def canary_look(self, release: str, worse: tuple[str, ...], stage: bool) -> None:
        challenger = self.state.challenger
        signals = dict.fromkeys(("errors", "latency", "scores"), "not worse") | dict.fromkeys(worse, "worse")
        look = {
            "kind": "canary looked",
            "at_us": self.now_us,
            "release": self.named(release),
            "share": challenger.share if challenger is not None and stage else 0.1,
            "signals": signals,
            "requests": 5_000,
        }
        self.hear(msgspec.convert(look, CanaryLooked))

    @rule(
        release=RELEASES,
        state=st.sampled_from(["kept", "broken", "broken", "at risk", "cannot tell"]),
        basis=st.sampled_from(["labels", "estimate"]),
        rate=st.sampled_from([0.0, 0.0, 0.5]),
        steered=st.booleans(),
    )
    def look(self, release: str, state: str, basis: str, rate: float, steered: bool) -> None:
        look = {
            "kind": "looked",
            "at_us": self.now_us,
            "release": self.named(release),
            "promises": [{"promise": "recall", "state": state, "basis": basis}],
            "sources": [{"name": "shop", "issue_rate": rate}],
            "steered": steered,
        }
        self.hear(msgspec.convert(look, Looked))

    @rule(by=st.sampled_from(["Ada", "Bob"]), release=RELEASES, agrees=st.sampled_from([True, True, True, False]))
    def word(self, by: str, release: str, agrees: bool) -> None:
        kind = Approved if agrees else Refused
        self.hear(kind(at_us=self.now_us, by=by, release=self.named(release)))

    @rule(times=st.integers(1, 8))
    def forward(self, times: int) -> None:
        """Let all go well for a while, else hardly any walk comes far."""
        for _ in range(times):
            self.now_us += HOUR_US
            if self.state.awaited is not None:
                self.outcome(verdict="proven", found="not worse", cost=1.0)
            elif self.state.phase == "canary":
                self.canary_look(release="challenger", worse=(), stage=True)
            elif self.state.phase == "waiting for approval":
                self.word(by=f"person {self.now_us}", release="challenger", agrees=True)
            else:
                self.hear(Ticked(at_us=self.now_us))

    @rule(kind=st.sampled_from([Requested, Requested, Resumed, Resumed, Resumed, Stopped]), flag=st.booleans())
    def hand(self, kind: type[Requested | Resumed | Stopped], flag: bool) -> None:
        if kind is Requested:
            self.hear(Requested(at_us=self.now_us, by="Eve", force=flag))
        elif kind is Resumed:
            self.hear(Resumed(at_us=self.now_us, by="Eve", go_on=flag, trust_clock=flag))
        else:
            self.hear(Stopped(at_us=self.now_us, by="Eve"))

    @rule(action=st.integers(0, 60))
    def nonsense(self, action: int) -> None:
        """An outcome of anything but what is awaited changes nothing but the clock."""
        awaited = self.state.awaited
        if awaited is not None and awaited.deed.id == action:
            return
        before = self.state
        for event in (Done(at_us=self.now_us, action=action), Failed(at_us=self.now_us, action=action, why="")):
            self.hear(event)
        same = {"clock_us": before.clock_us, "behind": before.behind, "told_us": before.told_us}
        assert msgspec.structs.replace(self.state, **same) == before

    @rule(event=ANY)
    def anything(self, event: Event) -> None:
        """Whatever comes in, there is an answer."""
        step(self.state, event, self.policy)


TestLoop = pytest.mark.slow(Loop.TestCase)
TestLoop.settings = settings(max_examples=60, stateful_step_count=80)
