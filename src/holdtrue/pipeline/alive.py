"""Which workers of a store are alive, as far as this machine can say.

A worker holds a lock on a file named like itself; the system lets go of it when the process ends, however it ends. So a
file that can be locked is the sign of a worker that was killed. A worker on another machine has no file here, and its
death shows only when its lease ends.
"""

import fcntl
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import final


@final
class Sign:
    """The sign that one worker lives; `name` is what the worker calls itself."""

    def __init__(self, folder: Path) -> None:
        """Give it from now on; where nothing can be written there is none, as on another machine."""
        self.name = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        self._path = _path(folder, self.name)
        self._handle = -1
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)

    def close(self) -> None:
        """Take it away; a worker that goes on after that is taken for one of another machine."""
        if self._handle >= 0:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._handle)
            self._handle = -1


def is_dead(folder: Path, name: str) -> bool:
    """Say whether a worker of this store was surely killed."""
    return _is_free(_path(folder, name))


def sweep(folder: Path) -> None:
    """Take away what killed workers left.

    One that begins in the same moment may lose its sign, and is then taken for a worker of another machine.
    """
    for path in folder.glob("*.alive"):
        if _is_free(path):
            with suppress(OSError):
                path.unlink()


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name.rpartition(' ')[2]}.alive"


def _is_free(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
