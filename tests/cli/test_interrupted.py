"""A run that is stopped, killed or met by another: nothing half-written, and the next one goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.driver import PROJECT, assert_plain, ended, half_written, holdtrue, launched, project, started

pytestmark = pytest.mark.slow

LONG = PROJECT.replace("[logistic], trials: 1", "[lightgbm, logistic], trials: 10")
PATIENCE_S = 60.0


def trials(folder: Path) -> int:
    """Count the trials the journal holds so far; its first line names the search."""
    return sum(len(path.read_text().splitlines()) - 1 for path in (folder / ".holdtrue" / "runs").glob("*/*.jsonl"))


def reached(process: "subprocess.Popen[str]", folder: Path, count: int) -> None:
    """Wait until so many trials are done."""
    until = time.monotonic() + PATIENCE_S
    while trials(folder) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def test_ctrl_c_stops_with_a_message_and_why_knows_it(tmp_path: Path) -> None:
    folder = project(tmp_path, text=LONG)
    process = started("run", folder=folder)
    reached(process, folder, 2)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 130
    assert done.err == "Stopped. Nothing is half-written; the next run goes on from here.\n"
    assert not half_written(folder)
    why = holdtrue("why", folder=folder)
    assert "was stopped" in why.out
    assert "it goes on from its last trial" in why.out


def test_ctrl_c_is_one_object_for_machines(tmp_path: Path) -> None:
    folder = project(tmp_path, text=LONG)
    process = started("run", "--json", folder=folder)
    reached(process, folder, 1)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.json["exit_code"] == done.code == 130


@pytest.mark.parametrize("after_s", [0.2, 0.35, 0.5, 0.65, 0.8])
def test_ctrl_c_is_heard_from_the_start(after_s: float, tmp_path: Path) -> None:
    process = started("run", folder=project(tmp_path, text=LONG))
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code in (130, -signal.SIGINT)
    assert "Traceback" not in done.err or done.code == -signal.SIGINT  # Python itself was still starting


def test_a_killed_run_is_taken_up_and_comes_to_the_same_release(tmp_path: Path) -> None:
    folder = project(tmp_path / "killed", text=LONG)
    process = started("run", folder=folder)
    reached(process, folder, 4)
    process.kill()
    assert ended(process).code == -signal.SIGKILL
    assert not half_written(folder)
    assert "has not finished" in holdtrue("why", folder=folder).out
    (journal,) = (folder / ".holdtrue" / "runs").glob("*/*.jsonl")
    before = journal.read_text().splitlines()
    resumed = launched("run", "--json", folder=folder)
    assert resumed.code in (0, 3, 4), resumed.err
    assert journal.read_text().splitlines()[: len(before)] == before
    undisturbed = launched("run", "--json", folder=project(tmp_path / "undisturbed", text=LONG))
    assert resumed.json["candidate"] == undisturbed.json["candidate"]
    assert resumed.json["release"] == undisturbed.json["release"]
    assert holdtrue("ledger", "verify", folder=folder).code == 0


def test_a_journal_that_is_damaged_is_begun_afresh(tmp_path: Path) -> None:
    folder = project(tmp_path)
    first = holdtrue("run", "--json", folder=folder)
    (journal,) = (folder / ".holdtrue" / "runs").glob("*/*.jsonl")
    whole = journal.read_bytes()
    for harmed in (b"\xff\xfe nonsense", whole[:-20], whole + b"{}\n", b""):
        journal.write_bytes(harmed)
        again = holdtrue("run", "--json", folder=folder)
        assert again.json["candidate"] == first.json["candidate"], again.err
    assert journal.read_bytes() == whole


def test_of_two_runs_at_once_the_second_is_told_who_is_first(tmp_path: Path) -> None:
    folder = project(tmp_path, text=LONG)
    first = started("run", "--json", folder=folder)
    reached(first, folder, 1)
    second = holdtrue("run", folder=folder)
    assert second.code == 1
    assert_plain(second)
    assert f"Another run of this project is going on (process {first.pid})" in second.err
    assert holdtrue("gc", folder=folder).code == 1
    # Who only reads does not wait.
    assert holdtrue("releases", "--json", folder=folder).json == {"releases": [], "after": None}
    assert ended(first).code in (0, 3, 4)
    assert holdtrue("gc", folder=folder).code == 0


def test_two_stores_of_one_project_do_not_meet(tmp_path: Path) -> None:
    folder = project(tmp_path)
    homes = [str(tmp_path / name) for name in ("one", "two")]
    both = [started("run", "--json", folder=folder, HOLDTRUE_HOME=home) for home in homes]
    ends = [ended(process) for process in both]
    assert [done.code for done in ends] == [0, 0], ends
    assert len({done.json["release"] for done in ends}) == 1
    assert not (folder / ".holdtrue").exists()


def test_a_pipe_that_closes_early_is_no_fault(made: Path) -> None:
    words = f"import sys; sys.argv = ['holdtrue', 'card', 'champion', '--folder', {json.dumps(str(made))}]"
    code = f"{words}; from holdtrue.cli.main import main; main()"
    shell = '"$0" -c "$1" | head -1'
    done = subprocess.run(["bash", "-c", shell, sys.executable, code], capture_output=True, text=True, check=False)
    assert done.stdout == "---\n"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
