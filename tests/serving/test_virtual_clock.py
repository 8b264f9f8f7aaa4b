"""What an endpoint records by a virtual clock, and what goes by real time all the same."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.driver import launched
from tests.serving.endpoint import rows, serving, token

from holdtrue.core.clock import VirtualClock
from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.data.traffic.receipt import read_id
from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.serve import Serving
from holdtrue.serving.listening import Address

START_US = round(datetime(2001, 2, 3, tzinfo=UTC).timestamp() * 1e6)
HOUR_US = 3_600_000_000


@pytest.mark.slow
def test_receipts_labels_and_the_ledger_are_of_virtual_time(trips_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "clock"
    _, secret = token(trips_folder, "label")
    table = rows(3, seed=9, target=False)
    with (
        VirtualClock.make(path, now_us=START_US) as clock,
        serving(trips_folder, HOLDTRUE_CLOCK=str(path)) as served,
    ):
        asked: list[str] = []
        for hour, row in enumerate(table):
            clock.set(START_US + hour * HOUR_US)
            answer = served.ask("POST", "/predict", [row])
            assert answer.status == 200, answer.body
            asked.append(answer.json["prediction_id"])
        clock.set(START_US + 24 * HOUR_US)
        sent = [{"prediction_id": id, "value": "yes"} for id in asked]
        # The token is young by real time, and would not have been given out yet in virtual time.
        kept = served.ask("POST", "/labels", sent, {"authorization": f"Bearer {secret}"})
        assert kept.status == 200, kept.body
        date = datetime.strptime(kept.headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        assert abs(date.timestamp() - time.time()) < 60
    traffic = trips_folder / ".holdtrue" / "traffic"
    found = sorted(receipts(traffic), key=lambda receipt: receipt.time_us)
    assert [one.time_us for one in found] == [START_US + hour * HOUR_US for hour in range(3)]
    assert [one.id for one in found] == asked
    assert [read_id(one.id)[0] for one in found] == [one.time_us // 1000 for one in found]
    assert {one.received_us for one in labels(traffic)} == {START_US + 24 * HOUR_US}
    ledger = keeper_of(trips_folder, {}, actor="tester").ledger(limit=10).rows
    opened = next(entry for entry in ledger if entry.action == "endpoint opened")
    assert opened.detail["clock"] == "virtual"
    assert opened.time.startswith("2001-02-03T00:00:00")


@pytest.mark.slow
def test_an_expired_token_stays_expired(trips_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "clock"
    _, secret = token(trips_folder, "label", now=datetime(2020, 1, 1, tzinfo=UTC), days=1)
    with VirtualClock.make(path, now_us=START_US), serving(trips_folder, HOLDTRUE_CLOCK=str(path)) as served:
        refused = served.ask("POST", "/labels", [], {"authorization": f"Bearer {secret}"})
    assert refused.status == 401


def test_nothing_that_others_can_reach_lives_by_a_virtual_clock(tmp_path: Path) -> None:
    with (
        VirtualClock.make(tmp_path / "clock", now_us=0),
        pytest.raises(Misuse, match=r"simulations, and 0\.0\.0\.0 can be reached"),
    ):
        Serving(address=Address(host="0.0.0.0"), open_to_all=True, clock=tmp_path / "clock")


@pytest.mark.slow
def test_a_clock_that_is_not_there_is_told(trips_folder: Path) -> None:
    done = launched("serve", "--port", "0", folder=trips_folder, HOLDTRUE_CLOCK="nowhere")
    assert done.code == 2
    assert "nowhere is no clock: No such file or directory." in done.err
