"""Parquet and Arrow files, one or a folder of parts: the types they bring are kept."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc
from pyarrow import parquet as pq

from holdtrue.core.errors import DataFault
from holdtrue.data.readers.columns import Column, Table, columns_of, conform, same_columns

BATCH_ROWS = 65_536


@contextmanager
def explained(where: str, form: str) -> Generator[None]:
    """Say in words that a file is not what its name says, or was cut off."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise
        raise DataFault(
            f"{where} cannot be read as {form}: {str(error).splitlines()[0]}",
            do="It is of another format, or it was cut off on its way here; write or copy it again.",
        ) from error


def schema_of(path: Path, form: str, *, where: str) -> pa.Schema:
    with explained(where, form):
        if form == "Parquet":
            return pq.read_schema(path)
        with pa.OSFile(str(path)) as file, arrow(file) as reader:
            return reader.schema


@contextmanager
def arrow(file: Any) -> Generator[Any]:
    """Open either of Arrow's two forms: with an index of batches at the end, or a stream."""
    indexed = file.read(6) == b"ARROW1"
    file.seek(0)
    with ipc.open_file(file) if indexed else ipc.open_stream(file) as reader:
        yield reader


def read(paths: Sequence[Path], form: str, *, names: Sequence[str]) -> Table:
    """Give the rows of all parts, in the order given; raises `DataFault` when their columns differ.

    A column that is of no type in one part (all its values are missing) takes its type from the others.
    """
    schemas = [schema_of(path, form, where=name) for path, name in zip(paths, names, strict=True)]
    known: dict[str, pa.DataType] = {}
    for schema in schemas:
        for name, kind in zip(schema.names, schema.types, strict=True):
            if name not in known or pa.types.is_null(known[name]):
                known[name] = kind
    parts = [columns_of(filled(schema, known), where=name) for schema, name in zip(schemas, names, strict=True)]
    for part, name in zip(parts, names, strict=True):
        same_columns(part, parts[0], where=name, first=names[0])
    return Table(columns=parts[0], batches=rows(paths, form, parts[0], names))


def filled(schema: pa.Schema, known: Mapping[str, pa.DataType]) -> pa.Schema:
    kinds = [known[field.name] if pa.types.is_null(field.type) else field.type for field in schema]
    return pa.schema(list(zip(schema.names, kinds, strict=True)))


def rows(paths: Sequence[Path], form: str, columns: Sequence[Column], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    wanted = [column.name for column in columns]
    for path, name in zip(paths, names, strict=True):
        yield from conform((batch.select(wanted) for batch in raw(path, form, name)), columns, where=name)


def raw(path: Path, form: str, where: str) -> Iterator[pa.RecordBatch]:
    with explained(where, form):
        if form == "Parquet":
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                yield from file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
            return
        with pa.OSFile(str(path)) as file, arrow(file) as reader:
            count = getattr(reader, "num_record_batches", None)
            if count is None:
                yield from reader
            else:
                yield from (reader.get_batch(place) for place in range(count))
