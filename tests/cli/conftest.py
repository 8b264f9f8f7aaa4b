"""A project with a release, made once and copied by whoever harms it."""

from pathlib import Path

import pytest

from tests.cli.driver import holdtrue, project
from tests.shared import made_once


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose store holds one release, the champion. Read only: copy it to change it."""

    def make(folder: Path) -> None:
        done = holdtrue("run", folder=project(folder))
        assert done.code == 0, done.err

    return made_once(tmp_path_factory, "made", make)
