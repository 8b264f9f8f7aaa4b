"""Scores of two models: the same one is never called worse, a large shift is, and what lies between is left open."""

import json

import numpy as np
import pytest

from holdtrue.statistics.score_shift import ScoreShift, sizes

BINS = 10
EVEN = np.full(BINS, 1 / BINS)
HUGE = np.array([0.5, *[0.5 / 9] * 9])


def index_of(p: "np.ndarray", q: "np.ndarray") -> float:
    return float(((p - q) * np.log(p / q)).sum())


def run(chances: "np.ndarray", *, rows: int, looks: int, seed: int, share: float = 0.1) -> ScoreShift:
    """Let a model with these chances for each bin run beside an even one."""
    chance = np.random.default_rng(seed)
    shift = ScoreShift(bins=BINS, alpha=0.01)
    for _ in range(looks):
        mine = chance.binomial(rows, share)
        shift.update(chance.multinomial(mine, chances), chance.multinomial(rows - mine, EVEN))
    return shift


def test_the_same_model_passes_and_a_far_one_does_not() -> None:
    found = [run(EVEN, rows=500, looks=10, seed=seed).found for seed in range(50)]
    assert found.count("not worse") >= 49
    assert index_of(HUGE, EVEN) > 0.6
    assert [run(HUGE, rows=500, looks=30, seed=seed).found for seed in range(20)].count("worse") == 20


@pytest.mark.slow
def test_a_shift_on_the_border_is_rarely_called_either() -> None:
    tried = [np.array([first, *[(1 - first) / 9] * 9]) for first in np.linspace(0.1, 0.5, 2_000)]
    border = min(tried, key=lambda chances: abs(index_of(chances, EVEN) - 0.25))
    ever: list[tuple[bool, bool]] = []
    for seed in range(200):
        chance = np.random.default_rng(seed)
        shift = ScoreShift(bins=BINS, alpha=0.05)
        seen: set[str] = set()
        for _ in range(60):
            mine = chance.binomial(500, 0.2)
            shift.update(chance.multinomial(mine, border), chance.multinomial(500 - mine, EVEN))
            seen.add(shift.found)
        ever.append(("not worse" in seen, "worse" in seen))
    passed, worse = np.array(ever).mean(axis=0)
    assert passed <= 0.08
    assert worse <= 0.08


def test_a_block_has_as_many_rows_as_all_before_it() -> None:
    shift = ScoreShift(bins=2, alpha=0.01)
    for closings in (0, 1, 1, 2, 2, 2, 2, 3):  # 100, then 200; 400; 800 rows of the canary
        shift.update(np.array([50, 50]), np.array([500, 500]))
        assert shift.state()["closings"] == closings


def test_another_stage_forgets_the_size_and_keeps_the_evidence() -> None:
    shift = run(HUGE, rows=2_000, looks=10, seed=1)
    evidence = shift.state()["evidence"]
    shift.begin_stage()
    state = shift.state()
    assert (shift.found, sum(state["canary"]), sum(state["waiting_stable"])) == ("undecided", 0, 0)
    assert state["evidence"] >= evidence
    assert state["closings"] > 0


def test_it_goes_on_from_what_json_holds() -> None:
    one = run(EVEN, rows=700, looks=7, seed=2)
    two = ScoreShift.from_state(json.loads(json.dumps(one.state())), alpha=0.01)
    more = np.arange(BINS) * 40, np.arange(BINS) * 300
    for each in (one, two):
        each.update(*more)
    assert one.state() == two.state()


def test_one_bin_alone_says_that_nothing_moved() -> None:
    shift = ScoreShift(bins=2, alpha=0.01)
    shift.update(np.array([300, 0]), np.array([3_000, 0]))
    assert shift.found == "not worse"


def test_few_rows_of_either_arm_say_neither() -> None:
    shift = ScoreShift(bins=2, alpha=0.01)
    shift.update(np.array([90, 90]), np.array([5_000, 5_000]))
    assert shift.found == "undecided"
    shift = ScoreShift(bins=2, alpha=0.01)
    shift.update(np.array([5_000, 5_000]), np.array([90, 90]))
    assert shift.found == "undecided"
    assert sizes(np.array([60, 140]), np.array([140, 60]), alpha_pass=0.05, alpha=0.01)[0] is False


def test_faults_are_told() -> None:
    with pytest.raises(ValueError, match="1 bin"):
        ScoreShift(bins=1, alpha=0.05)
    state = ScoreShift(bins=3, alpha=0.05).state()
    with pytest.raises(ValueError, match="four counts"):
        ScoreShift.from_state({**state, "waiting_canary": [0], "waiting_stable": [0]}, alpha=0.05)
