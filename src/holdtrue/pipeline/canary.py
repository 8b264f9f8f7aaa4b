"""How a release does beside the one it shall replace: what the controller is told of a shadow, a canary and a guard.

The path through these files:
    canary_counts.py   errors and latency, out of what the endpoint counted
    canary_answers.py  scores and labels, out of the log of traffic
    canary.py          one look: the part of alpha of each signal, and what is remembered

Harm that is none is called harm with a chance of at most `alpha`, over all signals, stages and looks of a canary:

    errors   of the canary are not independent of whose they are (`two_arms.EventShare`)        1/2 of alpha
    latency  more of its answers are slow, by more than a hundredth (`random_gap.RandomGap`)    3/20
    scores   lie elsewhere, and by much (`score_shift.ScoreShift`)                               1/10
    labels   it errs more on rows whose truth is known (`RandomGap`)                             3/20
    under guard, errors, latency and labels against the time before (`running_mean`)            1/30 each

and each of them calls a release "not worse" that is, by the margin or more, with a chance of at most `alpha` a stage.

What each phase can say. A shadow: errors and scores; its times are those of the queue behind the champion, and its
answers reach nobody who could label them. A canary: all. Under guard the one before answers nothing: errors, latency
and labels are held against what it did while both answered; nobody says how its scores would lie now.

Requests must be assigned one by one, by chance. With a sticky column the requests of one key go together and their
events are no independent trials: then the chance above holds for the keys, not for the requests.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from holdtrue.loop.events import CanaryLooked, Sign, Signal
from holdtrue.pipeline import canary_answers, canary_counts
from holdtrue.pipeline.canary_answers import Answers, Reader, Stage, arm_of, labels_sign
from holdtrue.pipeline.canary_counts import (
    MARGIN,
    Counts,
    Mode,
    counted,
    errors_sign,
    is_shared,
    latency_sign,
    since_then,
)
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.replay import Again
from holdtrue.spec.loop import Canary

PARTS: Mapping[Signal, float] = {"errors": 1 / 2, "latency": 3 / 20, "scores": 1 / 10, "labels": 3 / 20}
GUARD_PART = 1 / 30


class CanaryState(Struct, frozen=True, kw_only=True):
    """What is remembered from look to look; its size does not grow with the traffic.

    Args:
        mode, share: of the stage that the counts are of.
        begun_us: when the challenger first met traffic.
        contracts_differ: rows outside the contract count as errors where each release has a contract of its own.
    """

    champion: str
    challenger: str
    mode: Mode
    share: float
    begun_us: int
    contracts_differ: bool = False
    counts: Counts = Counts()
    answers: Answers


def look(
    keeper: Keeper,
    status: dict[str, Any] | None,
    state: CanaryState | None,
    *,
    champion: str,
    challenger: str,
    share: float,
    since_us: int,
    now_us: int,
    alpha: float = 0.05,
    settings: Canary,
    again: Again | None = None,
    margin: float = 0.01,
) -> tuple[CanaryLooked, CanaryState]:
    """Look at a challenger once more, and give what is seen together with what to remember.

    `status` is what the management plane says, None where it says nothing; `share` is what the challenger should have:
    0 for a shadow, 1 under guard, where `champion` is the one before. `since_us` is when this stage began. On labelled
    rows the mean loss may be worse by less than `margin`. Raises what keeps a release from being read.
    """
    again = again or Again(keeper)
    alphas = {name: alpha * part for name, part in PARTS.items()}
    mode: Mode = "shadow" if share <= 0 else "guard" if share >= 1 else "canary"
    state = _begun(state, again, mode, champion, challenger, share, since_us, alphas["scores"])
    counts = state.counts
    named: Any = {"champion": champion, "challenger": challenger, "share": share}
    if status is not None and is_shared(status, keeper.project, mode, **named):
        counts = counted(counts, status, mode, model=keeper.project, contracts_differ=state.contracts_differ, **named)
    elif status is not None:  # somebody shares the requests out in another way: what is counted meanwhile says nothing
        counts = structs.replace(counts, pid=0)
    stage = Stage(mode=mode, share=share, champion=arm_of(again, champion), challenger=arm_of(again, challenger))
    reader = Reader(keeper, again, stage, alphas=(alphas["scores"], alphas["labels"]), margin=margin)
    answers = reader.read(state.answers, begun_us=state.begun_us, until_us=now_us - canary_answers.LAG_US)
    state = structs.replace(state, counts=counts, answers=answers)
    looked = CanaryLooked(
        at_us=now_us,
        release=challenger,
        share=share,
        signals=_signals(state, alpha, margin, tuned=settings.requests),
        requests=max(counts.answered, answers.answered),
    )
    return looked, state


def _begun(
    state: CanaryState | None,
    again: Again,
    mode: Mode,
    champion: str,
    challenger: str,
    share: float,
    since_us: int,
    alpha_scores: float,
) -> CanaryState:
    """Begin with other releases, or with another stage of the same."""
    if state is None or (state.champion, state.challenger) != (champion, challenger):
        contracts = [again.ready(digest)[1].reader.contract for digest in (champion, challenger)]
        return CanaryState(
            champion=champion,
            challenger=challenger,
            mode=mode,
            share=share,
            begun_us=since_us,
            contracts_differ=contracts[0] != contracts[1],
            answers=Answers(read_us=since_us, labels_us=since_us),
        )
    if (state.mode, state.share) == (mode, share):
        return state
    return structs.replace(
        state,
        mode=mode,
        share=share,
        counts=canary_counts.begin_stage(state.counts),
        answers=canary_answers.begin_stage(state.answers, since_us=since_us, alpha=alpha_scores),
    )


def _signals(state: CanaryState, alpha: float, margin: float, *, tuned: int) -> dict[Signal, Sign]:
    mode, counts, answers = state.mode, state.counts, state.answers
    part = {name: alpha * (GUARD_PART if mode == "guard" else share) for name, share in PARTS.items()}
    if mode == "guard":
        return {
            "errors": since_then(*counts.errors_then_and_now, alpha=part["errors"], margin=MARGIN, tuned=tuned),
            "latency": since_then(*counts.slow_then_and_now, alpha=part["latency"], margin=MARGIN, tuned=tuned),
            "scores": "undecided",
            "labels": since_then(*answers.then_and_now, alpha=part["labels"], margin=margin, tuned=tuned),
        }
    return {
        "errors": errors_sign(counts, alpha=part["errors"], alpha_pass=alpha),
        "latency": latency_sign(counts, mode, alpha=part["latency"], alpha_pass=alpha),
        "scores": "undecided" if answers.shift is None else answers.shift["found"],
        "labels": labels_sign(answers, alpha=part["labels"], alpha_pass=alpha, margin=margin),
    }
