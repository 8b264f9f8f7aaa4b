"""A segment while it is written: only whole records stay in it, and its digest follows in another thread."""

import errno
import fcntl
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import final

from blake3 import blake3

from holdtrue.core.files import TEMPORARY, sync
from holdtrue.data.traffic.segment import SEALED_MODE, Header, header_bytes, seal_bytes

# The system takes at most this many pieces in one call.
MOST_PIECES = 1024
_READ_BYTES = 1 << 20


@final
class Live:
    """The file that one process appends to; it holds a lock on it as long as it lives.

    `append`, `seal`, `closed` belong to the thread that writes, `hash_to`, `sync` and `finish` to the one that syncs.
    `ticket` and `count` say what the file holds and are set by the writer after the bytes are with the system.

    Space is not set aside beforehand. On ext4 that would save 0.04 of 0.15 ms for each small fdatasync, made writes no
    shorter at 20,000 receipts a second, and would leave a tail of zeros in every file of a killed process.
    """

    def __init__(self, folder: Path, header: Header, *, ticket: int) -> None:
        self.header = header
        self.path = folder / f"{header.name}.seg"
        self.ticket = ticket
        self.count = 0
        self.durable = 0
        self.broken = ""
        self.closed = False
        self.sealed = ""
        self._cut = True
        self._synced = -1
        start = header_bytes(header)
        self._digest = blake3(start)
        self._hashing = threading.Lock()
        self._buffer = bytearray()
        self._handle = _appear(self.path, start)
        self.size = self._hashed = len(start)

    @property
    def unhashed(self) -> int:
        return self.size - self._hashed

    def append(self, frames: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Hand whole records to the system; gives how many it took, and why not all. A part of one is cut off."""
        done, total = 0, sum(map(len, frames))
        try:
            if len(frames) <= MOST_PIECES:
                done = os.pwritev(self._handle, frames, self.size)
            if done < total:
                done = self._write_rest(b"".join(frames), done)
        except OSError as error:
            return self._cut_back(frames), error
        self.size += total
        return len(frames), None

    def _write_rest(self, data: bytes, done: int) -> int:
        """Go on after a short write: either it was a chance, or the next call says what is wrong."""
        view = memoryview(data)
        while done < len(data):
            wrote = os.pwrite(self._handle, view[done:], self.size + done)
            if wrote == 0:
                raise OSError(errno.EIO, "nothing was written")
            done += wrote
        return done

    def _cut_back(self, frames: Sequence[bytes]) -> int:
        """Keep the records that are whole, and take away the part behind them."""
        try:
            length = os.fstat(self._handle).st_size - self.size
            ends = [end for end in accumulate(map(len, frames)) if end <= length]
            os.ftruncate(self._handle, self.size + (ends[-1] if ends else 0))
        except OSError:
            self._cut = False
            return 0
        self.size += ends[-1] if ends else 0
        return len(ends)

    def seal(self) -> str:
        """Write the seal; gives its digest, or nothing when the file must be left to recovery."""
        if self.broken or not self._cut or self.sealed:
            return self.sealed
        try:
            self.hash_to(self.size)
        except OSError:
            return ""
        digest = self._digest.hexdigest()
        kept, _ = self.append([seal_bytes(count=self.count, digest=digest)])
        self.sealed = digest if kept else ""
        return self.sealed

    def hash_to(self, size: int) -> None:
        """Take what was written into the digest. It is read back from memory, where other threads need not stand by."""
        with self._hashing:
            self._buffer = self._buffer or bytearray(_READ_BYTES)
            view = memoryview(self._buffer)
            while self._hashed < size:
                got = os.preadv(self._handle, [view[: min(_READ_BYTES, size - self._hashed)]], self._hashed)
                if got == 0:
                    raise OSError(errno.EIO, "what was written cannot be read back")
                self._digest.update(view[:got])
                self._hashed += got

    def sync(self) -> None:
        """Wait until the disk keeps what was written before the call."""
        size = self.size
        if self._synced < 0:
            os.fsync(self._handle)
            sync(self.path.parent)
        elif self._synced < size:
            os.fdatasync(self._handle)
        self._synced = size

    def finish(self) -> None:
        """Close the file. A sealed one that the disk keeps becomes read-only: it is missed when its seal is gone."""
        with suppress(OSError):
            if self.sealed and not self.broken and self._synced == self.size:
                os.fchmod(self._handle, SEALED_MODE)
        with suppress(OSError):
            # Said aloud, because a child forked meanwhile shares the open file and would go on holding it.
            fcntl.flock(self._handle, fcntl.LOCK_UN)
        with suppress(OSError):
            os.close(self._handle)


def _appear(path: Path, start: bytes) -> int:
    """Make a locked file with its header; it gets its name when it is whole, and never replaces another."""
    handle, name = _scratch(path.parent)
    try:
        if os.write(handle, start) != len(start):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.link(name, path)
    except BaseException:
        os.close(handle)
        raise
    finally:
        Path(name).unlink(missing_ok=True)
    return handle


def _scratch(folder: Path) -> tuple[int, str]:
    """Make a file that `sweep` spares while this process lives."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return handle, name
        except BlockingIOError:
            pass  # another process sweeps it in this moment
        os.close(handle)
