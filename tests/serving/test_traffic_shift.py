"""Releases change while requests come: no request fails, each is answered by one release, and going back is quick."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.driver import launched
from tests.serving.endpoint import NAME, Served, copied, rows, serving, until
from tests.serving.two_releases import Asking, second_release

from holdtrue.data.traffic.read import receipts
from holdtrue.pipeline.following import rollback
from holdtrue.pipeline.keeping import keeper_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(trips_made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A project folder with two releases: the champion's digest, and the other's."""
    folder = tmp_path_factory.mktemp("both") / "trips"
    return folder, *second_release(trips_made, folder)


@pytest.fixture
def folder(both: tuple[Path, str, str], tmp_path: Path) -> Path:
    return copied(both[0], tmp_path / "trips")


@pytest.fixture
def served(folder: Path) -> Generator[Served]:
    with serving(folder, "--workers", "2", "--cache", "100") as made:
        yield made


def shift(served: Served, weights: dict[str, float], **more: object) -> None:
    done = served.ask("POST", "/traffic", {"weights": weights, **more}, manage=True)
    assert done.status == 200, done.body


def test_two_hundred_swaps_under_load_fail_no_request(served: Served, both: tuple[Path, str, str]) -> None:
    _, first, second = both
    with Asking(served=served) as asking:
        for turn in range(200):
            shift(served, {(second, first)[turn % 2]: 1.0})
        until(lambda: len(asking.answers) > 200, within_s=30)
    assert asking.failed == []
    assert {release for _, release, _ in asking.answers} == {first, second}
    found = {one.id: one.release for one in receipts(served.folder / ".holdtrue" / "traffic")}
    assert all(found[id] == release for _, release, id in asking.answers)
    assert len(found) == len(asking.answers)


def test_after_a_change_is_told_no_answer_is_of_the_release_before(served: Served, both: tuple[Path, str, str]) -> None:
    _, first, second = both
    with Asking(served=served) as asking:
        for release in (second, first, second):
            shift(served, {release: 1.0})
            told_s = time.monotonic()
            time.sleep(0.2)
            assert asking.releases_since(told_s) == {release}
    assert asking.failed == []


def test_the_endpoint_follows_its_alias_and_goes_back_within_two_seconds(
    served: Served, both: tuple[Path, str, str]
) -> None:
    folder, (_, first, second) = served.folder, both
    keeper = keeper_of(folder, {}, actor="tester")
    took_s: list[float] = []
    with Asking(served=served, threads=1) as asking:
        while len(took_s) < 3 and min(took_s, default=2.0) >= 2:  # a machine with other work may be slow once
            moved = launched("promote", second, "champion", "--reason", "better", "--json", folder=folder)
            assert (moved.code, moved.json["served"], moved.json["changed"]) == (0, True, True)
            assert _answering(served) == {second}
            begun = time.monotonic()
            back = rollback(keeper, to="", alias="champion", reason="worse after all", now=datetime.now(UTC))
            ended = time.monotonic()
            took_s.append(ended - begun)
            assert (back.digest, back.served) == (first, True)
            assert _answering(served) == {first}
            time.sleep(0.1)
            assert asking.releases_since(ended) == {first}
    assert asking.failed == []
    assert min(took_s) < 2
    entries = launched("ledger", "--json", folder=folder).json["entries"]
    acts = [(row["action"], row["detail"].get("reason")) for row in entries[:4]]
    assert acts == [
        ("traffic changed", "worse after all"), ("alias moved", "worse after all"),
        ("traffic changed", "better"), ("alias moved", "better"),
    ]  # fmt: skip
    nothing = launched("rollback", folder=folder)
    assert (nothing.code, "nothing to go back to" in nothing.err) == (2, True)
    named = launched("rollback", "--to", second[:8], "--json", folder=folder)
    assert named.json["release"] == second
    assert launched("ledger", "verify", folder=folder).code == 0


def _answering(served: Served) -> set[str]:
    weights = served.ask("GET", "/status", manage=True).json["models"][NAME]["weights"]
    return {digest for digest, weight in weights.items() if weight}


def test_an_alias_that_nobody_serves_moves_without_the_endpoint(served: Served, both: tuple[Path, str, str]) -> None:
    _, first, second = both
    moved = launched("promote", second, "challenger", "--json", folder=served.folder)
    assert (moved.code, moved.json["served"]) == (0, False)
    assert _answering(served) == {first}


def test_the_champion_stays_the_champion_while_a_canary_grows(served: Served, both: tuple[Path, str, str]) -> None:
    _, first, second = both
    for share in (10.0, 90.0):
        shift(served, {first: 100 - share, second: share})
        assert served.ask("GET", "/status", manage=True).json["models"][NAME]["champion"] == first
    shift(served, {second: 1.0})
    assert served.ask("GET", "/status", manage=True).json["models"][NAME]["champion"] == second


def test_shares_pins_and_keys_are_kept_and_written_down(served: Served, both: tuple[Path, str, str]) -> None:
    _, first, second = both
    shift(served, {first: 75.0, second: 25.0}, sticky="age")
    with Asking(served=served):
        time.sleep(1.0)
    row = json.dumps(rows(1, target=False)).encode()
    for digest in (first, second):
        pinned = served.ask("POST", "/predict", row, {"x-holdtrue-version": digest[:12]})
        assert pinned.json["release"] == digest
    assert served.ask("POST", "/predict", row, {"x-holdtrue-version": "f" * 12}).status == 404
    by_age: dict[object, set[str]] = {}
    weights = {first: 0.75, second: 0.25}
    drawn: Counter[str] = Counter()
    for one in receipts(served.folder / ".holdtrue" / "traffic"):
        if one.route != "pinned":
            assert one.weight == weights[one.release]
            assert one.route == {first: "champion", second: "canary"}[one.release]
            by_age.setdefault(json.loads(one.body)[0]["age"], set()).add(one.release)
            drawn[one.release] += 1
    assert all(len(met) == 1 for age, met in by_age.items() if age is not None)
    assert set(drawn) == {first, second}


def test_a_shadow_is_asked_too_and_neither_slows_nor_fails_an_answer(
    served: Served, both: tuple[Path, str, str]
) -> None:
    _, first, second = both
    shift(served, {first: 1.0}, shadow=[second])
    with Asking(served=served) as asking:
        time.sleep(0.7)
    assert asking.failed == []
    assert {release for _, release, _ in asking.answers} == {first}
    found = list(receipts(served.folder / ".holdtrue" / "traffic"))
    shadowed = [one for one in found if one.route == "shadow"]
    assert len(shadowed) == len(asking.answers)
    assert {one.release for one in shadowed} == {second}


def test_a_worker_that_starts_while_traffic_changes_ends_up_with_the_newest(
    served: Served, both: tuple[Path, str, str]
) -> None:
    _, first, second = both
    going = True

    def change() -> None:
        turn = 0
        while going:
            turn += 1
            shift(served, {(second, first)[turn % 2]: 1.0})

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(4):
        before = served.workers()
        os.kill(before[0], signal.SIGKILL)
        until(lambda before=before: len(set(served.workers()) - set(before)) == 1, within_s=20)
    going = False
    thread.join()
    last = _answering(served)
    row = json.dumps(rows(1, target=False)).encode()
    assert {served.ask("POST", "/predict", row).json["release"] for _ in range(30)} == last


def test_what_the_cache_answered_is_made_again_to_the_bit(served: Served) -> None:
    with Asking(served=served, threads=4):  # few rows, again and again, some of them in one batch
        time.sleep(1.5)
    until(lambda: _hits(served) > 100)
    again = launched("replay", "--all", "--json", folder=served.folder)
    assert (again.code, again.json["different"], again.json["damaged"]) == (0, 0, [])
    assert again.json["equal"] > 200
    assert len({one.id for one in receipts(served.folder / ".holdtrue" / "traffic")}) == again.json["equal"]


def _hits(served: Served) -> float:
    counters = served.ask("GET", "/status", manage=True).json["counters"]
    return sum(value for name, value in counters.items() if name.startswith("holdtrue_cache_hits_total"))


QUICK_BANDIT = """
import json, os, sys
from pathlib import Path
from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.serve import Serving, serve
from holdtrue.serving.listening import Address
keeper = keeper_of(Path(sys.argv[1]), os.environ, actor="tester")
serving = Serving(address=Address(port=0), bandit_s=0.3)
serve(keeper, [], serving, ready=lambda state: print(json.dumps(state), flush=True))
"""


def test_a_bandit_learns_from_labels_which_release_is_right(folder: Path, both: tuple[Path, str, str]) -> None:
    _, first, second = both
    process = subprocess.Popen([sys.executable, "-c", QUICK_BANDIT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    served = Served(folder=folder, process=process, state=json.loads(process.stdout.readline()))
    token = launched("token", "new", "--scope", "label", "--json", folder=folder).json["secret"]
    shift(served, {first: 1.0, second: 1.0}, bandit=True)
    row = json.dumps(rows(1, target=False)).encode()
    for _ in range(120):
        got = served.ask("POST", "/predict", row).json
        said = got["predictions"][0]["label"]
        truth = said if got["release"] == second else {"yes": "no", "no": "yes"}[said]
        label = {"prediction_id": got["prediction_id"], "value": truth}
        assert served.ask("POST", "/labels", label, {"authorization": f"Bearer {token}"}).status == 200
    until(lambda: _weights(served)[second] > 0.9, within_s=20)
    assert _weights(served)[first] >= 0.04
    assert sum(_weights(served).values()) == pytest.approx(1)
    served.ask("POST", "/predict", row)
    newest = max(receipts(folder / ".holdtrue" / "traffic"), key=lambda one: one.id)
    assert newest.weight == pytest.approx(_weights(served)[newest.release], abs=0.01)
    process.terminate()
    assert process.wait(timeout=30) == 0
    process.stdout.close()


def _weights(served: Served) -> dict[str, float]:
    found = served.ask("GET", "/status", manage=True).json["models"][NAME]["weights"]
    return {digest: float(weight) for digest, weight in found.items()}
