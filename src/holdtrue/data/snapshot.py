"""Rows become an immutable, addressed table: Parquet parts and a manifest, named by what the rows say.

The digest is made of the rows alone: columns, types, and every value in order, a part of 131,072 rows at a time. How
they were stored before, how they arrived, and how Parquet writes them have no part in it.
"""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow import parquet as pq

from holdtrue.core.digest import canonical_json, digest_of
from holdtrue.core.errors import DataFault, HoldtrueError, Refused
from holdtrue.core.files import ObjectStore, write_whole
from holdtrue.data.content import canonical, content_of
from holdtrue.data.readers.columns import Column, columns_of, conform, same_columns
from holdtrue.data.readers.faults import close_to

PART_ROWS = 131_072  # a part of a hundred columns stays under 200 MB in memory
SCHEMA = "holdtrue/snapshot/1"
SCRATCH = ".tmp-snapshot-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Consecutive rows: how many, the digest of what they say, and the stored file that holds them."""

    rows: int
    content: str
    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Data that never change, named by their digest."""

    digest: str
    rows: int
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]


def snapshot(
    batches: Iterable[pa.RecordBatch], *, store: ObjectStore, progress: Callable[[int], None] | None = None
) -> Snapshot:
    """Store rows; the same rows give the same digest. `progress` is told how many rows are stored so far.

    Nothing is visible before the last row is stored. A part of the rows is in memory at a time.
    """
    with disk_explained(store), scratch(store.root) as folder:
        sweep(store)
        made: list[Part] = []
        columns: tuple[Column, ...] = ()
        for table in fixed(batches):
            columns = columns or columns_of(table.schema, where="the rows")
            made.append(stored(table, columns, store, folder))
            if progress:
                progress(sum(part.rows for part in made))
        if not made:
            raise DataFault("There are no rows to keep.", do="Give a source with at least one row.")
        result = named(columns, made)
        manifest = store.put(canonical_json(described(result)))
        write_whole(index(store, result.digest), canonical_json({"schema": SCHEMA, "manifest": manifest}))
    return result


def load(digest: str, *, store: ObjectStore) -> Snapshot:
    """Find a snapshot by its digest; raises `Refused` when what is stored is not what the digest names."""
    store.path(digest)  # refuses what is no digest
    place = index(store, digest)
    if not place.is_file():
        known = [path.stem for path in place.parent.glob("*.json")]
        raise Refused(f"There is no snapshot {digest[:12]}… in {place.parent}{close_to(digest, known)}")
    try:
        manifest = json.loads(store.get(str(json.loads(place.read_bytes())["manifest"])))
        result = named(
            tuple(Column(name=str(entry["name"]), type=str(entry["type"])) for entry in manifest["columns"]),
            [
                Part(rows=int(entry["rows"]), content=str(entry["content"]), file=str(entry["file"]))
                for entry in manifest["parts"]
            ],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{place} or the manifest it names is damaged.", do="Run again from the source.") from error
    if result.digest != digest:
        raise Refused(f"{place} names the rows of another snapshot.", do="Delete it and run again from the source.")
    return result


def scan(kept: Snapshot, store: ObjectStore, columns: Sequence[str] | None = None) -> pl.LazyFrame:
    """Give the rows in their order, lazily; every part's file is verified before it is read."""
    known = [column.name for column in kept.columns]
    for name in columns or ():
        if name not in known:
            raise DataFault(f"The snapshot {kept.digest[:12]}… has no column {name!r}{close_to(name, known)}")
    paths = [verified(store, part.file) for part in kept.parts]
    rows = pl.scan_parquet(paths, glob=False, hive_partitioning=False)
    return rows.select(columns if columns is not None else known)


def verify(kept: Snapshot, store: ObjectStore) -> None:
    """Read every row again and compare it with the digest; raises `Refused` at the first part that differs."""
    for part in kept.parts:
        table = pq.read_table(verified(store, part.file))
        if content_of(table, kept.columns) != part.content:
            raise Refused(
                f"The rows in {store.path(part.file)} are not those of the snapshot {kept.digest[:12]}….",
                do="Delete the file and run again from the source.",
            )


def sweep(store: ObjectStore) -> int:
    """Remove what killed runs left half-written; what a live run writes is left alone. Gives how many were removed."""
    removed = 0
    for folder in store.root.glob(f"{SCRATCH}*"):
        with locked(folder, wait=False) as got:
            if got:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


@contextmanager
def scratch(root: Path) -> Generator[Path]:
    """Give a folder for half-written files on the store's disk, locked for as long as this process lives."""
    root.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(dir=root, prefix=SCRATCH))
        with locked(folder, wait=True) as got:
            if not got or not folder.is_dir():
                continue  # another run swept it between its making and its locking
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextmanager
def locked(folder: Path, *, wait: bool) -> Generator[bool]:
    """Hold a lock on a folder, which the system lets go of when the process ends, however it ends."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


@contextmanager
def disk_explained(store: ObjectStore) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise HoldtrueError(
                f"There is no space left for {store.root} ({error.strerror}).",
                do="Free some, run `holdtrue gc`, or set HOLDTRUE_HOME to another disk. Nothing half-written is left.",
            ) from error
        if error.errno in {errno.EACCES, errno.EROFS, errno.EPERM}:
            raise HoldtrueError(
                f"{error.filename or store.root} may not be written ({error.strerror}).",
                do="Give this user the right to write there, or set HOLDTRUE_HOME to another folder.",
            ) from error
        raise


def fixed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Cut rows into parts of one size, however they arrive; all must have the columns of the first."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in uniform(batches):
        waiting.append(batch)
        rows += batch.num_rows
        while rows >= PART_ROWS:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, PART_ROWS).combine_chunks()
            waiting = table.slice(PART_ROWS).to_batches()
            rows -= PART_ROWS
    if rows:
        yield pa.Table.from_batches(waiting).combine_chunks()


def uniform(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Bring all batches to the few types, and to one form of each."""
    columns: tuple[Column, ...] = ()
    for batch in batches:
        found = columns_of(batch.schema, where="the rows")
        columns = columns or found
        same_columns(found, columns, where="a later part of the rows", first="the first rows")
        ordered = batch.select([column.name for column in columns])
        for conformed in conform(iter([ordered]), columns, where="the rows"):
            arrays = [
                canonical(array) if column.type == "Float64" else array
                for array, column in zip(conformed.columns, columns, strict=True)
            ]
            yield pa.record_batch(arrays, schema=conformed.schema)


def stored(table: pa.Table, columns: tuple[Column, ...], store: ObjectStore, folder: Path) -> Part:
    file = folder / "part"
    pq.write_table(table, file, compression="zstd", row_group_size=PART_ROWS)
    return Part(rows=table.num_rows, content=content_of(table, columns), file=store.take(file))


def named(columns: tuple[Column, ...], parts: Sequence[Part]) -> Snapshot:
    """Make the digest from the columns and the contents; the files are no part of it."""
    content = {
        "schema": SCHEMA,
        "columns": [[column.name, column.type] for column in columns],
        "parts": [[part.rows, part.content] for part in parts],
    }
    return Snapshot(
        digest=digest_of(content), rows=sum(part.rows for part in parts), columns=columns, parts=tuple(parts)
    )


def described(kept: Snapshot) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "rows": kept.rows,
        "columns": [{"name": column.name, "type": column.type} for column in kept.columns],
        "parts": [{"rows": part.rows, "content": part.content, "file": part.file} for part in kept.parts],
    }


def index(store: ObjectStore, digest: str) -> Path:
    return store.root.parent / "snapshots" / f"{digest}.json"


def verified(store: ObjectStore, file: str) -> Path:
    """Verify a stored file once in the life of this process, and again when it was touched."""
    path = store.path(file)
    if not path.is_file():
        return store.verified(file)  # says that it is missing
    state = path.stat()
    return checked(store, file, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@lru_cache(maxsize=65_536)
def checked(store: ObjectStore, file: str, state: tuple[int, ...]) -> Path:
    """Verify a file; its `state` is part of the cache's key, and a fault is not kept there."""
    return store.verified(file)
