"""The management socket has a path that a socket may have, wherever the store lies."""

import os
import tempfile
from pathlib import Path

import pytest

from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.running import LONGEST_SOCKET_PATH, socket_path
from holdtrue.pipeline.workspace import Home


def keeper(path: Path) -> Keeper:
    return Keeper(home=Home(path=path, database="sqlite:///x.db"), project="shop", actor="tester")


@pytest.mark.parametrize("temporary", ["/tmp", "/var/" + "deep/" * 30], ids=["short", "deep"])
@pytest.mark.parametrize("store", ["/srv/shop", "/srv/" + "folder/" * 20], ids=["short", "deep"])
def test_a_socket_has_a_path_that_is_short_enough(store: str, temporary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    path = socket_path(keeper(Path(store)))
    assert len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
    assert (path.parent == Path(store) / "endpoints") is (store == "/srv/shop")
    assert path == socket_path(keeper(Path(store)))
    assert path != socket_path(keeper(Path(store) / "other"))
