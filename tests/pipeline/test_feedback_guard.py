"""Labels that only rows of one decision get are measured in the log, and the loop is told."""

import msgspec
import pytest

from holdtrue.data.traffic.receipt import Receipt
from holdtrue.loop.brakes import brakes
from holdtrue.loop.policy import Policy
from holdtrue.pipeline.loop_store import LoopStore
from holdtrue.pipeline.looping import Loop
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.recorded import recorded_outputs
from holdtrue.pipeline.watched import Quality
from holdtrue.pipeline.watching import watch
from holdtrue.release.interface import read_interface
from tests.pipeline.lived import HOUR_US, Lived, visits


def decided(there: Lived, receipt: Receipt) -> str:
    plan = there.ready[1].plan
    codes = recorded_outputs(receipt, read_interface(plan.interface))["decision"]
    return plan.classes[int(codes[0][0])]


def served(there: Lived, *, seldom: int = 0, canary: bool = False) -> None:
    """Serve a week; rows decided "no" keep their label only now and then, or never."""
    receipts = there.serve(visits(192, seed=5))
    told = {one.id: decided(there, one) for one in receipts}
    refused = [id for id, decision in told.items() if decision == "no"]
    assert len(refused) > 50
    kept = set(refused[::seldom]) if seldom else set[str]()
    there.labels = [label for label in there.labels if told[label.prediction] == "yes" or label.prediction in kept]
    if canary:  # every tenth row that has its label was answered by another release, by chance
        labelled = [label.prediction for label in there.labels][::10]
        there.recorder.receipts = [
            msgspec.structs.replace(one, release="f" * 64, route="canary", weight=0.1) if one.id in labelled else one
            for one in there.recorder.receipts
        ]
    there.write()


def quality(there: Lived) -> Quality:
    return watch(
        there.keeper,
        there.workspace.project.watch,
        release="champion",
        windows=10,
        now_us=there.until_us + 24 * HOUR_US,
        tell=silent,
        again=there.again(),
    ).quality


@pytest.mark.slow
def test_labels_that_one_decision_alone_gets_are_seen(visited: Lived) -> None:
    served(visited)
    found = quality(visited).feedback
    assert (found.unlabelled, found.exploration) == (("no",), 0.0)


@pytest.mark.slow
def test_labels_that_come_in_spite_of_the_decision_are_the_exploration(visited: Lived) -> None:
    served(visited, seldom=30)
    found = quality(visited).feedback
    assert found.unlabelled == ("no",)
    assert 0 < found.exploration < 0.1


@pytest.mark.slow
def test_rows_that_chance_sent_elsewhere_are_exploration_too(visited: Lived) -> None:
    served(visited, canary=True)
    found = quality(visited).feedback
    assert found.unlabelled == ("no",)
    assert found.exploration == pytest.approx(0.1, abs=0.02)


@pytest.mark.slow
def test_labels_of_all_rows_are_no_loop_that_feeds_itself(visited: Lived) -> None:
    served(visited, seldom=1)
    assert not quality(visited).feedback.steered


@pytest.mark.slow
def test_the_loop_is_told_and_its_brake_says_which_rows_have_no_labels(visited: Lived) -> None:
    served(visited)
    now_us = visited.until_us + 24 * HOUR_US
    loop = Loop(visited.workspace, visited.keeper, now_us=lambda: now_us, tell=silent, environ={}, apart=False)
    loop.turn()
    loop.close()
    state = LoopStore(keeper=visited.keeper).read()
    assert state is not None
    assert state.look is not None
    assert (state.look.steered, state.look.unlabelled, state.look.exploration) == (True, ("no",), 0.0)
    held = {brake.key: brake.why for brake in brakes(state, Policy(feedback="hold", cooldown_us=0))}
    assert "decides 'no' get no labels" in held["feedback"]
    assert "feedback" not in {brake.key for brake in brakes(state, Policy(feedback="warn", cooldown_us=0))}
