"""What an endpoint counted of two releases, look by look: who failed more, and whose answers were slower.

Only the growth of a counter since the look before counts, and only while the requests were shared out as they should
be. The first look of a stage therefore only remembers where the counters stand.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, structs

from holdtrue.serving.metrics import ERRORS
from holdtrue.statistics.random_gap import RandomGap
from holdtrue.statistics.running_mean import running_mean
from holdtrue.statistics.two_arms import EventShare, EventState

Mode = Literal["shadow", "canary", "guard"]
Sign = Literal["not worse", "worse", "undecided"]
Capitals = list[list[float]]

MARGIN = 0.01  # of all requests: so many more errors, or slow answers, are one that matters
SETTLED = 200  # answers of the champion after which its slowest percent is known well enough
SHARE_OFF = 1e-6
SHADOWED = "holdtrue_shadow_answers_total"
# A client that left before its turn waited too long: that is slow, and no error. A row outside the contract is the
# client's fault, unless the releases have contracts of their own.
FAILED = frozenset({"graph", "late", "overloaded", "unwritten"})


class Counter(Struct, frozen=True, kw_only=True):
    """Where the counters of one release stand, over the routes that are compared.

    Args:
        answered: requests.
        timed: answers by how long they took: one count for each bound and one for above; none for a shadow.
        lost: requests without an answer, by cause.
    """

    answered: int = 0
    timed: tuple[int, ...] = ()
    lost: dict[str, int] = {}


class Grown(Struct, frozen=True, kw_only=True):
    """What one release did: requests that ended as an answer or an error, and those whose time is known."""

    requests: int = 0
    errors: int = 0
    timed: int = 0
    slow: int = 0

    def plus(self, other: "Grown") -> "Grown":
        return Grown(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            timed=self.timed + other.timed,
            slow=self.slow + other.slow,
        )


class Counts(Struct, frozen=True, kw_only=True):
    """All that was counted, and the tests that run.

    Args:
        pid: of the endpoint whose counters `stable` and `canary` are; 0 before there are any.
        slow_above: answers above this bound of the histogram are slow, by its place; None until it is known.
        answered: requests that the canary answered in this stage.
        errors: the test for more errors, over all stages; `slower` is the one for more slow answers.
        few_errors, few_slow: the tests that there are not more, of this stage.
        before: what the stable release did so far, in all stages; `after` what the new champion does under guard.
    """

    pid: int = 0
    stable: Counter = Counter()
    canary: Counter = Counter()
    slow_above: int | None = None
    answered: int = 0
    errors: EventState | None = None
    slower: Capitals | None = None
    few_errors: Capitals | None = None
    few_slow: Capitals | None = None
    before: Grown = Grown()
    after: Grown = Grown()

    @property
    def errors_then_and_now(self) -> tuple[int, int, int, int]:
        """Errors and requests of the one before, and of the new champion."""
        return self.before.errors, self.before.requests, self.after.errors, self.after.requests

    @property
    def slow_then_and_now(self) -> tuple[int, int, int, int]:
        """Slow answers and all that were timed, likewise."""
        return self.before.slow, self.before.timed, self.after.slow, self.after.timed


def begin_stage(counts: Counts) -> Counts:
    """Keep what speaks against the canary; what speaks for it must be shown in each stage anew."""
    return structs.replace(counts, pid=0, answered=0, few_errors=None, few_slow=None)


def is_shared(
    status: Mapping[str, Any], model: str, mode: Mode, *, champion: str, challenger: str, share: float
) -> bool:
    """Say whether the requests are shared out as the stage has it."""
    found: Any = status["models"].get(model)
    if found is None or "latency" not in status:  # an endpoint that an older version started tells no times
        return False
    weights = {digest: weight for digest, weight in found["weights"].items() if weight > 0}
    if mode == "guard":
        return list(weights) == [challenger]
    if mode == "shadow":
        return challenger in found["shadow"] and list(weights) == [champion]
    if weights.keys() != {champion, challenger}:
        return False
    return abs(weights[challenger] / sum(weights.values()) - share) < SHARE_OFF


def counted(
    counts: Counts,
    status: Mapping[str, Any],
    mode: Mode,
    *,
    model: str,
    champion: str,
    challenger: str,
    share: float,
    contracts_differ: bool,
) -> Counts:
    """Take in what the counters grew by since the last look."""
    routes = ("champion", "canary")
    stable = _counter(status, model, champion, routes)
    canary = _counter(status, model, challenger, ("shadow",) if mode == "shadow" else routes)
    slow_above = counts.slow_above
    if slow_above is None and mode != "guard":
        slow_above = _slow_above(stable.timed)
    now = structs.replace(counts, pid=status["pid"], stable=stable, canary=canary, slow_above=slow_above)
    shrank = _shrank(counts.stable, stable) or _shrank(counts.canary, canary)
    if counts.pid == 0 or (mode != "guard" and (counts.pid != now.pid or shrank)):
        # An endpoint that was started anew knows the champion alone: how the requests were shared out is not known.
        return now
    failed = FAILED | ({"contract"} if contracts_differ else set())
    anew = counts.pid != now.pid or shrank
    more = [
        _growth(Counter() if anew else old, new, failed, counts.slow_above)
        for old, new in ((counts.stable, stable), (counts.canary, canary))
    ]
    answered = counts.answered + more[1].requests - more[1].errors
    now = structs.replace(now, answered=answered)
    if mode == "guard":
        return structs.replace(now, after=counts.after.plus(more[1]))
    return _tested(now, mode, more[0], more[1], share)


def _tested(counts: Counts, mode: Mode, stable: Grown, canary: Grown, share: float) -> Counts:
    """Let the tests see what both did."""
    total = stable.requests + canary.requests
    counts = structs.replace(counts, before=counts.before.plus(stable))
    if mode == "shadow":
        if not (stable.requests and canary.requests):
            return counts
        # Both get the same requests, so each counts as two; a pinned one reaches the shadow alone.
        share = canary.requests / total
    events = EventShare() if counts.errors is None else EventShare.from_state(counts.errors)
    events.update(canary.errors, canary.errors + stable.errors, share)
    few = gap(counts.few_errors, margin=MARGIN)
    few.update_events(share=share, requests=total, canary_events=canary.errors, stable_events=stable.errors)
    counts = structs.replace(counts, errors=events.state(), few_errors=few.state())
    if mode == "shadow":  # it is asked after the champion, and waits for it: its times say nothing of it
        return counts
    slower, few = gap(counts.slower, margin=MARGIN, allowed=MARGIN), gap(counts.few_slow, margin=MARGIN, allowed=MARGIN)
    for test in (slower, few):
        test.update_events(
            share=share, requests=stable.timed + canary.timed, canary_events=canary.slow, stable_events=stable.slow
        )
    return structs.replace(counts, slower=slower.state(), few_slow=few.state())


def errors_sign(counts: Counts, *, alpha: float, alpha_pass: float) -> Sign:
    """Say whether the canary, or the shadow, fails more often."""
    if counts.errors is not None:
        test = EventShare.from_state(counts.errors)
        if test.worse and test.evidence >= 1 / alpha:
            return "worse"
    few = gap(counts.few_errors, margin=MARGIN)
    return "not worse" if few.surely_not_worse(alpha_pass) else "undecided"


def latency_sign(counts: Counts, mode: Mode, *, alpha: float, alpha_pass: float) -> Sign:
    """Say whether more of the canary's answers are slow."""
    if mode == "shadow" or counts.slow_above is None:
        return "undecided"
    if gap(counts.slower, margin=MARGIN, allowed=MARGIN).worse(alpha):
        return "worse"
    few = gap(counts.few_slow, margin=MARGIN, allowed=MARGIN)
    return "not worse" if few.surely_not_worse(alpha_pass) else "undecided"


def gap(state: Capitals | None, *, margin: float, allowed: float = 0.0) -> RandomGap:
    """Go on with a test, or begin it."""
    if state is None:
        return RandomGap(margin=margin, allowed=allowed)
    return RandomGap.from_state(state, margin=margin, allowed=allowed)


def since_then(
    before: float, rows_before: int, after: float, rows_after: int, *, alpha: float, margin: float, tuned: int
) -> Sign:
    """Hold a mean after a change against the one before it, with limits that hold though both move.

    Chance did not choose between the two, so what else changed meanwhile is not told apart: only a difference that is
    surely above the margin counts. The limits are closest at `tuned` rows.
    """
    if not (rows_before and rows_after):
        return "undecided"
    old, new = (
        running_mean(total, rows, 1 - alpha / 2) for total, rows in ((before, rows_before), (after, rows_after))
    )
    if new.low - old.high > margin:
        return "worse"
    return "not worse" if new.high - old.low < margin else "undecided"


def _counter(status: Mapping[str, Any], model: str, digest: str, routes: tuple[str, ...]) -> Counter:
    """Read the counters of a release, which are named for the beginning of its digest."""
    lost: dict[str, int] = {}
    shadowed = 0
    for key, value in status["counters"].items():
        name, _, labels = key.removesuffix("}").partition("{")
        if name == ERRORS:
            of, release, route, cause = labels.rsplit(",", 3)
            if of == model and digest.startswith(release) and route in routes:
                lost[cause] = lost.get(cause, 0) + round(value)
        elif name == SHADOWED:
            of, release = labels.rsplit(",", 1)
            shadowed += round(value) if of == model and digest.startswith(release) else 0
    if routes == ("shadow",):
        return Counter(answered=shadowed, lost=lost)
    timed = [0] * (len(status["latency"]["bounds_s"]) + 1)
    for each in status["latency"]["answers"]:
        if each["model"] == model and digest.startswith(each["release"]) and each["route"] in routes:
            timed = [old + round(new) for old, new in zip(timed, each["counts"], strict=True)]
    return Counter(answered=sum(timed), timed=tuple(timed), lost=lost)


def _slow_above(timed: tuple[int, ...]) -> int | None:
    """Give the place of the bound above which an answer is slow: twice the one that 99 of 100 answers keep, or more.

    The bounds are at least a factor of two apart, so it is the next one. What is nearer than that says more about the
    machine than about the release: a canary's batches are smaller, and wait for those of the champion.
    """
    total, below = sum(timed), 0
    for place, count in enumerate(timed[:-1]):
        below += count
        if total >= SETTLED and below >= 0.99 * total:
            return min(place + 1, len(timed) - 2)
    return None


def _shrank(old: Counter, new: Counter) -> bool:
    """Say whether the counters were begun anew."""
    fewer = any(new.lost.get(cause, 0) < count for cause, count in old.lost.items())
    return fewer or new.answered < old.answered or sum(new.timed) < sum(old.timed)


def _growth(old: Counter, new: Counter, failed: frozenset[str], slow_above: int | None) -> Grown:
    lost = {cause: count - old.lost.get(cause, 0) for cause, count in new.lost.items()}
    errors = sum(count for cause, count in lost.items() if cause in failed)
    answered = new.answered - old.answered
    if slow_above is None or not new.timed:
        return Grown(requests=answered + errors, errors=errors)
    timed = [now - then for now, then in zip(new.timed, old.timed or [0] * len(new.timed), strict=True)]
    left = lost.get("left", 0)
    return Grown(
        requests=answered + errors, errors=errors, timed=sum(timed) + left, slow=sum(timed[slow_above + 1 :]) + left
    )
