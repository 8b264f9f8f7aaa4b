"""Receipts are found by id and by batch, in segments and in parts; what is damaged or missing is never passed over."""

import os
import time
from pathlib import Path

import msgspec
import pytest
from tests.data.traffic.made import (
    ENDPOINT,
    NOW_US,
    STREAM,
    Clock,
    journal_in,
    label,
    logged,
    receipt,
    receipts_of,
    segment_file,
    segments,
)

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import pack_label
from holdtrue.data.traffic.read import batch_of, check, find, gaps, labels, receipts
from holdtrue.data.traffic.receipt import Ids, Receipt, pack
from holdtrue.data.traffic.record import RECEIPT, frame

FORMS = ["segments", "parts", "both"]


@pytest.fixture(params=FORMS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[Receipt]]:
    """A log of 200 receipts in many segments; then as parts; then with later segments beside the parts."""
    made = receipts_of(200)
    if request.param == "both":
        journal = journal_in(tmp_path, rotate_bytes=5000)
        for one in made[:150]:
            journal.add(pack(one))
            journal.write()
        while not compact(tmp_path).parts:  # the thread that syncs seals them when it comes to it
            time.sleep(0.02)
        for one in made[150:]:
            journal.add(pack(one))
            journal.write()
        journal.close()
        assert list(tmp_path.rglob("*.parquet"))
        assert segments(tmp_path)
    else:
        logged(tmp_path, made, rotate_bytes=5000)
    if request.param == "parts":
        assert compact(tmp_path).faults == ()
        assert not segments(tmp_path)
    return tmp_path, made


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o400)


def test_all_receipts_come_in_the_order_of_time(log: tuple[Path, list[Receipt]]) -> None:
    folder, made = log
    assert list(receipts(folder)) == made
    assert check(folder) == ()


def test_a_window_of_time_holds_its_first_moment_and_not_its_last(log: tuple[Path, list[Receipt]]) -> None:
    folder, made = log
    found = list(receipts(folder, since_us=made[70].time_us, until_us=made[130].time_us))
    assert found == made[70:130]
    assert list(receipts(folder, until_us=made[0].time_us)) == []


def test_each_receipt_is_found_by_its_id(log: tuple[Path, list[Receipt]]) -> None:
    folder, made = log
    for one in made[::7]:
        assert find(folder, one.id) == one
        assert find(folder, one.id, endpoint=ENDPOINT) == one


def test_a_batch_is_found_from_any_of_its_receipts(log: tuple[Path, list[Receipt]]) -> None:
    folder, made = log
    for at in range(0, 200, 9):
        first = at // 4 * 4
        assert batch_of(folder, made[at]) == tuple(made[first : first + 4])


def test_an_id_that_is_not_there_is_a_misuse_that_says_what_was_searched(log: tuple[Path, list[Receipt]]) -> None:
    folder, _ = log
    with pytest.raises(Misuse, match=f"{STREAM:08x}, which has [0-9]+ segments"):
        find(folder, Ids(STREAM).next(NOW_US // 1000 + 50_000))
    with pytest.raises(Misuse, match="has 0 segments"):
        find(folder, Ids(5).next(NOW_US // 1000))
    with pytest.raises(Misuse, match="no prediction id"):
        find(folder, "x")
    with pytest.raises(Misuse, match="has no traffic"):
        find(folder, Ids(5).next(1), endpoint="other")


def test_an_id_in_the_body_of_another_is_not_found_there(tmp_path: Path) -> None:
    """Anybody may send a body that looks like a record of ours."""
    ids = Ids(STREAM)
    forged = receipt(ids.next(NOW_US // 1000 + 5), body=b"forged")
    carrier = receipt(ids.next(NOW_US // 1000 + 6), body=b"x" * 3 + pack(forged) * 3)
    logged(tmp_path, [carrier])
    with pytest.raises(Misuse):
        find(tmp_path, forged.id)
    assert find(tmp_path, carrier.id) == carrier


@pytest.mark.parametrize("at", [0, 5, 12, 20, 25, 60, -1])
def test_a_damaged_receipt_is_refused_wherever_the_bit_is(at: int, tmp_path: Path) -> None:
    made = receipts_of(30)
    logged(tmp_path, made)
    path, data = segments(tmp_path)[0], segments(tmp_path)[0].read_bytes()
    start, size = data.index(pack(made[12])), len(pack(made[12]))
    flip(path, start + at % size)
    with pytest.raises(Refused):
        find(tmp_path, made[12].id)
    with pytest.raises(Refused, match="damaged at byte"):
        list(receipts(tmp_path))
    assert find(tmp_path, made[3].id) == made[3]


def test_with_a_list_for_faults_the_rest_is_read(tmp_path: Path) -> None:
    made = receipts_of(200)
    logged(tmp_path, made, rotate_bytes=5000)
    flip(segments(tmp_path)[1], 3000)
    faults: list[str] = []
    found = list(receipts(tmp_path, faults=faults))
    assert found[-1] == made[-1]
    assert 150 < len(found) < 200
    assert len(faults) == 1
    assert check(tmp_path) == tuple(faults)


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_segment_is_told(number: int, log: tuple[Path, list[Receipt]]) -> None:
    folder, _ = log
    for form in ("seg", "json"):
        (folder / ENDPOINT / f"{STREAM:08x}-{number:08d}.{form}").unlink(missing_ok=True)
    with pytest.raises(Refused, match="missing"):
        list(receipts(folder))
    assert any("missing" in fault for fault in check(folder))


def test_a_segment_cut_at_the_end_of_a_record_is_told_by_the_next(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(100), rotate_bytes=5000)
    first = segments(tmp_path)[0]
    first.chmod(0o600)
    os.truncate(first, len(first.read_bytes()) - 110)
    with pytest.raises(Refused, match="lost its end"):
        list(receipts(tmp_path))


def test_a_segment_of_another_endpoint_is_refused(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(3))
    (tmp_path / ENDPOINT).rename(tmp_path / "flights")
    with pytest.raises(Refused, match="belongs to the endpoint 'hotels'"):
        list(receipts(tmp_path))


@pytest.mark.parametrize("form", ["parquet", "json"])
def test_a_flipped_bit_in_a_part_is_refused(form: str, tmp_path: Path) -> None:
    made = receipts_of(40)
    logged(tmp_path, made)
    compact(tmp_path)
    path = next((tmp_path / ENDPOINT).glob(f"*.{form}"))
    size = path.stat().st_size
    for at in range(0, size, max(1, size // 100)):
        flip(path, at, at % 8)
        with pytest.raises(Refused):
            list(receipts(tmp_path))
        with pytest.raises(Refused):
            find(tmp_path, made[7].id)
        flip(path, at, at % 8)
    assert list(receipts(tmp_path)) == made


def test_a_receipt_written_again_after_a_failed_sync_is_given_once(tmp_path: Path) -> None:
    made = receipts_of(6)
    frames = [pack(one) for one in made]
    segment_file(tmp_path / ENDPOINT, frames[:4])
    segment_file(tmp_path / ENDPOINT, frames[2:], number=1)
    assert list(receipts(tmp_path)) == made


def test_kinds_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    made = receipts_of(2)
    segment_file(tmp_path / ENDPOINT, [pack(made[0]), frame(99, b"?"), pack(made[1])])
    assert list(receipts(tmp_path)) == made


def test_a_receipt_with_fields_of_a_later_version_is_read_and_one_without_fields_is_refused(tmp_path: Path) -> None:
    made = receipts_of(1)[0]
    fields = list(msgspec.structs.astuple(made))
    segment_file(tmp_path / ENDPOINT, [frame(RECEIPT, msgspec.msgpack.encode([*fields, "new"]))])
    assert list(receipts(tmp_path)) == [made]
    segment_file(tmp_path / ENDPOINT, [frame(RECEIPT, msgspec.msgpack.encode(fields[:3]))])
    with pytest.raises(Refused, match="cannot be read"):
        list(receipts(tmp_path))


def test_labels_of_all_streams_come_in_the_order_they_were_received(tmp_path: Path) -> None:
    for stream in range(5):
        journal = Journal(tmp_path, endpoint=ENDPOINT, stream=stream, now=Clock(NOW_US + stream * 10_000))
        for number in range(20):
            received_us = NOW_US + stream * 10_000 + number * 7_000 + stream
            journal.add(pack_label(label(number, received_us, source=str(stream))))
            journal.add(pack(receipt(Ids(stream).next(number))))
        journal.write()
        journal.close()
    for _ in range(2):
        times = [one.received_us for one in labels(tmp_path)]
        assert times == sorted(times)
        assert len(times) == 100
        assert list(gaps(tmp_path)) == []
        assert compact(tmp_path).faults == ()


@pytest.mark.slow
def test_one_of_a_hundred_thousand_receipts_is_found_quickly(tmp_path: Path) -> None:
    made = receipts_of(100_000)
    journal = journal_in(tmp_path, rotate_bytes=8 * 2**20)
    for start in range(0, len(made), 50):
        journal.add_all(pack(one) for one in made[start : start + 50])
        journal.write()
    journal.close()
    for _ in range(2):
        began = time.process_time()
        for at in (10, 50_000, 99_990):
            assert find(tmp_path, made[at].id) == made[at]
        assert time.process_time() - began < 3
        compact(tmp_path)
