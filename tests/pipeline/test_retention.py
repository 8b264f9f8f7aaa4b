"""Traffic that is older than it is kept goes by gc, with proof in the ledger; what else is gone is found out."""

import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from holdtrue.core.errors import Misuse, Refused
from holdtrue.core.files import write_whole
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.part import manifest_bytes
from holdtrue.data.traffic.read import Dropped, receipts
from holdtrue.data.traffic.receipt import Ids, Receipt
from holdtrue.data.traffic.retention import drop, parts
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.replay import replay
from holdtrue.pipeline.retention import ACTION, check_dropped, collect
from holdtrue.pipeline.why_prediction import explain_prediction
from holdtrue.registry.gc import Item
from holdtrue.registry.ledger import Entry
from tests.cli.driver import holdtrue
from tests.pipeline.recorded import NOW_US, PROJECT, Recorder, row

THEN = datetime.fromtimestamp(NOW_US / 1e6, tz=UTC)
KILLED = """
import os, signal, sys
step, place = sys.argv[1:3]
def heard(event, about):
    if event == step and place in str(about):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(heard)
from datetime import datetime
from pathlib import Path
from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.retention import collect
folder = Path(sys.argv[3])
now = datetime.fromisoformat(sys.argv[4])
collect(keeper_of(folder, {}, actor="tester"), folder, {}, keep_days=30, delete=True, now=now)
"""


@pytest.fixture
def folder(recorder: Recorder, tmp_path: Path) -> Path:
    """A project that keeps traffic for thirty days, with some of forty days ago and some of yesterday."""
    for stream, ago in ((5, 40), (6, 35), (7, 1)):
        recorder.stream, recorder.ids = stream, Ids(stream)
        recorder.now_us = NOW_US - ago * 86_400_000_000
        recorder.receipts = []
        recorder.answer([row(30.0), row(41.5)])
        kept = recorder.receipts
        recorder.write()
        assert len(kept) == 2
    place = tmp_path / "project"
    place.mkdir()
    write_file(place, "serve: {retention: 30d}")
    shutil.move(recorder.keeper.home.path, place / ".holdtrue")
    # Segments say when they began; these began when their first prediction was made.
    traffic = place / ".holdtrue" / "traffic"
    compact(traffic)
    for part in parts(traffic):
        begun = msgspec.structs.replace(part.manifest, created_us=part.manifest.first_us)
        write_whole(part.place.manifest, manifest_bytes(begun))
    return place


def write_file(folder: Path, more: str) -> None:
    (folder / "holdtrue.yaml").write_text(f"name: {PROJECT}\ndata: {{source: rows.csv, target: y}}\n{more}\n")


def keeper_at(folder: Path) -> Keeper:
    return keeper_of(folder, {}, actor="tester")


def served(folder: Path) -> list[Receipt]:
    return sorted(receipts(folder / ".holdtrue" / "traffic"), key=lambda one: one.time_us)


def gc(folder: Path, *, delete: bool = True, now: datetime = THEN) -> list[Item]:
    plan = collect(keeper_at(folder), folder, {}, keep_days=30, delete=delete, now=now)
    return [item for item in plan if item.kind == "traffic"]


def announced(folder: Path) -> list[Entry]:
    return [entry for entry in keeper_at(folder).ledger(limit=200).rows if entry.action == ACTION]


@pytest.mark.slow
def test_old_traffic_goes_and_what_is_asked_of_it_says_when_and_why(folder: Path) -> None:
    before = served(folder)
    assert [item.kind for item in gc(folder, delete=False)] == ["traffic", "traffic"]
    assert served(folder) == before
    assert len(gc(folder)) == 2
    assert served(folder) == before[4:]
    keeper = keeper_at(folder)
    keeper.verify()
    for ask in (
        lambda: replay(keeper, prediction=before[0].id, since_us=None, until_us=None, tell=silent),
        lambda: explain_prediction(keeper, before[0].id),
    ):
        with pytest.raises(Dropped, match=f"was dropped by retention on {THEN:%Y-%m-%d}"):
            ask()
    done = replay(keeper, prediction=None, since_us=None, until_us=None, tell=silent)
    assert (done.predictions, done.dropped, done.same) == (2, 4, True)
    assert check_dropped(keeper) == 2
    first = announced(folder)[-1]
    facts = {name: first.detail[name] for name in ("receipts", "first_id", "last_id", "retention_days")}
    assert facts == {"receipts": 2, "first_id": before[0].id, "last_id": before[1].id, "retention_days": 30}
    assert len(first.subject) == 64


def test_done_again_nothing_is_left_to_do_and_nothing_is_said_twice(folder: Path) -> None:
    gc(folder)
    assert gc(folder) == []
    assert len(announced(folder)) == 2
    assert len(gc(folder, now=THEN + timedelta(days=40))) == 1
    assert served(folder) == []


def test_without_a_setting_all_is_kept(folder: Path) -> None:
    write_file(folder, "")
    before = served(folder)
    assert gc(folder, now=THEN + timedelta(days=4_000)) == []
    assert served(folder) == before


def test_what_was_announced_is_done_by_the_next_gc_whatever_the_setting_is_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("the power fails")

    monkeypatch.setattr("holdtrue.pipeline.retention.drop", fails)
    with pytest.raises(OSError, match="the power fails"):
        gc(folder)
    monkeypatch.undo()
    assert len(served(folder)) == 6
    write_file(folder, "")
    assert len(gc(folder)) == 2
    assert len(served(folder)) == 2
    assert len(announced(folder)) == 2


def test_what_the_ledger_does_not_know_was_not_dropped_by_retention(folder: Path) -> None:
    before = served(folder)
    drop(next(iter(parts(folder / ".holdtrue" / "traffic"))), now_us=NOW_US)
    keeper = keeper_at(folder)
    gone = next(one for one in before if one not in served(folder))
    with pytest.raises(Refused, match="the ledger says nothing of it"):
        replay(keeper, prediction=gone.id, since_us=None, until_us=None, tell=silent)
    with pytest.raises(Refused, match="somebody else took it away"):
        check_dropped(keeper)
    shown = holdtrue("doctor", folder=folder)
    assert shown.code == 1
    assert "somebody else took it away" in shown.out


def test_a_marker_that_was_taken_away_is_missed(folder: Path) -> None:
    gc(folder)
    next(iter(parts(folder / ".holdtrue" / "traffic"))).place.manifest.unlink()
    with pytest.raises(Refused, match="nothing of it is left"):
        check_dropped(keeper_at(folder))


def test_a_marker_that_says_other_things_than_the_ledger_is_refused(folder: Path) -> None:
    gc(folder)
    part = next(iter(parts(folder / ".holdtrue" / "traffic")))
    lied = msgspec.structs.replace(part.manifest, receipts=1, last_id=part.manifest.first_id)
    write_whole(part.place.manifest, manifest_bytes(lied))
    with pytest.raises(Refused, match="the ledger says nothing of it"):
        check_dropped(keeper_at(folder))


def test_an_id_that_was_never_there_is_not_called_dropped(folder: Path) -> None:
    gc(folder)
    never = Ids(99).next(NOW_US // 1000)
    with pytest.raises(Misuse, match="is not recorded") as caught:
        replay(keeper_at(folder), prediction=never, since_us=None, until_us=None, tell=silent)
    assert not isinstance(caught.value, Dropped)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("sqlite3.connect", "holdtrue.db"),
        ("os.rename", "checkpoint"),
        ("fcntl.flock", ""),
        ("os.rename", "traffic"),
        ("os.remove", "traffic"),
    ],
)
def test_killed_at_a_step_a_part_is_there_or_it_is_dropped_and_the_next_gc_ends_it(
    folder: Path, step: str, place: str
) -> None:
    before = served(folder)
    program = [sys.executable, "-c", KILLED, step, place, str(folder), THEN.isoformat()]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    seen = served(folder)
    keeper = keeper_at(folder)
    keeper.verify()
    check_dropped(keeper)
    for one in before:
        if one not in seen:
            with pytest.raises(Dropped):
                replay(keeper, prediction=one.id, since_us=None, until_us=None, tell=silent)
    gc(folder)
    assert served(folder) == before[4:]
    entries = announced(folder)
    assert len(entries) == len({entry.subject for entry in entries}) == 2
    assert len(list((folder / ".holdtrue/traffic").rglob("*.parquet"))) == 1
