"""From a reason to train to a challenger that may meet traffic: trained, proven, compared, approved.

    watching --reason, no brake--> training --proven--> comparing --not worse on all--> [approval] --> shadowing

An inconclusive comparison pauses; anything else that fails on the way drops the challenger.
"""

import math

from msgspec import structs

from holdtrue.loop.actions import Compare, StartShadow, Train
from holdtrue.loop.brakes import Brake, brakes, budget, feedback, feeds_itself, reasons, span, within
from holdtrue.loop.events import Approved, Compared, Refused, Requested, Trained
from holdtrue.loop.state import Challenger, Training
from holdtrue.loop.turn import Turn

FIRM = "Mend it, or if you know better: holdtrue loop train --force"
UNDECIDED = "Wait for more labelled rows, then: holdtrue loop resume --go-on (or without it, to drop the challenger)."


def consider(turn: Turn) -> Turn:
    """Start a training if one is due and nothing holds it."""
    why = reasons(turn.state, turn.policy)
    if not why:
        return turn.to(held=())
    return _start(turn, why, brakes(turn.state, turn.policy))


def requested(turn: Turn, event: Requested) -> Turn:
    """Do what a person asks for, or record why not."""
    asked = f"{event.by} asked for it" + (f": {event.why}" if event.why else "")
    phase = turn.state.phase
    if phase != "watching" or not turn.policy.by_hand:
        reason = f"the loop is {phase}" if phase != "watching" else "the policy allows no training by hand"
        return _aside(turn, "do not train", f"{asked}, but {reason}")
    held = tuple(brake for brake in brakes(turn.state, turn.policy) if brake.firm and not event.force)
    if held:
        return _aside(turn, "do not train", f"{asked}, but {_together(held)}")
    return _start(turn, (asked + (" and forced it" if event.force else ""),), (), by=event.by, forced=event.force)


def _aside(turn: Turn, what: str, why: str) -> Turn:
    """Record a decision that nothing follows from."""
    return turn.decide(what, why).to(chain=turn.state.chain)


def _together(held: tuple[Brake, ...]) -> str:
    return "; ".join(brake.why for brake in held)


def _start(turn: Turn, why: tuple[str, ...], held: tuple[Brake, ...], *, by: str = "", forced: bool = False) -> Turn:
    if turn.policy.dry_run and not held:
        held = (Brake(key="dry run", why="this is a dry run"),)
    reason = "; ".join(why)
    if held:
        keys = tuple(brake.key for brake in held)
        if keys == turn.state.held and not by:
            return turn
        turn = _aside(turn, "do not train yet", f"{reason}, but {_together(held)}").to(held=keys)
        firm = tuple(brake for brake in held if brake.firm)
        return turn.alarm(f"A training is due, but {_together(firm)}.", FIRM) if firm else turn
    look = turn.state.look
    if look is not None and feeds_itself(look, turn.policy):
        turn = turn.decide("warn", feedback(look))
    turn = turn.decide("train", reason)
    state = turn.state
    spend = budget(state, turn.policy, forced=forced)
    training = Training(action=state.next_id, at_us=state.clock_us, cost=spend or 0.0)
    return (
        turn.enter("training")
        .to(trained_us=state.clock_us, look=None, asked_by=by)
        .to(trainings=(*within(state, turn.policy), training))
        .ask(Train(reason=reason, budget=spend, asked_by=by))
    )


def settle(turn: Turn, action: int, cost: float) -> Turn:
    """Put what a training cost in the place of what was set aside for it."""
    # A cost that is no number would lift the cap for ever: then what was set aside stays.
    known = math.isfinite(cost) and cost >= 0
    settled = tuple(
        structs.replace(one, cost=cost) if known and one.action == action else one for one in turn.state.trainings
    )
    return turn.to(trainings=settled, trained_us=turn.state.clock_us)


def trained(turn: Turn, event: Trained) -> Turn:
    turn = settle(turn, event.action, event.cost).to(awaited=None)
    if event.release == turn.state.champion:
        return turn.drop("the training made the champion again, to the bit")
    if event.release in turn.state.harmful:
        return turn.drop(f"the training made {event.release[:19]} again, which did harm")
    if event.verdict != "proven":
        return turn.drop(f"the promises of {event.release[:19]} are {event.verdict}")
    found = Challenger(release=event.release, verdict=event.verdict, promises=event.promises)
    return compare(turn.to(challenger=found), f"all required promises of {event.release[:19]} are proven")


def compare(turn: Turn, why: str) -> Turn:
    """Ask how the challenger does beside the champion, at a level that all comparisons together can afford."""
    count = turn.state.comparisons + 1
    # The sum of 6 / (pi k)^2 over all k is 1, so all comparisons ever err with a chance of at most alpha.
    alpha = turn.policy.alpha * 6 / (math.pi * count) ** 2
    found = turn.state.challenger
    assert found is not None
    deed = Compare(
        reason=why, champion=turn.state.champion, challenger=found.release, promises=found.promises, alpha=alpha
    )
    return turn.decide("compare", why).enter("comparing").to(comparisons=count).ask(deed)


def compared(turn: Turn, event: Compared) -> Turn:
    found = turn.state.challenger
    assert found is not None
    turn = turn.to(awaited=None)
    worse = [name for name, finding in event.findings.items() if finding == "worse"]
    if worse:
        return turn.drop(f"{found.release[:19]} is worse than the champion on {', '.join(worse)}")
    unclear = [name for name in found.promises if event.findings.get(name) != "not worse"]
    if unclear or not found.promises:
        on = ", ".join(unclear) or "no promise at all"
        return turn.pause(f"whether {found.release[:19]} is worse is not settled on {on}", UNDECIDED, back="comparing")
    turn = turn.to(challenger=structs.replace(found, findings=event.findings))
    if not turn.policy.approvals:
        return start_shadow(turn, "not worse than the champion on any promise")
    wanted = f"{turn.policy.approvals} must agree before {found.release[:19]} meets traffic"
    return turn.decide("wait for approval", wanted).enter("waiting for approval")


def approved(turn: Turn, event: Approved | Refused) -> Turn:
    """Count a person's word, if it is about this challenger."""
    found = turn.state.challenger
    if turn.state.phase != "waiting for approval" or found is None or event.release != found.release:
        return turn
    if isinstance(event, Refused):
        return turn.drop(f"{event.by} refused {found.release[:19]}" + (f": {event.why}" if event.why else ""))
    name = " ".join(event.by.casefold().split())  # one person spelled in two ways is still one
    if not name or name in found.approved_by:
        return turn
    agreed = (*found.approved_by, name)
    turn = turn.to(challenger=structs.replace(found, approved_by=agreed))
    turn = turn.decide("count an approval", f"{event.by} agreed, {len(agreed)} of {turn.policy.approvals}")
    return approval_due(turn)


def approval_due(turn: Turn) -> Turn:
    """Go on if enough persons agreed, and give up if they took too long."""
    found, waited_us = turn.state.challenger, turn.state.clock_us - turn.state.since_us
    assert found is not None
    if len(found.approved_by) >= turn.policy.approvals:
        return start_shadow(turn, f"approved by {', '.join(found.approved_by) or 'nobody, as nobody need'}")
    if waited_us >= turn.policy.approval_us:
        return turn.drop(f"not approved within {span(turn.policy.approval_us)}")
    return turn


def start_shadow(turn: Turn, why: str) -> Turn:
    found = turn.state.challenger
    assert found is not None
    deed = StartShadow(reason=why, champion=turn.state.champion, challenger=found.release)
    return turn.decide("start shadow", why).enter("shadowing").ask(deed)
