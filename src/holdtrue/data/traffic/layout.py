"""Which files belong to an endpoint: segments, the Parquet parts made of them, and their manifests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdtrue.core.errors import Misuse
from holdtrue.core.files import sync
from holdtrue.data.traffic.segment import segment_name

_NAME = re.compile(r"([0-9a-f]{8})-([0-9]{8,})\.(seg|json)")
_ENDPOINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the records of one segment lie: in the segment, or, once there is a manifest, in its part."""

    folder: Path
    stream: int
    number: int

    @property
    def segment(self) -> Path:
        return self._path("seg")

    @property
    def part(self) -> Path:
        return self._path("parquet")

    def part_at(self, revision: int) -> Path:
        """Name the part that was written anew so often."""
        return self._path(f"r{revision}.parquet" if revision else "parquet")

    @property
    def manifest(self) -> Path:
        return self._path("json")

    def _path(self, form: str) -> Path:
        return self.folder / f"{segment_name(self.stream, self.number)}.{form}"


def endpoint_folder(folder: Path, endpoint: str) -> Path:
    """Give the folder of an endpoint; it is made when there is none."""
    path = folder / checked_name(endpoint)
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync(made.parent)
    return path


def checked_name(endpoint: str) -> str:
    """Refuse a name that would lead out of the folder."""
    if not _ENDPOINT.fullmatch(endpoint):
        raise Misuse(
            f"{endpoint!r} cannot name an endpoint: use letters, digits, '_', '-' and '.', at most 100,"
            " and begin with none of the last two."
        )
    return endpoint


def endpoints(folder: Path, endpoint: str | None = None) -> Iterator[Path]:
    """List the folders of all endpoints, or of one; raises `Misuse` when that has none."""
    if endpoint is not None:
        path = folder / checked_name(endpoint)
        if not path.is_dir():
            raise Misuse(f"The endpoint {endpoint!r} has no traffic in {folder}.", do="Check its name and the folder.")
        yield path
    elif folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir() and _ENDPOINT.fullmatch(path.name))


def segments_of(folder: Path) -> dict[int, list[int]]:
    """List the numbers of the segments of each stream in the folder of an endpoint, compacted or not."""
    found: dict[int, set[int]] = {}
    for path in folder.iterdir():
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[1], 16), set()).add(int(match[2]))
    return {stream: sorted(found[stream]) for stream in sorted(found)}


def places(folder: Path, stream: int | None = None) -> list[Place]:
    """List the segments in the folder of an endpoint, by stream and number."""
    return [
        Place(folder=folder, stream=one, number=number)
        for one, numbers in segments_of(folder).items()
        if stream is None or stream == one
        for number in numbers
    ]
