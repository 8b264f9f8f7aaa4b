"""A segment tells whole records, a torn end and damage apart: for every bit, and every length."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.traffic.made import ENDPOINT, NOW_US, STREAM, journal_in, label, receipts_of, segment_file, segments

from holdtrue.core.errors import Refused
from holdtrue.data.traffic.label import Gap, pack_gap, pack_label
from holdtrue.data.traffic.receipt import pack
from holdtrue.data.traffic.record import frame
from holdtrue.data.traffic.segment import Header, header_bytes, read_header, read_segment

GAP = Gap(since_us=1, until_us=2, count=3, why="disk full")
UNKNOWN = 77


def frames_of_each_kind(count: int = 1) -> list[bytes]:
    made = [pack(one) for one in receipts_of(count)]
    return [*made, pack_label(label("yes", 5)), pack_gap(GAP), frame(UNKNOWN, b"of a later version")]


def sealed_bytes(folder: Path, frames: list[bytes]) -> bytes:
    journal = journal_in(folder)
    journal.add_all(frames)
    journal.write()
    journal.close()
    return segments(folder)[0].read_bytes()


def payloads(path: Path) -> tuple[list[tuple[int, bytes]], str]:
    segment = read_segment(path)
    found = [(record.kind, record.payload) for record in segment]
    return found, segment.finish().state


def flipped(data: bytes) -> Iterator[bytes]:
    changed = bytearray(data)
    for bit in range(len(data) * 8):
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)
        changed[bit // 8] ^= 1 << bit % 8


def copy_as(path: Path, data: bytes, *, mode: int = 0o600) -> Path:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def name_in(folder: Path) -> Path:
    return folder / f"{STREAM:08x}-00000000.seg"


SIZES = [pytest.param(1, id="one of each"), pytest.param(12, id="a few kilobytes")]


@pytest.mark.slow
@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_every_flipped_bit_of_a_sealed_segment_is_refused(count: int, mode: int, tmp_path: Path) -> None:
    data = sealed_bytes(tmp_path / "log", frames_of_each_kind(count))
    path = name_in(tmp_path)
    for changed in flipped(data):
        copy_as(path, changed, mode=mode)
        with pytest.raises(Refused):
            payloads(path)


@pytest.mark.parametrize("kept_bytes", [None, 7, 16, 60])
def test_a_flipped_bit_of_an_open_segment_is_refused_unless_it_lies_in_the_torn_end(
    kept_bytes: int | None, tmp_path: Path
) -> None:
    """`kept_bytes` of the last record were written when the writer was killed; None: all."""
    first, *_ = frames_of_each_kind()
    last = pack(receipts_of(2)[1])
    start = len(header_bytes(read_header(segment_file(tmp_path, []))))
    whole = segment_file(tmp_path, [first, last]).read_bytes()
    data = whole if kept_bytes is None else whole[: start + len(first) + kept_bytes]
    path = copy_as(name_in(tmp_path), data)
    expected = payloads(path)
    assert expected[1] == ("open" if kept_bytes is None else "torn")
    refused = 0
    for at, changed in enumerate(flipped(data)):
        copy_as(path, changed)
        try:
            found = payloads(path)
        except Refused:
            refused += 1
        else:
            assert at // 8 >= start + len(first)
            assert found == expected
    assert refused >= (start + len(first)) * 8


def test_a_segment_cut_at_any_byte_keeps_its_whole_records(tmp_path: Path) -> None:
    frames = frames_of_each_kind(2)
    data = sealed_bytes(tmp_path / "log", frames)
    start = len(header_bytes(read_header(segments(tmp_path / "log")[0])))
    ends = [start]
    for one in frames:
        ends.append(ends[-1] + len(one))
    all_records = payloads(segments(tmp_path / "log")[0])[0]
    path = name_in(tmp_path)
    for cut in range(len(data)):
        copy_as(path, data[:cut])
        if cut < start:
            with pytest.raises(Refused, match="header"):
                payloads(path)
            continue
        found, state = payloads(path)
        assert found == all_records[: sum(end <= cut for end in ends) - 1]
        assert state == ("open" if cut in ends else "torn")


def test_a_sealed_segment_that_lost_its_end_is_damaged_even_at_the_end_of_a_record(tmp_path: Path) -> None:
    frames = frames_of_each_kind()
    data = sealed_bytes(tmp_path / "log", frames)
    start = len(data) - len(sealed_tail(data, frames))
    path = copy_as(name_in(tmp_path), data[:start], mode=0o400)
    with pytest.raises(Refused, match="its end is cut off"):
        payloads(path)


def sealed_tail(data: bytes, frames: list[bytes]) -> bytes:
    return data[data.index(frames[-1]) + len(frames[-1]) :]


@pytest.mark.parametrize("tail", [b"\x00", b"x", bytes(5000), pack_gap(GAP)])
def test_whatever_follows_a_seal_is_damage(tail: bytes, tmp_path: Path) -> None:
    data = sealed_bytes(tmp_path / "log", frames_of_each_kind())
    with pytest.raises(Refused, match="follows the seal"):
        payloads(copy_as(name_in(tmp_path), data + tail))


@pytest.mark.parametrize("zeros_from", range(0, 60, 7))
def test_zeros_that_a_power_cut_leaves_are_a_torn_end(zeros_from: int, tmp_path: Path) -> None:
    first, last = pack_gap(GAP), pack(receipts_of(1)[0])
    whole = segment_file(tmp_path, [first, last]).read_bytes()
    cut = len(whole) - len(last) + zeros_from
    path = copy_as(name_in(tmp_path), whole[:cut] + bytes(len(whole) - cut + 4096))
    found, state = payloads(path)
    assert len(found) == 1
    assert state == "torn"


def test_a_hole_of_zeros_before_other_bytes_is_damage(tmp_path: Path) -> None:
    frames = [pack(one) for one in receipts_of(3)]
    data = bytearray(segment_file(tmp_path, frames).read_bytes())
    at = data.index(frames[1])
    data[at : at + len(frames[1])] = bytes(len(frames[1]))
    with pytest.raises(Refused, match="damaged at byte"):
        payloads(copy_as(name_in(tmp_path), bytes(data)))


def test_a_seal_that_counts_or_hashes_otherwise_is_refused(tmp_path: Path) -> None:
    path = segment_file(tmp_path, frames_of_each_kind(), seal="0" * 64)
    with pytest.raises(Refused, match="does not fit"):
        payloads(path)


def test_a_segment_under_another_name_is_refused(tmp_path: Path) -> None:
    path = segment_file(tmp_path, [])
    with pytest.raises(Refused, match="another name"):
        read_segment(path.rename(tmp_path / "00000001-00000000.seg"))


def test_a_damage_is_told_with_file_and_place(tmp_path: Path) -> None:
    frames = frames_of_each_kind(2)
    data = bytearray(segment_file(tmp_path, frames).read_bytes())
    at = data.index(frames[1])
    data[at + 30] ^= 1
    path = copy_as(name_in(tmp_path), bytes(data))
    with pytest.raises(Refused, match=f"damaged at byte {at:,}") as caught:
        payloads(path)
    assert str(path) in str(caught.value)


def test_the_bytes_of_a_header_are_the_same_as_last_year() -> None:
    header = Header(endpoint=ENDPOINT, stream=STREAM, number=3, created_us=NOW_US, previous="ab")
    assert header_bytes(header).hex() == (
        "8948545345470d0a01001a004628379195a6686f74656c73ce1234abcd03cf00060a24181e4000a26162"
    )
