"""What an endpoint counts becomes the error budgets of its champion, whatever restarts in between."""

import json
from pathlib import Path
from typing import Any

import pytest

from holdtrue.monitoring.budget import DAY_US, HOUR_US, MINUTE_US, Tally
from holdtrue.pipeline.budgeting import CONTRACT, budgets, burns, count, promises_of, standing
from holdtrue.pipeline.keeping import Keeper
from tests.pipeline.recorded import PROJECT, store

NOW_US = 400 * DAY_US
FAST, COMPLETE = "one row is answered within 20 ms (p99, in process)", "at most 1 % of the rows break the contract"
PROMISES = [
    {"kind": "fast", "scope": "p99 in ms", "bound": 20.0, "text": FAST, "verdict": "proven"},
    {"kind": "complete", "scope": "share", "bound": 0.01, "text": COMPLETE, "verdict": "proven"},
    {"kind": "complete", "scope": "share", "bound": 0.0, "text": "no row breaks it", "verdict": "proven"},
    {"kind": "small", "scope": "bytes", "bound": 1e6, "text": "small", "verdict": "proven"},
    {"kind": "fair", "scope": "gap", "bound": 0.1, "text": "fair", "verdict": "unproven"},
]


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Keeper, str]:
    keeper = store(tmp_path)
    (folder,) = keeper.home.releases.iterdir()
    report = json.loads((folder / "report.json").read_bytes())
    (folder / "report.json").chmod(0o600)
    (folder / "report.json").write_text(json.dumps({**report, "promises": PROMISES}))
    return keeper, folder.name


def status(answers: dict[float, float], *, refused: float = 0, pid: int = 1, shadow: float = 0) -> dict[str, Any]:
    """What the management plane says: answers by the upper bound of their time."""
    bounds = [0.01, 0.02, 0.05]
    counts = [answers.get(bound, 0.0) for bound in bounds] + [answers.get(9.0, 0.0)]
    made = [{"model": PROJECT, "release": "x", "route": "champion", "counts": counts, "sum_s": 1.0}]
    slow = {"model": PROJECT, "release": "y", "route": "shadow", "counts": [0.0, 0.0, 0.0, shadow], "sum_s": 1.0}
    counters = {
        "holdtrue_requests_total{predict,200}": sum(answers.values()),
        "holdtrue_requests_total{predict,422}": refused,
        "holdtrue_requests_total{metrics,200}": 7_000.0,
    }
    return {"pid": pid, "latency": {"bounds_s": bounds, "answers": [*made, slow]}, "counters": counters}


def test_each_count_is_taken_once(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    for minute, answered in ((0, 500.0), (1, 500.0), (2, 800.0)):
        count(keeper, status({0.01: answered, 9.0: 5.0}), release, now_us=NOW_US + minute * MINUTE_US)
    found = burns(keeper, budgets(keeper), now_us=NOW_US + 2 * MINUTE_US)
    assert set(found) == {FAST, COMPLETE}  # what may never happen has no budget, and a file is no event
    assert (found[FAST].events, found[FAST].bad) == (805, 5)
    assert found[FAST].state == "no data"


def test_what_came_while_the_loop_was_away_did_not_come_now(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    count(keeper, status({0.01: 100.0}), release, now_us=NOW_US - 10 * HOUR_US)
    tally = count(keeper, status({0.01: 2_100.0}), release, now_us=NOW_US).tallies[FAST]
    assert tally.within(NOW_US, HOUR_US)[0] == pytest.approx(200, rel=0.02)
    assert tally.within(NOW_US, DAY_US)[0] == pytest.approx(2_100)


def test_a_new_process_counts_from_nothing(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    for pid, answered in ((1, 500.0), (2, 300.0), (2, 400.0), (2, 50.0)):  # at the end a worker was replaced
        count(keeper, status({0.01: answered}, pid=pid), release, now_us=NOW_US)
    assert burns(keeper, budgets(keeper), now_us=NOW_US)[FAST].events == 500 + 400 + 50


def test_slow_answers_burn_the_budget_and_a_shadow_does_not(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    count(keeper, status({0.01: 900.0, 9.0: 100.0}, shadow=5_000.0), release, now_us=NOW_US)
    found = burns(keeper, budgets(keeper), now_us=NOW_US)[FAST]
    assert (found.state, found.events, found.bad) == ("broken", 1_000, 100)


def test_rows_that_break_the_contract_burn_theirs(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    count(keeper, status({0.01: 900.0}, refused=100.0), release, now_us=NOW_US)
    found = burns(keeper, budgets(keeper), now_us=NOW_US)[COMPLETE]
    assert (found.events, found.bad, found.state) == (1_000, 100, "broken")


def test_requests_that_break_the_contract_are_counted_without_a_promise_too(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    file = keeper.folder_of(release) / "report.json"
    report = json.loads(file.read_bytes())
    file.write_text(json.dumps({**report, "promises": PROMISES[-2:]}))
    count(keeper, status({0.01: 900.0}, refused=100.0), release, now_us=NOW_US)
    found = count(keeper, status({0.01: 950.0}, refused=120.0), release, now_us=NOW_US + MINUTE_US)
    assert {name: tally.within(NOW_US + MINUTE_US, DAY_US) for name, tally in found.tallies.items()} == {
        CONTRACT: (1_070, 120)
    }
    assert burns(keeper, found, now_us=NOW_US) == {}


def test_within_a_bucket_answers_are_taken_as_even(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    folder = keeper.home.releases / release
    (folder / "report.json").write_text(json.dumps({"promises": [{**PROMISES[0], "bound": 35.0}]}))
    count(keeper, status({0.05: 600.0, 0.01: 400.0}), release, now_us=NOW_US)
    assert burns(keeper, budgets(keeper), now_us=NOW_US)[FAST].bad == pytest.approx(300)


def test_another_champion_begins_with_a_budget_of_its_own(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    count(keeper, status({9.0: 500.0}), release, now_us=NOW_US)
    before = budgets(keeper)
    assert before.tallies[FAST] != Tally()
    (keeper.home.path / "watch" / f"{PROJECT}.budgets.json").write_text(
        json.dumps({"release": "00", "tallies": {FAST: {"hours": {"1": [1, 1]}}}})
    )
    assert count(keeper, status({0.01: 500.0}), release, now_us=NOW_US).tallies[FAST].within(NOW_US, DAY_US) == (500, 0)


def test_status_says_of_every_promise_how_it_stands(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    assert standing(keeper, now_us=NOW_US) == []  # nothing was counted yet
    count(keeper, status({0.01: 1_000.0}), release, now_us=NOW_US)
    found = {each.promise: (each.state, each.left) for each in standing(keeper, now_us=NOW_US)}
    assert found == {
        FAST: ("kept", 1.0),
        COMPLETE: ("kept", 1.0),
        "no row breaks it": ("cannot tell", None),
        "small": ("kept", None),
        "fair": ("cannot tell", None),
    }


def test_a_file_that_cannot_be_read_is_begun_anew(kept: tuple[Keeper, str]) -> None:
    keeper, release = kept
    count(keeper, status({0.01: 10.0}), release, now_us=NOW_US)
    (keeper.home.path / "watch" / f"{PROJECT}.budgets.json").write_bytes(b"{")
    assert budgets(keeper).tallies == {}
    assert promises_of(keeper, "") == []
