"""A search makes the same trials for a seed, whatever interrupts it, and survives trials that fail."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import log10, nan
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.models.learner import LEARNERS, Settings
from holdtrue.models.settings import defaults, number, resolve
from holdtrue.training.journal import Journal, Trial
from holdtrue.training.search import Plan, Trials, search

LEARNERS_USED = ("constant", "ridge", "elastic_net", "mlp")


def bowl(learner: str, chosen: Settings) -> Iterator[float]:
    """Errors that are least for an elastic net with alpha 0.01 and l1_ratio 0.8; four folds that differ a little."""
    if learner == "elastic_net":
        error = (log10(number(chosen, "alpha")) + 2) ** 2 + 4 * (number(chosen, "l1_ratio") - 0.8) ** 2
    else:
        error = 3.0 + abs(log10(number(chosen, "alpha"))) if learner == "ridge" else 9.0
    yield from (error + 0.1 * fold for fold in range(4))


PLAN = Plan(learners=LEARNERS_USED, trials=24, seed=5, scores=bowl, folds=4, higher_is_better=False)


def interrupted(plan: Plan, journal: Journal, after: int) -> None:
    """Run a search that is stopped while it works on its trial number `after`."""
    begun = 0

    def scores(learner: str, chosen: Settings) -> Iterator[float]:
        nonlocal begun
        if begun == after:
            raise KeyboardInterrupt
        begun += 1
        return bowl(learner, chosen)

    with pytest.raises(KeyboardInterrupt):
        search(replace(plan, scores=scores), journal)


def test_the_defaults_of_every_learner_come_first() -> None:
    trials = search(PLAN).trials
    assert [trial.learner for trial in trials[:4]] == list(LEARNERS_USED)
    for trial in trials[:4]:
        assert trial.settings == defaults(LEARNERS.get(trial.learner).space)
        assert trial.state == "complete"


def test_the_budget_is_kept_and_the_settings_are_allowed() -> None:
    trials = search(PLAN).trials
    assert [trial.number for trial in trials] == list(range(24))
    for trial in trials:
        assert resolve(trial.learner, LEARNERS.get(trial.learner), trial.settings) == trial.settings


def test_a_learner_without_settings_is_tried_once() -> None:
    assert [trial.learner for trial in search(PLAN).trials].count("constant") == 1
    assert len(search(replace(PLAN, learners=("constant",))).trials) == 1


def test_every_default_is_tried_even_when_the_budget_is_smaller() -> None:
    assert len(search(replace(PLAN, trials=2)).trials) == 4


def test_what_it_finds_is_better_than_the_defaults() -> None:
    made = search(replace(PLAN, trials=40))
    assert made.best.learner == "elastic_net"
    assert (made.best.score or 9) < 0.5 * (made.trials[2].score or 0)


def test_some_trials_are_cut_short_and_none_of_those_is_the_best() -> None:
    made = search(PLAN)
    pruned = [trial for trial in made.trials if trial.state == "pruned"]
    assert pruned
    assert all(2 <= len(trial.steps) < 4 and trial.score is None for trial in pruned)
    assert min(trial.steps[-1] for trial in pruned) > (made.best.score or 0)
    assert not [trial for trial in search(replace(PLAN, prune=False)).trials if trial.state == "pruned"]


def test_the_seed_decides() -> None:
    assert search(PLAN) == search(PLAN)
    assert search(PLAN) != search(replace(PLAN, seed=6))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_search_taken_up_after_any_trial_makes_the_trials_it_would_have_made(sampler: str, tmp_path: Path) -> None:
    plan = replace(PLAN, sampler=sampler)  # pyright: ignore[reportArgumentType]
    whole = search(plan)
    for after in (0, 3, 12, 19):
        journal = Journal(path=tmp_path / f"{after}.jsonl", search=plan.digest)
        interrupted(plan, journal, after)
        assert len(journal.open()) == after
        assert search(plan, journal) == whole


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10_000))
def test_a_journal_torn_at_any_byte_gives_the_same_trials(cut: int, tmp_path: Path) -> None:
    plan = replace(PLAN, trials=14)
    journal = Journal(path=tmp_path / "trials.jsonl", search=plan.digest)
    whole = search(plan, journal)
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[: cut % len(data)])
    assert search(plan, journal) == whole
    assert journal.path.read_bytes() == data


def test_a_finished_search_is_read_and_not_done_again(tmp_path: Path) -> None:
    journal = Journal(path=tmp_path / "trials.jsonl", search=PLAN.digest)
    whole = search(PLAN, journal)
    heard: list[Trial] = []

    def never(learner: str, chosen: Settings) -> Iterator[float]:
        raise AssertionError(learner)

    assert search(replace(PLAN, scores=never), journal, heard.append) == whole
    assert tuple(heard) == whole.trials


def test_more_trials_continue_the_same_search(tmp_path: Path) -> None:
    journal = Journal(path=tmp_path / "trials.jsonl", search=PLAN.digest)
    search(replace(PLAN, trials=12), journal)
    assert search(PLAN, journal) == search(PLAN)


def test_another_search_does_not_take_up_the_journal(tmp_path: Path) -> None:
    other = replace(PLAN, about="other rows")
    path = tmp_path / "trials.jsonl"
    search(PLAN, Journal(path=path, search=PLAN.digest))
    assert Journal(path=path, search=other.digest).open() == ()


def test_a_trial_that_raises_is_recorded_and_the_search_goes_on() -> None:
    def scores(learner: str, chosen: Settings) -> Iterator[float]:
        if learner == "elastic_net":
            raise ValueError("it does not like these rows")
        return bowl(learner, chosen)

    made = search(replace(PLAN, scores=scores))
    failed = [trial for trial in made.trials if trial.learner == "elastic_net"]
    assert {trial.reason for trial in failed} == {"ValueError: it does not like these rows"}
    assert made.best.learner == "ridge"


def test_a_score_that_is_not_a_number_is_a_failure() -> None:
    trial = search(
        replace(
            PLAN,
            learners=("constant", "ridge"),
            trials=2,
            scores=lambda name, _: iter([1.0, nan] if name == "ridge" else [1.0]),
        )
    ).trials[1]
    assert trial.state == "failed"
    assert trial.reason == "The score of fold 2 is nan."


def test_when_nothing_completes_every_reason_is_told() -> None:
    def scores(learner: str, chosen: Settings) -> Iterator[float]:
        raise ValueError(f"{learner} cannot")

    with pytest.raises(DataFault) as told:
        search(replace(PLAN, scores=scores, trials=4))
    assert len(told.value.faults) == 4
    assert "ridge, trial 1: ValueError: ridge cannot" in told.value.faults


def test_the_direction_counts_and_of_equals_the_first_is_best() -> None:
    def trial(place: int, score: float | None) -> Trial:
        return Trial(number=place, learner="ridge", settings={}, state="complete", score=score)

    tried = (trial(0, 1.0), trial(1, 2.0), trial(2, 2.0), trial(3, 1.0), trial(4, None))
    assert Trials(trials=tried, higher_is_better=True).best.number == 1
    assert Trials(trials=tried, higher_is_better=False).best.number == 0


def test_a_grid_ends_with_its_points_and_repeats_none() -> None:
    trials = search(replace(PLAN, learners=("ridge",), sampler="grid", trials=50)).trials
    assert 9 <= len(trials) <= 10
    assert len({str(trial.settings) for trial in trials}) == len(trials)


@pytest.mark.parametrize("learners", [(), ("ridge", "ridge")])
def test_a_plan_without_learners_or_with_one_twice_is_refused(learners: tuple[str, ...]) -> None:
    with pytest.raises(Misuse):
        replace(PLAN, learners=learners)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from dataclasses import replace
from pathlib import Path
from test_search import PLAN, bowl
from holdtrue.training.journal import Journal
from holdtrue.training.search import search

begun = 0
def scores(learner, chosen):
    global begun
    begun += 1
    if begun == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return bowl(learner, chosen)

search(replace(PLAN, scores=scores), Journal(path=Path(sys.argv[1]), search=PLAN.digest))
"""


@pytest.mark.slow
def test_a_search_killed_at_once_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    journal = Journal(path=path, search=PLAN.digest)
    assert len(journal.open()) == 12
    assert search(PLAN, journal) == search(PLAN)
