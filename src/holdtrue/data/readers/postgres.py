"""A query to a Postgres server: a read-only transaction, rows through a cursor on the server."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.readers.columns import FLOAT_DIGITS, TYPES, Column, Table
from holdtrue.data.readers.faults import Faults
from holdtrue.data.readers.sql import check_names, hidden, no_table

if TYPE_CHECKING:
    import psycopg

BATCH_ROWS = 16_384
CONNECT_S = 10

# By the server's name of the type; what is not here is text.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "bool": "Boolean",
        "int2": "Int64",
        "int4": "Int64",
        "int8": "Int64",
        "oid": "Int64",
        "float4": "Float64",
        "float8": "Float64",
        "interval": "Float64",
        "date": "Date",
        "timestamp": "Datetime",
        "timestamptz": "Datetime(UTC)",
    }
)
NESTED = frozenset({"json", "jsonb", "bytea", "record"})


def read(url: str, query: str, *, where: str) -> Table:
    """Ask the server; an interval becomes seconds, a numeric of more than 15 digits (or of any) becomes text."""
    connection = connect(url, where)
    cursor = connection.cursor(name="holdtrue")
    try:
        with explained(connection, where):
            # Without parameters psycopg leaves % and : in the query alone.
            cursor.execute(query.encode())
            columns = columns_of(cursor, where)
    except BaseException:
        cursor.close()
        connection.close()
        raise
    return Table(columns=columns, batches=rows(connection, cursor, columns, where))


def connect(url: str, where: str) -> "psycopg.Connection[tuple[Any, ...]]":
    try:
        import psycopg
    except ImportError as error:
        raise Misuse("Postgres needs a driver: pip install 'holdtrue[postgres]'.") from error
    try:
        connection = psycopg.connect(url, connect_timeout=CONNECT_S)
    except psycopg.Error as error:
        raise DataFault(
            f"{where} cannot be reached: {without_password(str(error), url)}",
            do="Check the host, the port, the name of the database and the user, and that the server runs.",
        ) from None  # the cause may show the password
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return connection


def without_password(message: str, url: str) -> str:
    """Take the password out of what a library says.

    >>> without_password('invalid URI: "postgresql://a:pw1@h"', "postgresql://a:pw1@h")
    'invalid URI: "postgresql://a:***@h"'
    """
    try:
        parts = urlsplit(url)
        passwords = {parts.password or "", *parse_qs(parts.query).get("password", [])}
    except ValueError:
        return "the URL is not well formed"
    text = " ".join(message.replace(url, hidden(url)).split())
    for form in {form for password in passwords for form in (password, unquote(password))} - {""}:
        text = text.replace(form, "***")
    return text


@contextmanager
def explained(connection: "psycopg.Connection[tuple[Any, ...]]", where: str) -> Generator[None]:
    import psycopg
    from psycopg import errors

    try:
        yield
    except errors.UndefinedTable as error:
        connection.rollback()
        found = connection.execute(
            "SELECT CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END || relname "
            "FROM pg_stat_user_tables"
        ).fetchall()
        named = re.search(r'"(.+)"', str(error))
        raise no_table(named.group(1) if named else "", [row[0] for row in found], where=where) from error
    except errors.ReadOnlySqlTransaction as error:
        raise DataFault(
            f"The query for {where} writes: {str(error).splitlines()[0]}.", do="Rows are read and never written."
        ) from error
    except psycopg.Error as error:
        raise DataFault(f"{where} refused the query: {str(error).splitlines()[0]}", do="Correct the query.") from error


def columns_of(cursor: "psycopg.ServerCursor[tuple[Any, ...]]", where: str) -> tuple[Column, ...]:
    described = cursor.description or []
    check_names([entry.name for entry in described], where=where)
    columns: list[Column] = []
    faults = Faults(where=where)
    for entry in described:
        info = cursor.adapters.types.get(entry.type_code)
        name = info.name if info else ""
        if name in NESTED or (info is not None and info.array_oid == entry.type_code):
            faults.add(f"column {entry.name!r} holds {entry.type_display}, which is not one value a row")
        small = name == "numeric" and (entry.precision or FLOAT_DIGITS + 1) <= FLOAT_DIGITS
        columns.append(Column(name=entry.name, type="Float64" if small else KINDS.get(name, "String")))
    faults.check(do="Take such columns apart in the query, or leave them out.")
    return tuple(columns)


def rows(
    connection: "psycopg.Connection[tuple[Any, ...]]",
    cursor: "psycopg.ServerCursor[tuple[Any, ...]]",
    columns: tuple[Column, ...],
    where: str,
) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([(column.name, TYPES[column.type]) for column in columns])
    with closing(connection), closing(cursor), explained(connection, where):
        while chunk := cursor.fetchmany(BATCH_ROWS):
            arrays = [
                pa.array([fitted(value, column.type) for value in values], TYPES[column.type])
                for values, column in zip(zip(*chunk, strict=True), columns, strict=True)
            ]
            yield pa.record_batch(arrays, schema=schema)


def fitted(value: Any, to: str) -> Any:
    if value is None:
        return None
    if to == "Float64":
        return value.total_seconds() if isinstance(value, timedelta) else float(value)
    return str(value) if to == "String" else value
