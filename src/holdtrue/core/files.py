"""Files that are written whole or not at all, and survive a power cut once written."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from holdtrue.core.digest import sha256_bytes, sha256_file
from holdtrue.core.errors import Refused

TEMPORARY = ".tmp-"


def sync(path: Path) -> None:
    """Ask the disk to keep a file or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old bytes or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path.parent) as (stream, name):
        stream.write(data)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())
        name.replace(path)
    sync(path.parent)


@contextmanager
def new_file(folder: Path) -> Generator[tuple[BinaryIO, Path]]:
    """Give a file to fill and then name, readable by its owner alone; `sweep` spares it while this process lives."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
        with suppress(OSError):  # a disk without locks: then `sweep` gets none either
            fcntl.flock(handle, fcntl.LOCK_SH)
        if os.fstat(handle).st_nlink:
            break
        os.close(handle)  # another process swept it between its making and its locking
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the files that killed processes left half-written in a folder; what a live one writes is spared."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)  # raises for a folder, which is not ours
            finally:
                os.close(handle)


@contextmanager
def folder_whole(final: Path, *, scratch: Path) -> Generator[Path]:
    """Fill a folder in `scratch`; it appears at `final` in one step, or not at all.

    A folder that is already there stays: names of folders are digests, so it holds the same bytes.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=scratch))
    try:
        yield building
        for entry in sorted(building.rglob("*")):
            sync(entry)
        sync(building)
        final.parent.mkdir(parents=True, exist_ok=True)
        if not final.exists():
            building.chmod(0o755)
            building.replace(final)
            sync(final.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectStore:
    """Files named by the SHA-256 of their bytes, under `root/ab/abcdef…`; what is read is verified."""

    root: Path

    def path(self, digest: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise Refused(f"{digest!r} is not the name of a stored object; it should be 64 hexadecimal digits.")
        return self.root / digest[:2] / digest

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def put(self, data: bytes) -> str:
        digest = sha256_bytes(data)
        if not self.has(digest):
            write_whole(self.path(digest), data)
        return digest

    def take(self, file: Path) -> str:
        """Move a finished file (on the same disk) into the store."""
        digest = sha256_file(file)
        target = self.path(digest)
        if target.is_file():
            file.unlink()
            return digest
        sync(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        sync(target.parent)
        return digest

    def verified(self, digest: str) -> Path:
        """Give the path of an object after checking its bytes; raises `Refused` when they changed."""
        path = self.path(digest)
        if not path.is_file():
            raise Refused(
                f"The object {digest[:12]}… is not in {self.root}.", do="Restore it from a backup, or run again."
            )
        if sha256_file(path) != digest:
            raise Refused(
                f"The bytes of {path} have changed since they were stored.",
                do="Delete the file and run again from the source; the disk or someone altered it.",
            )
        return path

    def get(self, digest: str) -> bytes:
        return self.verified(digest).read_bytes()
