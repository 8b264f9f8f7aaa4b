"""A sealed segment becomes a part that gives back every record; killed anywhere, nothing is lost or twice."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.data.traffic.made import ENDPOINT, journal_in, label, logged, receipts_of, segments

from holdtrue.core.errors import Busy, HoldtrueError
from holdtrue.data.traffic.compact import compact, main
from holdtrue.data.traffic.label import Gap, pack_gap, pack_label
from holdtrue.data.traffic.layout import places
from holdtrue.data.traffic.part import read_manifest, verify_part, write_part
from holdtrue.data.traffic.read import check, gaps, labels, receipts
from holdtrue.data.traffic.receipt import pack
from holdtrue.data.traffic.record import frame
from holdtrue.data.traffic.segment import read_segment

KILLED = """
import os, signal, sys
from pathlib import Path
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.part import _opened
import pyarrow.parquet
left = int(sys.argv[2])
def heard(event, about):
    global left
    if event in ("open", "os.rename", "os.remove", "fcntl.flock", "os.listdir", "os.scandir") and (
        event == "fcntl.flock" or sys.argv[1] in str(about)
    ):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(heard)
compact(Path(sys.argv[1]))
"""


def mixed_log(folder: Path) -> None:
    """Receipts out of order, labels, gaps and a kind that this version does not know."""
    made = receipts_of(30)
    journal = journal_in(folder, rotate_bytes=3000)
    for at, one in enumerate([*made[:5], *made[10:], *made[5:10]]):
        journal.add(pack(one))
        journal.add(pack_label(label(at, at)))
        journal.write()
    journal.add(pack_gap(Gap(since_us=1, until_us=2, count=3, why="x")))
    journal.add(frame(99, b"later"))
    journal.close()


def test_a_part_gives_back_what_the_segment_held(tmp_path: Path) -> None:
    mixed_log(tmp_path)
    before = (list(receipts(tmp_path)), list(labels(tmp_path)), list(gaps(tmp_path)))
    count = len(segments(tmp_path))
    done = compact(tmp_path)
    assert (len(done.parts), done.records, done.faults) == (count, 62, ())
    assert not segments(tmp_path)
    after = (list(receipts(tmp_path)), list(labels(tmp_path)), list(gaps(tmp_path)))
    assert sorted(one.id for one in after[0]) == sorted(one.id for one in before[0])
    assert {one.id: one for one in after[0]} == {one.id: one for one in before[0]}
    assert after[1:] == before[1:]
    assert check(tmp_path) == ()
    assert compact(tmp_path).parts == ()


def test_a_part_is_a_table_for_others_sorted_by_id(tmp_path: Path) -> None:
    mixed_log(tmp_path)
    compact(tmp_path)
    for path in sorted((tmp_path / ENDPOINT).glob("*.parquet")):
        ids = pl.read_parquet(path)["id"].drop_nulls().to_list()
        assert ids == sorted(ids)


def test_a_manifest_names_its_part_its_segment_and_its_neighbours(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(60), rotate_bytes=5000)
    digests = [read_segment(path).finish().digest for path in segments(tmp_path)]
    compact(tmp_path)
    manifests = [read_manifest(place) for place in places(tmp_path / ENDPOINT)]
    assert [one.segment_digest for one in manifests] == digests
    assert [one.previous for one in manifests] == ["", *digests[:-1]]
    assert sum(one.receipts for one in manifests) == 60


def test_a_live_segment_is_left_alone(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.add(pack(receipts_of(1)[0]))
    journal.write()
    assert compact(tmp_path).parts == ()
    journal.close()
    assert len(compact(tmp_path).parts) == 1


def test_a_damaged_segment_is_told_and_left_and_the_others_are_done(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(100), rotate_bytes=5000)
    path = segments(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o400)
    done = compact(tmp_path)
    assert "damaged at byte" in done.faults[0]
    assert segments(tmp_path) == [path]
    assert len(done.parts) > 2


def test_a_part_that_gives_back_something_else_is_found_out(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(10))
    with (tmp_path / "x.parquet").open("wb") as stream:
        _, records = write_part(read_segment(segments(tmp_path)[0]), stream)
    verify_part(tmp_path / "x.parquet", records)
    for wrong in (records[:-1], [*records, records[0]], [records[1], records[0], *records[2:]]):
        with pytest.raises(HoldtrueError, match="the segment is kept"):
            verify_part(tmp_path / "x.parquet", wrong)


def test_a_part_that_changed_before_its_segment_was_removed_costs_nothing(tmp_path: Path) -> None:
    made = receipts_of(10)
    logged(tmp_path, made)
    path = segments(tmp_path)[0]
    data = path.read_bytes()
    part = compact(tmp_path).parts[0]
    path.write_bytes(data)
    path.chmod(0o400)
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    assert "has changed" in compact(tmp_path).faults[0]
    assert path.exists()
    part.with_suffix(".json").unlink()
    assert compact(tmp_path).faults == ()
    assert list(receipts(tmp_path)) == made


def test_two_at_once_are_one_too_many(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(3))
    handle = os.open(tmp_path / ENDPOINT / "compact.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Busy, match="Another process compacts"):
        compact(tmp_path)
    os.close(handle)
    assert len(compact(tmp_path).parts) == 1


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged(tmp_path, receipts_of(3))
    assert main([]) == 2
    assert main([str(tmp_path)]) == 0
    assert "1 segments with 3 records became parts" in capsys.readouterr().out


def hold(folder: Path, before: list[str]) -> None:
    assert sorted(one.id for one in receipts(folder)) == before
    assert check(folder) == ()


@pytest.mark.slow
def test_killed_at_every_third_step_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    mixed_log(tmp_path / "whole")
    before = sorted(one.id for one in receipts(tmp_path / "whole"))
    for step in range(0, 200, 3):
        folder = tmp_path / str(step)
        shutil.copytree(tmp_path / "whole", folder)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(step)], capture_output=True, text=True, check=False
        )
        hold(folder, before)
        if done.returncode == 0:
            assert step > 15
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert compact(folder).faults == ()
        hold(folder, before)
        assert not segments(folder)
        assert not list(folder.rglob(".tmp-*"))
        shutil.rmtree(folder)


@pytest.mark.slow
def test_killed_at_any_lasting_call_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    assert shutil.which("strace"), "this test needs strace: apt-get install strace"
    logged(tmp_path / "whole", receipts_of(60), rotate_bytes=8000)
    before = [one.id for one in receipts(tmp_path / "whole")]
    calls = "fsync,rename,unlink,flock,fchmod"
    for when in range(1, 100):
        folder = tmp_path / str(when)
        shutil.copytree(tmp_path / "whole", folder)
        strace = ["strace", "-qq", "-f", "-o", os.devnull, "-e", f"trace={calls}"]
        strace += ["-e", f"inject={calls}:signal=KILL:when={when}"]
        words = [sys.executable, "-m", "holdtrue.data.traffic.compact", str(folder)]
        done = subprocess.run([*strace, *words], capture_output=True, text=True, check=False, timeout=60)
        hold(folder, before)
        assert compact(folder).faults == ()
        hold(folder, before)
        if done.returncode == 0:
            assert when > 10
            return
    raise AssertionError("it was always killed")
