"""A person who is forgotten is in no snapshot, no receipt and no held-out row any more; what that touched is told."""

import json
from pathlib import Path

import polars as pl
import pytest

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.snapshot import load, scan, snapshot
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, Scalar, pack_label
from holdtrue.data.traffic.read import labels
from holdtrue.data.traffic.subjects import Forgotten
from holdtrue.pipeline.forgetting import forget
from holdtrue.pipeline.keeping import Keeper, keeper_of
from tests.cli.driver import Row, holdtrue, project, rows
from tests.pipeline.recorded import NOW, PROJECT, Recorder, Request, row, store


def table(count: int) -> list[Row]:
    """Rows of which every tenth is of guest 7."""
    return [{**each, "guest": 7 if place % 10 == 0 else 100 + place} for place, each in enumerate(rows(count))]


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return store(tmp_path / "store")


def kept(keeper: Keeper, frame: pl.DataFrame) -> str:
    return snapshot(iter(frame.to_arrow().to_batches()), store=keeper.home.store).digest


def everybody(keeper: Keeper) -> set[str]:
    """Who is named in any file of rows that lies in the store, whether or not a snapshot still has it."""
    found: set[str] = set()
    for path in keeper.home.path.rglob("*"):
        if path.is_file() and path.read_bytes()[:4] == b"PAR1":
            frame = pl.read_parquet(path)
            found |= set(frame["guest"].to_list()) if "guest" in frame.columns else set()
    return found


@pytest.mark.parametrize(
    ("values", "person"),
    [
        (["ann", "bob", " ann ", None], "ann"),
        ([7, 8, 7, None], "7"),
        ([7.0, 8.5, 7.0, None], "7"),
    ],
    ids=["texts", "whole numbers", "numbers"],
)
def test_the_rows_of_a_person_leave_a_snapshot_however_they_are_written(
    keeper: Keeper, values: list[object], person: str
) -> None:
    frame = pl.DataFrame({"guest": values, "age": [1, 2, 3, 4]}, strict=False)
    old, other = kept(keeper, frame), kept(keeper, pl.DataFrame({"age": [5]}))
    done = forget(keeper, person, column="guest", now=NOW)
    (cut,) = done.cuts
    assert (cut.snapshot, cut.rows) == (old, 2)
    made = scan(load(cut.replaced_by, store=keeper.home.store), keeper.home.store).collect()
    assert made["age"].to_list() == [2, 4]
    assert load(other, store=keeper.home.store).rows == 1
    with pytest.raises(Refused):
        load(old, store=keeper.home.store)
    assert forget(keeper, person, column="guest", now=NOW).to_json()["forgotten"] is False


def test_nothing_of_the_person_is_left_in_any_file(keeper: Keeper) -> None:
    names = [f"guest-{number:04}" for number in range(500)]
    kept(keeper, pl.DataFrame({"guest": names}))
    kept(keeper, pl.DataFrame({"guest": ["guest-0042"]}))  # a snapshot of nobody else
    assert everybody(keeper) == set(names)
    done = forget(keeper, "guest-0042", column="guest", now=NOW)
    assert sorted(cut.replaced_by == "" for cut in done.cuts) == [False, True]
    assert everybody(keeper) == {*names} - {"guest-0042"}


def test_rows_that_judged_a_release_go_too(keeper: Keeper) -> None:
    kept(keeper, pl.DataFrame({"guest": ["ann"]}))
    place = keeper.home.held_out("ab" * 32)
    place.parent.mkdir(exist_ok=True)
    frame = pl.DataFrame({"input.guest": ["ann", "bob"], "truth": [0.0, 1.0]})
    frame.write_parquet(place)
    assert forget(keeper, "ann", column="guest", now=NOW).held_out == 1
    assert pl.read_parquet(place)["input.guest"].to_list() == ["bob"]


def test_predictions_are_counted_by_release_and_can_never_be_read(recorder: Recorder) -> None:
    recorder.answer([row(30.0, person="ann"), row(40.0, person="ann"), row(50.0, person="bob"), row(60.0)])
    recorder.write()
    done = forget(recorder.keeper, "ann", now=NOW)
    assert (done.key, list(done.predictions.values())) == (True, [2])
    with pytest.raises(Forgotten):
        recorder.again().reveal(recorder.receipts[0])
    entry = recorder.keeper.ledger().rows[0]
    assert entry.action == "person forgotten"
    assert "ann" not in json.dumps(dict(entry.detail))
    assert entry.detail["predictions"] == done.predictions
    recorder.keeper.verify()


def told(recorder: Recorder, *labels: Label, stream: int = 77, close: bool = True) -> Journal:
    folder = recorder.keeper.home.path / "traffic"
    journal = Journal(folder, endpoint=PROJECT, stream=stream, now=lambda: recorder.now_us)
    journal.add_all([pack_label(label) for label in labels])
    journal.write()
    if close:
        journal.close()
    return journal


def keyed(value: int, **key: Scalar) -> Label:
    return Label(value=value, time_us=0, received_us=5, key=key)


def values(keeper: Keeper) -> list[object]:
    return [label.value for label in labels(keeper.home.path / "traffic")]


def test_labels_whose_key_names_the_person_go_and_the_certificate_says_so(recorder: Recorder) -> None:
    recorder.answer([row(30.0)])
    recorder.write()
    told(recorder, keyed(1, guest=7), keyed(2, guest="7", day="mon"), keyed(3, guest=8), keyed(4, booking=7))
    done = forget(recorder.keeper, "7", column="guest", now=NOW)
    assert (done.labels, done.labels_left) == (2, 0)
    assert values(recorder.keeper) == [3, 4]
    entry = recorder.keeper.ledger().rows[0]
    assert (entry.action, entry.detail["labels"]) == ("person forgotten", 2)
    parts = list((recorder.keeper.home.path / "traffic").rglob("*.parquet"))
    assert not [one for path in parts for one in pl.read_parquet(path)["payload"].drop_nulls() if b"mon" in one]
    assert forget(recorder.keeper, "7", column="guest", now=NOW).anything is False


@pytest.mark.slow
def test_labels_by_the_column_that_requests_name_the_person_by_go_without_saying_which(recorder: Recorder) -> None:
    body = json.dumps({"age": 30, "city": "Oslo", "guest": 7, "booking": 12}).encode()
    recorder.answer([Request(wire="rows", body=body, person="7")])
    recorder.write()
    told(recorder, keyed(1, guest="7"), keyed(2, booking=7), keyed(3, guest=8))
    done = forget(recorder.keeper, "7", now=NOW)
    assert (done.key, done.labels) == (True, 1)
    assert values(recorder.keeper) == [2, 3]  # booking 7 is of somebody


def test_labels_in_a_file_that_is_still_written_to_are_told_and_go_the_next_time(recorder: Recorder) -> None:
    kept(recorder.keeper, pl.DataFrame({"guest": [9]}))
    journal = told(recorder, keyed(1, guest=7), close=False)
    done = forget(recorder.keeper, "7", column="guest", now=NOW)
    assert (done.anything, done.labels, done.labels_left) == (True, 0, 1)
    journal.close()
    again = forget(recorder.keeper, "7", column="guest", now=NOW)
    assert (again.labels, again.labels_left) == (1, 0)
    assert values(recorder.keeper) == []


@pytest.mark.slow
def test_the_releases_that_learned_from_the_rows_are_named_and_it_can_be_trained_without_them(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", table=table(300))
    text = (folder / "holdtrue.yaml").read_text()
    (folder / "holdtrue.yaml").write_text(text.replace("target: bought", "target: bought, drop: [guest, id]"))
    made = holdtrue("run", "--json", folder=folder).json["release"]
    done = holdtrue("forget", "7", "--column", "guest", "--json", folder=folder).json
    assert done["releases"] == [made]
    assert [cut["rows"] for cut in done["cuts"]] == [30]
    (folder / "rows.csv").write_text(
        "\n".join(line for line in (folder / "rows.csv").read_text().splitlines() if not line.endswith(",7")) + "\n"
    )
    again = holdtrue("run", "--json", folder=folder).json["release"]
    keeper = keeper_of(folder, {}, actor="tester")
    manifest = json.loads((keeper.home.releases / again / "manifest.json").read_bytes())
    assert manifest["core"]["lineage"]["snapshot"] == done["cuts"][0]["replaced_by"]
    told = holdtrue("forget", "7", "--column", "guest", folder=folder)
    assert "Nobody is known so." in told.out


def test_what_names_nobody_is_refused(keeper: Keeper) -> None:
    kept(keeper, pl.DataFrame({"age": [1]}))
    with pytest.raises(Misuse, match="No snapshot has a column 'guest'"):
        forget(keeper, "ann", column="guest", now=NOW)
    with pytest.raises(Misuse, match="--subject COLUMN"):
        forget(keeper, "ann", now=NOW)
    with pytest.raises(Misuse, match="as requests do"):
        forget(keeper, " ", column="age", now=NOW)
    assert forget(keeper, "ann", column="age", now=NOW).to_json()["forgotten"] is False
