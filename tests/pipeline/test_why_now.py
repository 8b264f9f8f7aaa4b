"""`holdtrue why` names the true cause first, wherever it is asked; benchmarks/why asks for all thirty faults."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, pack_label
from holdtrue.monitoring.alarms import Alarm, Book, Seen
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.recorded import recorded_outputs
from holdtrue.pipeline.why_now import explain_about
from holdtrue.registry.aliases import promote
from holdtrue.release.interface import read_interface
from tests.cli.driver import holdtrue, project
from tests.pipeline.ailing import HARDER, LISTED, SEEDED, WEAKER, Asked, Ward, ask, feet_of_one, well
from tests.pipeline.recorded import NOW_US, PROJECT, Recorder, row

NOW = datetime.fromtimestamp(NOW_US / 1e6 + 60, tz=UTC)
# One of each sort: rows, a label, an alarm, a training, a bit, the loop.
SOME = (
    "metres become feet",
    "the population changes",
    "a segment changes its meaning",
    "trained on what is known only afterwards",
    "a bit of a receipt is flipped",
    "useless trainings in a row",
)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return Ward(place=tmp_path_factory.mktemp("ward"))


@pytest.fixture
def asked_in(ward: Ward) -> Generator[Ward]:
    yield ward
    ward.discharge()


def test_each_fault_of_the_list_can_be_seeded() -> None:
    assert [one["fault"] for one in LISTED] == list(SEEDED)
    assert len(LISTED) == 30
    assert [one["fault"] for one in HARDER] == list(WEAKER)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_the_true_cause_is_named_first(name: str, asked_in: Ward) -> None:
    wanted = next(one for one in LISTED if one["fault"] == name)
    found = ask(SEEDED[name](asked_in))
    assert found is not None
    assert (found["kind"], found["where"]) == (wanted["kind"], wanted["where"])
    assert found["do"]
    assert found["evidence"]


@pytest.mark.slow
def test_what_befalls_the_rows_of_one_caller_is_told_of_that_caller(asked_in: Ward) -> None:
    found = ask(feet_of_one(asked_in))
    assert found is not None
    assert (found["kind"], found["where"]) == ("unit changed", "distance_m")
    assert found["evidence"].startswith("of shop, 5")


@pytest.mark.slow
def test_where_nothing_is_wrong_no_cause_is_named(asked_in: Ward) -> None:
    patient = well(asked_in)
    assert ask(patient) is None
    assert ask(Asked(folder=patient.folder, about="distance_m")) is None
    assert "Nothing is found" in holdtrue("why", "distance_m", folder=patient.folder).out
    assert "Every promise is proven" in holdtrue("why", folder=patient.folder).out


@pytest.mark.slow
def test_a_run_that_was_refused_is_told_of_behind_what_is_wrong_now(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    assert holdtrue("run", folder=folder).code == 0
    text = (folder / "holdtrue.yaml").read_text()
    (folder / "holdtrue.yaml").write_text(text.replace("at_least: 0.6", "at_least: 0.99"))
    assert holdtrue("run", folder=folder).code != 0
    refused = holdtrue("why", "--json", folder=folder).json
    assert refused["cause"]["kind"].startswith("promise ")
    with sqlite3.connect(folder / ".holdtrue" / "holdtrue.db") as connection:
        connection.execute("UPDATE aliases SET digest = ?", ("0" * 64,))
    connection.close()
    both = holdtrue("why", "--json", folder=folder).json
    assert both["cause"]["kind"] in ("ledger changed", "release changed")
    assert any(cause["kind"] == refused["cause"]["kind"] for cause in both["causes"])


def named(recorder: Recorder) -> Keeper:
    """Give the name of the champion to the release of hand."""
    keeper = recorder.keeper
    (folder,) = keeper.home.releases.iterdir()
    keeper.database().write(
        lambda connection: promote(connection, keeper.project, folder.name, "champion", actor="x", reason="", now=NOW)
    )
    return keeper


def older(recorder: Recorder, *, days: int = 4, rows: int = 60) -> Keeper:
    """Ask of people who are older than those before."""
    keeper = named(recorder)
    recorder.now_us -= days * 86_400_000_000
    for place in range(rows * days):
        recorder.now_us += 86_400_000_000 // rows - 1_000_000
        recorder.answer([row(80.0 + place % 40)])
    recorder.write()
    return keeper


def test_a_column_is_asked_about_by_its_name(recorder: Recorder) -> None:
    keeper = older(recorder)
    found = explain_about(keeper, "age", now=NOW, again=recorder.again())
    assert found.cause is not None
    assert (found.cause["kind"], found.cause["where"]) == ("population changed", "age")
    assert json.loads(json.dumps(found.to_json()))["cause"] == found.cause


def test_an_alarm_is_asked_about_by_the_beginning_of_its_id(recorder: Recorder) -> None:
    keeper = older(recorder)
    seen = Seen(release="r", kind="drift", subject="age", what="the column age has changed")
    alarm = Alarm(id="ab12cd34ef567890", seen=seen, opened_us=NOW_US, last_us=NOW_US)
    book = keeper.home.path / "watch" / "alarms.json"
    book.parent.mkdir()
    book.write_bytes(msgspec.json.encode(Book(alarms=(alarm,))))
    found = explain_about(keeper, "ab12", now=NOW, again=recorder.again())
    assert "the column age has changed" in found.headline
    assert found.cause is not None
    assert found.cause["kind"] == "population changed"


def labelled(recorder: Recorder, value: Callable[[float, str, int], float | str]) -> Keeper:
    """Ask as before, and say of each answer what `value` makes of it, its source and its place."""
    keeper = named(recorder)
    recorder.now_us -= 4 * 86_400_000_000
    interface = read_interface(recorder.model.plan.interface)
    said: list[Label] = []
    for place in range(200):
        recorder.now_us += 1_000_000_000
        (one,) = recorder.answer([row(30.0 + place % 40)])
        source = "desk" if place % 2 else "robot"
        truth = value(float(np.asarray(recorded_outputs(one, interface)["value"])[0, 0]), source, place)
        came_us = recorder.now_us + 3_600_000_000
        said.append(Label(value=truth, time_us=came_us, received_us=came_us, prediction=one.id, source=source))
    recorder.write()
    with closing(Journal(keeper.home.path / "traffic", endpoint=PROJECT, stream=77, now=lambda: NOW_US)) as journal:
        for one in said:
            journal.add(pack_label(one))
        journal.write()
    return keeper


def test_a_source_whose_numbers_are_off_is_named(recorder: Recorder) -> None:
    keeper = labelled(recorder, lambda value, source, at: value + (3 + at % 3 if source == "robot" else at % 3 / 10))
    found = explain_about(keeper, None, now=NOW, again=recorder.again())
    assert found.cause is not None
    assert (found.cause["kind"], found.cause["where"]) == ("labels wrong", "robot")


def test_a_source_that_says_what_is_no_truth_is_named(recorder: Recorder) -> None:
    keeper = labelled(recorder, lambda value, source, _: "fine" if source == "robot" else value)
    found = explain_about(keeper, None, now=NOW, again=recorder.again())
    assert found.cause is not None
    assert (found.cause["kind"], found.cause["where"]) == ("labels wrong", "robot")
    assert "100 of 100" in found.cause["evidence"]


def test_traffic_of_long_ago_says_nothing_of_now(recorder: Recorder) -> None:
    keeper = older(recorder)
    later = datetime.fromtimestamp(NOW_US / 1e6 + 60 * 86_400, tz=UTC)
    assert explain_about(keeper, "age", now=later, again=recorder.again()).cause is None


def test_what_is_nothing_of_all_that_is_misuse(recorder: Recorder) -> None:
    keeper = named(recorder)
    with pytest.raises(Misuse, match="no run and no release"):
        explain_about(keeper, "something else", now=NOW, again=recorder.again())


def test_a_key_that_is_gone_is_the_only_cause(recorder: Recorder) -> None:
    keeper = older(recorder)
    shutil.rmtree(keeper.home.keys)
    found = explain_about(keeper, None, now=NOW, again=recorder.again())
    assert [cause.kind for cause in found.causes if cause.kind] == ["key missing"]
    assert not keeper.home.keys.exists()  # to ask makes no new one


def test_a_loop_that_has_not_begun_holds_nothing(recorder: Recorder) -> None:
    keeper = named(recorder)
    assert explain_about(keeper, "loop", now=NOW, again=recorder.again()).cause is None
