"""A command killed in the midst: what the store shows is whole, and the same command done again mends the rest.

Here the kill comes from inside, as Python asks for a step; the benchmark does the same at every call of the system.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdtrue.data.snapshot import load, verify
from holdtrue.pipeline.keeping import Keeper, keeper_of
from tests.cli.driver import copied, half_written, holdtrue, project

KILLED = """
import os, signal, sys
step, place = sys.argv[1:3]
def heard(event, about):
    if event == step and place in str(about):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(heard)
from holdtrue.cli.main import app
app(sys.argv[3:])
"""


def kill(folder: Path, step: str, place: str, *words: str) -> None:
    """Run a command that is killed just before it does `step` (an audit event of Python) to `place`."""
    program = [sys.executable, "-c", KILLED, step, f".holdtrue/{place}", *words]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def looked_at(folder: Path) -> Keeper:
    """Load all that is visible in a store; raises when something is not whole."""
    keeper = keeper_of(folder, {}, actor="check")
    for place in keeper.home.releases.glob("*"):
        keeper.predictor(str(place))
    for place in (keeper.home.path / "snapshots").glob("*.json"):
        verify(load(place.stem, store=keeper.home.store), keeper.home.store)
    keeper.verify()
    return keeper


def named(keeper: Keeper) -> dict[str, str]:
    return {alias.name: alias.digest for alias in keeper.releases()[1]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("finished") / "project")
    assert holdtrue("run", folder=folder).code == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("os.rename", "snapshots/"),
        ("os.rename", "candidates/"),
        ("os.link", "keys/signing.pem"),
        ("os.rename", "releases/"),
        ("os.rename", "checkpoint"),
    ],
)
def test_a_run_after_a_killed_one_ends_as_if_nothing_had_happened(
    finished: Path, tmp_path: Path, step: str, place: str
) -> None:
    folder = project(tmp_path / "project")
    kill(folder, step, place, "run")
    looked_at(folder)
    done = holdtrue("run", folder=folder)
    assert done.code == 0, done.err
    keeper = looked_at(folder)
    digest = named(looked_at(finished))["champion"]
    assert named(keeper) == {"champion": digest}
    assert [release.digest for release in keeper.releases()[0].rows] == [digest]
    assert [path.name for path in keeper.home.releases.iterdir()] == [digest]
    assert keeper.verify().sealed == keeper.verify().count
    assert half_written(folder) == []


@pytest.mark.slow
def test_a_promotion_after_a_killed_one_is_sealed(finished: Path, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path / "project")
    kill(folder, "os.rename", "checkpoint", "promote", "champion", "other-name")
    held = named(looked_at(folder))
    assert held == dict.fromkeys(("champion", "other-name"), held["champion"])
    assert holdtrue("promote", "champion", "other-name", folder=folder).code == 0
    keeper = looked_at(folder)
    assert named(keeper) == held
    assert keeper.verify().sealed == keeper.verify().count
    assert half_written(folder) == []
