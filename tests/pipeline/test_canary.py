"""A challenger beside the champion: what counters, receipts and labels say of it, look by look."""

import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.label import Scalar
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.loop.events import CanaryLooked
from holdtrue.serving.sealing import alias
from tests.pipeline.canaries import Pair, odds, pair, times
from tests.pipeline.recorded import NOW_US, PROJECT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def here(made: Pair, tmp_path: Path) -> Pair:
    return made.copied(tmp_path / "here")


def ages(count: int, *, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(45, 15, count).clip(1, 119).tolist()


def truths(found: list[Receipt], wrong: dict[str, float], *, seed: int = 1) -> list[tuple[Receipt, Scalar]]:
    """Label answers so that each release errs as often as asked for."""
    chance = random.Random(seed)
    told: list[tuple[Receipt, Scalar]] = []
    for one in found:
        said = int.from_bytes(one.outputs[8:16], "little")  # the decision lies behind two shares
        errs = chance.random() < wrong[one.release]
        told.append((one, ("no", "yes")[1 - said if errs else said]))
    return told


def test_a_thousand_requests_without_a_fault_are_enough(here: Pair) -> None:
    here.both(0.1, 3_000)
    first = here.look(0.1)
    assert set(first.signals.values()) == {"undecided"}
    assert first.requests == 0  # what was counted before the first look is nobody's
    here.both(0.1, 5_000)
    assert here.look(0.1).signals["errors"] == "undecided"
    here.both(0.1, 5_000)
    found = here.look(0.1)
    assert (found.release, found.share) == (here.challenger, 0.1)
    assert 900 < found.requests < 1_100
    assert (found.signals["errors"], found.signals["latency"]) == ("not worse", "not worse")


@pytest.mark.parametrize("cause", ["graph", "late", "overloaded", "unwritten"])
def test_a_challenger_that_fails_more_often_is_worse(here: Pair, cause: Any) -> None:
    here.look(0.1)
    here.both(0.1, 2_000)
    here.failed(here.champion, "champion", 9, cause)
    here.failed(here.challenger, "canary", 1, cause)
    assert here.look(0.1).signals["errors"] == "undecided"
    here.both(0.1, 500)
    here.failed(here.challenger, "canary", 8, cause)
    assert here.look(0.1).signals["errors"] == "worse"


def test_a_champion_that_fails_more_often_speaks_for_the_challenger(here: Pair) -> None:
    here.look(0.5)
    here.both(0.5, 2_000)
    here.failed(here.champion, "champion", 40)
    assert here.look(0.5).signals["errors"] == "not worse"


def test_what_clients_do_wrong_and_pinned_requests_are_no_errors(here: Pair) -> None:
    here.look(0.5)
    here.both(0.5, 3_000)
    here.failed(here.challenger, "canary", 50, "contract")  # the releases have the same one
    here.failed(here.challenger, "pinned", 50)
    here.failed(here.challenger, "shadow", 50)
    assert here.look(0.5).signals["errors"] == "not worse"


def test_a_challenger_whose_answers_are_slow_is_worse_and_a_slow_machine_is_not(here: Pair) -> None:
    here.both(0.1, 1_000)
    here.look(0.1)
    here.both(0.1, 1_000, slow=0.3)
    assert here.look(0.1).signals["latency"] == "worse"


def test_when_both_are_slow_nobody_is_worse(here: Pair) -> None:
    here.both(0.5, 1_000)
    here.look(0.5)
    for digest, route in ((here.champion, "champion"), (here.challenger, "canary")):
        here.answered(digest, route, 900)
        here.answered(digest, route, 100, seconds=0.4)
    assert here.look(0.5).signals["latency"] == "undecided"


def test_clients_that_do_not_wait_are_slow_answers(here: Pair) -> None:
    here.both(0.1, 1_000)
    here.look(0.1)
    here.both(0.1, 1_000)
    here.failed(here.challenger, "canary", 30, "left")
    found = here.look(0.1).signals
    assert (found["latency"], found["errors"]) == ("worse", "undecided")


def test_a_stage_shows_anew_that_nothing_is_wrong(here: Pair) -> None:
    here.look(0.1)
    here.both(0.1, 10_000)
    assert here.look(0.1).signals["errors"] == "not worse"
    here.both(0.1, 1_000)  # before the share changed
    changed = here.look(0.5)
    assert (changed.signals["errors"], changed.requests) == ("undecided", 0)
    here.both(0.5, 3_000)
    assert here.look(0.5).signals["errors"] == "not worse"


def test_harm_of_an_earlier_stage_is_not_forgotten(here: Pair) -> None:
    here.look(0.01)
    here.both(0.01, 1_000)
    here.failed(here.champion, "champion", 5)
    here.failed(here.challenger, "canary", 1)
    assert here.look(0.01).signals["errors"] == "undecided"
    here.look(0.1)
    here.both(0.1, 300)
    here.failed(here.challenger, "canary", 2)
    assert here.look(0.1).signals["errors"] == "worse"


def test_after_a_restart_of_the_endpoint_counting_begins_anew(here: Pair) -> None:
    here.look(0.5)
    here.both(0.5, 600)
    before = here.look(0.5).requests
    here.restarted()
    here.failed(here.challenger, "canary", 60)
    here.both(0.5, 60)
    assert here.look(0.5).signals["errors"] == "undecided"  # who was asked meanwhile is not known
    here.both(0.5, 2_000)
    found = here.look(0.5)
    assert (found.signals["errors"], found.requests > before + 900) == ("not worse", True)


def test_nothing_counts_while_somebody_shares_the_requests_out_in_another_way(here: Pair) -> None:
    here.look(0.5)
    here.both(0.5, 200)
    said = here.status(0.5)
    said["models"][PROJECT]["weights"] = {here.champion: 0.9, here.challenger: 0.1}
    here.failed(here.challenger, "canary", 30)
    assert _look_at(here, said).requests == 0
    here.failed(here.challenger, "canary", 30)
    assert here.look(0.5).signals["errors"] == "undecided"  # it only remembers where the counters stand
    here.both(0.5, 3_000)
    assert here.look(0.5).signals["errors"] == "not worse"


def _look_at(here: Pair, status: dict[str, Any]) -> CanaryLooked:
    told, here.status = here.status, lambda share: status
    found = here.look(0.5)
    here.status = told
    return found


@pytest.mark.slow
def test_without_an_endpoint_the_log_still_speaks(tmp_path: Path) -> None:
    here = pair(tmp_path, None, odds(slope=0.0, start=3.0))
    here.ask(0.5, ages(700))
    assert here.look(0.5, status=False).signals["scores"] == "undecided"
    here.ask(0.5, ages(3_300, seed=2))
    found = here.look(0.5, status=False)
    assert found.signals == {"errors": "undecided", "latency": "undecided", "scores": "worse", "labels": "undecided"}
    assert 1_900 < found.requests < 2_100


def test_a_shadow_that_fails_is_worse_and_its_times_say_nothing(here: Pair) -> None:
    here.answered(here.champion, "champion", 1_000)
    here.look(0.0)
    here.answered(here.champion, "champion", 1_000)
    here.answered(here.challenger, "shadow", 1_000)
    found = here.look(0.0)
    assert (found.signals["errors"], found.signals["latency"], found.requests) == ("not worse", "undecided", 1_000)
    here.answered(here.champion, "champion", 1_000)
    here.answered(here.challenger, "shadow", 970)
    here.failed(here.challenger, "shadow", 30)
    assert here.look(0.0).signals["errors"] == "worse"


@pytest.mark.slow
def test_scores_of_a_model_trained_again_pass_and_of_another_one_do_not(here: Pair, tmp_path: Path) -> None:
    found = [_asked_and_seen(here, 0.3, seed) for seed in range(3)]
    assert found[-1].signals["scores"] == "not worse"
    other = pair(tmp_path / "other", None, odds(slope=0.08))
    found = [_asked_and_seen(other, 0.3, seed) for seed in range(4)]
    assert found[-1].signals["scores"] == "worse"


def _asked_and_seen(here: Pair, share: float, seed: int) -> CanaryLooked:
    here.ask(share, ages(1_000, seed=seed))
    return here.look(share)


@pytest.mark.slow
def test_the_scores_of_a_shadow_are_looked_at_too(tmp_path: Path) -> None:
    here = pair(tmp_path, None, odds(slope=0.0, start=2.0))
    found = [_asked_and_seen(here, 0.0, seed) for seed in range(2)]
    assert found[-1].signals["scores"] == "worse"
    assert found[-1].requests == 2_000


@pytest.mark.slow
def test_each_receipt_counts_once_and_each_request_as_one(here: Pair) -> None:
    here.ask(0.5, ages(1_600), rows=3)
    here.look(0.5)
    assert here.state is not None
    first = here.state.answers
    here.look(0.5)
    again = here.state.answers
    assert first.shift is not None
    assert (first.shift, first.answered) == (again.shift, again.answered)
    counted = sum(first.shift["canary"]) + sum(first.shift["waiting_canary"])
    assert counted == first.answered
    assert 700 < counted < 900


@pytest.mark.slow
def test_receipts_of_another_share_are_left_out(here: Pair) -> None:
    here.ask(0.1, ages(600))
    here.ask(0.5, ages(700))
    here.look(0.5)
    assert here.state is not None
    assert 300 < here.state.answers.answered < 400


@pytest.mark.slow
@pytest.mark.parametrize(("errs", "sign"), [(0.45, "worse"), (0.1, "not worse"), (0.2, "undecided")])
def test_labels_say_who_errs_more(here: Pair, errs: float, sign: str) -> None:
    wrong = {here.champion: 0.2, here.challenger: errs}
    found = None
    for seed in range(4):
        answered = here.ask(0.5, ages(600, seed=seed))
        here.look(0.5)
        here.label(truths(answered, wrong, seed=seed))
        found = here.look(0.5, margin=0.05)
    assert found is not None
    assert found.signals["labels"] == sign


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "sign"), [(1.3, "worse"), (1.0001, "not worse")])
def test_numbers_are_held_against_their_labels_by_how_far_off_they_are(
    tmp_path: Path, factor: float, sign: str
) -> None:
    here = pair(tmp_path, times(1.0), times(factor), classes=())
    factors = {here.champion: 1.0, here.challenger: factor}
    chance = random.Random(1)
    found = here.look(0.5)
    for seed in range(4):
        told: list[tuple[Receipt, Scalar]] = []
        for one in here.ask(0.5, ages(700, seed=seed)):
            age = float(np.frombuffer(one.outputs, np.float64)[0]) / factors[one.release]
            told.append((one, age + chance.gauss(0, 3)))
        here.look(0.5)
        here.label(told)
        found = here.look(0.5, margin=0.05)
    assert found.signals["labels"] == sign
    assert here.state is not None
    assert 50 < here.state.answers.scale < 90  # of the ages: from the youngest to the oldest, but for 2 in 100


@pytest.mark.slow
def test_answers_that_are_no_numbers_neither_place_bins_nor_stop_a_look(tmp_path: Path) -> None:
    here = pair(tmp_path, times(float("inf")), times(1.0), classes=())  # no age times infinity is a number
    here.ask(0.5, ages(1_300))
    assert here.look(0.5).signals["scores"] == "undecided"
    here.ask(0.5, ages(1_300, seed=2))
    assert here.look(0.5).signals["scores"] == "undecided"
    assert here.state is not None
    assert here.state.answers.sample == ()


def test_who_was_forgotten_is_left_out(here: Pair) -> None:
    here.ask(0.5, ages(40), person="ann")
    here.ask(0.5, ages(60), person="bob")
    here.recorders[here.champion].subjects.forget(alias(here.keeper.home.keys, "ann"), now_us=NOW_US)
    here.look(0.5)
    assert here.state is not None
    seen = here.state.answers
    assert len(seen.sample) + seen.answered == 60


def test_a_label_counts_once_though_it_is_corrected_or_comes_twice(here: Pair) -> None:
    answered = here.ask(0.5, ages(100))
    nobody = dict.fromkeys((here.champion, here.challenger), 0.0)
    here.label(truths(answered, nobody))
    here.look(0.5)
    assert here.state is not None
    first = here.state.answers
    mine = sum(one.release == here.champion for one in answered)
    assert (first.before.rows, first.before.total) == (mine, 0.0)
    here.label(truths(answered, dict.fromkeys(nobody, 1.0)))
    here.look(0.5)
    assert here.state.answers.labels == first.labels
    here.label(truths(here.ask(0.5, ages(50)), nobody)[:40])
    here.look(0.5)
    assert here.state.answers.labels != first.labels


@pytest.mark.slow
def test_under_guard_the_new_champion_is_held_against_the_one_before(here: Pair) -> None:
    here.both(0.5, 1_000)
    here.look(0.5)
    here.both(0.5, 8_000)
    wrong = {here.champion: 0.1, here.challenger: 0.1}
    here.label(truths(here.ask(0.5, ages(4_000)), wrong))
    assert "worse" not in here.look(0.5).signals.values()
    here.look(1.0)
    here.answered(here.challenger, "champion", 2_000)
    here.label(truths(here.ask(1.0, ages(1_000)), wrong))
    quiet = here.look(1.0)
    assert set(quiet.signals.values()) == {"undecided"}
    assert quiet.requests == 2_000
    here.restarted()  # here the count is the increase: there is but one release
    here.failed(here.challenger, "champion", 500)
    here.answered(here.challenger, "champion", 1_000, seconds=0.4)
    here.label(truths(here.ask(1.0, ages(2_000)), dict.fromkeys(wrong, 0.6)))
    bad = here.look(1.0)
    assert bad.signals == {"errors": "worse", "latency": "worse", "scores": "undecided", "labels": "worse"}


def test_under_guard_without_anything_before_nothing_is_said(here: Pair) -> None:
    here.look(1.0)
    here.failed(here.challenger, "champion", 500)
    assert set(here.look(1.0).signals.values()) == {"undecided"}


@pytest.mark.slow
def test_what_is_remembered_does_not_grow(here: Pair) -> None:
    sizes: list[int] = []
    for seed in range(6):
        here.both(0.5, 300)
        here.label(truths(here.ask(0.5, ages(300, seed=seed)), {here.champion: 0.2, here.challenger: 0.2}))
        here.look(0.5)
        sizes.append(len(msgspec.json.encode(here.state)))
    assert sizes[-1] < 20_000
    assert sizes[-1] < 1.05 * max(sizes[:3])


def test_another_challenger_begins_with_nothing(here: Pair) -> None:
    here.look(0.5)
    here.both(0.5, 3_000)
    here.failed(here.challenger, "canary", 60)
    assert here.look(0.5).signals["errors"] == "worse"
    here.champion, here.challenger = here.challenger, here.champion
    found = here.look(0.5)
    assert (set(found.signals.values()), found.requests) == ({"undecided"}, 0)


def test_a_release_that_is_not_there_is_named(here: Pair) -> None:
    here.challenger = "f" * 64
    with pytest.raises(Misuse, match="ffff"):
        here.look(0.5)


def test_the_time_before_the_stage_does_not_count(here: Pair) -> None:
    here.ask(0.5, ages(700))
    here.look(0.5, since_us=NOW_US + 10**9)
    assert here.state is not None
    assert here.state.answers.answered == 0
