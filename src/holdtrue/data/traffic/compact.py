"""Sealed segments become Parquet parts, and are removed once the part is proven to give back every record.

The steps of one segment, each of which may be the last: the part is written beside the others without a name, read
back, named; its manifest is written, from when on readers use the part; the segment is removed. Begun again, the work
goes on where it was left.

    python -m holdtrue.data.traffic.compact FOLDER
"""

import fcntl
import os
import stat
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from holdtrue.core.errors import Busy, HoldtrueError, Misuse
from holdtrue.core.files import new_file, sweep, sync
from holdtrue.data.traffic.layout import Place, endpoints, places
from holdtrue.data.traffic.part import clear_away, commit_part, part_bytes, read_manifest, verify_part, write_part
from holdtrue.data.traffic.segment import read_segment

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Compaction:
    """What was done: `parts` were made, of so many `records`; `faults` name what was left as it is, and why."""

    parts: tuple[Path, ...]
    records: int
    segment_bytes: int
    part_bytes: int
    faults: tuple[str, ...]


def compact(folder: Path, *, endpoint: str | None = None) -> Compaction:
    """Turn every sealed segment into a part. Raises `Busy` when another process is at it."""
    parts: list[Path] = []
    faults: list[str] = []
    records = before = after = 0
    for home in endpoints(folder, endpoint):
        with alone_with(home):
            sweep(home)
            _clear_revised(home)
            for place in places(home):
                try:
                    made = _compact(place)
                except (HoldtrueError, OSError) as error:
                    faults.append(str(error).partition("\n")[0])
                    continue
                if made is not None:
                    parts.append(place.part)
                    records, before, after = records + made[0], before + made[1], after + made[2]
    return Compaction(parts=tuple(parts), records=records, segment_bytes=before, part_bytes=after, faults=tuple(faults))


def _clear_revised(home: Path) -> None:
    """Clear away what was left of parts that were written anew, or were about to be."""
    revised = {path.name.partition(".")[0] for path in home.glob("*.r*.parquet")}
    for place in places(home) if revised else ():
        if place.manifest.stem in revised and place.manifest.exists():
            clear_away(place, read_manifest(place))


def _compact(place: Place) -> tuple[int, int, int] | None:
    """Compact one segment; gives its records, and the bytes before and after, when it was not done already."""
    if not place.segment.exists():
        return None
    if place.manifest.exists():
        manifest = read_manifest(place)
        if not manifest.dropped_us:
            part_bytes(place, manifest)
        _remove(place)
        return None
    # One that is still writable may not yet be on the disk: its writer or the next recovery changes that.
    if place.segment.stat().st_mode & _WRITABLE:
        return None
    segment = read_segment(place.segment)
    with new_file(place.folder) as (stream, name):
        manifest, records = write_part(segment, stream)
        stream.flush()
        os.fsync(stream.fileno())
        verify_part(name, records)
        name.replace(place.part)
    sync(place.folder)
    whole = commit_part(place, manifest)
    part_bytes(place, whole)
    _remove(place)
    return whole.records, whole.segment_bytes, whole.part_bytes


def _remove(place: Place) -> None:
    place.segment.unlink()
    sync(place.folder)


@contextmanager
def alone_with(home: Path) -> Generator[None]:
    """Hold the lock of one endpoint; the system lets go of it when the process ends, however it ends."""
    handle = os.open(home / "compact.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"Another process compacts {home}.", do="Wait until it is done.") from None
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def main(words: Sequence[str]) -> int:
    """Compact a folder from the command line."""
    if len(words) != 1:
        print("Give the folder of the traffic: python -m holdtrue.data.traffic.compact FOLDER", file=sys.stderr)
        return Misuse.exit_code
    try:
        done = compact(Path(words[0]))
    except HoldtrueError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for fault in done.faults:
        print(fault, file=sys.stderr)
    print(
        f"{len(done.parts):,} segments with {done.records:,} records became parts:"
        f" {done.segment_bytes:,} bytes are now {done.part_bytes:,}."
    )
    return 1 if done.faults else 0


if __name__ == "__main__":
    os.nice(10)  # out of the way of whoever serves on this machine
    sys.exit(main(sys.argv[1:]))
