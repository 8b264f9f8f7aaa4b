"""The verb `watch`, on a store with traffic of yesterday."""

import shutil
import time
from pathlib import Path

import pytest

from holdtrue.pipeline.watched import DAY_US
from tests.cli.driver import holdtrue, started
from tests.pipeline.recorded import PROJECT, Recorder, row

FILE = f"name: {PROJECT}\ndata: {{source: rows.csv, target: y}}\nwatch: {{window: 1d, alarm_budget: 1/month}}\n"


@pytest.fixture
def folder(recorder: Recorder, tmp_path: Path) -> Path:
    """A project whose release was asked about an older public yesterday."""
    recorder.now_us = time.time_ns() // 1000 // DAY_US * DAY_US - 3_600_000_000
    for _ in range(10):
        recorder.answer([row(95.0 + place) for place in range(20)])
    recorder.write()
    place = tmp_path / "project"
    place.mkdir()
    (place / "holdtrue.yaml").write_text(FILE)
    shutil.move(recorder.keeper.home.path, place / ".holdtrue")
    return place


@pytest.mark.slow
def test_it_says_which_column_has_changed_and_how(folder: Path) -> None:
    (release,) = (each.name for each in (folder / ".holdtrue/releases").iterdir())
    done = holdtrue("watch", "--release", release, "--windows", "2", folder=folder)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert (
        lines[0] == f"Release {release[:12]}, 2 windows of 1 day; each may have a false alarm with a chance of 3.29%."
    )
    assert lines[1].endswith("no rows, so nothing is known")
    assert lines[2].endswith("200 rows, 1 of 1 columns have changed")
    assert "age" in lines[4]
    assert "and more" in lines[4]
    told = holdtrue("watch", "--release", release, "--json", folder=folder).json
    assert (told["alarms"], told["release"], len(told["windows"])) == (1, release, 7)


@pytest.mark.slow
def test_an_alarm_lasts_until_it_is_silenced_or_over(folder: Path) -> None:
    (release,) = (each.name for each in (folder / ".holdtrue/releases").iterdir())
    assert "No alarm lasts" in holdtrue("alarms", folder=folder).out
    assert holdtrue("watch", "--release", release, "--dry-run", "--json", folder=folder).json["alarms"] == 1
    assert "No alarm lasts" in holdtrue("alarms", folder=folder).out
    told = holdtrue("watch", "--release", release, folder=folder)
    assert "ALARM: the column age has changed" in told.out
    assert "ALARM" not in holdtrue("watch", "--release", release, folder=folder).out
    (alarm,) = holdtrue("alarms", "--json", folder=folder).json["alarms"]
    assert "evidence 10^" in holdtrue("alarms", folder=folder).out
    done = holdtrue("alarms", "--silence", alarm["id"][:6], "--for", "2d", "--reason", "fair", folder=folder)
    assert "Nobody is told of" in done.out
    assert "silent until" in holdtrue("alarms", folder=folder).out
    assert holdtrue("alarms", "--silence", "feed", folder=folder).code == 2
    assert holdtrue("alarms", "--silence", alarm["id"], "--for", "soon", folder=folder).code == 2


@pytest.mark.slow
def test_following_ends_cleanly_when_asked_to(folder: Path) -> None:
    (release,) = (each.name for each in (folder / ".holdtrue/releases").iterdir())
    process = started("watch", "--release", release, "--follow", folder=folder)
    assert process.stdout is not None
    for line in process.stdout:
        if "have changed" in line:
            break
    process.terminate()
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (0, "")


def test_what_cannot_be_watched_is_said(folder: Path) -> None:
    done = holdtrue("watch", folder=folder)
    assert done.code == 2
    assert "champion" in done.err
