"""Knows the promises of the loop, and believes only what was written, sent and served."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdtrue.loop.actions import (
    Compare,
    Deed,
    Promote,
    RaiseAlarm,
    RecordDecision,
    RollBack,
    SetShare,
    StartShadow,
    Train,
    Withdrawal,
)
from holdtrue.loop.events import (
    Approved,
    CanaryLooked,
    Compared,
    Done,
    Event,
    Failed,
    Looked,
    Outcome,
    Requested,
    Resumed,
    Signal,
    Stopped,
    Trained,
)
from holdtrue.loop.policy import HOUR_US, Policy
from holdtrue.loop.state import State

if TYPE_CHECKING:
    from tests.loop.simulation import Commit, Endpoint

FACTS: tuple[Signal, ...] = ("errors", "latency", "labels")
# Decisions after which nothing is under way.
ENDS = ("drop the challenger", "pause", "watch again", "keep the new champion")


class Broken(AssertionError):
    """A promise of the loop is broken."""


def demand(kept: bool, what: str) -> None:
    if not kept:
        raise Broken(what)


def harmful(look: Looked | CanaryLooked) -> bool:
    if isinstance(look, CanaryLooked):
        return any(look.signals.get(name) == "worse" for name in FACTS)
    return any(one.state == "broken" and one.basis == "labels" for one in look.promises)


@dataclass
class Oracle:
    """Holds every commit and every deed against the rules; `counts` says what was seen."""

    policy: Policy
    endpoint: "Endpoint" = field(init=False)
    counts: Counter[str] = field(default_factory=Counter[str])
    token: int = 0
    clock_us: int = 0
    skew_us: int = 0
    numbers: set[int] = field(default_factory=set[int])
    last_id: int = 0
    ledger: dict[int, RecordDecision] = field(default_factory=dict[int, RecordDecision])
    journal: dict[int, Deed] = field(default_factory=dict[int, Deed])
    done: set[int] = field(default_factory=set[int])
    last_done: int = 0
    open: Deed | None = None
    # By the clock on the wall of the simulation, which no worker can read.
    now_us: int = 0
    asked_us: int = 0
    # What the deeds brought to light, by release or by number.
    verdicts: dict[str, Trained] = field(default_factory=dict[str, Trained])
    found: dict[str, bool] = field(default_factory=dict[str, bool])
    passed: dict[str, float] = field(default_factory=dict[str, float])
    served_at: dict[str, float] = field(default_factory=dict[str, float])
    agreed: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    condemned: set[str] = field(default_factory=set[str])
    live: str = ""  # the release that is shadow, canary or under guard
    guard_us: int | None = None
    # What the brakes go by.
    activity_us: int = 0
    begun: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    costs: dict[int, float] = field(default_factory=dict[int, float])
    settled: dict[int, float] = field(default_factory=dict[int, float])
    useless: int = 0
    look: Looked | None = None
    alphas: dict[float, str] = field(default_factory=dict[float, str])

    # What is committed

    def committed(self, made: "Commit") -> None:
        demand(made.token >= self.token, "a worker that had lost its lease committed")
        self.token = made.token
        self._clock(made.event)
        ends = self._write(made)
        accepted = self._outcome(made.event)
        self._heard(made.event)
        if isinstance(made.event, Resumed) and made.before.phase == "paused":
            self.condemned &= {self.live}  # a person has looked: what did harm may be tried again
        deeds = [one for one in made.actions if not isinstance(one, RecordDecision | RaiseAlarm)]
        demand(len(deeds) <= 1, "two deeds were asked for at once")
        if ends:
            self.open, self.look = None, None
        if made.after.awaited is not None and made.after.awaited.failed:
            self.open = None  # it failed, or was never answered: it is void, and is tried again by another number
        for deed in deeds:
            self._asked(deed, made.event)
        self._harm(made.event)
        self._ended(made)
        if made.after.awaited is None:
            self._served(made.after)
        self._accounts(made.after)
        if accepted and isinstance(made.event, Failed):
            self.counts["failed deeds"] += 1

    def _clock(self, event: Event) -> None:
        if isinstance(event, Resumed) and event.trust_clock:
            self.skew_us = max(self.clock_us - event.at_us, 0)
        self.clock_us = max(self.clock_us, event.at_us + self.skew_us)

    def _write(self, made: "Commit") -> bool:
        ends = False
        for action in made.actions:
            again = not isinstance(action, RecordDecision | RaiseAlarm) and self.journal.get(action.id) == action
            demand(again or action.id > self.last_id, f"number {action.id} is used twice")
            self.last_id = max(self.last_id, action.id)
            if isinstance(action, RecordDecision):
                demand(all(cause in self.ledger for cause in action.causes), "a cause is not in the ledger")
                self.ledger[action.id] = action
                self.counts[f"decision: {action.what.split(' at ')[0]}"] += 1
                ends = ends or action.what in ENDS
            elif isinstance(action, RaiseAlarm):
                self.counts["alarms"] += 1
            else:
                demand(action.decision in self.ledger, "a deed was asked for that was not decided")
                self.counts["asked again" if again else f"deed: {action.__struct_config__.tag}"] += 1
        return ends

    def _outcome(self, event: Event) -> bool:
        """Say whether the event is the outcome that is awaited."""
        if not isinstance(event, Outcome):
            return False
        deed = self.open
        if deed is None or event.action != deed.id:
            self.counts["outcomes that were late or doubled"] += 1
            return False
        if not isinstance(event, Failed):
            demand(deed.id in self.done, "an outcome was taken of what was not done")
        if isinstance(deed, Train):
            self.activity_us = self.clock_us
            if isinstance(event, Trained | Failed):
                self.costs[deed.id] = self.settled[deed.id] = event.cost
        if isinstance(event, Trained):
            self._tried(event)
        if isinstance(deed, Compare) and isinstance(event, Compared):
            findings = [event.findings.get(name) for name in deed.promises]
            self.found[deed.challenger] = bool(findings) and all(one == "not worse" for one in findings)
        if isinstance(deed, SetShare) and isinstance(event, Done):
            self.served_at[deed.challenger] = deed.share
        if isinstance(deed, Promote) and isinstance(event, Done):
            self.guard_us = self.clock_us
        self.open = None
        return True

    def _tried(self, event: Trained) -> None:
        """A release that is made again needs all its evidence again."""
        self.counts["releases made again"] += event.release in self.verdicts
        self.verdicts[event.release] = event
        for known in (self.found, self.passed, self.served_at, self.agreed):
            known.pop(event.release, None)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Approved):
            self.agreed.setdefault(event.release, set()).add(event.by)
        if isinstance(event, Resumed):
            self.useless = 0
        if isinstance(event, Looked) and event.release == self.endpoint.champion:
            self.look = event
        if isinstance(event, CanaryLooked) and event.release == self.live:
            well = all(event.signals.get(name) == "not worse" for name in self.policy.needed)
            right = event.share > 0 and event.share == self.served_at.get(event.release)
            if well and right and event.requests >= self.policy.least_requests:
                self.passed[event.release] = max(self.passed.get(event.release, 0.0), event.share)

    def _harm(self, event: Event) -> None:
        """Harm to what is live must be answered in the same commit, or be answered already."""
        if isinstance(event, Looked | CanaryLooked) and event.release == self.live and harmful(event):
            self.counts["harm"] += 1
            self.condemned.add(self.live)
            demand(isinstance(self.open, Withdrawal) or self.failing(), f"harm by {self.live} was not answered")

    def failing(self) -> bool:
        """Say whether a withdrawal failed and waits to be tried again."""
        last = self.journal[max(self.journal)] if self.journal else None
        return isinstance(last, Withdrawal) and self.open is None and bool(self.live)

    def _ended(self, made: "Commit") -> None:
        for action in made.actions:
            if not isinstance(action, RecordDecision):
                continue
            if action.what == "drop the challenger":
                self.useless += 1
                self.live, self.guard_us = "", None
            elif action.what == "keep the new champion":
                demand(self.guard_us is not None, "a champion was kept that was not under guard")
                demand(self.clock_us - (self.guard_us or 0) >= self.policy.guard_us, "the guard ended early")
                demand(self.live not in self.condemned, "a champion that did harm was kept")
                self.useless, self.live, self.guard_us = 0, "", None
        pause = made.after.pause if made.after.phase == "paused" else None
        if pause is not None and made.before.phase != "paused":
            self.counts["pauses by a storm" if "in a row" in pause.why else f"pauses from {pause.back}"] += 1
        if pause is not None and pause.back == "watching":
            self.live, self.guard_us = "", None

    # What is asked for

    def _asked(self, deed: Deed, event: Event) -> None:
        self.asked_us = self.now_us
        if deed.id in self.journal:
            demand(self.journal[deed.id] == deed, "a number was given to another deed")
            return
        void = self.open is not None
        demand(not void or isinstance(deed, Withdrawal), "a deed was asked for while another is awaited")
        self.journal[deed.id] = deed
        self.open, self.look = deed, None if not isinstance(deed, Train) else self.look
        if isinstance(deed, Train):
            self._brakes(deed, event)
            self.look = None
        elif isinstance(deed, StartShadow | SetShare | Promote):
            self._evidence(deed)
        elif isinstance(deed, Withdrawal):
            self._cause(event)
        else:
            # A comparison that failed is made again at its level; any other has a level of its own.
            fresh = self.alphas.setdefault(deed.alpha, deed.challenger) == deed.challenger
            demand(fresh and sum(self.alphas) <= self.policy.alpha, "more alpha was spent than there is")

    def _brakes(self, deed: Train, event: Event) -> None:
        forced = isinstance(event, Requested) and event.force
        lately = [(number, at_us) for number, at_us in self.begun if at_us > self.clock_us - self.policy.window_us]
        if not isinstance(event, Requested):
            demand(self.clock_us - self.activity_us >= self.policy.cooldown_us, "the cool-down was passed")
            demand(len(lately) < self.policy.most_trainings, "there were too many trainings")
            demand(self.policy.feedback == "warn" or not self._feeds_itself(), "a loop that feeds itself trained")
        demand(self.useless < self.policy.storm, "a storm of trainings was not stopped")
        demand(not self.policy.dry_run, "a dry run trained")
        if not forced:
            for source in () if self.look is None else self.look.sources:
                demand(source.issue_rate <= self.policy.most_label_issues, "labels that look wrong were trained on")
            if self.policy.cost_cap is not None:
                demand(deed.budget is not None, "a training has no budget")
                spent = sum(self.costs[number] for number, _ in lately) + (deed.budget or 0.0)
                demand(spent <= self.policy.cost_cap + 1e-6, "trainings may cost more than the cap")
        self.begun.append((deed.id, self.clock_us))
        self.costs[deed.id] = deed.budget or 0.0
        self.activity_us = self.clock_us

    def _feeds_itself(self) -> bool:
        look = self.look
        return look is not None and look.steered and look.exploration < self.policy.least_exploration

    def _evidence(self, deed: StartShadow | SetShare | Promote) -> None:
        release = deed.champion if isinstance(deed, Promote) else deed.challenger
        trained = self.verdicts.get(release)
        demand(trained is not None and trained.verdict == "proven", f"{release} went on without a proven verdict")
        demand(self.found.get(release, False), f"{release} went on without a comparison that is not worse on all")
        demand(len(self.agreed.get(release, ())) >= self.policy.approvals, f"{release} went on without approval")
        demand(release not in self.condemned, f"{release} went on after it did harm")
        self.live = release
        passed, shares = self.passed.get(release, 0.0), self.policy.shares
        if isinstance(deed, Promote):
            demand(passed == shares[-1], f"{release} was promoted without its last stage")
        elif isinstance(deed, SetShare):
            ahead = [share for share in shares if share > passed]
            demand(bool(ahead) and deed.share == ahead[0], f"{release} skipped a stage")

    def _cause(self, event: Event) -> None:
        """A look takes a release back only for a fact."""
        if isinstance(event, Looked | CanaryLooked):
            demand(harmful(event), "it rolled back for scores or an estimate alone")
        self.counts["stopped by hand"] += isinstance(event, Stopped)

    # What is served

    def applied(self, deed: Deed, token: int) -> None:
        """Hold a deed, just before it takes effect, against what is written."""
        demand(self.journal.get(deed.id) == deed, f"{deed.__struct_config__.tag} was done before it was journaled")
        demand(token >= self.token, "a deed of a worker counted that had lost its lease")
        demand(deed.id not in self.done and deed.id > self.last_done, "a deed was done after a later one")
        self.done.add(deed.id)
        self.last_done = deed.id
        served = self.endpoint.champion
        if isinstance(deed, Promote):
            # A promotion that was done, and reported as failed, is done once more.
            fresh = deed.before == served and deed.champion == self.endpoint.canary
            demand(fresh or deed.champion == served, "a release was promoted that was no canary of this champion")
            self.counts["promotions"] += 1
        elif isinstance(deed, SetShare | StartShadow):
            demand(deed.champion == served != deed.challenger, "the champion of a canary is another")
        elif isinstance(deed, RollBack):
            self.counts["rollbacks"] += deed.champion != served

    def _served(self, state: State) -> None:
        """When nothing is awaited, the endpoint serves what the loop thinks it does."""
        demand(self.endpoint.champion == state.champion, "another release serves than the champion")
        phase = state.pause.back if state.phase == "paused" and state.pause else state.phase
        share = state.challenger.share if state.challenger is not None and phase == "canary" else 0.0
        demand(self.endpoint.share == share, f"the canary has {self.endpoint.share:.0%}, and not {share:.0%}")
        if self.guard_us is None and state.phase in ("watching", "training"):
            demand(self.endpoint.champion not in self.condemned, "a release that did harm is champion")

    def _accounts(self, state: State) -> None:
        numbers = [one.action for one in state.trainings]
        demand(len(numbers) == len(set(numbers)), "a training is counted twice")
        for one in state.trainings:
            demand(one.cost == self.settled.get(one.action, one.cost), "a training is charged with another cost")

    def finish(self, state: State) -> None:
        """At the end, after some calm hours, nothing hangs, and nothing that did harm serves."""
        demand(self.endpoint.champion not in self.condemned, "a release that did harm is champion at the end")
        demand(self.endpoint.canary not in self.condemned, "a release that did harm is canary at the end")
        waited_us = 0 if self.open is None else self.now_us - self.asked_us
        demand(state.phase != "rolling back" or waited_us < HOUR_US, "a rollback hangs")
        demand(waited_us <= self.policy.work_patience_us + HOUR_US, "a deed is awaited for ever")
