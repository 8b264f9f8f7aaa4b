"""What the loop does when something happens: a pure function of a state and an event.

    watching -> training -> comparing -> (waiting for approval) -> shadowing -> canary -> promoted -> watching

The rules of the machine:

- Nothing is promoted without a proven verdict, a comparison that is not worse on every promise, and a canary that
  passed its last stage. What is inconclusive pauses; nobody's silence promotes.
- Harm at any moment of a canary or of the guard after it ends with the old champion alone.
- One deed is awaited at a time. Its outcome names it; any other outcome changes nothing. A deed that is asked for while
  another is awaited makes that one void.
- Every deed follows from a decision that is recorded before it, in the same step.
- Brakes go by the latest time that any event came from: a clock that goes back stops them, and never lets them go.

Time comes with the events; nothing is read or written here. The one who does the deeds writes the new state, the
decisions and the deeds in one transaction before any deed is done, does them in the order of their numbers, and does a
deed that has no outcome yet again after a restart.

>>> from holdtrue.loop.events import Requested
>>> from holdtrue.loop.state import begin
>>> state, actions = step(begin("sha256:1f", at_us=0), Requested(at_us=1, by="Ada"), Policy())
>>> state.phase, [action.__struct_config__.tag for action in actions]
('training', ['record decision', 'train'])
"""

from msgspec import structs

from holdtrue.loop.actions import (
    Action,
    Compare,
    EndCanary,
    Promote,
    RollBack,
    SetShare,
    StartShadow,
    Train,
    Withdrawal,
)
from holdtrue.loop.brakes import span
from holdtrue.loop.challenge import approval_due, approved, compare, compared, consider, requested, settle, trained
from holdtrue.loop.events import (
    Approved,
    CanaryLooked,
    ChampionMoved,
    Compared,
    Done,
    Event,
    Failed,
    Looked,
    Outcome,
    Refused,
    Requested,
    Resumed,
    Stopped,
    Ticked,
    Trained,
    Word,
)
from holdtrue.loop.policy import DAY_US, Policy
from holdtrue.loop.rollout import (
    canary_looked,
    guard_over,
    guarded,
    in_traffic,
    on_trial,
    pause_over,
    promoted,
    shadow_over,
    share_set,
    stage_over,
    withdraw,
    withdrawn,
)
from holdtrue.loop.state import Awaited, Pause, State
from holdtrue.loop.turn import Turn

# What the passing of time does in each phase, when no deed is awaited.
TIMERS = {
    "watching": consider,
    "waiting for approval": approval_due,
    "shadowing": shadow_over,
    "canary": stage_over,
    "promoted": guard_over,
    "paused": pause_over,
}
MEND = "Mend what failed, then: holdtrue loop resume"


def step(state: State, event: Event, policy: Policy) -> tuple[State, tuple[Action, ...]]:
    """Give the state after an event, and what shall be done about it, in order."""
    turn = _timed(Turn(state=state, event=event, policy=policy))
    match event:
        case Trained() | Compared() | Done() | Failed():
            turn = _answered(turn, event)
        case Looked():
            turn = _looked(turn, event)
        case CanaryLooked():
            turn = canary_looked(turn, event)
        case Ticked():
            turn = _ticked(turn)
        case _:
            turn = _said(turn, event)
    return turn.state, turn.actions


def _timed(turn: Turn) -> Turn:
    """Let the clock of the loop go on, never back."""
    state, event = turn.state, turn.event
    skew_us = state.skew_us
    if isinstance(event, Resumed) and event.trust_clock:
        skew_us = max(state.clock_us - event.at_us, 0)
    late_us = state.clock_us - (event.at_us + skew_us)
    behind = late_us > turn.policy.clock_back_us
    # A look or an outcome may have waited for long; only a tick is sure to be new.
    told = behind and (state.behind or isinstance(event, Ticked))
    turn = turn.to(skew_us=skew_us, clock_us=state.clock_us + max(-late_us, 0), behind=told)
    # Two machines whose clocks differ take turns: once a day is enough.
    lately = state.told_us is not None and turn.state.clock_us - state.told_us < DAY_US
    if not told or state.behind or lately:
        return turn
    turn = turn.to(told_us=turn.state.clock_us)
    what = f"The clock is {span(late_us)} behind an earlier event; all brakes wait until it has caught up."
    return turn.alarm(what, "If it is right now: holdtrue loop resume --trust-clock")


def _answered(turn: Turn, event: Outcome) -> Turn:
    """Take the outcome of the deed that is awaited; any other came too late, or twice."""
    awaited = turn.state.awaited
    if awaited is None or awaited.failed or awaited.deed.id != event.action:
        return turn
    match awaited.deed, event:
        case _, Failed():
            return _failed(turn, awaited, event.why, event.cost)
        case Train(), Trained():
            return trained(turn, event)
        case Compare(), Compared():
            return compared(turn, event)
        case StartShadow(), Done():
            return turn.to(awaited=None, since_us=turn.state.clock_us)
        case SetShare() as deed, Done():
            return share_set(turn, deed)
        case Promote() as deed, Done():
            return promoted(turn, deed)
        case (RollBack() | EndCanary()) as deed, Done():
            return withdrawn(turn, deed)
        case _:
            return turn  # an outcome that this deed cannot have


def _failed(turn: Turn, awaited: Awaited, why: str, cost: float | None) -> Turn:
    deed, name = awaited.deed, str(awaited.deed.__struct_config__.tag)
    told = f"could not {name}: {why}"
    if isinstance(deed, Train):
        # Without an answer nobody knows the cost: what was set aside stays spent.
        turn = settle(turn, deed.id, float("nan") if cost is None else cost)
        return turn.to(awaited=None).drop(told)
    if isinstance(deed, Withdrawal) or awaited.tries < turn.policy.most_tries:
        again = structs.replace(awaited, failed=True, asked_us=turn.event.at_us)
        return _less_and_less(turn, awaited.tries, f"The loop {told}; it tries again.", MEND).to(awaited=again)
    if isinstance(deed, Compare):
        return turn.pause(told, MEND, back="comparing")
    return withdraw(turn, told, then=Pause(why=told, do=MEND, back="watching"))


def _less_and_less(turn: Turn, times: int, what: str, do: str) -> Turn:
    """Raise an alarm the 1st, 2nd, 4th, 8th time: what is tried for ever shall not be told for ever."""
    return turn.alarm(what, do) if times & (times - 1) == 0 else turn


def _ticked(turn: Turn) -> Turn:
    awaited = turn.state.awaited
    if awaited is not None:
        return _overdue(turn, awaited)
    timer = TIMERS.get(turn.state.phase)
    return turn if timer is None else timer(turn)


def _overdue(turn: Turn, awaited: Awaited) -> Turn:
    """Ask again for a deed without an outcome, by the same number; a failed one is tried again by a new one."""
    deed, policy = awaited.deed, turn.policy
    name = str(deed.__struct_config__.tag)
    waited_us = turn.event.at_us - awaited.asked_us
    if waited_us < 0:
        # The clock went back, so nobody knows how long it was: count from now.
        return turn.to(awaited=structs.replace(awaited, asked_us=turn.event.at_us))
    if awaited.failed:
        if waited_us < policy.retry_us:
            return turn
        return turn.decide(f"{name} again", f"try {awaited.tries} failed").ask(deed, tries=awaited.tries + 1)
    patience_us = policy.work_patience_us if isinstance(deed, Train | Compare) else policy.serve_patience_us
    if waited_us < patience_us:
        return turn
    if awaited.asks >= policy.most_asks and not isinstance(deed, Withdrawal):
        return _failed(turn, awaited, f"no answer, asked {awaited.asks} times", None)
    again = structs.replace(awaited, asked_us=turn.event.at_us, asks=awaited.asks + 1)
    told = f"No answer to {name!r} within {span(patience_us)}; asked again."
    turn = _less_and_less(turn, awaited.asks, told, "Is the worker well?")
    return Turn(state=turn.to(awaited=again).state, event=turn.event, policy=policy, actions=(*turn.actions, deed))


def _looked(turn: Turn, look: Looked) -> Turn:
    """Use a look at the champion, or at what may become it; one at a release of before is of no use."""
    state = turn.state
    if on_trial(turn, look.release):
        return guarded(turn, look)
    if look.release != state.champion or state.phase != "watching":
        return turn
    return consider(_alarmed(turn, look))


def _alarmed(turn: Turn, look: Looked) -> Turn:
    """Tell of each broken promise and each drift of unknown harm when it is new, whether or not a training follows."""
    broken = [one.promise for one in look.promises if one.state == "broken" and one.basis == "labels"]
    unclear = [one.column for one in look.drifts if one.harm == "cannot tell"]
    said = {f"promise {name}": (f"The promise {name!r} is broken.", "Look at it: holdtrue watch") for name in broken}
    for name in unclear:
        what = f"Column {name!r} drifted, and nobody can tell whether that harms a promise."
        said[f"drift of {name}"] = (what, "Look at it: holdtrue watch")
    turn = turn.to(look=look, told=tuple(key for key in turn.state.told if key in said))
    for key, (what, do) in said.items():
        turn = turn.tell_once(key, what, do)
    return turn


def _said(turn: Turn, event: Word) -> Turn:
    match event:
        case Requested():
            return requested(turn, event)
        case Approved() | Refused():
            return approved(turn, event)
        case Stopped():
            return _stopped(turn, event)
        case Resumed():
            return _resumed(turn, event)
        case ChampionMoved():
            return _moved(turn, event)


def _stopped(turn: Turn, event: Stopped) -> Turn:
    why = f"{event.by} stopped it" + (f": {event.why}" if event.why else "")
    match turn.state.phase:
        case "training" | "comparing" | "waiting for approval":
            return turn.to(awaited=None).drop(why)
        case "shadowing" | "canary" | "promoted":
            return withdraw(turn, why)
        case phase:
            return turn.decide("stop nothing", f"{why}, but the loop is {phase}").to(chain=turn.state.chain)


def _moved(turn: Turn, event: ChampionMoved) -> Turn:
    """Watch what a person made the champion; what was under way was about another one."""
    if event.release == turn.state.champion:
        return turn
    why = f"{event.by} made {event.release[:19]} the champion while the loop was {turn.state.phase}"
    return turn.decide("follow a person", why).rest().to(champion=event.release, chain=())


def _resumed(turn: Turn, event: Resumed) -> Turn:
    pause = turn.state.pause
    if turn.state.phase != "paused" or pause is None:
        return turn
    turn = turn.to(useless=0, harmful=())
    why = f"{event.by} looked at it and {'goes on' if event.go_on else 'gives up the challenger'}"
    if not event.go_on and in_traffic(turn):
        return withdraw(turn, why)
    if event.go_on and pause.back == "comparing":
        return compare(turn.to(pause=None), why)
    if event.go_on and pause.back == "canary":
        return turn.decide("go on with the canary", why).enter("canary").to(pause=None)
    if pause.back == "watching":
        why = f"{event.by} looked at it"
    return turn.decide("watch again", why).rest().to(chain=())
