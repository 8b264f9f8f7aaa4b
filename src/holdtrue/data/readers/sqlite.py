"""A query to an SQLite file, opened read-only."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

import re
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from holdtrue.core.errors import DataFault
from holdtrue.data.readers.columns import TYPES, Column, Table
from holdtrue.data.readers.faults import Faults
from holdtrue.data.readers.sql import check_names, no_table

BATCH_ROWS = 16_384

Value = int | float | str | bytes | None


def read(path: Path, query: str, *, where: str) -> Table:
    """Find the columns' types by asking for those of all values, since a column of SQLite may hold any; give the rows.

    Both are answered from one state of the file.
    """
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise DataFault(f"{where} cannot be opened: {error}.", do="Check the path and the right to read it.") from error
    try:
        with explained(connection, where):
            connection.execute("BEGIN")
            columns = columns_of(connection, query, where)
    except BaseException:
        connection.close()
        raise
    return Table(columns=columns, batches=rows(connection, query, columns, where))


@contextmanager
def explained(connection: sqlite3.Connection, where: str) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if missing := re.fullmatch(r"no such table: (.+)", str(error)):
            found = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
            raise no_table(missing.group(1), [name for (name,) in found], where=where) from error
        wrote = "readonly" in str(error)
        raise DataFault(
            f"{where} refused the query: {error}.",
            do="Rows are read and never written." if wrote else "Correct the query, or check that it is a database.",
        ) from error


def columns_of(connection: sqlite3.Connection, query: str, where: str) -> tuple[Column, ...]:
    with closing(connection.execute(query)) as cursor:
        names = [str(entry[0]) for entry in cursor.description]
    check_names(names, where=where)
    asked = ", ".join("group_concat(DISTINCT typeof({}))".format('"' + name.replace('"', '""') + '"') for name in names)
    # Names and query come from the project file, whose author may read all of this database anyway; nothing is written.
    (found,) = connection.execute(f"SELECT {asked} FROM (\n{query}\n)").fetchall()  # noqa: S608
    kinds: list[set[str]] = [set(str(text or "").split(",")) - {"", "null"} for text in found]
    faults = Faults(where=where)
    for name, kind in zip(names, kinds, strict=True):
        if "blob" in kind:
            faults.add(f"column {name!r} holds binary values")
    faults.check(do="Leave such columns out of the query, or turn them into text with hex().")
    return tuple(Column(name=name, type=type_of(kind)) for name, kind in zip(names, kinds, strict=True))


def type_of(kinds: set[str]) -> str:
    """Choose the type that holds all that was found.

    >>> type_of({"integer", "real"}), type_of({"integer", "text"})
    ('Float64', 'String')
    """
    if kinds == {"integer"}:
        return "Int64"
    return "Float64" if kinds in ({"real"}, {"integer", "real"}) else "String"


def rows(
    connection: sqlite3.Connection, query: str, columns: tuple[Column, ...], where: str
) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([(column.name, TYPES[column.type]) for column in columns])
    with closing(connection), explained(connection, where), closing(connection.execute(query)) as cursor:
        while chunk := cursor.fetchmany(BATCH_ROWS):
            arrays = [
                pa.array([fitted(value, column.type) for value in values], TYPES[column.type])
                for values, column in zip(zip(*chunk, strict=True), columns, strict=True)
            ]
            yield pa.record_batch(arrays, schema=schema)


def fitted(value: Value, to: str) -> Value:
    if value is None:
        return None
    if to == "Float64":
        return float(value)
    return str(value) if to == "String" else value
