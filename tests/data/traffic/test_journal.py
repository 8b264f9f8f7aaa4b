"""What the journal took is in the log, in order, once; what the disk keeps is said only when it does."""

import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.traffic.made import ENDPOINT, STREAM, Clock, journal_in, logged, receipts_of, segments

from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.journal import Journal, Unwritten
from holdtrue.data.traffic.live import Live
from holdtrue.data.traffic.read import check, gaps, receipts
from holdtrue.data.traffic.receipt import pack, unpack
from holdtrue.data.traffic.segment import read_header, read_segment


class Answer:
    """A callback that waits for what it is told, and by which thread."""

    def __init__(self) -> None:
        self.kept: list[bool] = []
        self.thread = ""
        self._told = threading.Event()

    def __call__(self, kept: bool) -> None:
        self.kept.append(kept)
        self.thread = threading.current_thread().name
        self._told.set()

    def wait(self) -> list[bool]:
        assert self._told.wait(60)
        return self.kept


def ids_in(folder: Path) -> list[str]:
    return [one.id for one in receipts(folder)]


def test_everything_written_is_there_once_and_in_order(tmp_path: Path) -> None:
    made = receipts_of(500)
    logged(tmp_path, made, rotate_bytes=5000)
    assert list(receipts(tmp_path)) == made
    assert len(segments(tmp_path)) > 3
    assert check(tmp_path) == ()
    assert not list(tmp_path.rglob(".tmp-*"))


def test_each_segment_names_the_seal_of_the_one_before_and_is_read_only(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(100), rotate_bytes=5000)
    before = ""
    for number, path in enumerate(segments(tmp_path)):
        header, end = read_header(path), read_segment(path).finish()
        assert (header.number, header.previous, end.state) == (number, before, "sealed")
        assert path.stat().st_mode & 0o777 == 0o400
        before = end.digest


def test_what_was_written_can_be_read_before_it_is_sealed(tmp_path: Path) -> None:
    journal, made = journal_in(tmp_path), receipts_of(3)
    journal.add_all([pack(one) for one in made])
    assert not segments(tmp_path)
    journal.write()
    assert list(receipts(tmp_path)) == made
    journal.close()


@pytest.mark.slow
def test_many_small_records_fit_in_one_write(tmp_path: Path) -> None:
    journal, made = journal_in(tmp_path), receipts_of(3000)
    journal.add_all([pack(one) for one in made])
    journal.write()
    journal.close()
    assert ids_in(tmp_path) == [one.id for one in made]


def test_who_waits_is_told_by_another_thread_that_the_disk_keeps_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, endpoint=ENDPOINT, stream=STREAM, now=Clock(), sync_s=30)
    answers = [Answer() for _ in range(3)]
    for one, answer in zip(receipts_of(3), answers, strict=True):
        journal.add(pack(one))
        journal.when_durable(journal.write(), answer)
    assert [answer.wait() for answer in answers] == [[True]] * 3
    assert answers[0].thread == "holdtrue-journal-sync"
    assert journal.state().durable == 3
    journal.close()


def test_an_old_ticket_is_answered_too(tmp_path: Path) -> None:
    journal, answer, later = journal_in(tmp_path), Answer(), Answer()
    journal.add(pack(receipts_of(1)[0]))
    ticket = journal.write()
    journal.close()
    journal.when_durable(ticket, answer)
    journal.when_durable(ticket + 1, later)
    assert answer.wait() == [True]
    assert later.wait() == [False]


def test_a_callback_that_raises_stops_nobody(tmp_path: Path) -> None:
    def raising(kept: bool) -> None:
        raise RuntimeError("the loop is closed")

    journal, answer = journal_in(tmp_path), Answer()
    journal.add(pack(receipts_of(1)[0]))
    ticket = journal.write()
    journal.when_durable(ticket, raising)
    journal.when_durable(ticket, answer)
    assert answer.wait() == [True]
    journal.close()


def test_without_records_nothing_is_made(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    assert journal.write() == 0
    journal.close()
    journal.close()
    assert segments(tmp_path) == []


def test_after_the_end_records_are_given_back(tmp_path: Path) -> None:
    journal, frame = journal_in(tmp_path), pack(receipts_of(1)[0])
    journal.close()
    journal.add(frame)
    with pytest.raises(Unwritten) as caught:
        journal.write()
    assert caught.value.frames == (frame,)


def test_a_loss_that_was_counted_is_in_the_log(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.lost(3, "queue full")
    journal.lost(4, "queue full")
    journal.lost(1, "too large")
    assert journal.state().unreported == 8
    journal.close()
    assert [(gap.count, gap.why, gap.certain) for gap in gaps(tmp_path)] == [
        (7, "queue full", True),
        (1, "too large", True),
    ]
    assert (journal.state().lost, journal.state().unreported) == (8, 0)


def test_a_loss_that_cannot_be_written_yet_is_kept_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(monkeypatch, "pwritev", errno.ENOSPC)
    journal = journal_in(tmp_path)
    journal.lost(3, "queue full")
    failing.left = 1
    assert journal.write() == 0
    assert (journal.state().unreported, journal.state().failing) == (3, "No space left on device")
    journal.close()
    assert [gap.count for gap in gaps(tmp_path)] == [3]
    assert journal.state().unreported == 0


def test_a_stream_is_never_written_twice(tmp_path: Path) -> None:
    logged(tmp_path, receipts_of(1))
    with pytest.raises(Misuse, match="written before"):
        journal_in(tmp_path)


@pytest.mark.parametrize("endpoint", ["", "..", "a/b", "/x", ".hidden", "-x", "a" * 101, "ü"])
def test_an_endpoint_never_leads_out_of_the_folder(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="cannot name an endpoint"):
        Journal(tmp_path, endpoint=endpoint, stream=1, now=Clock())


class Failing:
    """Makes one call of the system fail as a disk would; the tests of faults do it with a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, error: int) -> None:
        self.left = 0
        real: Callable[..., object] = getattr(os, name)

        def call(*arguments: object) -> object:
            if self.left:
                self.left -= 1
                raise OSError(error, os.strerror(error))
            return real(*arguments)

        monkeypatch.setattr(os, name, call)


def test_a_failed_sync_is_told_to_all_who_wait_and_the_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, "fdatasync", errno.EIO)
    journal, made, first, bad, good = journal_in(tmp_path), receipts_of(3), Answer(), Answer(), Answer()
    for one, answer in zip(made, (first, bad, good), strict=True):
        failing.left = int(answer is bad)
        journal.add(pack(one))
        journal.when_durable(journal.write(), answer)
        assert answer.wait() == [answer is not bad]
    assert journal.state().failing == ""
    journal.close()
    assert journal.state().doubtful == 1
    assert len(segments(tmp_path)) == 2
    found = list(gaps(tmp_path))
    assert [(gap.count, gap.certain) for gap in found] == [(1, False)]
    assert "Input/output error" in found[0].why
    assert [fault for fault in check(tmp_path) if "no seal" not in fault] == []


def test_a_failed_write_gives_the_records_back_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, "pwritev", errno.ENOSPC)
    journal, made = journal_in(tmp_path), receipts_of(4)
    frames = [pack(one) for one in made]
    journal.add(frames[0])
    journal.write()
    failing.left = 1
    journal.add_all(frames[1:3])
    with pytest.raises(Unwritten, match="No space left") as caught:
        journal.write()
    assert list(caught.value.frames) == frames[1:3]
    assert journal.state().failing == "No space left on device"
    journal.lost(2, "disk full")
    journal.add(frames[3])
    with pytest.raises(Unwritten):  # it does not try at each request
        journal.write()
    time.sleep(0.06)
    journal.add(frames[3])
    journal.write()
    assert journal.state().failing == ""
    journal.close()
    assert ids_in(tmp_path) == [made[0].id, made[3].id]
    assert [gap.count for gap in gaps(tmp_path)] == [2]
    assert check(tmp_path) == ()


def test_a_short_write_keeps_whole_records_only(tmp_path: Path) -> None:
    """The file may grow to a limit and no further: the same as a disk that fills up within a record."""
    frames = [pack(one) for one in receipts_of(20)]
    limit = 2000
    folder = tmp_path / "log"
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            journal = journal_in(folder)
            journal.add_all(frames)
            try:
                journal.write()
            except Unwritten as unwritten:
                kept = len(frames) - len(unwritten.frames)
                (tmp_path / "kept").write_text(str(kept))
                journal.lost(len(unwritten.frames), "full")
                time.sleep(0.06)
                journal.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    kept = int((tmp_path / "kept").read_text())
    assert 0 < kept < 20
    assert ids_in(folder) == [unpack(frame).id for frame in frames[:kept]]
    assert [gap.count for gap in gaps(folder)] == [20 - kept]
    assert all(path.stat().st_size <= limit for path in segments(folder))


def test_a_segment_that_cannot_be_hashed_is_not_taken_for_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, answer = journal_in(tmp_path), Answer()

    def broken(self: Live, size: int) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(Live, "hash_to", broken)
    journal.add(pack(receipts_of(1)[0]))
    journal.when_durable(journal.write(), answer)
    assert answer.wait() == [False]
    monkeypatch.undo()
    journal.close()
    assert journal.state().doubtful == 1
