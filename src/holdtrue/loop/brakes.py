"""What starts a training, and what holds it back.

By itself a training starts for a reason that the policy names, and when no brake holds it. Asked for by a person it
passes the brakes that only save effort. The cap on cost and the guard against poisoned labels hold even then, unless it
is forced: a person in a hurry is whom they are for.
"""

from collections.abc import Iterator

from msgspec import Struct

from holdtrue.loop.events import Looked
from holdtrue.loop.policy import DAY_US, HOUR_US, Policy
from holdtrue.loop.state import State, Training


class Brake(Struct, frozen=True, kw_only=True):
    """Why a training waits; `key` is the same as long as the reason is. A firm brake needs force."""

    key: str
    why: str
    firm: bool = False


def reasons(state: State, policy: Policy) -> tuple[str, ...]:
    """Say why a training is due."""
    look = state.look
    found = () if look is None else tuple(_seen(look, policy))
    if policy.every_us is not None and state.clock_us - state.trained_us >= policy.every_us:
        found = (*found, f"{span(policy.every_us)} passed since the last training")
    return found


def _seen(look: Looked, policy: Policy) -> Iterator[str]:
    for one in look.promises:
        broken = one.state == "broken"
        if broken and one.basis == "labels" and policy.on_broken:
            yield f"the promise {one.promise!r} is broken"
        elif (one.state == "at risk" or (broken and one.basis == "estimate")) and policy.on_at_risk:
            yield f"the promise {one.promise!r} is at risk"
    if policy.on_drift:
        yield from (f"column {one.column!r} drifted, with harm" for one in look.drifts if one.harm == "harmful")
    if policy.after_rows is not None and look.new_rows >= policy.after_rows:
        yield f"{look.new_rows:,} new rows"


def brakes(state: State, policy: Policy) -> tuple[Brake, ...]:
    """Say what holds a training back."""
    found = [*_rest(state, policy), *_budget(state, policy)]
    if state.look is not None:
        found += _labels(state.look, policy)
    return tuple(found)


def _rest(state: State, policy: Policy) -> Iterator[Brake]:
    left_us = state.trained_us + policy.cooldown_us - state.clock_us
    if left_us > 0:
        yield Brake(key="cool-down", why=f"the last training was less than {span(policy.cooldown_us)} ago")
    count = len(within(state, policy))
    if count >= policy.most_trainings:
        yield Brake(key="trainings", why=f"{count} trainings within {span(policy.window_us)} are the most allowed")


def _budget(state: State, policy: Policy) -> Iterator[Brake]:
    left = left_over(state, policy)
    # Without a limit for each, any rest will do, but nothing is no budget.
    if left is not None and (left <= 0 if policy.cost_each is None else left < policy.cost_each):
        cap = f"of the {policy.cost_cap:g} that trainings may cost within {span(policy.window_us)}"
        yield Brake(key="cost", why=f"{cap} only {max(left, 0.0):g} is left", firm=True)


def _labels(look: Looked, policy: Policy) -> Iterator[Brake]:
    for source in look.sources:
        # Not "above", so that a rate that is no number holds too.
        if not source.issue_rate <= policy.most_label_issues:
            why = f"{source.issue_rate:.1%} of the labels of {source.name!r} look wrong"
            yield Brake(key=f"labels of {source.name}", why=why, firm=True)
    if policy.feedback == "hold" and feeds_itself(look, policy):
        yield Brake(key="feedback", why=feedback(look))


def feeds_itself(look: Looked, policy: Policy) -> bool:
    return look.steered and not look.exploration >= policy.least_exploration


def feedback(look: Looked) -> str:
    """Say how a model would learn from its own choices."""
    rows = " or ".join(map(repr, look.unlabelled)) or "otherwise"
    return (
        f"rows that the model decides {rows} get no labels: {look.exploration:.1%} of the labelled rows are by chance"
    )


def within(state: State, policy: Policy) -> tuple[Training, ...]:
    """List the trainings that still count."""
    return tuple(one for one in state.trainings if one.at_us > state.clock_us - policy.window_us)


def left_over(state: State, policy: Policy) -> float | None:
    """Say what trainings may still cost; None when there is no cap."""
    if policy.cost_cap is None:
        return None
    return policy.cost_cap - sum(one.cost for one in within(state, policy))


def budget(state: State, policy: Policy, *, forced: bool) -> float | None:
    """Say what the next training may cost."""
    if forced or policy.cost_cap is None:
        return policy.cost_each
    return left_over(state, policy) if policy.cost_each is None else policy.cost_each


def span(time_us: int) -> str:
    """Say a length of time in words.

    >>> span(30 * DAY_US), span(90 * 60_000_000)
    ('30 days', '1.5 hours')
    """
    unit_us, name = (DAY_US, "day") if time_us >= DAY_US else (HOUR_US, "hour")
    count = round(time_us / unit_us, 1)
    return f"{count:g} {name}{'' if count == 1 else 's'}"
