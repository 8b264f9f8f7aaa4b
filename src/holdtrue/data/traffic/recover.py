"""What a killed writer left is sealed, its torn end cut off; done twice, or by two at once, it is the same."""

import fcntl
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdtrue.core.errors import Refused
from holdtrue.core.files import sweep, sync
from holdtrue.data.traffic.layout import Place, endpoints, places
from holdtrue.data.traffic.segment import SEALED_MODE, End, read_header, read_segment, seal_bytes

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What was found at the start.

    Args:
        sealed: segments that got their seal now.
        torn_bytes: what was cut from their ends: records that were never whole, so never acknowledged.
        live: segments that another process writes.
        faults: what is damaged, and was left as it is.
    """

    sealed: tuple[Path, ...]
    torn_bytes: int
    live: int
    faults: tuple[str, ...]


def recover(folder: Path, *, endpoint: str | None = None) -> Recovery:
    """Seal every segment whose writer is dead. `folder` holds a folder for each endpoint."""
    sealed: list[Path] = []
    faults: list[str] = []
    torn = live = 0
    for home in endpoints(folder, endpoint):
        sweep(home)
        for place in places(home):
            try:
                done = _recover(place)
            except Refused as refused:
                faults.append(refused.what)
            except OSError as error:
                faults.append(f"{place.segment} cannot be sealed: {error.strerror or error}")
            else:
                live += done == "live"
                if isinstance(done, End):
                    sealed.append(place.segment)
                    torn += done.torn_bytes
    return Recovery(sealed=tuple(sealed), torn_bytes=torn, live=live, faults=tuple(faults))


def _recover(place: Place) -> End | str:
    """Seal one segment; gives how it had ended, or why there was nothing to do."""
    path = place.segment
    try:
        if not path.stat().st_mode & _WRITABLE:
            return "sealed"
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return "compacted"
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _seal(place, handle)
    except BlockingIOError:
        return "live"
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _seal(place: Place, handle: int) -> End | str:
    try:
        end = read_segment(place.segment).finish()
    except FileNotFoundError:
        return "compacted"
    done: End | str = "sealed"
    if end.state != "sealed":
        _check_successor(place, end)
        os.ftruncate(handle, end.whole_bytes)
        _append(handle, seal_bytes(count=end.count, digest=end.digest), end.whole_bytes)
        done = end
    # Even what was sealed before: its writer may have been killed before the disk had it.
    os.fsync(handle)
    os.fchmod(handle, SEALED_MODE)
    os.fsync(handle)
    sync(place.folder)
    return done


def _append(handle: int, data: bytes, at: int) -> None:
    """Write the seal, or leave nothing of it."""
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(handle, data[done:], at + done)
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, at)
        raise


def _check_successor(place: Place, end: End) -> None:
    """Refuse to seal what lost more than a torn end: the next segment knows how this one ended."""
    after = Place(folder=place.folder, stream=place.stream, number=place.number + 1)
    named = _previous_of(after)
    if named and named != end.digest:
        raise Refused(
            f"The segment {place.segment} has lost its end: it holds {end.count:,} whole records, but was sealed with"
            " more before the next one began.",
            do="Restore it from a backup.",
        )


def _previous_of(place: Place) -> str:
    with suppress(FileNotFoundError):
        return read_header(place.segment).previous
    from holdtrue.data.traffic.part import read_manifest

    with suppress(FileNotFoundError):
        return read_manifest(place).previous
    return ""
