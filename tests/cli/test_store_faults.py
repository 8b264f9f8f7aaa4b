"""A store that cannot be written, read or believed: a message, an exit code, and nothing half-written."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.cli.driver import (
    PROJECT,
    Done,
    as_csv,
    assert_plain,
    copied,
    half_written,
    holdtrue,
    launched,
    project,
    release_of,
    rows,
)

# Root may write everywhere; without these rights it asks like anybody else.
ANYBODY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
# A small disk of its own in place of the store. What lies on it is copied out before it is gone.
SMALL_DISK = """
mount -t tmpfs -o size="$1" none "$2" || exit 99
home="$2" keep="$3"
shift 3
"$@"
code=$?
cp -r "$home" "$keep"
exit $code
"""


def on_small_disk(folder: Path, size: str, keep: Path) -> Done:
    """Run a project with a store on a disk of a few kilobytes; `keep` gets what was on it."""
    home = folder / ".holdtrue"
    home.mkdir()
    words = ("unshare", "-Urm", "sh", "-c", SMALL_DISK, "sh", size, str(home), str(keep))
    done = launched("run", folder=folder, wrapped=words)
    if done.code == 99 or "unshare" in done.err:
        pytest.skip("this machine lets nobody mount a small disk")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("size", ["16k", "160k", "300k", "420k"])
def test_a_full_disk_leaves_nothing_half_written(size: str, tmp_path: Path) -> None:
    folder, keep = project(tmp_path / "project"), tmp_path / "kept"
    done = on_small_disk(folder, size, keep)
    assert done.code == 1, done.out
    assert_plain(done)
    assert "room" in done.err or "space" in done.err or "disk" in done.err
    assert not [*keep.rglob(".tmp-*"), *(keep / "tmp").glob("*")]
    shutil.rmtree(folder / ".holdtrue")
    keep.rename(folder / ".holdtrue")
    after = holdtrue("run", folder=folder)
    assert after.code == 0, after.err
    assert holdtrue("predict", "champion", "rows.csv", "--out", "out.csv", folder=folder).code == 0
    assert holdtrue("ledger", "verify", folder=folder).code == 0


@pytest.mark.slow
def test_a_full_disk_takes_no_half_of_the_predictions(made: Path, tmp_path: Path) -> None:
    folder, out = copied(made, tmp_path / "project"), tmp_path / "out"
    out.mkdir()
    words = ("unshare", "-Urm", "sh", "-c", SMALL_DISK, "sh", "8k", str(out), str(tmp_path / "kept"))
    done = launched("predict", "champion", "rows.csv", "--out", str(out / "p.csv"), folder=folder, wrapped=words)
    if done.code == 99:
        pytest.skip("this machine lets nobody mount a small disk")
    assert done.code == 1
    assert "there is no space left" in done.err
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "objects", "releases", "candidates", "tmp", "runs", "holdtrue.db", "snapshots"])
def test_a_part_of_the_store_that_may_not_be_written_is_named(part: str, made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    (folder / "holdtrue.yaml").write_text(PROJECT.replace("seed: 7", "seed: 8"))
    (folder / "rows.csv").write_text(as_csv(rows(301)))
    place = folder / ".holdtrue" / part
    if not part:
        (place / "lock").unlink()
    before = place.stat().st_mode
    place.chmod(0o500 if place.is_dir() else 0o400)
    done = launched("run", folder=folder, wrapped=ANYBODY)
    place.chmod(before)
    assert done.code == 1, done.out
    assert_plain(done)
    assert str(place) in done.err
    assert not half_written(folder)
    assert len(list((folder / ".holdtrue" / "releases").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("rows.csv", 1), ("holdtrue.yaml", 2)])
def test_a_file_that_may_not_be_read_is_named(name: str, code: int, tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / name).chmod(0)
    done = launched("run", folder=folder, wrapped=ANYBODY)
    assert done.code == code
    assert_plain(done)
    assert name in done.err
    assert "ermission" in done.err


@pytest.mark.slow
def test_predictions_that_may_not_be_written_name_the_folder(made: Path, tmp_path: Path) -> None:
    folder, out = copied(made, tmp_path / "project"), tmp_path / "out"
    out.mkdir(mode=0o500)
    done = launched("predict", "champion", "rows.csv", "--out", str(out / "p.csv"), folder=folder, wrapped=ANYBODY)
    assert done.code == 1
    assert done.err == f"Permission was refused at {out}.\nGive this user the right to it.\n"


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_something_in_the_way_of_the_store_is_named(what: str, tmp_path: Path) -> None:
    folder = project(tmp_path)
    if what == "a file":
        (folder / ".holdtrue").write_text("in the way")
    else:
        (folder / ".holdtrue" / "lock").mkdir(parents=True)
    done = holdtrue("run", folder=folder)
    assert done.code == 1
    assert_plain(done)
    assert f"{folder / '.holdtrue'} cannot be written" in done.err


def alter(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / ".holdtrue" / "holdtrue.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


ALTERED = {
    "an entry rewritten": ("UPDATE ledger SET leaf = replace(leaf, 'tester', 'x') WHERE seq = 2", "entry 2 is"),
    "an entry removed": ("DELETE FROM ledger WHERE seq = 3", "entry 3 is removed"),
    "the last entry removed": ("DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM ledger)", "removed"),
    "a verdict rewritten": ("UPDATE runs SET verdict = 'refuted'", "is not what its last entry says"),
    "an alias moved": ("UPDATE aliases SET name = 'best'", "behind the ledger's back"),
    "a use forgotten": ("DELETE FROM holdout_uses", "is gone"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERED)
def test_a_rewritten_history_is_found_and_named(name: str, made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    assert holdtrue("ledger", "verify", folder=folder).code == 0
    statement, told = ALTERED[name]
    alter(folder, statement)
    done = holdtrue("ledger", "verify", "--json", folder=folder)
    assert done.code == 5
    assert told in done.err
    assert done.json["exit_code"] == 5


def test_a_changed_byte_in_the_file_of_the_ledger_is_found(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    database = folder / ".holdtrue" / "holdtrue.db"
    data = database.read_bytes()
    place = data.index(b'"hold-out used"')
    database.write_bytes(data[: place + 1] + b"H" + data[place + 2 :])
    done = holdtrue("ledger", "verify", folder=folder)
    assert done.code == 5
    assert "entry " in done.err


def test_a_database_that_is_none_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    (folder / ".holdtrue" / "holdtrue.db").write_bytes(b"garbage" * 100)
    for verb in (("releases",), ("run",), ("ledger", "verify"), ("why",)):
        done = holdtrue(*verb, folder=folder)
        assert done.code == 5, verb
        assert "is damaged or is no SQLite database" in done.err
    doctor = holdtrue("doctor", folder=folder)
    assert doctor.code == 1
    assert "WRONG" in doctor.out


@pytest.mark.slow
def test_a_lost_database_is_told_by_the_checkpoint(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    (folder / ".holdtrue" / "holdtrue.db").unlink()
    done = holdtrue("ledger", "verify", folder=folder)
    assert done.code == 5
    assert "entry 0 and what follows it was removed" in done.err


@pytest.mark.slow
def test_a_lost_database_does_not_lose_the_release(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    digest = release_of(folder).name
    (folder / ".holdtrue" / "holdtrue.db").unlink()
    assert holdtrue("predict", "champion", "rows.csv", "--out", "out.csv", folder=folder).code == 2
    assert holdtrue("predict", str(release_of(folder)), "rows.csv", "--out", "out.csv", folder=folder).code == 0
    assert holdtrue("run", "--json", folder=folder).json["release"] == digest
    assert holdtrue("predict", "champion", "rows.csv", "--out", "out.csv", folder=folder).code == 0


@pytest.mark.slow
def test_stored_rows_that_changed_are_refused(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    for path in (folder / ".holdtrue" / "objects").glob("*/*"):
        path.write_bytes(b"x" + path.read_bytes()[1:])
    for verb in (("reproduce", "champion"), ("run",)):
        done = holdtrue(*verb, folder=folder)
        assert done.code == 5
        assert "have changed since they were stored" in done.err


def test_a_folder_without_a_project_gets_no_store(tmp_path: Path) -> None:
    for verb in (
        ("releases",),
        ("ledger",),
        ("why",),
        ("gc",),
        ("promote", "x"),
        ("predict", "x", "y", "--out", "o.csv"),
    ):
        done = holdtrue(*verb, folder=tmp_path)
        assert done.code == 2, verb
        assert "There is neither a project nor a store" in done.err
    missing = holdtrue("releases", "--folder", str(tmp_path / "nowhere"), folder=tmp_path)
    assert missing.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_moved_project_keeps_everything(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "before").rename(tmp_path / "after")
    assert "is proven" in holdtrue("why", folder=folder).out
    assert holdtrue("predict", "champion", "rows.csv", "--out", "out.csv", folder=folder).code == 0
    assert holdtrue("ledger", "verify", folder=folder).code == 0
    assert holdtrue("reproduce", "champion", folder=folder).code == 0


@pytest.mark.slow
def test_git_never_takes_the_key(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    taken = subprocess.run(["git", "ls-files"], cwd=folder, check=True, capture_output=True, text=True).stdout.split()
    assert "holdtrue.yaml" in taken
    assert not [name for name in taken if name.startswith(".holdtrue")]
