"""What is sealed for a person opens for that person and that record alone, until the person is forgotten."""

import os
import sqlite3
import stat
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.traffic.made import NOW_US, logged, receipts_of

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.read import receipts
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.data.traffic.subjects import Subjects


@pytest.fixture
def subjects(tmp_path: Path) -> Subjects:
    return Subjects(tmp_path / "keys" / "subjects")


def of_person(subject: str, count: int = 3) -> list[Receipt]:
    return [msgspec.structs.replace(one, subject=subject) for one in receipts_of(count)]


@settings(max_examples=15)  # each makes a store of its own, and waits for the disk
@given(st.text(min_size=1, max_size=30), st.binary(max_size=200))
def test_what_is_sealed_can_be_opened(subject: str, plain: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keys = Subjects(Path(folder) / "subjects")
        sealed = keys.seal(subject, plain, about="x")
        assert len(plain) < 4 or plain not in sealed
        assert Subjects(keys.file).open(subject, sealed, about="x") == plain


def test_the_keys_are_for_their_owner_alone(subjects: Subjects) -> None:
    subjects.seal("ada", b"x")
    for path in subjects.file.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_every_flipped_bit_is_refused(subjects: Subjects) -> None:
    sealed = subjects.seal("ada", b"body")
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            subjects.open("ada", bytes(changed))


def test_it_opens_for_no_other_person_and_no_other_record(subjects: Subjects) -> None:
    sealed = subjects.seal("ada", b"body", about="1 body")
    subjects.seal("bob", b"")
    for subject, about in (("bob", "1 body"), ("ada", "2 body"), ("ada", "1 outputs"), ("ada1", " body")):
        with pytest.raises(Refused, match="changed, or belong to another"):
            subjects.open(subject, sealed, about=about)


def test_the_receipts_of_a_forgotten_person_can_be_counted_and_not_read(subjects: Subjects, tmp_path: Path) -> None:
    made = of_person("ada")
    logged(tmp_path / "log", [subjects.conceal(one) for one in made])
    compact(tmp_path / "log")
    kept = list(receipts(tmp_path / "log"))
    assert [subjects.reveal(one) for one in kept] == made
    assert subjects.forget("ada", now_us=NOW_US)
    assert not subjects.forget("ada", now_us=NOW_US)
    assert len(list(receipts(tmp_path / "log"))) == len(made)
    for one in kept:
        with pytest.raises(Refused, match="was forgotten"):
            subjects.reveal(one)


def test_no_file_holds_the_key_of_a_forgotten_person(subjects: Subjects) -> None:
    for number in range(50):
        subjects.seal(f"person {number}", b"x")
    with closing(sqlite3.connect(subjects.file)) as database:
        key, other = (
            database.execute("SELECT key FROM keys WHERE subject = ?", (name,)).fetchone()[0]
            for name in ("person 7", "person 8")
        )
    subjects.forget("person 7", now_us=NOW_US)
    everything = b"".join(path.read_bytes() for path in subjects.file.parent.iterdir())
    assert key not in everything
    assert other in everything
    assert b"person 7\x00" not in everything


def test_who_comes_back_gets_a_new_key_and_the_old_records_stay_closed(subjects: Subjects) -> None:
    old = subjects.seal("ada", b"old")
    subjects.forget("ada", now_us=NOW_US)
    new = subjects.seal("ada", b"new")
    assert subjects.open("ada", new) == b"new"
    with pytest.raises(Refused, match="forgotten"):
        subjects.open("ada", old)


def test_a_process_that_knew_a_key_does_not_use_it_after_another_forgot_it(subjects: Subjects) -> None:
    other = Subjects(subjects.file)
    subjects.seal("ada", b"old")
    other.forget("ada", now_us=NOW_US)
    assert other.open("ada", subjects.seal("ada", b"new")) == b"new"


def test_a_receipt_without_a_person_stays_as_it_is(subjects: Subjects) -> None:
    one = receipts_of(1)[0]
    assert subjects.reveal(subjects.conceal(one)) is one
    assert not subjects.file.exists()
    with pytest.raises(Misuse):
        subjects.seal("", b"x")


def test_processes_that_meet_a_person_at_once_make_one_key(subjects: Subjects) -> None:
    reading, writing = os.pipe()
    for _ in range(4):
        if os.fork() == 0:
            try:
                for number in range(10):
                    os.write(writing, Subjects(subjects.file).seal(f"person {number}", b"x").hex().encode() + b"\n")
            finally:
                os._exit(0)
    for _ in range(4):
        os.wait()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().split()
    assert len(lines) == 40
    assert len({line[2:34] for line in lines}) == 10
    counted = Counter(person_of(subjects, line) for line in lines)
    assert counted == {f"person {number}": 4 for number in range(10)}


def person_of(subjects: Subjects, line: str) -> str:
    """Try the keys of all: one opens it."""
    for name in (f"person {number}" for number in range(10)):
        try:
            subjects.open(name, bytes.fromhex(line))
        except Refused:
            continue
        return name
    raise AssertionError("no key opens it")


def test_keys_that_are_gone_or_damaged_are_told(subjects: Subjects) -> None:
    sealed = subjects.seal("ada", b"x")
    for sealed_wrong in (b"", b"x" * 100):
        with pytest.raises(Refused, match="not sealed"):
            subjects.open("ada", sealed_wrong)
    subjects.file.write_bytes(b"garbage" * 1000)
    with pytest.raises(Refused, match="damaged"):
        subjects.open("ada", sealed)
    subjects.file.unlink()
    with pytest.raises(Refused, match="no keys"):
        subjects.open("ada", sealed)
