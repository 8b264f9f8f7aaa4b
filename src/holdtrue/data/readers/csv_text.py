"""Delimited text: every column is read as text, an empty field is missing, and every row has all its fields."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from holdtrue.core.errors import DataFault
from holdtrue.data.readers.columns import Column, Note, Table
from holdtrue.data.readers.dialect import Dialect, find_dialect
from holdtrue.data.readers.encoding import Encoding, find_encoding, utf8
from holdtrue.data.readers.faults import Faults, crop
from holdtrue.data.readers.quotes import Quotes

# A row may not be longer than a block. The parser's reader runs up to 32 blocks ahead, on a thread of its own.
BLOCK_BYTES = 1 << 21
SAMPLE_BYTES = 1 << 18

REPAIR = "Rows are counted from 1, the header included. Repair them, or name the delimiter (`delimiter:`)."


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """What was said about a text file; None is found out."""

    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    columns: tuple[str, ...] | None = None
    strip: bool = True


def read(path: Path, style: Style, *, where: str, note: Note) -> Table:
    """Survey a file's encoding, delimiter and header, then give its rows."""
    encoding = find_encoding(path, style.encoding, where=where)
    if encoding.note:
        note(encoding.note)
    dialect = find_dialect(
        sample_of(path, encoding, where),
        asked=style.delimiter,
        header=style.header,
        columns=style.columns,
        strip=style.strip,
        where=where,
    )
    return Table(
        columns=tuple(Column(name=name, type="String") for name in dialect.names),
        batches=rows(path, encoding, dialect, style, where),
    )


def sample_of(path: Path, encoding: Encoding, where: str) -> str:
    """Give the first lines, whole."""
    data = b""
    pieces = utf8(path, encoding, where=where)
    while len(data) < SAMPLE_BYTES:
        piece = next(pieces, None)
        if piece is None:
            return data.decode()
        data += piece
    return data[: data.rfind(b"\n", 0, SAMPLE_BYTES) + 1 or len(data)].decode()


@dataclass(kw_only=True, slots=True)
class Feed:
    """A file for the parser: gives as many bytes as asked until the end, for a shorter block may hold no row."""

    pieces: Iterator[bytes]
    waiting: bytearray
    closed: bool = False

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self.waiting) < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            self.waiting += piece
        given = bytes(self.waiting[:size] if size >= 0 else self.waiting)
        del self.waiting[: len(given)]
        return given

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def watched(pieces: Iterator[bytes], quotes: Quotes) -> Iterator[bytes]:
    for piece in pieces:
        yield quotes.feed(piece)
    yield quotes.finish()


def rows(path: Path, encoding: Encoding, dialect: Dialect, style: Style, where: str) -> Iterator[pa.RecordBatch]:
    """Give the rows; after the last, raise `DataFault` with all that were ragged."""
    faults = Faults(where=where)
    # The reader's thread has faults of its own: two threads that count in one place lose counts.
    quotes = Quotes(delimiter=dialect.delimiter, strip=style.strip, faults=Faults(where=where))
    feed = Feed(pieces=watched(utf8(path, encoding, where=where), quotes), waiting=bytearray())
    first = style.header
    try:
        for batch in parser(feed, dialect, ragged(faults)):
            rest = batch.slice(1) if first and batch.num_rows else batch
            first = first and not batch.num_rows
            if not faults.count and rest.num_rows:
                yield cleaned(rest, dialect.names, style.strip)
    except pa.ArrowInvalid as error:
        raise unparsed(error, quotes, where) from error
    faults.take(quotes.faults)
    faults.check(do=REPAIR)


def ragged(faults: Faults) -> Callable[[Any], str]:
    """Count rows that have more or fewer fields than the header."""

    def handle(row: Any) -> str:
        noun = "field" if row.actual_columns == 1 else "fields"
        faults.add(
            f"row {row.number:,} has {row.actual_columns} {noun} where {row.expected_columns} are expected: "
            f"{crop(row.text)}"
        )
        return "skip"

    return handle


def parser(feed: Feed, dialect: Dialect, handle: Callable[[Any], str]) -> Iterator[pa.RecordBatch]:
    places = [f"f{place}" for place in range(len(dialect.names))]
    return csv.open_csv(
        pa.PythonFile(feed, mode="r"),
        read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=places),
        parse_options=csv.ParseOptions(
            delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=handle, ignore_empty_lines=True
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(places, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            check_utf8=False,
        ),
    )


def cleaned(batch: pa.RecordBatch, names: tuple[str, ...], strip: bool) -> pa.RecordBatch:
    """Strip blanks around values; what was blanks only is missing."""
    columns = (
        [pc.call_function("utf8_trim_whitespace", [column]) for column in batch.columns] if strip else batch.columns
    )
    return pa.record_batch([without_blanks(column) for column in columns], names=list(names))


def without_blanks(column: pa.Array) -> pa.Array:
    blank = pc.call_function("equal", [column, pa.scalar("")]).fill_null(False)
    return pc.call_function("replace_with_mask", [column, blank, pa.scalar(None, pa.string())])


def unparsed(error: pa.ArrowInvalid, quotes: Quotes, where: str) -> DataFault:
    """Say what stopped the parser: nearly always a quote that swallows the rest of the file."""
    faults = Faults(where=where)
    if quotes.inside or "straddl" in str(error):
        line = quotes.opened if quotes.inside else quotes.line
        faults.add(
            f"line {line:,} or just before: a quote is not closed, or a row is longer than {BLOCK_BYTES >> 20} MiB"
        )
    else:
        faults.add(f"near line {quotes.line:,}: {error}")
    return faults.error(do=REPAIR)
