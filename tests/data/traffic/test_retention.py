"""Old parts go and leave what proves them; single labels go out of parts. Killed anywhere, it is one or the other."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.data.traffic.made import ENDPOINT, NOW_US, Clock, journal_in, label, logged, receipts_of, segments

from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.journal import ROTATE_US
from holdtrue.data.traffic.label import Label, pack_label
from holdtrue.data.traffic.part import Manifest, manifest_bytes, read_manifest
from holdtrue.data.traffic.read import Dropped, check, find, labels, receipts
from holdtrue.data.traffic.receipt import pack
from holdtrue.data.traffic.recover import recover
from holdtrue.data.traffic.retention import Part, drop, erase_labels, is_old, parts

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
left = int(sys.argv[2])
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.retention import drop, erase_labels, parts
import pyarrow.parquet
def heard(event, about):
    global left
    if event in ("open", "os.rename", "os.remove", "fcntl.flock", "os.listdir", "os.scandir") and (
        event == "fcntl.flock" or sys.argv[1] in str(about)
    ):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(heard)
folder = Path(sys.argv[1])
if sys.argv[3] == "drop":
    for part in list(parts(folder))[:2]:
        drop(part, now_us=77)
else:
    erase_labels(folder, lambda one: one.key.get("guest") == 7)
"""


def killed_at(folder: Path, step: int, deed: str) -> bool:
    """Do a deed that is killed at its so-manieth step; says whether it came to that."""
    program = [sys.executable, "-c", KILLED, str(folder), str(step), deed, str(Path.cwd())]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def log(folder: Path) -> None:
    """Three parts; each holds receipts, and labels of two guests."""
    journal = journal_in(folder, rotate_bytes=6000)
    for at, one in enumerate(receipts_of(60)):
        journal.add(pack(one))
        journal.add(pack_label(label("yes", NOW_US + at * 1000, key={"guest": 7 if at % 10 == 0 else at + 100})))
        journal.write()
    journal.close()
    compact(folder)


def guests(folder: Path) -> list[object]:
    return [one.key["guest"] for one in labels(folder)]


def is_of_seven(one: Label) -> bool:
    return one.key.get("guest") == 7


def test_a_part_that_was_dropped_leaves_its_manifest_and_the_log_is_whole(tmp_path: Path) -> None:
    log(tmp_path)
    first, second, *rest = parts(tmp_path)
    known = [one.id for one in receipts(tmp_path)]
    for part in (first, second):
        drop(part, now_us=NOW_US + 5)
    assert check(tmp_path) == ()
    gone = first.manifest.receipts + second.manifest.receipts
    assert [one.id for one in receipts(tmp_path)] == known[gone:]
    after = next(iter(parts(tmp_path))).manifest
    assert after.dropped_us == NOW_US + 5
    assert msgspec.structs.replace(after, dropped_us=0, own="") == msgspec.structs.replace(first.manifest, own="")
    assert len(list((tmp_path / ENDPOINT).glob("*.parquet"))) == len(rest)
    with pytest.raises(Dropped, match="was dropped by retention on 2023-11-14"):
        find(tmp_path, known[0])
    assert find(tmp_path, known[-1]).id == known[-1]
    with pytest.raises(Misuse, match="is not recorded"):
        find(tmp_path, receipts_of(70)[-1].id)


def test_dropped_twice_is_dropped_once_and_compaction_and_recovery_leave_it(tmp_path: Path) -> None:
    log(tmp_path)
    first = next(iter(parts(tmp_path)))
    drop(first, now_us=5)
    drop(first, now_us=6)
    assert next(iter(parts(tmp_path))).manifest.dropped_us == 5
    recover(tmp_path)
    assert compact(tmp_path).faults == ()
    assert check(tmp_path) == ()


def test_a_segment_that_is_still_there_beside_its_part_goes_too(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(5))
    path = segments(tmp_path)[0]
    data = path.read_bytes()
    compact(tmp_path)
    path.write_bytes(data)
    drop(next(iter(parts(tmp_path))), now_us=5)
    assert not path.exists()
    assert list(receipts(tmp_path)) == []


def test_a_part_is_old_when_its_last_record_is(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.add(pack(receipts_of(1)[0]))
    journal.add(pack_label(label("yes", NOW_US + 10_000_000)))
    journal.write()
    journal.close()
    compact(tmp_path)
    (part,) = parts(tmp_path)
    assert not is_old(part, NOW_US + 5_000_000)  # what came true was heard of later
    assert not is_old(part, NOW_US + 10_000_000)
    assert is_old(part, NOW_US + 10_000_001)
    drop(part, now_us=5)
    assert not is_old(next(iter(parts(tmp_path))), 2**62)


def test_manifests_of_parts_that_were_left_as_they_are_have_no_new_fields(tmp_path: Path) -> None:
    log(tmp_path)
    text = b"".join(part.place.manifest.read_bytes() for part in parts(tmp_path))
    assert b"dropped_us" not in text
    assert b"revision" not in text


@pytest.mark.slow
def test_labels_are_taken_out_of_every_part_and_nothing_else_is(tmp_path: Path) -> None:
    log(tmp_path)
    before = {one.id: one for one in receipts(tmp_path)}
    others = [guest for guest in guests(tmp_path) if guest != 7]
    done = erase_labels(tmp_path, is_of_seven)
    assert (done.erased, done.left) == (6, 0)
    assert guests(tmp_path) == others
    assert {one.id: one for one in receipts(tmp_path)} == before
    assert check(tmp_path) == ()
    assert sum(part.manifest.erased for part in parts(tmp_path)) == 6
    assert erase_labels(tmp_path, is_of_seven).erased == 0
    assert erase_labels(tmp_path, lambda one: one.key["guest"] == 101).erased == 1  # and once more
    assert find(tmp_path, next(iter(before))).id in before
    assert check(tmp_path) == ()


def test_labels_in_a_segment_that_is_written_to_are_counted(tmp_path: Path) -> None:
    log(tmp_path)
    journal = journal_in(tmp_path, stream=5)
    journal.add(pack_label(label("no", NOW_US, key={"guest": 7})))
    journal.write()
    assert erase_labels(tmp_path, is_of_seven).left == 1
    journal.close()
    compact(tmp_path)
    assert erase_labels(tmp_path, is_of_seven).erased == 1


def test_a_segment_that_is_old_is_closed_so_that_it_can_go(tmp_path: Path) -> None:
    clock = Clock()
    journal = journal_in(tmp_path, clock=clock)
    first, second = receipts_of(2)
    journal.add(pack(first))
    journal.write()
    clock.now_us += ROTATE_US
    journal.add(pack(second))
    journal.write()
    assert journal.state().segments == 2
    journal.close()
    assert [one.id for one in receipts(tmp_path)] == [first.id, second.id]


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["drop", "erase"])
def test_killed_at_every_third_step_the_log_is_whole_and_the_rest_is_done_again(tmp_path: Path, deed: str) -> None:
    step = 0
    while True:
        folder = tmp_path / str(step)
        log(folder)
        whole = [one.id for one in receipts(folder)]
        dropped = [part.manifest.receipts for part in parts(folder)]
        was_killed = killed_at(folder, step, deed)
        assert check(folder) == ()
        seen = [one.id for one in receipts(folder)]
        if deed == "drop":
            assert seen in (whole, whole[dropped[0] :], whole[sum(dropped[:2]) :])
            for part in list(parts(folder))[:2]:
                drop(part, now_us=77)
            assert [one.id for one in receipts(folder)] == whole[sum(dropped[:2]) :]
        else:
            assert seen == whole
            assert 54 <= len(guests(folder)) <= 60
            erase_labels(folder, is_of_seven)
            assert len(guests(folder)) == 54
        compact(folder)
        assert check(folder) == ()
        spoken_of = {
            part.place.part_at(part.manifest.revision) for part in parts(folder) if not part.manifest.dropped_us
        }
        assert set((folder / ENDPOINT).glob("*.parquet")) == spoken_of
        if not was_killed:
            break
        step += 3
    assert step > 10


def test_a_manifest_that_claims_to_be_dropped_and_was_changed_is_refused(tmp_path: Path) -> None:
    log(tmp_path)
    first: Part = next(iter(parts(tmp_path)))
    forged: Manifest = msgspec.structs.replace(first.manifest, dropped_us=5)
    data = manifest_bytes(forged)
    first.place.manifest.write_bytes(data.replace(b'"receipts":', b'"receipts": '))
    assert any("has changed" in fault for fault in check(tmp_path))
    first.place.manifest.write_bytes(data)
    assert read_manifest(first.place).dropped_us == 5  # whether it was, the ledger knows
