"""Receipts, labels and gaps of a folder, from segments and from parts alike; what is damaged or missing is told.

Each function goes through one segment of a stream at a time. Damage is raised as `Refused`, unless a list is given for
`faults`: then it is noted there, and the rest is read.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.label import Gap, Label, read_gap, read_label
from holdtrue.data.traffic.layout import Place, endpoints, places
from holdtrue.data.traffic.part import Manifest, others_in, part_bytes, read_manifest, receipts_in
from holdtrue.data.traffic.receipt import Receipt, read_id, read_receipt
from holdtrue.data.traffic.record import GAP, HEAD_BYTES, LABEL, RECEIPT, Record, is_whole, read_head
from holdtrue.data.traffic.segment import Segment, damaged, read_header, read_segment

# The id is the first field of a receipt: it stands behind a few bytes that say how long the receipt and it are.
_ID_WITHIN = 40


class Dropped(Misuse):
    """A prediction is not there because what was recorded with it was old; `manifest` says what that was."""

    def __init__(self, id: str, manifest: Manifest) -> None:
        self.manifest = manifest
        super().__init__(
            f"The prediction {id} was dropped by retention on {day_of(manifest.dropped_us)}, with all"
            f" {manifest.receipts:,} predictions of its segment, the last of {day_of(manifest.last_us)}.",
            do="Look for it in a backup, if there is one that may keep it.",
        )


def day_of(time_us: int) -> str:
    """Write a day as people do.

    >>> day_of(1_790_000_000_000_000)
    '2026-09-21'
    """
    return datetime.fromtimestamp(time_us / 1e6, tz=UTC).strftime("%Y-%m-%d")


class _Link(NamedTuple):
    """The segment before: its digest is not known when it was damaged."""

    number: int
    digest: str | None
    is_sealed: bool


class _Reading(NamedTuple):
    """How to take what is wanted out of a part, and out of a record of a segment."""

    of_part: Callable[[Place, Manifest], Iterator[Any]]
    of_record: Callable[[Record], Any]


def receipts(
    folder: Path,
    *,
    endpoint: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    faults: list[str] | None = None,
) -> Iterator[Receipt]:
    """Give the receipts from `since_us` until before `until_us`, stream by stream, each in the order of time.

    A receipt that the caller wrote again after a failed sync, and that is there twice therefore, is given once.
    """
    low = -(2**63) if since_us is None else since_us
    high = 2**63 if until_us is None else until_us
    for home in endpoints(folder, endpoint):
        for numbers in _streams(home):
            before: set[str] = set()
            here: set[str] = set()
            at = -1
            for number, receipt in _walk(numbers, _receipt_reading(low, high), faults):
                if number != at:
                    before, here, at = here if number == at + 1 else set(), set(), number
                if receipt.id not in before and receipt.id not in here:
                    here.add(receipt.id)
                    if low <= receipt.time_us < high:
                        yield receipt


def labels(folder: Path, *, endpoint: str | None = None, faults: list[str] | None = None) -> Iterator[Label]:
    """Give all labels in the order they were received, over all streams."""
    return _merged(folder, endpoint, _other_reading(LABEL, read_label), lambda label: label.received_us, faults)


def gaps(folder: Path, *, endpoint: str | None = None, faults: list[str] | None = None) -> Iterator[Gap]:
    """Give what was not recorded, in the order of time."""
    return _merged(folder, endpoint, _other_reading(GAP, read_gap), lambda gap: gap.since_us, faults)


def check(folder: Path, *, endpoint: str | None = None) -> tuple[str, ...]:
    """Read everything; gives all that is damaged, missing, or has no seal although its writer went on."""
    faults: list[str] = []
    for home in endpoints(folder, endpoint):
        for numbers in _streams(home):
            _read_all(numbers, faults)
    return tuple(faults)


def find(folder: Path, id: str, *, endpoint: str | None = None) -> Receipt:
    """Give the receipt of a prediction. Its id says which stream wrote it, and about when.

    Raises `Misuse` when it is nowhere, and `Refused` when it, or where it could be, is damaged.
    """
    return _located(folder, id, endpoint)[1]


def batch_of(folder: Path, receipt: Receipt, *, endpoint: str | None = None) -> tuple[Receipt, ...]:
    """Give all receipts of the run of the graph that a receipt was part of, by their place in it."""
    here, _ = _located(folder, receipt.id, endpoint)
    # A batch is written at once; at most the end of a segment splits it.
    near = [one for one in places(here.folder, here.stream) if abs(one.number - here.number) <= 1]
    found: dict[str, Receipt] = {}
    for place in near:
        for _, one in _walk([place], _receipt_reading(batch=receipt.batch), None, chained=False):
            found.setdefault(one.id, one)
    return tuple(sorted(found.values(), key=lambda one: (one.place, one.id)))


def _streams(home: Path) -> Iterator[list[Place]]:
    for _, numbers in groupby(places(home), key=lambda place: place.stream):
        yield list(numbers)


def _receipt_reading(low: int = -(2**63), high: int = 2**63, *, batch: int | None = None) -> _Reading:
    def of_part(place: Place, manifest: Manifest) -> Iterator[Receipt]:
        if manifest.receipts and manifest.last_us >= low and manifest.first_us < high:
            yield from receipts_in(part_bytes(place, manifest), batch=batch)

    def of_record(record: Record) -> Receipt | None:
        if record.kind != RECEIPT:
            return None
        receipt = read_receipt(record.payload)
        return receipt if batch is None or receipt.batch == batch else None

    return _Reading(of_part, of_record)


def _other_reading(kind: int, read: Callable[[bytes], Any]) -> _Reading:
    def of_part(place: Place, manifest: Manifest) -> Iterator[Any]:
        if manifest.records > manifest.receipts:
            yield from map(read, others_in(part_bytes(place, manifest), kind))

    return _Reading(of_part, lambda record: read(record.payload) if record.kind == kind else None)


def _read_all(numbers: Sequence[Place], faults: list[str]) -> None:
    def of_part(place: Place, manifest: Manifest) -> Iterator[Any]:
        part_bytes(place, manifest)
        return iter(())

    def of_record(record: Record) -> None:
        read = {RECEIPT: read_receipt, LABEL: read_label, GAP: read_gap}.get(record.kind)
        if read is not None:
            read(record.payload)

    for _ in _walk(numbers, _Reading(of_part, of_record), faults):
        pass


def _walk(
    numbers: Sequence[Place], reading: _Reading, faults: list[str] | None, *, chained: bool = True
) -> Iterator[tuple[int, Any]]:
    """Read segments of a stream in their order; when chained, each is held against the one before."""
    last: _Link | None = None
    for place in numbers:
        link = _Link(place.number, None, True)
        try:
            source = _open(place)
            about = source.header if isinstance(source, Segment) else source
            if about.endpoint != place.folder.name:
                raise Refused(f"The segment {place.segment} belongs to the endpoint {about.endpoint!r}.")
            if chained:
                _check_link(place, about.previous, last, faults)
            if isinstance(source, Segment):
                for record in source:
                    if (taken := reading.of_record(record)) is not None:
                        yield place.number, taken
                end = source.finish()
                link = _Link(place.number, end.digest, end.state == "sealed")
            else:
                for taken in () if source.dropped_us else reading.of_part(place, source):
                    yield place.number, taken
                link = _Link(place.number, source.segment_digest, True)
        except Refused as refused:
            if faults is None:
                raise
            faults.append(refused.what)
        last = link


def _open(place: Place) -> Segment | Manifest:
    """Open a segment, or the manifest of the part that stands for it."""
    for _ in range(2):  # it may be compacted between the first look and the second
        if place.manifest.exists():
            return read_manifest(place)
        if place.segment.exists():
            try:
                return read_segment(place.segment)
            except FileNotFoundError:
                continue
    raise Refused(f"The segment {place.segment} is gone.", do="Restore it from a backup.")


def _check_link(place: Place, previous: str, last: _Link | None, faults: list[str] | None) -> None:
    """Tell when something is missing before a segment, or not as it was when this one began."""
    expected = last.number + 1 if last else 0
    wrong = ""
    if place.number != expected:
        wrong = f"{place.number - expected} segments before {place.segment} are missing"
    elif last and last.digest is not None and previous and previous != last.digest:
        wrong = f"The segment before {place.segment} has lost its end: its seal is not the one that this one names"
    elif last and not last.is_sealed and faults is not None:
        faults.append(f"The segment before {place.segment} has no seal; `recover` writes it when its writer is dead.")
    if wrong and faults is None:
        raise Refused(wrong + ".", do="Restore it from a backup.")
    if wrong and faults is not None:
        faults.append(wrong + ".")


def _located(folder: Path, id: str, endpoint: str | None) -> tuple[Place, Receipt]:
    ms, stream, _ = read_id(id)
    streams = [places(home, stream) for home in endpoints(folder, endpoint)]
    near = [place for numbers in streams for place in _nearest_first(numbers, ms)]
    for place in near:
        if (found := _find_in(place, id)) is not None:
            return place, found
    for place in near:
        manifest = read_manifest(place) if place.manifest.exists() else None
        if manifest is not None and manifest.dropped_us and manifest.first_id <= id <= manifest.last_id:
            raise Dropped(id, manifest)
    # A damaged id cannot be found; so nobody may say that it is not there before all is known to be whole.
    faults: list[str] = []
    for numbers in streams:
        _read_all(numbers, faults)
    if faults:
        raise Refused(
            f"The prediction {id} is not found, and its record may be what is damaged:",
            faults=faults,
            do="Restore those files from a backup.",
        )
    raise Misuse(
        f"The prediction {id} is not recorded in {folder}: its id names the stream {stream:08x}, which has"
        f" {len(near):,} segments there, and all were searched.",
        do="Check the id and the folder. Gaps in the log say when predictions were not recorded.",
    )


def _nearest_first(numbers: Sequence[Place], ms: int) -> list[Place]:
    """Order segments by how likely they hold an id: the last that began before it, those that follow, the others."""
    if len(numbers) < 2:
        return list(numbers)
    first = max(0, bisect_right(numbers, ms * 1000 + 999, key=_created_us) - 1)
    return [*numbers[first:], *reversed(numbers[:first])]


def _created_us(place: Place) -> int:
    try:
        source = read_manifest(place) if place.manifest.exists() else read_header(place.segment)
    except (Refused, FileNotFoundError):
        return 0  # it is told when it is searched
    return source.created_us


def _find_in(place: Place, id: str) -> Receipt | None:
    source = _open(place)
    if isinstance(source, Manifest):
        if source.dropped_us or not source.first_id <= id <= source.last_id:
            return None
        return next(receipts_in(part_bytes(place, source), id=id), None)
    data, needle, at = source.take(), id.encode(), source.start
    if needle not in data:
        return None
    # The id may also stand in the body of a request, even within what looks like a record: only the walk from head to
    # head says what is one.
    while at + HEAD_BYTES < len(data):
        head = read_head(data[at : at + HEAD_BYTES])
        if head is None:
            if any(data[at + HEAD_BYTES :]):
                raise damaged(place.segment, at, "the head of a record is damaged")
            return None
        first, at = at, at + HEAD_BYTES + head.length + 1
        if head.kind == RECEIPT and data.find(needle, first + HEAD_BYTES, first + HEAD_BYTES + _ID_WITHIN) >= 0:
            rest = data[first + HEAD_BYTES : at]
            if len(rest) > head.length and rest[-1] and not is_whole(head, rest):
                raise damaged(place.segment, first, f"the receipt of the prediction {id} is damaged")
            if is_whole(head, rest) and (receipt := read_receipt(rest[:-1])).id == id:
                return receipt
    return None


def _merged(
    folder: Path,
    endpoint: str | None,
    reading: _Reading,
    time_of: Callable[[Any], int],
    faults: list[str] | None,
) -> Iterator[Any]:
    """Give what streams hold by its time; a stream is opened only when its turn has come."""
    waiting = [numbers for home in endpoints(folder, endpoint) for numbers in _streams(home)]
    started = sorted(((_created_us(numbers[0]), at) for at, numbers in enumerate(waiting)), reverse=True)
    heap: list[tuple[int, int, Any, Iterator[tuple[int, Any]]]] = []

    def push(at: int, stream: Iterator[tuple[int, Any]]) -> None:
        for _, one in stream:
            heappush(heap, (time_of(one), at, one, stream))
            return

    while heap or started:
        while started and (not heap or started[-1][0] <= heap[0][0]):
            _, at = started.pop()
            push(at, _walk(waiting[at], reading, faults))
        if heap:
            _, at, one, stream = heappop(heap)
            yield one
            push(at, stream)
