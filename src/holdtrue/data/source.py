"""Where the rows come from: a file, a folder of parts, or a query; told apart here and read by `readers`.

Every reader gives the same: raw columns with a type of the few in `readers/columns.py`, and batches in row order, a
part of the rows in memory at a time. What cannot be read is refused with the file, the row, and what to do.
"""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.readers import arrow_files, csv_text, json_lines, postgres, sql, sqlite
from holdtrue.data.readers.columns import Table, same_columns
from holdtrue.data.readers.faults import close_to
from holdtrue.data.readers.frames import frame_batches
from holdtrue.data.readers.stream import compression, inner_name

__all__ = ["Source", "batches", "describe", "frame_batches"]

FORMS = {
    ".csv": "text",
    ".tsv": "text",
    ".txt": "text",
    ".tab": "text",
    ".data": "text",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".ipc": "Arrow",
    ".arrows": "Arrow",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON lines",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where rows come from, and what a text file does not say of itself.

    Attributes:
        location: a file, a folder of parts, or the URL of a database (`sqlite:///path`, `postgresql://…`).
        query: the SELECT for a database.
        delimiter: what divides a text file; found out when None.
        encoding: of a text file; found out when None.
        header: whether the first row of a text file names the columns.
        columns: their names when it does not; `column_1`, `column_2`, … when None.
        strip: whether blanks around the values of a text file are dropped.
    """

    location: str
    query: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    columns: tuple[str, ...] | None = None
    strip: bool = True

    def __post_init__(self) -> None:
        if not self.location.strip():
            raise Misuse("The source is blank; name a file, a folder or the URL of a database.")
        if is_url(self.location) != (self.query is not None):
            where = describe(self)
            raise Misuse(
                f"The source {where} is a database and needs a query."
                if self.query is None
                else f"The source {where} is no database, so it has no query."
            )
        mark = self.delimiter.strip(" ") or " " if self.delimiter else ","
        if len(mark) != 1 or not mark.isascii() or mark in '"\r\n\0':
            raise Misuse(f"The delimiter {self.delimiter!r} is not one plain character.")
        if self.columns is not None and self.header:
            raise Misuse("Columns are named for a file without a header row; say `header: false` too.")


def is_url(location: str) -> bool:
    return "://" in location


def describe(source: Source) -> str:
    """Name a source for people, without a password.

    >>> describe(Source(location="postgresql://ann:s3cret@db/shop", query="SELECT 1"))
    'postgresql://ann:***@db/shop'
    """
    return sql.hidden(source.location) if is_url(source.location) else source.location


def batches(source: Source, *, base: Path, note: Callable[[str], None] | None = None) -> Iterator[pa.RecordBatch]:
    """Give the raw rows in their order; a location that is not absolute is looked for in `base`.

    What was found out and may be wrong (an encoding) is told to `note`. Raises `DataFault` for what cannot be read,
    at the latest after the last row.
    """
    where = describe(source)
    table = opened(source, base, note or (lambda _: None))
    rows = 0
    for batch in table.batches:
        rows += batch.num_rows
        yield batch
    if not rows:
        names = ", ".join(column.name for column in table.columns[:8])
        more = ", …" if len(table.columns) > 8 else ""
        raise DataFault(f"{where} has a header ({names}{more}) and no rows.", do="Export it again with its rows.")


def opened(source: Source, base: Path, note: Callable[[str], None]) -> Table:
    where = describe(source)
    if source.query is not None:
        return database(source.location, sql.only_reading(source.query, where), base, where)
    path = existing(base / source.location, where)
    try:
        if path.is_dir():
            return folder(path, source, note, where)
        return single(path, form_of(path), source, note, where)
    except PermissionError as error:
        raise not_allowed(where) from error


def database(url: str, query: str, base: Path, where: str) -> Table:
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return sqlite.read(existing(base / rest.removeprefix("/"), where), query, where=where)
    if scheme in {"postgresql", "postgres"}:
        return postgres.read(url, query, where=where)
    raise Misuse(
        f"Rows cannot be read from {where}: there is no reader for {scheme}://.",
        do="Known: sqlite:///path/to/file.db, postgresql://user@host:5432/database.",
    )


def not_allowed(where: str) -> DataFault:
    return DataFault(f"{where} may not be read: permission denied.", do="Give this user the right to read it.")


def existing(path: Path, where: str) -> Path:
    """Give the path if something readable is there; name the nearest if not."""
    try:
        if path.is_file() or path.is_dir():
            return path
        if path.exists():
            raise DataFault(f"{where} is neither a file nor a folder.", do="Write the rows to a file first.")
        folder = path.parent
        while not folder.is_dir():
            folder = folder.parent
        if folder != path.parent:
            raise DataFault(f"{where} is not there: the folder {path.parent} does not exist.", do="Correct the path.")
        known = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    except PermissionError as error:
        raise not_allowed(where) from error
    raise DataFault(f"{where} is not there{close_to(path.name, known)}", do="Correct the path.")


def form_of(path: Path) -> str:
    """Tell a file's form from its first bytes, then from its name; what is neither is text."""
    with path.open("rb") as stream:
        head = stream.read(6)
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head == b"ARROW1":
        return "Arrow"
    form = FORMS.get(Path(inner_name(path)).suffix.lower(), "text")
    if form in {"Parquet", "Arrow"} and compression(path):
        raise DataFault(f"{path.name} is a compressed {form} file.", do="Unpack it; such files are compressed inside.")
    return form


def single(path: Path, form: str, source: Source, note: Callable[[str], None], where: str) -> Table:
    if path.stat().st_size == 0:
        raise DataFault(f"{where} is empty (0 bytes).", do="Export it again; something wrote no rows.")
    if form in {"Parquet", "Arrow"}:
        return arrow_files.read([path], form, names=[where])
    if form == "JSON lines":
        return json_lines.read(path, source.encoding, where=where, note=note)
    style = csv_text.Style(
        delimiter=source.delimiter,
        encoding=source.encoding,
        header=source.header,
        columns=source.columns,
        strip=source.strip,
    )
    return csv_text.read(path, style, where=where, note=note)


def folder(path: Path, source: Source, note: Callable[[str], None], where: str) -> Table:
    """Read the parts in a folder, sorted by name; names that begin with a dot or an underscore are no parts."""
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith((".", "_")))
    inside = [entry.name for entry in entries if entry.is_dir()]
    if inside:
        raise DataFault(
            f"{where} holds folders ({', '.join(inside[:5])}); parts are expected directly in it.",
            do="Name one of them, or put all parts into one folder, with what the folders' names say as a column.",
        )
    parts = [entry for entry in entries if Path(inner_name(entry)).suffix.lower() in FORMS]
    if not parts:
        held = f"it holds {', '.join(entry.name for entry in entries[:5])}" if entries else "it is empty"
        raise DataFault(f"The folder {where} has no parts; {held}.", do=f"Parts end in {', '.join(FORMS)}.")
    names = [f"{where.rstrip('/')}/{part.name}" for part in parts]
    forms = {form_of(part): part.name for part in parts}
    if len(forms) > 1:
        found = ", ".join(f"{name} is {form}" for form, name in forms.items())
        raise DataFault(f"{where} holds parts of several forms: {found}.", do="Keep one form to a folder.")
    form = next(iter(forms))
    if form in {"Parquet", "Arrow"}:
        return arrow_files.read(parts, form, names=names)
    tables = [single(part, form, source, note, name) for part, name in zip(parts, names, strict=True)]
    for table, name in zip(tables, names, strict=True):
        same_columns(table.columns, tables[0].columns, where=name, first=names[0])
    order = [column.name for column in tables[0].columns]
    return Table(
        columns=tables[0].columns, batches=(batch.select(order) for table in tables for batch in table.batches)
    )
