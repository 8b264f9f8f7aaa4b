"""What starts a training and what holds it back, by itself, by hand and by force."""

import math

import pytest

from holdtrue.loop.actions import Train
from holdtrue.loop.brakes import brakes, reasons
from holdtrue.loop.events import (
    DriftSeen,
    LabelSource,
    Looked,
    PromiseSeen,
    PromiseState,
    Requested,
    Resumed,
    Ticked,
)
from holdtrue.loop.policy import DAY_US, HOUR_US, Policy
from holdtrue.loop.state import State, Training, begin
from tests.loop.walks import BROKEN, Walk

NEVER = Policy(on_broken=False, on_drift=False)


def seen(**fields: object) -> State:
    """Give a loop that has been calm for ten days, and has just seen this."""
    look = Looked(at_us=0, release="old", **fields)  # pyright: ignore[reportArgumentType]
    return State(champion="old", clock_us=10 * DAY_US, look=look)


def promise(state: PromiseState, **fields: object) -> dict[str, object]:
    return {"promises": (PromiseSeen(promise="recall", state=state, **fields),)}  # pyright: ignore[reportArgumentType]


DUE: list[tuple[Policy, dict[str, object], str]] = [
    (Policy(), promise("broken"), "the promise 'recall' is broken"),
    (Policy(), promise("at risk"), ""),
    (Policy(on_at_risk=True), promise("at risk"), "the promise 'recall' is at risk"),
    (Policy(), promise("broken", basis="estimate"), ""),
    (Policy(on_at_risk=True), promise("broken", basis="estimate"), "the promise 'recall' is at risk"),
    (NEVER, promise("broken"), ""),
    (Policy(on_at_risk=True), promise("cannot tell"), ""),
    (Policy(on_at_risk=True), promise("no data"), ""),
    (Policy(), {"drifts": (DriftSeen(column="age", harm="harmful"),)}, "column 'age' drifted, with harm"),
    (Policy(), {"drifts": (DriftSeen(column="age", harm="cannot tell"),)}, ""),
    (NEVER, {"drifts": (DriftSeen(column="age", harm="harmful"),)}, ""),
    (Policy(after_rows=5_000), {"new_rows": 5_000}, "5,000 new rows"),
    (Policy(after_rows=5_000), {"new_rows": 4_999}, ""),
    (Policy(every_us=10 * DAY_US), {}, "10 days passed since the last training"),
    (Policy(every_us=11 * DAY_US), {}, ""),
]


@pytest.mark.parametrize(("policy", "fields", "due"), DUE)
def test_a_training_is_due_for_what_the_policy_names(policy: Policy, fields: dict[str, object], due: str) -> None:
    assert "; ".join(reasons(seen(**fields), policy)) == due


def trainings(*costs: float) -> tuple[Training, ...]:
    return tuple(Training(action=number, at_us=9 * DAY_US, cost=cost) for number, cost in enumerate(costs))


HELD: list[tuple[Policy, dict[str, object], str, str]] = [
    (Policy(), {}, "", ""),
    (Policy(cooldown_us=11 * DAY_US), {}, "cool-down", ""),
    (Policy(most_trainings=2), {"trainings": trainings(1, 1)}, "trainings", ""),
    (Policy(most_trainings=2, window_us=DAY_US), {"trainings": trainings(1, 1)}, "", ""),
    (Policy(cost_cap=2.0), {"trainings": trainings(1, 1)}, "cost", "cost"),
    (Policy(cost_cap=2.5, cost_each=1.0), {"trainings": trainings(1, 1)}, "cost", "cost"),
    (Policy(cost_cap=3.0, cost_each=1.0), {"trainings": trainings(1, 1)}, "", ""),
    (Policy(cost_cap=0.0), {}, "cost", "cost"),
]


@pytest.mark.parametrize(("policy", "fields", "held", "firm"), HELD)
def test_a_brake_holds(policy: Policy, fields: dict[str, object], held: str, firm: str) -> None:
    state = State(champion="old", clock_us=10 * DAY_US, **fields)  # pyright: ignore[reportArgumentType]
    found = brakes(state, policy)
    assert " ".join(brake.key for brake in found) == held
    assert " ".join(brake.key for brake in found if brake.firm) == firm


@pytest.mark.parametrize("rate", [0.11, 1.0, math.nan])
def test_a_source_whose_labels_look_wrong_holds_and_is_named(rate: float) -> None:
    sources = (LabelSource(name="shop", issue_rate=0.02), LabelSource(name="partner", issue_rate=rate))
    (brake,) = brakes(seen(sources=sources), Policy())
    assert (brake.key, brake.firm) == ("labels of partner", True)


def test_a_firm_brake_raises_an_alarm_once() -> None:
    look = Looked(at_us=2 * DAY_US, release="old", promises=BROKEN, sources=(LabelSource(name="shop", issue_rate=0.5),))
    walk = Walk().hear(look).hear(look)
    assert walk.alarms == [
        "The promise 'recall' is broken.",
        "A training is due, but 50.0% of the labels of 'shop' look wrong.",
    ]


def test_a_promise_that_breaks_again_is_told_again() -> None:
    walk = Walk(policy=NEVER)
    kept = (PromiseSeen(promise="recall", state="kept"),)
    for promises in (BROKEN, BROKEN, kept, BROKEN):
        walk.look(promises)
    assert (walk.state.phase, walk.alarms) == ("watching", ["The promise 'recall' is broken."] * 2)


def test_labels_that_the_model_chose_itself_warn_or_hold() -> None:
    look = Looked(
        at_us=2 * DAY_US, release="old", promises=BROKEN, steered=True, unlabelled=("refuse",), exploration=0.001
    )
    warned = Walk().hear(look)
    assert (warned.state.phase, warned.decisions) == ("training", ["warn", "train"])
    held = Walk(policy=Policy(feedback="hold")).hear(look)
    assert (held.state.phase, held.decisions) == ("watching", ["do not train yet"])
    assert "rows that the model decides 'refuse' get no labels: 0.1% of the labelled rows are by chance" in held.why


def test_what_holds_a_training_is_recorded_once_and_it_starts_when_it_is_free() -> None:
    walk = Walk(now_us=HOUR_US).look().look().wait()
    assert walk.decisions == ["do not train yet"]
    assert walk.wait(DAY_US).state.phase == "training"


def test_a_hand_passes_the_brakes_that_save_effort_and_is_recorded() -> None:
    walk = Walk(now_us=1, policy=Policy(most_trainings=0))
    walk.tell(lambda at_us: Requested(at_us=at_us, by="Ada", why="a sale"))
    assert walk.state.phase == "training"
    assert walk.why == "Ada asked for it: a sale"
    assert walk.state.asked_by == "Ada"


def test_a_hand_does_not_pass_the_firm_brakes_unless_it_is_forced() -> None:
    for force, phase in ((False, "watching"), (True, "training")):
        walk = Walk(policy=Policy(cost_cap=0.0))
        walk.tell(lambda at_us, force=force: Requested(at_us=at_us, by="Ada", force=force))
        assert walk.state.phase == phase
        assert "Ada asked for it" in walk.why


def test_a_hand_that_comes_at_the_wrong_time_or_is_not_wanted_is_recorded() -> None:
    ask = Requested(at_us=3 * DAY_US, by="Ada")
    assert (
        Walk(policy=Policy(by_hand=False)).hear(ask).why
        == "Ada asked for it, but the policy allows no training by hand"
    )
    assert Walk().to_canary().hear(ask).why == "Ada asked for it, but the loop is canary"


def test_a_dry_run_records_and_starts_nothing() -> None:
    walk = Walk(policy=Policy(dry_run=True)).look().wait().look()
    assert (walk.decisions, walk.state.phase, walk.state.awaited) == (["do not train yet"], "watching", None)
    assert walk.why == "the promise 'recall' is broken, but this is a dry run"
    assert walk.tell(lambda at_us: Requested(at_us=at_us, by="Ada")).state.phase == "watching"


def test_the_budget_of_a_training_is_set_aside_until_its_cost_is_known() -> None:
    walk = Walk(policy=Policy(cost_cap=10.0, cost_each=4.0)).look()
    deed = walk.deed(Train)
    assert isinstance(deed, Train)
    assert deed.budget == 4.0
    assert [one.cost for one in walk.state.trainings] == [4.0]
    assert [one.cost for one in walk.trained(cost=1.5).state.trainings] == [1.5]


@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0])
def test_a_cost_that_is_no_number_lifts_no_cap(cost: float) -> None:
    walk = Walk(policy=Policy(cost_cap=10.0, cost_each=4.0)).look().trained(cost=cost)
    assert [one.cost for one in walk.state.trainings] == [4.0]


def test_a_clock_that_goes_back_and_forth_releases_no_brake() -> None:
    walk = Walk(policy=Policy(every_us=HOUR_US)).look().fails()
    trained_us = walk.state.trained_us
    for _ in range(20):
        walk.hear(Ticked(at_us=trained_us - DAY_US)).hear(Ticked(at_us=trained_us + HOUR_US))
    assert walk.state.phase == "watching"
    walk.hear(Ticked(at_us=trained_us + DAY_US))
    assert walk.state.phase == "training"


def test_a_clock_that_went_ahead_for_a_year_and_back_fires_once_and_can_be_trusted_again() -> None:
    walk = Walk(policy=Policy(every_us=HOUR_US)).wait(365 * DAY_US)
    assert walk.state.phase == "training"
    walk.fails()
    now_us = walk.now_us - 365 * DAY_US
    walk.hear(Ticked(at_us=now_us)).hear(Ticked(at_us=now_us + HOUR_US))
    assert walk.alarms == ["The clock is 365 days behind an earlier event; all brakes wait until it has caught up."]
    clock_us = walk.state.clock_us
    walk.hear(Resumed(at_us=now_us + 2 * HOUR_US, by="Ada", trust_clock=True))
    assert walk.state.clock_us == clock_us
    walk.hear(Ticked(at_us=now_us + 25 * HOUR_US))
    assert (walk.state.phase, walk.state.clock_us) == ("watching", clock_us + 23 * HOUR_US)
    walk.hear(Ticked(at_us=now_us + 26 * HOUR_US))
    assert walk.state.phase == "training"


def test_two_clocks_that_take_turns_raise_one_alarm_a_day() -> None:
    walk = Walk()
    for number in range(48):
        now_us = 3 * DAY_US + number * HOUR_US
        walk.hear(Ticked(at_us=now_us)).hear(Ticked(at_us=now_us - 3 * HOUR_US))
    assert len(walk.alarms) == 2


def test_a_new_loop_cools_down_first() -> None:
    walk = Walk(state=begin("old", at_us=2 * DAY_US)).look()
    assert walk.decisions == ["do not train yet"]
