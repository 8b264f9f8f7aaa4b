"""One small release with a column of every kind, made once, and endpoints that serve it."""

from collections.abc import Generator
from pathlib import Path

import pytest
from tests.cli.driver import launched
from tests.serving.endpoint import Served, copied, serving, trips
from tests.shared import made_once

from holdtrue.pipeline.keeping import keeper_of
from holdtrue.release.predictor import Predictor
from holdtrue.release.quarantine import admit
from holdtrue.release.signing import trusted_keys
from holdtrue.serving.plan import Plan, plan_of


@pytest.fixture(scope="session")
def trips_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose store holds one release, the champion. Read only: copy it to serve or change it."""

    def make(folder: Path) -> None:
        done = launched("run", folder=trips(folder))  # a process of its own is faster: there signatures go unchecked
        assert done.code == 0, done.err

    return made_once(tmp_path_factory, "trips", make)


@pytest.fixture
def trips_folder(trips_made: Path, tmp_path: Path) -> Path:
    """A copy of the project for one test."""
    return copied(trips_made, tmp_path / "trips")


@pytest.fixture(scope="module")
def served(trips_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """An endpoint with one worker, shared by the tests of a module; `url`, `folder`, `process`, `ask(...)`."""
    with serving(copied(trips_made, tmp_path_factory.mktemp("served") / "trips")) as made:
        yield made


@pytest.fixture(scope="session")
def plan(trips_made: Path) -> Plan:
    """The same release as a worker takes it; for `tests.serving.inside`."""
    keeper = keeper_of(trips_made, {}, actor="tester")
    return plan_of(admit(keeper.folder_of("champion"), trusted=trusted_keys(keeper.home.keys)))


@pytest.fixture(scope="session")
def predictor(trips_made: Path) -> Predictor:
    """The same release as `holdtrue predict` uses it."""
    return keeper_of(trips_made, {}, actor="tester").predictor("champion")
