"""A project with a release, made once and copied by whoever harms it."""

from pathlib import Path

import pytest

from tests.cli.driver import holdtrue, project


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose store holds one release, the champion. Read only: copy it to change it."""
    folder = project(tmp_path_factory.mktemp("made"))
    done = holdtrue("run", folder=folder)
    assert done.code == 0, done.err
    return folder
