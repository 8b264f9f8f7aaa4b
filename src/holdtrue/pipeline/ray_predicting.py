"""A folder of Parquet in, a folder of Parquet out: blocks of rows answered by many processes, all of them or none.

Each block is a run of row groups of one part, so the same folder always gives the same blocks and the parts of the
answer, read in the order of their names, are the rows in theirs. `_SUCCESS` counts and names every part.
"""

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from holdtrue.core.digest import sha256_bytes
from holdtrue.core.errors import Busy, DataFault, HoldtrueError, Misuse, Refused
from holdtrue.core.files import folder_whole, write_whole
from holdtrue.data.breach import Breach
from holdtrue.data.check import check
from holdtrue.data.readers.arrow_files import explained, filled, schema_of
from holdtrue.data.readers.columns import Column, columns_of, conform, same_columns
from holdtrue.pipeline.predicting import CHUNK_ROWS, Predicted
from holdtrue.pipeline.progress import Tell
from holdtrue.release.held import hold
from holdtrue.release.predictor import Predictor, load
from holdtrue.release.rows import parquet
from holdtrue.release.signing import trusted_keys

SUCCESS = "_SUCCESS"
SCHEMA = "holdtrue/predictions/1"
ENDINGS = (".parquet", ".pq")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Rows that are answered together: row groups `first` to `last` (left out) of one part.

    Attributes:
        place: its number among all blocks.
        start: how many rows of the folder come before it.
        columns: those of the whole folder; a part may say less of a column that it has no value of.
    """

    place: int
    path: str
    first: int
    last: int
    start: int
    rows: int
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return f"part-{self.place:06d}.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What became of a block."""

    place: int
    name: str
    rows: int
    bytes: int
    sha256: str
    breaches: tuple[Breach, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A release as it travels to other machines: its bytes, and the public keys that it may be signed with."""

    digest: str
    files: Mapping[str, bytes]
    keys: Mapping[str, bytes]


Engine = Callable[[Bundle, Sequence[Block], Path], Iterator[Part]]


def bundle_of(ready: Predictor, keys: Path) -> Bundle:
    """Take a release along as bytes, with the keys that are trusted here; whoever opens it verifies it again."""
    trusted = trusted_keys(keys)
    return Bundle(
        digest=ready.release.digest,
        files=hold(ready.release.folder),
        keys={f"{fingerprint}.pub": path.read_bytes() for fingerprint, path in trusted.items()},
    )


@contextmanager
def opened(bundle: Bundle) -> Generator[Predictor]:
    """Verify a release that travelled, in full, and make it ready; raises `Refused` unless every check passes."""
    with tempfile.TemporaryDirectory(prefix="holdtrue-") as place:
        folder, trusted = Path(place) / "releases" / bundle.digest, Path(place) / "keys" / "trusted"
        for where, files in ((folder, bundle.files), (trusted, bundle.keys)):
            where.mkdir(parents=True)
            for name, data in files.items():
                (where / name).write_bytes(data)
        yield load(folder, trusted=trusted_keys(trusted.parent))


def predict_folder(bundle: Bundle, folder: Path, out: Path, *, engine: Engine, tell: Tell) -> Predicted:
    """Answer every row of a folder; `out` appears when every part is written, or not at all.

    Rows that break the contract are answered too, as the graph answers them, and reported. What must be unique is
    looked for in each block alone.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Misuse(f"{out} is there already.", do="Name a new place, or remove it first.")
    if not out.absolute().parent.is_dir():
        raise Misuse(f"The folder {out.parent} is not there.", do="Make it first.")
    blocks = blocks_of(folder)
    rows = sum(block.rows for block in blocks)
    tell("predict", 0, rows)
    parts: dict[int, Part] = {}
    with _scratch(out) as scratch:
        if out.exists():
            out.rmdir()
        with folder_whole(out.absolute(), scratch=scratch) as building:
            done = 0
            for part in engine(bundle, blocks, building):
                parts[part.place] = part
                done += part.rows
                tell("predict", done, rows)
            ordered = [parts[block.place] for block in blocks if block.place in parts]
            _complete(blocks, ordered, building)
            write_whole(building / SUCCESS, _manifest(bundle.digest, blocks, ordered, folder))
    told = tuple(breach.sentence for breach in _together(blocks, ordered, rows))
    return Predicted(release=bundle.digest, rows=rows, out=out, breaches=told)


@contextmanager
def _scratch(out: Path) -> Generator[Path]:
    """Hold a folder beside `out` to build in; what a killed run left in it is cleared away."""
    place = out.absolute().parent / f".tmp-{out.name}"
    place.mkdir(exist_ok=True)
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"Another process is writing {out}.", do="Wait for it, or name another folder.") from None
        for left in place.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(handle)


def blocks_of(folder: Path) -> tuple[Block, ...]:
    """Divide the parts of a folder into blocks; raises `DataFault` for parts that do not belong together."""
    if not folder.is_dir():
        raise Misuse(f"{folder} is no folder.", do="Name a folder of Parquet parts, or leave --engine out for a file.")
    # Names that begin with a dot or an underscore are no parts, as everywhere.
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "_")))
    other = [entry.name for entry in entries if entry.suffix.lower() not in ENDINGS or not entry.is_file()]
    if other or not entries:
        found = f"{folder} holds {', '.join(other[:5])}" if other else f"The folder {folder} is empty"
        raise DataFault(f"{found}; parts are files that end in {' or '.join(ENDINGS)}.", do="Keep only parts in it.")
    columns = _columns(entries)
    made: list[Block] = []
    start = 0
    for path in entries:
        with explained(path.name, "Parquet"), pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        for first, last in _runs(groups):
            rows = sum(groups[first:last])
            made.append(
                Block(
                    place=len(made),
                    path=str(path.absolute()),
                    first=first,
                    last=last,
                    start=start,
                    rows=rows,
                    columns=columns,
                )
            )
            start += rows
    if not start:
        raise DataFault(f"The parts of {folder} have no rows.", do="Export them again; something wrote no rows.")
    return tuple(made)


def _runs(groups: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Put row groups together until they have as many rows as pay; empty ones alone make no block."""
    first = rows = 0
    for number, count in enumerate(groups):
        rows += count
        if rows >= CHUNK_ROWS or (rows and number == len(groups) - 1):
            yield first, number + 1
            first, rows = number + 1, 0


def _columns(paths: Sequence[Path]) -> tuple[Column, ...]:
    """Type the columns of a folder as the reader of files does: one without a value takes its type from other parts."""
    schemas = [schema_of(path, "Parquet", where=path.name) for path in paths]
    known: dict[str, pa.DataType] = {}
    for schema in schemas:
        for name, kind in zip(schema.names, schema.types, strict=True):
            if name not in known or pa.types.is_null(known[name]):
                known[name] = kind
    typed = [columns_of(filled(schema, known), where=path.name) for schema, path in zip(schemas, paths, strict=True)]
    for columns, path in zip(typed, paths, strict=True):
        same_columns(columns, typed[0], where=path.name, first=paths[0].name)
    return typed[0]


def answer_block(ready: Predictor, block: Block, building: Path) -> Part:
    """Answer one block and write its part; doing it twice gives the same file."""
    raw = _rows(block)
    breaches = check(ready.contract, raw, now=None)
    data = parquet(ready.predict(raw).with_columns(release=pl.lit(ready.release.digest)))
    write_whole(building / block.name, data)
    return Part(
        place=block.place,
        name=block.name,
        rows=raw.height,
        bytes=len(data),
        sha256=sha256_bytes(data),
        breaches=breaches,
    )


def _rows(block: Block) -> pl.DataFrame:
    wanted = [column.name for column in block.columns]
    where = Path(block.path).name
    with explained(where, "Parquet"), pq.ParquetFile(block.path, page_checksum_verification=True) as file:
        table = file.read_row_groups(list(range(block.first, block.last)), columns=wanted, use_threads=False)
    if table.num_rows != block.rows:
        raise DataFault(f"{where} changed while it was read.", do="Wait until it is written, and predict again.")
    batches = conform(iter(table.select(wanted).to_batches()), block.columns, where=where)
    made = pl.from_arrow(pa.Table.from_batches(list(batches)))
    assert isinstance(made, pl.DataFrame)
    return made


def _complete(blocks: Sequence[Block], parts: Sequence[Part], building: Path) -> None:
    """Make sure that every block became a part that this process sees too: machines may not share this folder."""
    faults = [
        f"{part.name} is not there in full"
        for part in parts
        if not (building / part.name).is_file() or (building / part.name).stat().st_size != part.bytes
    ]
    if len(parts) != len(blocks):
        faults.append(f"{len(blocks) - len(parts)} of {len(blocks)} blocks were not answered")
    if faults:
        raise HoldtrueError(
            "Not every part of the answer was written:",
            faults=faults[:20],
            do="Write to a folder that every machine of the cluster sees, and run it again.",
        )


def _manifest(digest: str, blocks: Sequence[Block], parts: Sequence[Part], folder: Path) -> bytes:
    listed = [
        {
            "name": part.name,
            "rows": part.rows,
            "bytes": part.bytes,
            "sha256": part.sha256,
            "from": Path(block.path).relative_to(folder.absolute()).as_posix(),
            "first_row": block.start + 1,
        }
        for block, part in zip(blocks, parts, strict=True)
    ]
    told = {"schema": SCHEMA, "release": digest, "rows": sum(part.rows for part in parts), "parts": listed}
    return json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n"


def _together(blocks: Sequence[Block], parts: Sequence[Part], rows: int) -> list[Breach]:
    """Add up what was found in each block; rows are counted over the whole folder."""
    found: dict[tuple[str, str], Breach] = {}
    for block, part in zip(blocks, parts, strict=True):
        for breach in part.breaches:
            key = (breach.where, breach.what)
            before = found.get(key)
            if before is not None:
                found[key] = replace(before, count=before.count + breach.count)
            else:
                first = None if breach.first_row is None else block.start + breach.first_row
                found[key] = replace(breach, rows=rows, first_row=first)
    return list(found.values())


def over_ray(bundle: Bundle, blocks: Sequence[Block], building: Path) -> Iterator[Part]:
    """Answer blocks in the processes of a Ray cluster: the one that RAY_ADDRESS names, or one made for this alone."""
    try:
        ray: Any = import_module("ray")
        data: Any = import_module("ray.data")
    except ImportError as error:
        raise Misuse(f"Ray is not installed in full: {error}.", do="Install it: pip install 'holdtrue[ray]'") from None
    started = not ray.is_initialized()
    if started:
        # The graph runs on one thread, and there is a process for each processor.
        one_thread = {"env_vars": {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}}
        ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False, runtime_env=one_thread)
    try:
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        processes = max(1, min(len(blocks), int(ray.cluster_resources().get("CPU", 1))))
        items = data.from_items([{"place": place} for place in range(len(blocks))], override_num_blocks=len(blocks))
        answered = items.map(
            _Answering,
            fn_constructor_args=(ray.put(bundle), tuple(blocks), building),
            compute=data.ActorPoolStrategy(size=processes),
            num_cpus=1,
        )
        for row in answered.iter_rows():
            yield _part_of(row["part"], row["fault"])
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    finally:
        if started:
            ray.shutdown()


def _part_of(part: bytes, fault: str) -> Part:
    """Read what a process gave back; raises the error of ours that it ended with."""
    if not fault:
        return msgspec.json.decode(part, type=Part)
    kind, what, faults, do = json.loads(fault)
    known = {each.__name__: each for each in (Misuse, DataFault, Refused)}
    raise known.get(kind, HoldtrueError)(what, faults=faults, do=do)


def _cause(error: BaseException) -> HoldtrueError:
    """Say in one line what made a process of the cluster fail."""
    inner = getattr(error, "cause", None) or error.__cause__
    while isinstance(inner, BaseException):
        error, inner = inner, getattr(inner, "cause", None) or inner.__cause__
    said = next(iter(str(error).strip().splitlines()), "")
    return HoldtrueError(
        f"Ray could not answer every block: {type(error).__name__} {said}",
        do="Nothing was written. See the logs of Ray, and run it again.",
    )


class _Answering:
    """One process of the cluster: it verifies the release once, and answers block by block."""

    def __init__(self, bundle: Any, blocks: Sequence[Block], building: Path) -> None:
        ray: Any = import_module("ray")
        self._ready: Predictor | HoldtrueError
        try:
            with opened(ray.get(bundle)) as ready:
                self._ready = ready  # the graph is in memory; the folder may go
        except HoldtrueError as error:
            self._ready = error
        self._blocks, self._building = blocks, building

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        # An error of ours goes back as a value: Ray would print it with its whole stack, and wrap its words.
        try:
            if isinstance(self._ready, HoldtrueError):
                raise self._ready
            part = answer_block(self._ready, self._blocks[row["place"]], self._building)
        except HoldtrueError as error:
            told = [type(error).__name__, error.what, list(error.faults), error.do]
            return {"part": b"", "fault": json.dumps(told)}
        return {"part": msgspec.json.encode(part), "fault": ""}
