"""The life of an endpoint: starts that are broken off, processes that are killed, and ends that lose nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from tests.cli.driver import ended, launched, started
from tests.serving.endpoint import copied, free_port, rows, serving, until
from tests.serving.two_releases import Asking

from holdtrue.data.traffic.layout import places
from holdtrue.data.traffic.read import check, receipts
from holdtrue.data.traffic.segment import read_segment

pytestmark = pytest.mark.slow
COUNTED = "holdtrue_requests_total{predict,200}"  # by workers that have ended, too
ROW = json.dumps(rows(1, target=False)).encode()


def children(pid: int) -> list[int]:
    """List the processes that a process started and that live."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def left_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / ".holdtrue" / "endpoints").iterdir()} - {"trips.lock"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_everything_at_once(number: signal.Signals, trips_folder: Path) -> None:
    process = started("serve", "--port", "0", "--json", "--workers", "3", folder=trips_folder)
    until(lambda: len(children(process.pid)) >= 3, within_s=30)  # the workers are being started
    workers = children(process.pid)
    process.send_signal(number)
    begun = time.monotonic()
    done = ended(process)
    assert time.monotonic() - begun < 40
    assert done.code in (0, 130, -signal.SIGTERM)
    assert "Traceback" not in done.err
    until(lambda: not any(alive(pid) for pid in workers), within_s=2)
    assert left_in(trips_folder) == set()


def test_a_worker_that_hangs_at_its_start_does_not_hold_up_the_end(trips_folder: Path) -> None:
    process = started("serve", "--port", "0", "--json", folder=trips_folder)
    until(lambda: len(_workers(process.pid)) == 1, within_s=30)
    (worker,) = _workers(process.pid)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    done = ended(process)
    assert time.monotonic() - begun < 40
    assert done.code == 0
    assert done.out == ""
    assert not alive(worker)


def _workers(pid: int) -> list[int]:
    found: list[int] = []
    for child in children(pid):
        with suppress(OSError):
            if b"holdtrue.serving.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def test_the_workers_of_a_killed_supervisor_end_and_the_next_endpoint_starts(trips_folder: Path) -> None:
    port = free_port()
    with serving(trips_folder, "--port", str(port), "--workers", "2") as first:
        answered = [first.ask("POST", "/predict", ROW).json["prediction_id"] for _ in range(5)]
        workers = first.workers()
        half = first.connect()  # a request that never ends holds nobody up for long
        half.sendall(b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        until(lambda: _refuses(port), within_s=5)
        assert "trips.json" in left_in(trips_folder)  # the socket may lie elsewhere, where the path is long
    with serving(trips_folder, "--port", str(port)) as second:
        assert second.ask("POST", "/predict", ROW).status == 200
        assert json.loads((trips_folder / ".holdtrue/endpoints/trips.json").read_text())["pid"] == second.process.pid
        until(lambda: not any(alive(pid) for pid in workers), within_s=15)
    half.close()
    assert left_in(trips_folder) == set()
    found = Counter(one.id for one in receipts(trips_folder / ".holdtrue" / "traffic"))
    assert all(found[id] == 1 for id in answered)


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # it was in the queue of a listener that closed: not yet refused
        return False
    return False


def test_an_endpoint_is_served_once(trips_folder: Path) -> None:
    with serving(trips_folder) as served:
        again = launched("serve", "--port", "0", folder=trips_folder)
        assert (again.code, again.out) == (2, "")
        assert "This endpoint is served already." in again.err
        assert served.ask("POST", "/predict", ROW).status == 200
        assert served.ask("GET", "/status", manage=True).status == 200
        assert "trips.json" in left_in(trips_folder)  # the socket may lie elsewhere, where the path is long


def test_another_project_cannot_share_the_port(trips_made: Path, trips_folder: Path, tmp_path: Path) -> None:
    with serving(trips_folder) as served:
        other = copied(trips_made, tmp_path / "other")
        refused = launched("serve", "--port", str(served.port), folder=other)
        assert refused.code == 2
        assert "Address already in use" in refused.err
        assert left_in(other) == set()
        assert served.ask("POST", "/predict", ROW).status == 200


def test_a_killed_worker_is_replaced_and_what_it_answered_is_kept_and_counted(trips_folder: Path) -> None:
    with serving(trips_folder, "--workers", "2", "--tidy-every", "1") as served:
        with Asking(served=served, threads=8) as asking:  # so many that each worker has some
            for _ in range(3):
                time.sleep(0.4)
                before = served.workers()
                os.kill(before[0], signal.SIGKILL)
                until(lambda before=before: len(set(served.workers()) - set(before)) == 1)
            time.sleep(0.3)
        state = served.ask("GET", "/status", manage=True).json
        assert state["restarts"] == 3
        until(lambda: _parts(trips_folder) > 0, within_s=60)  # what they left was sealed and compacted meanwhile
    found = Counter(one.id for one in receipts(trips_folder / ".holdtrue" / "traffic"))
    assert {id for _, _, id in asking.answers} <= found.keys()
    assert set(found.values()) == {1}
    assert check(trips_folder / ".holdtrue" / "traffic") == ()


def _parts(folder: Path) -> int:
    return len(list((folder / ".holdtrue" / "traffic" / "trips").glob("*.parquet")))


def test_a_worker_that_crashes_again_and_again_is_started_ever_later_and_status_says_so(
    trips_folder: Path,
) -> None:
    with serving(trips_folder, "--workers", "2") as served:
        for _ in range(4):
            until(lambda: len(_workers(served.process.pid)) == 2)
            os.kill(max(_workers(served.process.pid)), signal.SIGKILL)
            time.sleep(0.1)
        faults = served.ask("GET", "/status", manage=True).json["faults"]
        assert len(faults) in (1, 2)
        assert "the last one " in faults[0]
        assert "started again after 0." in faults[0]
        assert launched("status", folder=trips_folder).code == 0
        until(lambda: len(served.workers()) == 2, within_s=15)
        assert served.ask("POST", "/predict", ROW).status == 200


def test_a_worker_that_hangs_while_it_answers_is_ended_and_replaced(
    trips_folder: Path,
) -> None:
    with serving(trips_folder) as served:
        (worker,) = served.workers()
        os.kill(worker, signal.SIGSTOP)
        begun = time.monotonic()
        done = served.ask("POST", "/stop", b"{}", {"content-type": "application/json"}, manage=True)
        assert done.status == 200
        os.kill(worker, signal.SIGCONT)
        assert served.process.wait(timeout=40) == 0
        assert time.monotonic() - begun < 40


def test_new_workers_take_over_without_a_failed_request(trips_folder: Path) -> None:
    with serving(trips_folder, "--workers", "2") as served:
        before = served.workers()
        with Asking(served=served) as asking:
            time.sleep(0.2)
            for _ in range(2):
                done = served.ask("POST", "/reload", b"{}", {"content-type": "application/json"}, manage=True)
                assert done.status == 200
            served.process.send_signal(signal.SIGHUP)
            now = served.workers()
            until(lambda: not set(now) & set(served.workers()), within_s=20)
            time.sleep(0.2)
        assert asking.failed == []
        assert not set(before) & set(served.workers())
        until(lambda: served.ask("GET", "/status", manage=True).json["counters"][COUNTED] == len(asking.answers))
    assert len(list(receipts(trips_folder / ".holdtrue" / "traffic"))) == len(asking.answers)


def test_an_end_loses_nothing_that_was_answered_and_seals_the_log(trips_folder: Path) -> None:
    with serving(trips_folder, "--workers", "2") as served, Asking(served=served) as asking:
        time.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=20) == 0
    assert asking.answers
    traffic = trips_folder / ".holdtrue" / "traffic"
    found = {one.id for one in receipts(traffic)}
    assert {id for _, _, id in asking.answers} <= found
    for place in places(traffic / "trips"):
        assert read_segment(place.segment).finish().state == "sealed"
        assert place.segment.stat().st_mode & 0o222 == 0
    acts = [row["action"] for row in launched("ledger", "--json", folder=trips_folder).json["entries"]]
    assert acts[:2] == ["endpoint closed", "endpoint opened"]


def test_ctrl_c_in_a_terminal_is_heard_by_the_supervisor_alone(trips_folder: Path) -> None:
    """The system sends it to every process of the group; workers that ended by themselves would look like crashes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "holdtrue.cli", "serve", "--port", "0", "--json"],
        cwd=trips_folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in told
    assert "started again" not in told
