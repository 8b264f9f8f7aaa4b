"""A folder is read once, and every fault of it is told at once."""

import os
from pathlib import Path

import pytest

from holdtrue.core.errors import Refused
from holdtrue.release.held import MOST_BYTES, hold


def fill(folder: Path) -> Path:
    folder.mkdir()
    for name in MOST_BYTES:
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_complete_folder_is_held_as_it_is(tmp_path: Path) -> None:
    assert hold(fill(tmp_path / "release")) == {name: name.encode() for name in MOST_BYTES}


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    folder = fill(tmp_path / "release")
    (folder / "extra").write_bytes(b"")
    (folder / "card.md").unlink()
    (folder / "report.json").unlink()
    (folder / "report.json").symlink_to(folder / "report.html")
    (tmp_path / "other").hardlink_to(folder / "contract.json")
    (folder / "golden.parquet").unlink()
    os.mkfifo(folder / "golden.parquet")
    os.truncate(folder / "environment.lock", MOST_BYTES["environment.lock"] + 1)
    with pytest.raises(Refused) as told:
        hold(folder)
    assert told.value.faults == (
        "'extra' does not belong in a release",
        "card.md is missing",
        "contract.json has 2 names (hard links); its bytes could change under another one",
        "golden.parquet is not a plain file",
        "report.json is a link",
        "environment.lock has 1,048,577 bytes; at most 1,048,576 are allowed",
    )


def test_a_release_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(Refused, match="no release at"):
            hold(place)


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    folder = fill(tmp_path / "release")
    (folder / "card.md").unlink()
    (folder / "card.md").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(Refused, match=r"card\.md is not a plain file"):
            hold(folder)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
