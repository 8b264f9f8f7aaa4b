"""Parts of the log that go: whole ones because they are old, single labels because a person is to be forgotten.

What is left of a part that was dropped is its manifest: how many records there were, of which time, the first and the
last id, the digest that the seal of its segment had, and when it was dropped. The chain of segments stays whole by it,
so what is dropped and what was taken away by somebody are told apart. Each step may be the last one: the manifest is
replaced in one piece, and from then on no reader looks for the records; done again, the rest is cleared away.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdtrue.core.files import new_file, sync, write_whole
from holdtrue.data.traffic.compact import alone_with
from holdtrue.data.traffic.label import Label, read_gap, read_label
from holdtrue.data.traffic.layout import Place, endpoints, places
from holdtrue.data.traffic.part import (
    Manifest,
    clear_away,
    commit_part,
    manifest_bytes,
    others_in,
    part_bytes,
    read_manifest,
    records_in,
    verify_part,
    write_records,
)
from holdtrue.data.traffic.record import GAP, LABEL
from holdtrue.data.traffic.segment import read_segment


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of the log, and what its manifest says of it."""

    place: Place
    manifest: Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelsGone:
    """How many labels were taken out, and how many stay in segments that no part was made of yet."""

    erased: int = 0
    left: int = 0


def parts(folder: Path, *, endpoint: str | None = None) -> Iterator[Part]:
    """List all parts, those that were dropped too; raises `Refused` for a manifest that has changed."""
    for home in endpoints(folder, endpoint):
        for place in places(home):
            if place.manifest.exists():
                yield Part(place=place, manifest=read_manifest(place))


def is_old(part: Part, before_us: int) -> bool:
    """Say whether all records of a part are from before a moment, by when they were made, or heard of."""
    found = part.manifest
    if found.dropped_us or max(found.created_us, found.last_us) >= before_us:
        return False
    if found.records == found.receipts:
        return True
    data = part_bytes(part.place, found)
    heard = (read_label(payload).received_us for payload in others_in(data, LABEL))
    missed = (read_gap(payload).until_us for payload in others_in(data, GAP))
    return all(time_us < before_us for each in (heard, missed) for time_us in each)


def drop(part: Part, *, now_us: int) -> None:
    """Leave nothing of a part but its manifest; done again, it clears away what the first time did not come to."""
    place = part.place
    with alone_with(place.folder):
        manifest = read_manifest(place)
        if not manifest.dropped_us:
            manifest = msgspec.structs.replace(manifest, dropped_us=now_us)
            write_whole(place.manifest, manifest_bytes(manifest), mode=0o600)
        place.segment.unlink(missing_ok=True)
        clear_away(place, manifest)


def erase_labels(folder: Path, wanted: Callable[[Label], bool]) -> LabelsGone:
    """Take labels out of every part; raises `Busy` while another process tidies up.

    A part is written anew beside the old one, read back, and named by its manifest; then the old one goes. The digest
    of the segment that it was made of stays, so the chain does.
    """
    erased = left = 0
    for home in endpoints(folder):
        with alone_with(home):
            for place in places(home):
                if place.manifest.exists():
                    erased += _erase(place, wanted)
                elif place.segment.exists():
                    found = (one for one in read_segment(place.segment) if one.kind == LABEL)
                    left += sum(wanted(read_label(one.payload)) for one in found)
    return LabelsGone(erased=erased, left=left)


def _erase(place: Place, wanted: Callable[[Label], bool]) -> int:
    manifest = read_manifest(place)
    clear_away(place, manifest)
    if manifest.dropped_us or manifest.records == manifest.receipts:
        return 0
    data = part_bytes(place, manifest)
    if not any(wanted(read_label(payload)) for payload in others_in(data, LABEL)):
        return 0
    before = records_in(data)
    after = [one for one in before if one.kind != LABEL or not wanted(read_label(one.payload))]
    gone = len(before) - len(after)
    revised = msgspec.structs.replace(
        manifest, records=len(after), erased=manifest.erased + gone, revision=manifest.revision + 1
    )
    with new_file(place.folder) as (stream, name):
        write_records(after, stream)
        stream.flush()
        os.fsync(stream.fileno())
        verify_part(name, after)
        name.replace(place.part_at(revised.revision))
    sync(place.folder)
    commit_part(place, revised)
    clear_away(place, revised)
    return gone
