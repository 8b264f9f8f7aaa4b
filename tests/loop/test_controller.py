"""Each path of the loop as a story, from what is seen to what is served."""

import math
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from holdtrue.loop.actions import Action, Compare, EndCanary, Promote, RecordDecision, RollBack, SetShare, Train
from holdtrue.loop.controller import step
from holdtrue.loop.events import (
    Approved,
    CanaryLooked,
    ChampionMoved,
    Done,
    PromiseSeen,
    Refused,
    Requested,
    Resumed,
    Sign,
    Signal,
    Stopped,
    Trained,
)
from holdtrue.loop.policy import DAY_US, HOUR_US, MINUTE_US, Policy
from holdtrue.loop.state import begin
from tests.loop.walks import BROKEN, Walk


def test_a_broken_promise_ends_in_a_better_champion() -> None:
    walk = Walk().look()
    assert (walk.state.phase, walk.kinds) == ("training", ["train"])
    walk.trained()
    assert (walk.state.phase, walk.kinds) == ("comparing", ["compare"])
    walk.compared()
    assert (walk.state.phase, walk.kinds) == ("shadowing", ["start shadow"])
    walk.done().wait(DAY_US)
    assert (walk.state.phase, walk.kinds) == ("canary", ["set share"])
    for share in (0.01, 0.1, 0.5):
        assert walk.awaited == SetShare(
            id=walk.awaited.id,
            decision=walk.awaited.decision,
            reason=walk.awaited.reason,
            champion="old",
            challenger="new",
            share=share,
        )
        walk.done().canary()
    assert walk.deed(Promote).reason == "not worse at 50% on 5,000 requests"
    assert walk.state.champion == "old"
    walk.done()
    assert (walk.state.phase, walk.state.champion, walk.state.before) == ("promoted", "new", "old")
    walk.wait(7 * DAY_US)
    assert (walk.state.phase, walk.state.champion, walk.state.before) == ("watching", "new", "")
    assert walk.decisions == [
        *("train", "compare", "start shadow", "canary at 1%", "canary at 10%", "canary at 50%"),
        *("promote", "guard the new champion", "keep the new champion"),
    ]


def test_each_decision_names_those_that_led_to_it() -> None:
    walk = Walk().to_guard()
    decisions = [one for one in walk.actions if isinstance(one, RecordDecision)]
    assert decisions[0].causes == ()
    assert decisions[0].why == "the promise 'recall' is broken"
    for before, after in pairwise(decisions):
        assert after.causes == (*before.causes, before.id)


def test_a_deed_follows_its_decision_and_has_the_higher_number() -> None:
    walk = Walk().look()
    *_, decision, deed = walk.last
    assert isinstance(decision, RecordDecision)
    assert isinstance(deed, Train)
    assert (deed.decision, deed.id) == (decision.id, decision.id + 1)


@pytest.mark.parametrize("verdict", ["unproven", "refuted"])
def test_a_challenger_that_is_not_proven_is_dropped(verdict: str) -> None:
    walk = Walk().look()
    event = {"kind": "trained", "at_us": 1, "action": walk.awaited.id, "release": "new", "verdict": verdict}
    walk.hear(msgspec.convert({**event, "promises": ["recall"], "cost": 1.0}, Trained))
    assert (walk.state.phase, walk.state.challenger) == ("watching", None)
    assert walk.why == f"the promises of new are {verdict}"


def test_a_training_that_makes_the_champion_again_is_useless() -> None:
    walk = Walk().look().trained("old")
    assert (walk.state.phase, walk.state.useless) == ("watching", 1)


def test_a_challenger_that_is_worse_on_one_promise_is_dropped() -> None:
    walk = Walk().look().trained().compared("worse")
    assert (walk.state.phase, walk.kinds) == ("watching", [])
    assert walk.why == "new is worse than the champion on brier"


def test_an_inconclusive_comparison_waits_for_a_person_and_is_made_again_at_a_smaller_level() -> None:
    walk = Walk().look().trained()
    first = walk.deed(Compare)
    walk.compared("inconclusive")
    assert (walk.state.phase, walk.state.awaited) == ("paused", None)
    assert walk.alarms[-1] == "Whether new is worse is not settled on brier."
    walk.wait(29 * DAY_US)
    assert walk.state.phase == "paused"
    walk.tell(lambda at_us: Resumed(at_us=at_us, by="Ada", go_on=True))
    second = walk.deed(Compare)
    assert isinstance(first, Compare)
    assert isinstance(second, Compare)
    assert first.alpha == pytest.approx(0.05 * 6 / math.pi**2)
    assert second.alpha == pytest.approx(first.alpha / 4)
    assert walk.compared().state.phase == "shadowing"


def test_a_paused_challenger_may_be_given_up() -> None:
    walk = Walk().look().trained().compared("inconclusive")
    walk.tell(lambda at_us: Resumed(at_us=at_us, by="Ada"))
    assert (walk.state.phase, walk.state.challenger) == ("watching", None)


def test_a_promise_that_was_not_compared_is_not_settled() -> None:
    walk = Walk().look()
    number = walk.awaited.id
    three = ("recall", "brier", "size")
    walk.tell(
        lambda at_us: Trained(at_us=at_us, action=number, release="new", verdict="proven", promises=three, cost=1.0)
    )
    assert walk.compared().state.phase == "paused"
    assert walk.why == "whether new is worse is not settled on size"


def test_two_persons_must_agree_and_one_of_them_twice_is_one() -> None:
    walk = Walk(policy=Policy(approvals=2)).look().trained().compared()
    assert (walk.state.phase, walk.kinds) == ("waiting for approval", [])
    for by, release in (("Ada", "new"), (" ada", "new"), ("ADA ", "new"), ("Bob", "another"), ("", "new")):
        walk.tell(lambda at_us, by=by, release=release: Approved(at_us=at_us, by=by, release=release))
    assert walk.state.phase == "waiting for approval"
    walk.tell(lambda at_us: Approved(at_us=at_us, by="Bob", release="new"))
    assert (walk.state.phase, walk.kinds) == ("shadowing", ["start shadow"])
    assert walk.why == "approved by ada, bob"


def test_one_refusal_or_too_much_time_drops_the_challenger() -> None:
    walk = Walk(policy=Policy(approvals=1)).look().trained().compared()
    late = Walk(policy=walk.policy, state=walk.state, now_us=walk.now_us).wait(14 * DAY_US)
    assert (late.state.phase, late.why) == ("watching", "not approved within 14 days")
    walk.tell(lambda at_us: Refused(at_us=at_us, by="Bob", release="new", why="not today"))
    assert (walk.state.phase, walk.why) == ("watching", "Bob refused new: not today")


@pytest.mark.parametrize("signal", ["errors", "latency", "labels"])
def test_harm_in_a_canary_ends_it_at_once(signal: str) -> None:
    walk = Walk().to_last_stage().canary("worse", msgspec.convert(signal, str))  # pyright: ignore[reportArgumentType]
    assert (walk.state.phase, walk.kinds) == ("rolling back", ["end canary"])
    assert walk.done().state.phase == "watching"
    assert (walk.state.champion, walk.state.challenger, walk.state.useless) == ("old", None, 1)


def test_a_release_that_did_harm_is_not_tried_again_when_it_is_made_again() -> None:
    walk = Walk().to_canary().canary("worse", "errors").done()
    assert walk.wait(DAY_US).look().trained("new").state.phase == "watching"
    assert walk.why == "the training made new again, which did harm"
    walk.wait(DAY_US).look().trained("new")
    assert walk.state.phase == "paused"
    walk.tell(lambda at_us: Resumed(at_us=at_us, by="Ada")).wait(DAY_US).look().trained("new")
    assert walk.state.phase == "comparing"


def test_harm_that_is_seen_while_a_canary_is_ended_by_hand_is_remembered() -> None:
    walk = Walk().to_canary().tell(lambda at_us: Stopped(at_us=at_us, by="Eve"))
    assert walk.canary("worse", "errors").kinds == []
    walk.done().wait(DAY_US).look().trained("new")
    assert walk.why == "the training made new again, which did harm"


def test_harm_that_is_seen_while_a_share_is_being_set_makes_that_deed_void() -> None:
    walk = Walk().to_canary().canary()
    void = walk.deed(SetShare).id
    walk.canary("worse", "errors")
    ending = walk.deed(EndCanary)
    assert ending.id > void
    walk.tell(lambda at_us: Done(at_us=at_us, action=void))
    assert walk.awaited == ending


def test_harm_that_is_seen_while_it_is_being_promoted_rolls_back() -> None:
    walk = Walk().to_last_stage().canary()
    assert isinstance(walk.awaited, Promote)
    walk.canary("worse", "errors")
    deed = walk.awaited
    assert isinstance(deed, RollBack)
    assert deed.champion == "old"
    assert walk.done().state.champion == "old"


def test_labels_that_show_a_canary_to_break_a_promise_end_it() -> None:
    walk = Walk().to_canary().look(BROKEN, release="new")
    assert walk.kinds == ["end canary"]


def test_harm_in_a_shadow_ends_it_before_it_serves() -> None:
    walk = Walk().to_shadow().canary("worse", "latency")
    assert walk.kinds == ["end canary"]


def test_scores_alone_pause_a_canary_which_harm_still_ends() -> None:
    walk = Walk().to_canary().canary("worse", "scores")
    assert (walk.state.phase, walk.kinds) == ("paused", [])
    assert walk.canary().state.phase == "paused"
    assert walk.canary("worse", "errors").kinds == ["end canary"]
    assert walk.done().state.phase == "watching"


def test_a_canary_that_stays_undecided_pauses_and_may_go_on() -> None:
    walk = Walk().to_canary().canary("undecided", "errors").wait(3 * DAY_US)
    assert walk.state.phase == "paused"
    walk.tell(lambda at_us: Resumed(at_us=at_us, by="Ada", go_on=True))
    assert walk.state.phase == "canary"
    assert walk.wait(HOUR_US).state.phase == "canary"
    assert walk.canary().deed(SetShare)


def test_a_paused_canary_that_is_given_up_is_ended() -> None:
    walk = Walk().to_canary().wait(3 * DAY_US).tell(lambda at_us: Resumed(at_us=at_us, by="Ada"))
    assert walk.kinds == ["end canary"]
    assert walk.done().state.phase == "watching"


def test_a_late_look_at_an_earlier_stage_passes_no_stage() -> None:
    walk = Walk().to_canary().canary().done()
    assert walk.canary(share=0.01).kinds == []
    assert walk.canary(share=0.1).kinds == ["set share"]


def test_too_few_requests_pass_no_stage() -> None:
    walk = Walk(policy=Policy(least_requests=5_001)).to_canary()
    assert walk.canary().kinds == []


def test_a_broken_promise_under_guard_brings_the_old_champion_back() -> None:
    walk = Walk().to_guard().look(BROKEN)
    assert (walk.kinds, walk.state.phase) == (["roll back"], "rolling back")
    deed = walk.awaited
    assert isinstance(deed, RollBack)
    assert deed.champion == "old"
    walk.done()
    assert (walk.state.phase, walk.state.champion) == ("watching", "old")


def test_errors_under_guard_bring_the_old_champion_back() -> None:
    assert Walk().to_guard().canary("worse", "errors").kinds == ["roll back"]


def test_an_estimate_alone_never_rolls_back() -> None:
    seen = (PromiseSeen(promise="recall", state="broken", basis="estimate"),)
    walk = Walk().to_guard()
    before = len(walk.alarms)
    walk.look(seen).look(seen)
    assert (walk.state.phase, walk.kinds, len(walk.alarms)) == ("promoted", [], before + 1)


def test_a_look_at_another_release_is_of_no_use() -> None:
    assert Walk().look(release="somebody's").state.phase == "watching"
    assert Walk().to_guard().look(release="old").state.phase == "promoted"


@pytest.mark.parametrize("times", [1, 3])
def test_an_outcome_counts_once_and_only_if_it_is_awaited(times: int) -> None:
    walk = Walk().look()
    number = walk.awaited.id
    event = Trained(at_us=walk.now_us, action=number, release="new", verdict="proven", promises=("a",), cost=1.0)
    walk.hear(event)
    first = walk.state
    for _ in range(times):
        walk.hear(event)
        walk.tell(lambda at_us: Done(at_us=at_us, action=number + 100))
    assert msgspec.structs.replace(walk.state, clock_us=first.clock_us) == first


def test_a_deed_without_an_answer_is_asked_for_again_by_the_same_number_and_then_given_up() -> None:
    walk = Walk().look()
    deed = walk.awaited
    for _ in range(2):
        walk.wait(12 * HOUR_US)
        assert deed in walk.last
    walk.wait(12 * HOUR_US)
    assert (walk.state.phase, walk.why) == ("watching", "could not train: no answer, asked 3 times")


def test_a_deed_that_failed_is_tried_again_by_a_new_number() -> None:
    walk = Walk().to_canary().canary()
    first = walk.deed(SetShare)
    walk.fails().wait(0)
    second = walk.deed(SetShare)
    assert second.id > first.id
    walk.fails().wait(0).fails()
    assert walk.kinds == ["end canary"]
    walk.done()
    assert (walk.state.phase, walk.state.champion) == ("paused", "old")


def test_a_rollback_is_never_given_up() -> None:
    walk = Walk().to_guard().look(BROKEN)
    for _ in range(10):
        walk.fails().wait(MINUTE_US)
        assert isinstance(walk.awaited, RollBack)
    assert sum("it tries again" in alarm for alarm in walk.alarms) == 4  # the 1st, 2nd, 4th and 8th
    for _ in range(10):
        assert walk.wait(5 * MINUTE_US).kinds == ["roll back"]
    assert walk.done().state.champion == "old"


def test_a_comparison_that_keeps_failing_waits_for_a_person() -> None:
    walk = Walk().look().trained().fails().wait(0).fails().wait(0).fails()
    assert (walk.state.phase, walk.why) == ("paused", "could not compare: no disk")


def test_trainings_that_give_nothing_pause_the_loop() -> None:
    walk = Walk()
    for _ in range(3):
        assert walk.look().state.phase == "training"
        walk.fails()
        walk.now_us += 2 * DAY_US
    assert walk.state.phase == "paused"
    walk.look().wait(DAY_US).tell(lambda at_us: Requested(at_us=at_us, by="Bob"))
    assert walk.state.phase == "paused"
    walk.tell(lambda at_us: Resumed(at_us=at_us, by="Ada"))
    assert (walk.state.phase, walk.state.useless) == ("watching", 0)


def test_a_person_may_stop_what_is_under_way() -> None:
    stop = Stopped(at_us=3 * DAY_US, by="Eve", why="a sale")
    assert Walk().look().hear(stop).state.phase == "watching"
    assert Walk().to_canary().hear(stop).kinds == ["end canary"]
    assert Walk().to_guard().hear(stop).kinds == ["roll back"]
    assert Walk().hear(stop).decisions == ["stop nothing"]


def test_a_state_from_json_goes_on_as_the_original() -> None:
    walk = Walk().to_canary()
    other = msgspec.json.decode(msgspec.json.encode(walk.state), type=type(walk.state))
    event = Stopped(at_us=1, by="Eve")
    assert step(other, event, walk.policy) == step(walk.state, event, walk.policy)


def test_actions_survive_a_round_trip() -> None:
    for action in Walk().to_guard().look(BROKEN).actions:
        assert msgspec.json.decode(msgspec.json.encode(action), type=Action) == action  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_a_loop_begins_with_a_release() -> None:
    with pytest.raises(ValueError, match="promote one first"):
        begin("", at_us=0)


@pytest.mark.parametrize(
    "walk",
    [
        Walk,
        lambda: Walk().look(),
        lambda: Walk().to_shadow(),
        lambda: Walk().to_last_stage(),
        lambda: Walk().to_guard(),
    ],
    ids=["watching", "training", "shadowing", "canary", "promoted"],
)
def test_a_person_who_names_another_champion_is_followed(walk: Callable[[], Walk]) -> None:
    there = walk()
    trainings, number = there.state.trainings, there.state.next_id
    there.tell(lambda at_us: ChampionMoved(at_us=at_us, by="Ada", release="hers"))
    state = there.state
    assert (state.champion, state.phase, state.before) == ("hers", "watching", "")
    assert (state.challenger, state.awaited) == (None, None)
    assert there.kinds == []
    assert "Ada made hers the champion" in there.why
    assert (state.trainings, state.next_id) == (trainings, number + 1)


def test_the_champion_that_is_there_already_is_no_news() -> None:
    there = Walk()
    there.tell(lambda at_us: ChampionMoved(at_us=at_us, by="Ada", release="old"))
    assert there.last == ()


def test_what_is_not_settled_is_given_up_when_nobody_speaks_for_long() -> None:
    walk = Walk(policy=Policy(pause_us=14 * DAY_US)).look().trained().compared("inconclusive")
    assert walk.state.phase == "paused"
    walk.wait(13 * DAY_US)
    assert walk.state.phase == "paused"
    walk.wait(DAY_US)
    assert (walk.state.phase, walk.state.challenger, walk.state.useless) == ("watching", None, 1)
    assert "nobody said anything for 14 days" in walk.why


def test_a_canary_that_nobody_decides_is_taken_back() -> None:
    walk = Walk(policy=Policy(pause_us=14 * DAY_US)).to_canary().wait(3 * DAY_US)
    assert walk.state.phase == "paused"
    walk.wait(14 * DAY_US)
    assert (walk.state.phase, walk.kinds) == ("rolling back", ["end canary"])
    walk.done()
    assert (walk.state.phase, walk.state.champion) == ("watching", "old")


def test_a_storm_always_waits_for_a_person() -> None:
    walk = Walk(policy=Policy(pause_us=DAY_US, storm=1)).look().fails()
    assert walk.state.phase == "paused"
    walk.wait(90 * DAY_US)
    assert walk.state.phase == "paused"


def test_scores_that_differ_pause_a_canary_only_where_it_is_decided_by_them() -> None:
    asked = Walk(policy=Policy(needed=("errors", "scores"))).to_canary()
    asked.hear(CanaryLooked(at_us=asked.now_us, release="new", share=0.01, signals={"scores": "worse"}, requests=9))
    assert asked.state.phase == "paused"
    other = Walk(policy=Policy(needed=("errors",))).to_canary()
    signals: dict[Signal, Sign] = {"scores": "worse", "errors": "not worse"}
    other.hear(CanaryLooked(at_us=other.now_us, release="new", share=0.01, signals=signals, requests=5_000))
    assert other.kinds == ["set share"]
