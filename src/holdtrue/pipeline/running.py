"""The endpoint of a project that runs now: one at a time, managed over a socket that only its owner can open."""

import fcntl
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.pipeline.keeping import Keeper

LONGEST_SOCKET_PATH = 100  # the system allows 107 bytes
WAIT_S = 120.0


class NotRunning(HoldtrueError):
    """No endpoint of the project answers."""


def socket_path(keeper: Keeper) -> Path:
    """Give the path of the management socket: in the store, unless that is too long a path for a socket."""
    path = keeper.home.path / "endpoints" / f"{keeper.project}.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = Path(f"holdtrue-{os.getuid()}") / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.sock"
    # The folder for what is temporary may lie too deep as well.
    places = [Path(tempfile.gettempdir()) / name, Path("/tmp") / name]  # noqa: S108 - a folder of our own within it
    return next((place for place in places if len(os.fsencode(place)) <= LONGEST_SOCKET_PATH), places[-1])


def state_file(keeper: Keeper) -> Path:
    return keeper.home.path / "endpoints" / f"{keeper.project}.json"


@contextmanager
def only_one(keeper: Keeper) -> Generator[None]:
    """Be the one endpoint of a project; raises `Misuse` when there is one.

    Who holds the lock owns the files of the endpoint: what lies there was left by a process that was killed. The system
    lets go of it when the process ends, however it ends.
    """
    path = keeper.home.path / "endpoints" / f"{keeper.project}.lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misuse(
                "This endpoint is served already.", do="See it: holdtrue status. Change it: holdtrue traffic"
            ) from None
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def ask(keeper: Keeper, method: str, path: str, body: Any = None, *, wait_s: float = WAIT_S) -> Any:
    """Ask the management plane of the running endpoint; raises what it refused, and `NotRunning` when there is none."""
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(wait_s)
    try:
        link.connect(str(socket_path(keeper)))
    except OSError:
        link.close()
        raise NotRunning("No endpoint of this project is running.", do="Start one: holdtrue serve") from None
    talk = HTTPConnection("localhost", timeout=wait_s)
    talk.sock = link
    try:
        headers = {"content-type": "application/json"}
        talk.request(method, path, None if body is None else json.dumps(body), headers)
        answer = talk.getresponse()
        told = json.loads(answer.read())
    except (OSError, HTTPException, ValueError) as error:
        raise HoldtrueError(f"The endpoint did not answer: {error}.") from None
    finally:
        talk.close()
    if answer.status != 200:
        raise HoldtrueError(str(told["error"]), faults=told.get("faults", ()))
    return told
