"""Lets the tests of this folder share the small releases of `made_release.py`."""

import sys
from pathlib import Path

import pytest
from tests.shared import made_once

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one release in it, not to be changed: copy the release to harm it."""
    from made_release import written

    return made_once(tmp_path_factory, "store", written)
