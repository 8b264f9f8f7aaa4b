"""A sealed segment as Parquet: receipts sorted by id in columns, everything else beside them as it was.

A part counts once its manifest is there. It names the SHA-256 of the part, and the digest in the seal of the segment.
Every record comes back from a part byte for byte, which `verify_part` proves before the segment is removed.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from holdtrue.core.digest import sha256_bytes, sha256_file
from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.core.files import sync, write_whole
from holdtrue.data.traffic.layout import Place
from holdtrue.data.traffic.receipt import Receipt, pack, read_receipt
from holdtrue.data.traffic.record import RECEIPT, Record, unframe
from holdtrue.data.traffic.segment import Segment

FORM = 1
_FIELDS = Receipt.__struct_fields__
_GROUP_ROWS = 4096
_RESTORE = "Restore it from a backup."
# The stubs of pyarrow know only yes and no here.
_FEW_VALUES: Any = ["release", "route", "wire", "caller"]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a part holds, and what it was made of.

    Args:
        part_sha256: of the Parquet file.
        segment_digest: what the seal of the segment said; the next segment names it too.
        previous: the digest of the segment before.
        records: of all kinds; `receipts` are some of them.
        own: SHA-256 of all other fields, so that a changed bit is found here too.
        revision: how often the part was written anew; its file is named by it.
        erased: records that were taken out of it, for persons who were forgotten.
        dropped_us: when all of it was dropped because it was old; what the other fields say of it is what is left.
    """

    form: int
    endpoint: str
    stream: int
    number: int
    created_us: int
    previous: str
    segment_digest: str
    segment_bytes: int
    records: int
    receipts: int
    first_id: str
    last_id: str
    first_us: int
    last_us: int
    part_sha256: str
    part_bytes: int
    own: str = ""
    revision: int = 0
    erased: int = 0
    dropped_us: int = 0


# Manifests are read by whoever knew no such fields, unless there is something to say in them.
_SELDOM = ("revision", "erased", "dropped_us")


def manifest_bytes(manifest: Manifest) -> bytes:
    """Write a manifest as JSON that vouches for itself."""
    bare = msgspec.structs.replace(manifest, own="")
    whole = msgspec.structs.replace(bare, own=sha256_bytes(_plain(bare)))
    return _plain(whole) + b"\n"


def _plain(manifest: Manifest) -> bytes:
    fields = msgspec.to_builtins(manifest)
    return msgspec.json.encode({name: value for name, value in fields.items() if value or name not in _SELDOM})


def read_manifest(place: Place) -> Manifest:
    """Read a manifest; raises `Refused` when a bit of it changed, and `FileNotFoundError` when there is none."""
    data = place.manifest.read_bytes()
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    name = (place.stream, place.number)
    if found is None or manifest_bytes(found) != data or (found.stream, found.number) != name:
        raise Refused(f"The manifest {place.manifest} has changed since it was written.", do=_RESTORE)
    if found.form != FORM:
        raise Refused(f"The manifest {place.manifest} has form {found.form}.", do="Use a newer version of Holdtrue.")
    return found


def write_part(segment: Segment, stream: BinaryIO) -> tuple[Manifest, list[Record]]:
    """Write the records of a sealed segment as Parquet; gives the manifest, yet without the part's digest, and them."""
    records = list(segment)
    end = segment.finish()
    if end.state != "sealed":
        raise HoldtrueError(f"The segment {segment.path} is not sealed.", do="Stop its writer, or wait.")
    times = write_records(records, stream)
    header = segment.header
    manifest = Manifest(
        form=FORM,
        endpoint=header.endpoint,
        stream=header.stream,
        number=header.number,
        created_us=header.created_us,
        previous=header.previous,
        segment_digest=end.digest,
        segment_bytes=end.whole_bytes,
        records=len(records),
        receipts=len(times),
        first_id=min((id for id, _ in times), default=""),
        last_id=max((id for id, _ in times), default=""),
        first_us=min((time_us for _, time_us in times), default=0),
        last_us=max((time_us for _, time_us in times), default=0),
        part_sha256="",
        part_bytes=0,
    )
    return manifest, records


def write_records(records: Sequence[Record], stream: BinaryIO) -> list[tuple[str, int]]:
    """Write records as Parquet; gives the id and the time of each receipt among them."""
    import pyarrow.parquet as pq

    receipts = [(read_receipt(record.payload), at) for at, record in enumerate(records) if record.kind == RECEIPT]
    receipts.sort(key=lambda pair: (pair[0].id, pair[1]))
    others = [(record, at) for at, record in enumerate(records) if record.kind != RECEIPT]
    with pq.ParquetWriter(
        stream, _schema(), compression="zstd", use_dictionary=_FEW_VALUES, write_page_checksum=True
    ) as writer:
        for start in range(0, len(receipts), _GROUP_ROWS):
            writer.write_table(_receipt_table(receipts[start : start + _GROUP_ROWS]), row_group_size=_GROUP_ROWS)
        if others:
            writer.write_table(_other_table(others))
    return [(receipt.id, receipt.time_us) for receipt, _ in receipts]


def verify_part(path: Path, records: Sequence[Record]) -> None:
    """Read a part back: it must hold exactly these records; raises `HoldtrueError` when it does not."""
    seen = 0
    for at, record in _all_records(path):
        if not at < len(records) or record != (records[at].kind, records[at].payload):
            raise HoldtrueError(f"The part {path} does not give back record {at} as it was; the segment is kept.")
        seen += 1
    if seen != len(records):
        raise HoldtrueError(f"The part {path} gives back {seen} of {len(records)} records; the segment is kept.")


def commit_part(place: Place, manifest: Manifest) -> Manifest:
    """Write the manifest of a part that has its name: from here on it stands for the segment."""
    path = place.part_at(manifest.revision)
    whole = msgspec.structs.replace(manifest, part_sha256=sha256_file(path), part_bytes=path.stat().st_size)
    write_whole(place.manifest, manifest_bytes(whole), mode=0o600)
    return whole


def clear_away(place: Place, manifest: Manifest) -> None:
    """Delete files of a part that its manifest does not speak of any more."""
    kept = None if manifest.dropped_us else place.part_at(manifest.revision)
    name = place.manifest.stem
    for path in (place.part, *place.folder.glob(f"{name}.r*.parquet")):
        if path != kept:
            path.unlink(missing_ok=True)
    sync(place.folder)


def part_bytes(place: Place, manifest: Manifest) -> bytes:
    """Read a part whole; raises `Refused` when a bit of it changed."""
    path = place.part_at(manifest.revision)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        now = read_manifest(place)  # it may have been written anew, or dropped, since the caller read it
        if now.revision > manifest.revision and not now.dropped_us:
            return part_bytes(place, now)
        gone = "was dropped while it was read" if now.dropped_us else "is missing"
        raise Refused(f"The part {path} {gone}.", do="Read again." if now.dropped_us else _RESTORE) from None
    if hashlib.sha256(data).hexdigest() != manifest.part_sha256:
        raise Refused(f"The part {path} has changed since it was written.", do=_RESTORE)
    return data


def receipts_in(data: bytes, *, id: str | None = None, batch: int | None = None) -> Iterator[Receipt]:
    """Give the receipts of a part by id: all, those with one id, or those of one batch."""
    file = _opened(data)
    wanted = {name: value for name, value in (("id", id), ("batch", batch)) if value is not None}
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        if all(_may_hold(group.column(_FIELDS.index(name)), value) for name, value in wanted.items()):
            yield from _matching(file, number, wanted)


def others_in(data: bytes, kind: int) -> Iterator[bytes]:
    """Give the payloads of one kind of record, other than receipts, in the order they were written."""
    file = _opened(data)
    for number in range(file.metadata.num_row_groups):
        kinds = file.read_row_group(number, columns=["kind"]).column("kind").to_pylist()
        if kind in kinds:
            payloads = file.read_row_group(number, columns=["payload"]).column("payload").to_pylist()
            yield from (payload for one, payload in zip(kinds, payloads, strict=True) if one == kind)


def _matching(file: Any, number: int, wanted: dict[str, Any]) -> Iterator[Receipt]:
    for name, value in wanted.items():
        if value not in file.read_row_group(number, columns=[name]).column(name).to_pylist():
            return
    for batch in file.iter_batches(batch_size=512, row_groups=[number], columns=[*_FIELDS, "kind"]):
        for *values, kind in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row = dict(zip(_FIELDS, values, strict=True))
            if kind == RECEIPT and all(row[name] == value for name, value in wanted.items()):
                yield Receipt(**row)


def _may_hold(column: Any, value: Any) -> bool:
    about = column.statistics
    return about is None or not about.has_min_max or about.min <= value <= about.max


def records_in(data: bytes) -> list[Record]:
    """Give every record of a part in the order in which they were written."""
    found = sorted(_all_records(data))
    return [Record(kind, payload, at) for at, (kind, payload) in found]


def _all_records(path: Path | bytes) -> Iterator[tuple[int, tuple[int, bytes]]]:
    file = _opened(path)
    for batch in file.iter_batches(batch_size=512):
        names = batch.schema.names
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            row = dict(zip(names, values, strict=True))
            kind, at, payload = row.pop("kind"), row.pop("at"), row.pop("payload")
            yield at, (kind, unframe(pack(Receipt(**row)), RECEIPT) if kind == RECEIPT else payload)


def _opened(source: Path | bytes) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(
        pa.BufferReader(source) if isinstance(source, bytes) else source, page_checksum_verification=True
    )


def _schema() -> Any:
    import pyarrow as pa

    kinds: dict[str, Any] = dict.fromkeys(_FIELDS, pa.string())
    kinds |= dict.fromkeys(("time_us", "batch", "place", "rows"), pa.int64())
    kinds |= {"weight": pa.float64(), "body": pa.binary(), "outputs": pa.binary()}
    return pa.schema({**kinds, "kind": pa.uint8(), "at": pa.int64(), "payload": pa.binary()})


def _receipt_table(pairs: Sequence[tuple[Receipt, int]]) -> Any:
    import pyarrow as pa

    columns: list[Any] = [[getattr(receipt, name) for receipt, _ in pairs] for name in _FIELDS]
    columns += [[RECEIPT] * len(pairs), [at for _, at in pairs], [None] * len(pairs)]
    return _table(pa, columns)


def _other_table(pairs: Sequence[tuple[Record, int]]) -> Any:
    import pyarrow as pa

    columns: list[Any] = [list(itertools.repeat(None, len(pairs))) for _ in _FIELDS]
    columns += [[record.kind for record, _ in pairs], [at for _, at in pairs], [record.payload for record, _ in pairs]]
    return _table(pa, columns)


def _table(pa: Any, columns: list[Any]) -> Any:
    schema = _schema()
    return pa.table([pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)], schema)
