"""One release of a hand-built graph, verified once, and a store of its own for each test."""

import shutil
from pathlib import Path

import pytest

from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.replay import Ready, ready_model
from tests.pipeline.lived import Lived, lived, made
from tests.pipeline.recorded import Recorder, store
from tests.shared import made_once


@pytest.fixture(scope="session")
def waves_made(tmp_path_factory: pytest.TempPathFactory) -> Keeper:
    """Read only: `keeper` is a copy."""
    return store(tmp_path_factory.mktemp("waves") / "store")


@pytest.fixture(scope="session")
def waves_ready(waves_made: Keeper) -> Ready:
    """The release, verified once: that is what takes long."""
    (folder,) = waves_made.home.releases.iterdir()
    return ready_model(waves_made, folder.name)


@pytest.fixture
def keeper(waves_made: Keeper, tmp_path: Path) -> Keeper:
    """A store of one test: a release, and no traffic yet."""
    place = tmp_path / "store"
    shutil.copytree(waves_made.home.path, place)
    home = type(waves_made.home)(path=place, database=f"sqlite:///{place / 'holdtrue.db'}")
    return Keeper(home=home, project=waves_made.project, actor=waves_made.actor)


@pytest.fixture
def recorder(keeper: Keeper, waves_ready: Ready) -> Recorder:
    return Recorder(keeper=keeper, ready=waves_ready)


@pytest.fixture(scope="session")
def visits_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a champion that was trained from a file. Read only: `visited` is a copy."""
    return made_once(tmp_path_factory, "visits", lambda folder: made(folder / "project")) / "project"


@pytest.fixture(scope="session")
def visits_ready(visits_made: Path) -> Ready:
    return lived(visits_made).ready


@pytest.fixture
def visited(visits_made: Path, visits_ready: Ready, tmp_path: Path) -> Lived:
    """The project of one test; what it is asked lies in its own store."""
    folder = tmp_path / "project"
    shutil.copytree(visits_made, folder)
    return Lived(folder=folder, ready=visits_ready)
