"""Loops that are broken on purpose: a simulation that calls any of them well proves nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from holdtrue.loop.actions import Action, Promote, RecordDecision, SetShare
from holdtrue.loop.controller import step as right_step
from holdtrue.loop.events import (
    Approved,
    CanaryLooked,
    Compared,
    Event,
    Looked,
    Outcome,
    Ticked,
    Trained,
)
from holdtrue.loop.policy import Policy
from holdtrue.loop.state import State, Training
from tests.loop.simulation import Flaws, Step

Made = tuple[State, tuple[Action, ...]]


@dataclass(frozen=True)
class Control:
    """A broken loop, and what the oracle must say of it, as a pattern."""

    said: str
    step: Step = right_step
    flaws: Flaws = field(default_factory=Flaws)


def _hears(changed: Callable[[Event], Event]) -> Step:
    """Make a controller that takes one event for another."""
    return lambda state, event, policy: right_step(state, changed(event), policy)


def _ruled_by(changed: Callable[[Policy], Policy]) -> Step:
    return lambda state, event, policy: right_step(state, event, changed(policy))


def skips_the_canary(state: State, event: Event, policy: Policy) -> Made:
    after, actions = right_step(state, event, policy)
    awaited = after.awaited
    if awaited is None or not isinstance(awaited.deed, SetShare) or awaited == state.awaited:
        return after, actions
    old = awaited.deed
    deed = Promote(id=old.id, decision=old.decision, reason=old.reason, champion=old.challenger, before=old.champion)
    return replace(after, awaited=replace(awaited, deed=deed)), tuple(deed if one == old else one for one in actions)


def takes_any_outcome(state: State, event: Event, policy: Policy) -> Made:
    if isinstance(event, Outcome) and state.awaited is not None:
        event = replace(event, action=state.awaited.deed.id)
    return right_step(state, event, policy)


def counts_twice(state: State, event: Event, policy: Policy) -> Made:
    after, actions = right_step(state, event, policy)
    if isinstance(event, Trained) and (state.awaited is None or state.awaited.deed.id != event.action):
        again = Training(action=event.action, at_us=after.clock_us, cost=event.cost)
        after = replace(after, trainings=(*after.trainings, again))
    return after, actions


def follows_the_clock_back(state: State, event: Event, policy: Policy) -> Made:
    return right_step(replace(state, clock_us=min(state.clock_us, event.at_us + state.skew_us)), event, policy)


def deaf_while_busy(state: State, event: Event, policy: Policy) -> Made:
    return right_step(state, event if state.awaited is None else _unseen(event), policy)


def deaf_while_paused(state: State, event: Event, policy: Policy) -> Made:
    return right_step(state, _unseen(event) if state.phase == "paused" else event, policy)


def _unseen(event: Event) -> Event:
    return replace(event, release="nobody's") if isinstance(event, Looked | CanaryLooked) else event


def passes_a_stage_by_waiting(state: State, event: Event, policy: Policy) -> Made:
    over = state.clock_us - state.since_us >= policy.stage_us
    if isinstance(event, Ticked) and over and state.phase == "canary" and state.challenger is not None:
        event = CanaryLooked(
            at_us=event.at_us,
            release=state.challenger.release,
            share=state.challenger.share,
            signals=dict.fromkeys(policy.needed, "not worse"),
            requests=policy.least_requests,
        )
    return right_step(state, event, policy)


def forgets_the_storm(state: State, event: Event, policy: Policy) -> Made:
    return right_step(replace(state, useless=0), event, policy)


def forgets_what_alpha_is_spent(state: State, event: Event, policy: Policy) -> Made:
    return right_step(replace(state, comparisons=0), event, policy)


def records_nothing(state: State, event: Event, policy: Policy) -> Made:
    after, actions = right_step(state, event, policy)
    return after, tuple(one for one in actions if not isinstance(one, RecordDecision))


def one_person_twice(state: State, event: Event, policy: Policy) -> Made:
    count = 0 if state.challenger is None else len(state.challenger.approved_by)
    return right_step(state, replace(event, by=f"{event.by} {count}") if isinstance(event, Approved) else event, policy)


def _settled(event: Event) -> Event:
    if isinstance(event, Compared):
        found = {name: "not worse" if one == "inconclusive" else one for name, one in event.findings.items()}
        return replace(event, findings=found)
    return event


def _proven(event: Event) -> Event:
    return replace(event, verdict="proven") if isinstance(event, Trained) else event


def _labelled(event: Event) -> Event:
    if isinstance(event, Looked):
        return replace(event, promises=tuple(replace(one, basis="labels") for one in event.promises))
    return event


def _factual(event: Event) -> Event:
    if isinstance(event, CanaryLooked) and event.signals.get("scores") == "worse":
        return replace(event, signals={**event.signals, "errors": "worse"})
    return event


WORKERS = {
    "a worker that acts before it journals": Control(
        said="before it was journaled", flaws=Flaws(acts_before_journaling=True)
    ),
    "a store without fencing": Control(said="had lost its lease committed", flaws=Flaws(unfenced_store=True)),
    "an endpoint without fencing": Control(said="counted that had lost its", flaws=Flaws(unfenced_endpoint=True)),
    "a worker that forgets the brakes at a restart": Control(
        said="cap|cool-down|too many", flaws=Flaws(forgets_after_restart=True)
    ),
    "a worker that numbers a repeated deed anew": Control(
        said="while another is awaited", flaws=Flaws(numbers_anew=True)
    ),
    "an endpoint that does late deeds": Control(said="after a later one", flaws=Flaws(does_late_deeds=True)),
    "a commit in two parts": Control(
        said="used twice|while another|before it was|not in the ledger", flaws=Flaws(commits_in_two=True)
    ),
}
CONTROLLERS = {
    "promotes without a canary": Control(said="without its last stage", step=skips_the_canary),
    "takes any outcome for the awaited one": Control(
        said="was not done|while another is awaited|cap|without", step=takes_any_outcome
    ),
    "counts a doubled outcome twice": Control(said="counted twice|another cost", step=counts_twice),
    "follows a clock that goes back": Control(
        said="cool-down|guard ended early|cap|too many", step=follows_the_clock_back
    ),
    "deaf to harm while a deed is awaited": Control(said="was not answered", step=deaf_while_busy),
    "deaf to harm while paused": Control(said="was not answered", step=deaf_while_paused),
    "passes a stage by waiting": Control(said="skipped a stage|without its last stage", step=passes_a_stage_by_waiting),
    "forgets the storm": Control(said="storm", step=forgets_the_storm),
    "spends alpha anew on each challenger": Control(said="alpha", step=forgets_what_alpha_is_spent),
    "records no decision": Control(said="not decided", step=records_nothing),
    "counts one person twice": Control(said="without approval", step=one_person_twice),
    "takes inconclusive for not worse": Control(said="without a comparison", step=_hears(_settled)),
    "takes unproven for proven": Control(said="without a proven verdict", step=_hears(_proven)),
    "rolls back for an estimate": Control(said="estimate", step=_hears(_labelled)),
    "rolls back for scores": Control(said="scores", step=_hears(_factual)),
    "does not cool down": Control(said="cool-down", step=_ruled_by(lambda policy: replace(policy, cooldown_us=0))),
    "does not guard": Control(said="guard ended early", step=_ruled_by(lambda policy: replace(policy, guard_us=0))),
    "has no cap on cost": Control(said="budget", step=_ruled_by(lambda policy: replace(policy, cost_cap=None))),
    "trains on any label": Control(
        said="look wrong", step=_ruled_by(lambda policy: replace(policy, most_label_issues=1.0))
    ),
    "feeds itself": Control(said="feeds itself", step=_ruled_by(lambda policy: replace(policy, least_exploration=0.0))),
    "trains without end": Control(
        said="too many", step=_ruled_by(lambda policy: replace(policy, most_trainings=10**6))
    ),
    "trains in a dry run": Control(said="dry run", step=_ruled_by(lambda policy: replace(policy, dry_run=False))),
}
CONTROLS = {**WORKERS, **CONTROLLERS}
