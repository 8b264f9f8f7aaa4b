"""A worker that was killed is known to be dead at once, and no other is taken for dead."""

import subprocess
import sys
from pathlib import Path

import pytest

from holdtrue.pipeline.alive import Sign, is_dead, sweep

WORKER = """
import sys
from pathlib import Path
from holdtrue.pipeline.alive import Sign
sign = Sign(Path(sys.argv[1]))
print(sign.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_worker_is_dead_when_it_was_killed_and_not_before(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert not is_dead(tmp_path, name)
        sweep(tmp_path)
        other.kill()
        other.wait()
        assert is_dead(tmp_path, name)


def test_who_ended_or_lives_elsewhere_is_not_taken_for_dead(tmp_path: Path) -> None:
    here = Sign(tmp_path)
    assert not is_dead(tmp_path, here.name)
    here.close()
    here.close()
    for name in (here.name, "another 1 0123456789abcdef", "", "../../etc/passwd"):
        assert not is_dead(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_workers_left_is_swept_away_and_the_living_are_not(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    here = Sign(tmp_path)
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
        other.wait()
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{here.name.split()[-1]}.alive"]
    here.close()


def test_a_worker_whose_sign_cannot_be_written_works_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    here = Sign(tmp_path / "file")
    assert not is_dead(tmp_path / "file", here.name)
    here.close()
