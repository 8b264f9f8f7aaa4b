"""From a shadow to the champion, and back: every step forward needs evidence, a step back needs one sign of harm.

    shadowing --length over--> canary --each stage not worse--> promoted --guard over--> watching
        any of them --harm--> rolling back --> watching
        canary --undecided for too long--> paused

Harm is a fact: more errors, slower answers, labels that show a promise broken or the release worse. Scores alone, or an
estimate without labels, are none: they pause a canary that is decided by them, or raise an alarm. A paused canary keeps
its share, and harm ends it still.
"""

from msgspec import structs

from holdtrue.loop.actions import EndCanary, Promote, RollBack, SetShare
from holdtrue.loop.brakes import span
from holdtrue.loop.events import CanaryLooked, Looked
from holdtrue.loop.state import Challenger, Pause
from holdtrue.loop.turn import Turn

MOST_REMEMBERED = 32
FACTS = ("errors", "latency", "labels")
LOOK = "Look at both releases, then: holdtrue loop resume --go-on (or without it, to end the canary)."


def in_traffic(turn: Turn) -> bool:
    """Say whether the challenger meets traffic, or may: a pause keeps what it left."""
    pause = turn.state.pause
    phase = pause.back if turn.state.phase == "paused" and pause is not None else turn.state.phase
    return phase in ("shadowing", "canary")


def on_trial(turn: Turn, release: str) -> bool:
    """Say whether a release is the one that harm would take back, or that is being taken back."""
    state = turn.state
    if in_traffic(turn) or state.phase == "rolling back":
        tried = state.champion if state.challenger is None else state.challenger.release
    else:
        tried = state.champion if state.phase == "promoted" else None
    return release == tried


def canary_looked(turn: Turn, look: CanaryLooked) -> Turn:
    if not on_trial(turn, look.release):
        return turn  # of a release that is gone
    state = turn.state
    worse = [name for name, sign in look.signals.items() if sign == "worse"]
    facts = [name for name in worse if name in FACTS]
    if facts:
        return _harm(turn, look.release, f"{look.release[:19]} is worse: {', '.join(facts)}")
    if state.phase == "promoted":
        return turn.tell_once("scores", "The scores of the new champion differ.", LOOK) if worse else turn
    if state.phase != "canary" or state.awaited is not None:
        return turn
    found = state.challenger
    assert found is not None
    if any(name in turn.policy.needed for name in worse):
        why = f"the scores of {look.release[:19]} differ, which no label explains"
        return turn.pause(why, LOOK, back="canary")
    return _stage(turn, found, look)


def _stage(turn: Turn, found: Challenger, look: CanaryLooked) -> Turn:
    """Pass a stage whose needed signals are all settled; a late look at an earlier stage settles nothing."""
    settled = all(look.signals.get(name) == "not worse" for name in turn.policy.needed)
    if look.share != found.share or look.requests < turn.policy.least_requests or not settled:
        return turn
    passed = structs.replace(found, passed=max(found.passed, found.share))
    return forward(turn.to(challenger=passed), f"not worse at {found.share:.0%} on {look.requests:,} requests")


def forward(turn: Turn, why: str) -> Turn:
    """Go to the next stage, or promote after the last."""
    found = turn.state.challenger
    assert found is not None
    ahead = [share for share in turn.policy.shares if share > found.passed]
    if not ahead:
        return _promote(turn, found, why)
    deed = SetShare(reason=why, champion=turn.state.champion, challenger=found.release, share=ahead[0])
    return turn.decide(f"canary at {ahead[0]:.0%}", why).enter("canary").ask(deed)


def _promote(turn: Turn, found: Challenger, why: str) -> Turn:
    missing = _missing(found, turn.policy.approvals)
    if missing:  # no walk leads here; a state that was edited by hand may
        return turn.pause(f"{found.release[:19]} is not promoted without {missing}", LOOK, back="canary")
    return turn.decide("promote", why).ask(Promote(reason=why, champion=found.release, before=turn.state.champion))


def _missing(found: Challenger, approvals: int) -> str:
    held = {
        "a proven verdict": found.verdict == "proven",
        "a comparison on every promise": bool(found.promises)
        and all(found.findings.get(name) == "not worse" for name in found.promises),
        "a canary": found.passed > 0,
        "approval": len(found.approved_by) >= approvals,
    }
    return ", ".join(name for name, there in held.items() if not there)


def share_set(turn: Turn, deed: SetShare) -> Turn:
    found = turn.state.challenger
    assert found is not None
    return turn.to(challenger=structs.replace(found, share=deed.share), awaited=None, since_us=turn.state.clock_us)


def promoted(turn: Turn, deed: Promote) -> Turn:
    why = f"watched for {span(turn.policy.guard_us)} with {deed.before[:19]} at hand"
    return (
        turn.decide("guard the new champion", why)
        .enter("promoted")
        .to(champion=deed.champion, before=deed.before, challenger=None, awaited=None)
    )


def guarded(turn: Turn, look: Looked) -> Turn:
    """Hold the promises of a canary, or of a new champion, against what its labels say."""
    broken = [one.promise for one in look.promises if one.state == "broken" and one.basis == "labels"]
    if broken:
        return _harm(turn, look.release, f"{look.release[:19]} breaks {', '.join(broken)}")
    doubtful = [one.promise for one in look.promises if one.state in ("broken", "at risk")]
    for promise in doubtful if turn.state.phase != "rolling back" else ():
        what = f"The promise {promise!r} of {look.release[:19]} may be broken."
        turn = turn.tell_once(promise, what, "Wait for labels, or give it up: holdtrue loop stop.")
    return turn


def shadow_over(turn: Turn) -> Turn:
    if turn.state.clock_us - turn.state.since_us < turn.policy.shadow_us:
        return turn
    return forward(turn, f"no harm in {span(turn.policy.shadow_us)} of shadowing")


def stage_over(turn: Turn) -> Turn:
    if turn.state.clock_us - turn.state.since_us < turn.policy.stage_us:
        return turn
    return turn.pause(f"the canary is not decided after {span(turn.policy.stage_us)}", LOOK, back="canary")


def pause_over(turn: Turn) -> Turn:
    """Give up a challenger about which nothing was settled, when nobody says what to do."""
    pause, most_us = turn.state.pause, turn.policy.pause_us
    if pause is None or most_us is None or turn.state.clock_us - turn.state.since_us < most_us:
        return turn
    why = f"nobody said anything for {span(most_us)}: {pause.why}"
    if in_traffic(turn):
        return withdraw(turn, why, harmless=True)
    return turn.drop(why) if pause.back == "comparing" else turn


def guard_over(turn: Turn) -> Turn:
    if turn.state.clock_us - turn.state.since_us < turn.policy.guard_us:
        return turn
    why = f"no harm in {span(turn.policy.guard_us)}"
    return turn.decide("keep the new champion", why).rest().to(useless=0, chain=())


def _harm(turn: Turn, release: str, why: str) -> Turn:
    """Withdraw a release, and remember it: the same rows make it again, to the bit."""
    known = [one for one in turn.state.harmful if one != release]
    turn = turn.to(harmful=(*known[1 - MOST_REMEMBERED :], release))
    return turn if turn.state.phase == "rolling back" else withdraw(turn, why)


def withdraw(turn: Turn, why: str, *, then: Pause | None = None, harmless: bool = False) -> Turn:
    """Give all traffic to the champion of before, whatever else is awaited; then watch, or wait for a person.

    A canary that is `harmless` was only not decided: the decision is named otherwise.
    """
    state = turn.state
    found = state.challenger
    promoting = state.awaited is not None and isinstance(state.awaited.deed, Promote)
    if state.phase == "promoted":
        deed = RollBack(reason=why, champion=state.before)
    elif promoting or found is None:
        deed = RollBack(reason=why, champion=state.champion)
    else:
        deed = EndCanary(reason=why, champion=state.champion, challenger=found.release)
    ended = "give up the canary" if harmless else "end the canary"
    what = "roll back" if isinstance(deed, RollBack) else ended
    told = f"{why[:1].upper()}{why[1:]}: {deed.champion[:19]} answers all again."
    turn = turn.decide(what, why).enter("rolling back").to(pause=then).ask(deed)
    return turn.alarm(told, "Nothing need be done; the decision tells why.")


def withdrawn(turn: Turn, deed: RollBack | EndCanary) -> Turn:
    pause, turn = turn.state.pause, turn.to(champion=deed.champion, before="")
    if pause is None:
        return turn.drop(deed.reason)
    return turn.rest().to(useless=turn.state.useless + 1).pause(pause.why, pause.do, back="watching")
