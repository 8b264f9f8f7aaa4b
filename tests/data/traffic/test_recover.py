"""A writer killed at any moment: every receipt that it had told of is there, exactly once."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.data.traffic.made import STREAM, journal_in, logged, receipts_of, segment_file, segments
from tests.data.traffic.writer import Teller, write_on

from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.read import check, receipts
from holdtrue.data.traffic.receipt import pack
from holdtrue.data.traffic.recover import recover
from holdtrue.data.traffic.segment import read_segment


def killed_writer(folder: Path, stream: int, delay_s: float, rotate_bytes: int) -> list[tuple[str, str]]:
    """Fork a writer, kill it after a while; gives what it had told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write_on(folder, Teller(writing), stream=stream, count=10**9, rotate_bytes=rotate_bytes)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.readline()  # it has begun
        started = time.monotonic()
        while time.monotonic() < started + delay_s:
            told += pipe.readline()
        os.kill(child, signal.SIGKILL)
        told += pipe.read()
    os.waitpid(child, 0)
    lines = told.decode().splitlines(keepends=True)
    return [(line.split()[0], line.split()[1]) for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("kills", [5, pytest.param(300, marks=pytest.mark.slow)])
def test_what_a_killed_writer_had_told_of_is_there_exactly_once(kills: int, tmp_path: Path) -> None:
    chance = random.Random(kills)
    acknowledged: set[str] = set()
    for number in range(kills):
        told = killed_writer(tmp_path, number, chance.random() * 0.01, chance.choice([2000, 20_000, 2**20]))
        assert {what for what, _ in told} <= {"written", "kept"}
        acknowledged |= {id for _, id in told}
        if number % 3 == 0:
            assert recover(tmp_path).faults == ()
    recover(tmp_path)
    assert recover(tmp_path).sealed == ()
    assert check(tmp_path) == ()
    counts = Counter(one.id for one in receipts(tmp_path))
    assert acknowledged <= counts.keys()
    assert set(counts.values()) == {1}
    assert len(acknowledged) > kills


def test_a_torn_end_is_cut_off_and_sealed(tmp_path: Path) -> None:
    made = receipts_of(3)
    path = segment_file(tmp_path / "hotels", [pack(one) for one in made])
    size = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(pack(made[0])[:50])
    done = recover(tmp_path)
    assert (done.sealed, done.torn_bytes, done.faults) == ((path,), 50, ())
    segment = read_segment(path)
    assert len(list(segment)) == 3
    assert segment.finish().state == "sealed"
    assert path.stat().st_size > size
    assert recover(tmp_path).sealed == ()
    assert path.stat().st_mode & 0o777 == 0o400


def test_a_segment_whose_writer_lives_is_left_alone(tmp_path: Path) -> None:
    journal, made = journal_in(tmp_path), receipts_of(2)
    journal.add(pack(made[0]))
    journal.write()
    done = recover(tmp_path)
    assert (done.sealed, done.live) == ((), 1)
    journal.add(pack(made[1]))
    journal.write()
    journal.close()
    assert list(receipts(tmp_path)) == made


def test_two_recoveries_at_once_do_it_once(tmp_path: Path) -> None:
    made = receipts_of(200)
    for number in range(0, 200, 10):
        frames = [pack(one) for one in made[number : number + 10]]
        path = segment_file(tmp_path / "hotels", frames, number=number // 10)
        with path.open("ab") as stream:
            stream.write(frames[0][:33])
    children: list[int] = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                done = recover(tmp_path)
                os._exit(1 if done.faults else 0)
            finally:
                os._exit(2)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert list(receipts(tmp_path)) == made
    assert recover(tmp_path).sealed == ()
    assert check(tmp_path) == ()


def test_damage_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    frames = [pack(one) for one in receipts_of(3)]
    path = segment_file(tmp_path / "hotels", frames)
    data = bytearray(path.read_bytes())
    data[data.index(frames[1]) + 40] ^= 4
    path.write_bytes(data)
    done = recover(tmp_path)
    assert done.sealed == ()
    assert "damaged at byte" in done.faults[0]
    assert path.read_bytes() == data


def test_a_sealed_segment_cut_short_is_not_sealed_again(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(100), rotate_bytes=5000)
    first = segments(tmp_path)[0]
    first.chmod(0o600)
    end = len(first.read_bytes()) - 500
    os.truncate(first, end)
    done = recover(tmp_path)
    assert "has lost its end" in done.faults[0]
    assert first.stat().st_size == end


def test_a_segment_that_only_lost_its_seal_gets_the_same_one(tmp_path: Path) -> None:
    """A power cut may take the seal, which nobody waited for, but leave the next segment that names it."""
    made = receipts_of(100)
    logged(tmp_path, made, rotate_bytes=5000)
    first = segments(tmp_path)[0]
    whole = first.read_bytes()
    segment = read_segment(first)
    *_, last = list(segment)
    first.chmod(0o600)
    os.truncate(first, last.at + 16 + len(last.payload) + 1)
    assert recover(tmp_path).faults == ()
    assert first.read_bytes() == whole
    assert list(receipts(tmp_path)) == made


def test_what_killed_writers_left_half_made_is_swept(tmp_path: Path) -> None:
    segment_file(tmp_path / "hotels", [])
    (tmp_path / "hotels" / ".tmp-left").write_bytes(b"x")
    recover(tmp_path)
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_recovered_log_is_compacted_like_any_other(tmp_path: Path) -> None:
    made = receipts_of(5)
    segment_file(tmp_path / "hotels", [pack(one) for one in made])
    assert compact(tmp_path).parts == ()
    recover(tmp_path)
    assert compact(tmp_path).records == 5
    assert list(receipts(tmp_path)) == made


@pytest.mark.slow
@pytest.mark.parametrize("call", ["pwrite64", "ftruncate", "fsync", "fchmod", "flock"])
@pytest.mark.parametrize("when", [1, 2])
def test_a_recovery_killed_in_the_midst_is_finished_by_the_next(call: str, when: int, tmp_path: Path) -> None:
    assert shutil.which("strace"), "this test needs strace: apt-get install strace"
    made = receipts_of(5)
    path = segment_file(tmp_path / "hotels", [pack(one) for one in made])
    with path.open("ab") as stream:
        stream.write(pack(made[0])[:33])
    program = "import sys; from pathlib import Path; from holdtrue.data.traffic.recover import recover;"
    program += "recover(Path(sys.argv[1]))"
    strace = ["strace", "-qq", "-f", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"]
    done = subprocess.run(
        [*strace, sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=False, timeout=60
    )
    assert done.returncode or when > 1, done.stderr
    assert recover(tmp_path).faults == ()
    assert list(receipts(tmp_path)) == made
    assert read_segment(path).header.stream == STREAM
    assert check(tmp_path) == ()
