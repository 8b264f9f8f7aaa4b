"""A query is read from SQLite and Postgres, and nothing is ever written."""

import os
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import psycopg
import pytest

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.source import Source, batches

POSTGRES = os.environ.get("HOLDTRUE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")
TABLE = f"holdtrue_test_{os.getpid()}"

Rows = list[dict[str, object]]


def rows_of(url: str, query: str, base: Path = Path()) -> Rows:
    return [row for batch in batches(Source(location=url, query=query), base=base) for row in batch.to_pylist()]


def refused(url: str, query: str, base: Path = Path()) -> str:
    with pytest.raises(DataFault) as caught:
        rows_of(url, query, base)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an SQLite file of 40,000 orders."""
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("CREATE TABLE orders (id INTEGER, city TEXT, total REAL, mixed, empty, photo BLOB)")
    connection.executemany(
        "INSERT INTO orders VALUES (?, ?, ?, ?, NULL, ?)",
        ((i, "Oslo, 50%" if i % 2 else None, i / 4, i if i % 3 else "x", b"\xff") for i in range(40_000)),
    )
    connection.commit()
    connection.close()
    return tmp_path


SQLITE = "sqlite:///shop.db"


@pytest.mark.slow
def test_sqlite_rows_come_in_order_with_the_types_of_their_values(folder: Path) -> None:
    found = rows_of(SQLITE, "SELECT id, city, total, mixed, empty FROM orders ORDER BY id; ", folder)
    assert len(found) == 40_000
    assert found[:2] == [
        {"id": 0, "city": None, "total": 0.0, "mixed": "x", "empty": None},
        {"id": 1, "city": "Oslo, 50%", "total": 0.25, "mixed": "1", "empty": None},
    ]
    assert [row["id"] for row in found] == list(range(40_000))


def test_an_absolute_path_to_sqlite_is_read(folder: Path) -> None:
    assert rows_of(f"sqlite:///{folder}/shop.db", "SELECT count(*) AS n FROM orders") == [{"n": 40_000}]


def test_a_comment_before_the_query_is_passed_over(folder: Path) -> None:
    query = "/* all; DROP */ -- one\n (SELECT 1 AS a)"
    assert rows_of(SQLITE, query.replace("(", "").replace(")", ""), folder) == [{"a": 1}]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders",
        "-- SELECT\nDROP TABLE orders",
        "PRAGMA user_version = 3",
        "ATTACH 'x' AS y",
        "",
        "WITH gone AS (SELECT 1) DELETE FROM orders",
        "SELECT 1 AS a; DROP TABLE orders",
        "SELECT 1 AS a) ; DROP TABLE orders; --",
    ],
)
def test_sqlite_is_never_written(query: str, folder: Path) -> None:
    before = (folder / "shop.db").read_bytes()
    assert "SELECT" in refused(SQLITE, query, folder) or "refused the query" in refused(SQLITE, query, folder)
    assert (folder / "shop.db").read_bytes() == before


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT * FROM order", "near"),
        ("SELECT * FROM ordrs", "no table 'ordrs'; did you mean 'orders'?"),
        ("SELECT photo FROM orders", "column 'photo' holds binary values"),
        ("SELECT id, id FROM orders", "the name 'id' is used by columns 1, 2"),
        ("SELECT id FROM orders WHERE id < 0", "has a header (id) and no rows"),
        ("SELECT CAST(x'ff' AS TEXT) AS a", "refused the query"),
    ],
)
def test_what_sqlite_cannot_answer_is_told(query: str, told: str, folder: Path) -> None:
    message = refused(SQLITE, query, folder)
    assert told in message
    assert SQLITE in message


def test_a_missing_sqlite_file_is_not_made(folder: Path) -> None:
    assert "did you mean 'shop.db'?" in refused("sqlite:///shops.db", "SELECT 1", folder)
    assert not (folder / "shops.db").exists()


def test_a_file_that_is_no_database_is_told(folder: Path) -> None:
    (folder / "rows.csv").write_bytes(b"a,b\n" * 500)
    assert "not a database" in refused("sqlite:///rows.csv", "SELECT 1 AS a FROM t", folder)


def test_an_unknown_database_is_misuse() -> None:
    with pytest.raises(Misuse, match=r"no reader for mysql://"):
        rows_of("mysql://ann:s3cret@db/shop", "SELECT 1")


@pytest.fixture
def server() -> Iterator[str]:
    """A table on the Postgres that HOLDTRUE_TEST_POSTGRES names."""
    try:
        connection = psycopg.connect(POSTGRES, autocommit=True)
    except psycopg.Error as error:
        pytest.fail(f"These tests need a Postgres at {POSTGRES} (or set HOLDTRUE_TEST_POSTGRES): {error}")
    columns = (
        "id bigint, small smallint, price numeric(10,2), exact numeric, ratio real, ok boolean, city varchar(20), "
        "code char(3), day date, at timestamp, seen timestamptz, took interval, key uuid, tags text[], doc jsonb"
    )
    connection.execute(f"CREATE TABLE {TABLE} ({columns})".encode())
    values = (
        "i, 1, 1.15, 12345678901234567890.5, 0.5, true, 'Oslo 50% :x', 'NO', '2020-02-29', '2020-01-01 12:00:00.5', "
        "'2020-01-01 12:00:00+02', '1 day', '00000000-0000-0000-0000-000000000005', '{a}', '{}'"
    )
    connection.execute(f"INSERT INTO {TABLE} SELECT {values} FROM generate_series(1, 40000) AS i".encode())
    connection.execute(f"INSERT INTO {TABLE} (id) VALUES (40001)".encode())
    yield POSTGRES
    connection.execute(f"DROP TABLE {TABLE}".encode())
    connection.close()


KEPT = "id, small, price, exact, ratio, ok, city, code, day, at, seen, took, key"


@pytest.mark.slow
def test_postgres_rows_come_in_order_with_the_types_of_their_columns(server: str) -> None:
    query = f"SELECT {KEPT}, 7 % 4 AS rest FROM {TABLE} WHERE city LIKE 'Oslo%' OR id > 40000 ORDER BY id;"
    found = rows_of(server, query)
    assert [row["id"] for row in found] == list(range(1, 40_002))
    assert found[0] == {
        "id": 1,
        "small": 1,
        "price": 1.15,
        "exact": "12345678901234567890.5",
        "ratio": 0.5,
        "ok": True,
        "city": "Oslo 50% :x",
        "code": "NO ",
        "day": date(2020, 2, 29),
        "at": datetime(2020, 1, 1, 12, 0, 0, 500_000),
        "seen": datetime(2020, 1, 1, 10, tzinfo=timezone.utc),  # noqa: UP017
        "took": 86_400.0,
        "key": "00000000-0000-0000-0000-000000000005",
        "rest": 3,
    }
    assert found[-1] == {**dict.fromkeys(found[0]), "id": 40_001, "rest": 3}


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "WITH gone AS (DELETE FROM {table} RETURNING id) SELECT id FROM gone",
        "SELECT id INTO copied FROM {table}",
        "SELECT 1 AS a; DROP TABLE {table}",
        "SELECT 1 AS a; COMMIT; DROP TABLE {table}",
        "SELECT nextval('x')",
    ],
)
def test_postgres_is_never_written(query: str, server: str) -> None:
    refused(server, query.format(table=TABLE))
    assert rows_of(server, f"SELECT count(*) AS n FROM {TABLE}") == [{"n": 40_001}]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT tags, doc FROM {table}", "column 'doc' holds jsonb"),
        ("SELECT id, id FROM {table}", "the name 'id' is used by columns 1, 2"),
        ("SELECT * FROM {table}s", "did you mean '{table}'?"),
        ("SELECT nothing FROM {table}", 'column "nothing" does not exist'),
        ("SELECT date 'infinity' AS a", "refused the query"),
        ("SELECT 1/(id - 30000) AS a FROM {table} ORDER BY id", "division by zero"),
    ],
)
def test_what_postgres_cannot_answer_is_told(query: str, told: str, server: str) -> None:
    assert told.format(table=TABLE) in refused(server, query.format(table=TABLE))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@127.0.0.1:1/shop",
        "postgresql://ann@127.0.0.1:1/shop?password=s3cret",
        "postgresql://ann:s3cret@127.0.0.1:port/shop",
        "postgresql://ann:s3cret@[::1/shop",
        "postgresql://ann:s3c%ret@127.0.0.1/shop",
    ],
)
def test_a_server_that_is_not_there_is_told_without_the_password(url: str) -> None:
    message = refused(url, "SELECT 1 AS a")
    assert "cannot be reached" in message
    assert "s3c" not in message
