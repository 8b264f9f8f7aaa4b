"""Disks that fail or are full, as the system reports them to a process of its own: nothing is lost in silence."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdtrue.data.traffic.read import check, gaps, receipts
from holdtrue.data.traffic.recover import recover

# A small disk of its own, which a ballast fills at first. It is taken away while the writer goes on, and what lies on
# the disk is copied out before it is gone.
SMALL_DISK = """
mount -t tmpfs -o size=400k none "$1" || exit 99
mkdir "$1/log"
head -c 330000 /dev/zero > "$1/ballast"
(sleep 1.5; rm "$1/ballast") &
shift 2
"$@"
code=$?
wait
cp -rp "$LOG" "$KEEP"
exit $code
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a writer told of its receipts."""

    written: set[str]
    kept: set[str]
    doubtful: set[str]
    refused: set[str]
    state: dict[str, int | str]


def told_by(output: str) -> Told:
    lines = [line.split(" ", 1) for line in output.splitlines()]
    ids: dict[str, set[str]] = {"written": set(), "kept": set(), "doubtful": set(), "refused": set()}
    for what, id in lines[:-1]:
        ids[what].add(id)
    assert lines[-1][0] == "state"
    return Told(**ids, state=json.loads(lines[-1][1]))


def writer(folder: Path, *, count: int, pause_s: float) -> list[str]:
    words = [str(folder), str(count), str(20_000), str(pause_s)]
    return [sys.executable, "-m", "tests.data.traffic.writer", *words]


def strained(folder: Path, inject: str, *, count: int = 300, pause_s: float = 0.003) -> Told:
    assert shutil.which("strace"), "this test needs strace: apt-get install strace"
    call = inject.split(":", maxsplit=1)[0]
    strace = ["strace", "-qq", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={inject}"]
    done = subprocess.run(
        [*strace, *writer(folder, count=count, pause_s=pause_s)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return told_by(done.stdout)


def hold_against(folder: Path, told: Told, count: int) -> None:
    """Everything that was told as written and not taken back is there once; everything else was told."""
    recover(folder)
    faults = [fault for fault in check(folder) if "damaged" in fault or "missing" in fault or "lost" in fault]
    assert faults == []
    found = Counter(one.id for one in receipts(folder, faults=[]))
    assert set(found.values()) == {1}
    assert not told.refused & found.keys()
    assert not told.kept & told.doubtful
    assert told.kept <= found.keys()
    assert told.written - told.doubtful <= found.keys()
    assert len(told.written | told.refused) == count
    assert told.kept | told.doubtful == told.written
    assert sum(gap.count for gap in gaps(folder, faults=[]) if gap.certain) == len(told.refused)
    assert told.state["unreported"] == 0


@pytest.mark.slow
def test_a_disk_that_does_not_keep_what_it_took_is_told(tmp_path: Path) -> None:
    told = strained(tmp_path, "fdatasync:error=EIO:when=5+20")
    assert told.doubtful
    assert told.kept
    hold_against(tmp_path, told, 300)
    assert [gap for gap in gaps(tmp_path, faults=[]) if not gap.certain]


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_writes_that_fail_are_given_back_and_counted(error: str, tmp_path: Path) -> None:
    told = strained(tmp_path, f"pwritev,pwritev2:error={error}:when=5..9")
    assert told.refused
    hold_against(tmp_path, told, 300)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["3", "5+7"])
def test_a_folder_in_which_nothing_can_be_made_is_a_disk_that_fails(when: str, tmp_path: Path) -> None:
    told = strained(tmp_path, f"link:error=ENOSPC:when={when}")
    assert told.refused
    hold_against(tmp_path, told, 300)


@pytest.mark.slow
def test_a_part_of_a_record_that_cannot_be_cut_off_is_never_followed_by_another(tmp_path: Path) -> None:
    """The file may not grow past a limit, and neither may it be cut: what is torn stays torn, and is left."""
    assert shutil.which("strace"), "this test needs strace: apt-get install strace"
    limit = ["prlimit", "--fsize=15000"]
    strace = ["strace", "-qq", "-f", "-o", os.devnull, "-e", "trace=ftruncate", "-e", "inject=ftruncate:error=EIO"]
    done = subprocess.run(
        [*limit, *strace, *writer(tmp_path, count=60, pause_s=0.02)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = told_by(done.stdout)
    assert told.refused
    hold_against(tmp_path, told, 60)


@pytest.mark.slow
def test_a_full_disk_is_survived_and_the_log_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk, keep = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    words = ("unshare", "-Urm", "sh", "-c", SMALL_DISK, "sh", str(disk), "--")
    done = subprocess.run(
        [*words, *writer(disk / "log", count=400, pause_s=0.008)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "LOG": str(disk / "log"), "KEEP": str(keep)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a small disk")
    assert done.returncode == 0, done.stderr
    told = told_by(done.stdout)
    assert told.refused
    hold_against(keep, told, 400)
