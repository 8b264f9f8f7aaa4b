"""A look at held-out rows is counted once for each candidate, and never forgotten."""

from datetime import UTC, datetime

from holdtrue.registry.database import Database
from holdtrue.registry.ledger import entries
from holdtrue.registry.wear import use_number, uses

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROWS, OTHER_ROWS = "a" * 64, "b" * 64


def use(database: Database, candidate: str, *, rows: str = ROWS, project: str = "hotels") -> int:
    return database.write(
        lambda connection: use_number(connection, rows, candidate, project=project, actor="ada", now=NOW)
    )


def test_each_new_candidate_wears_the_rows_and_the_same_one_does_not(database: Database) -> None:
    assert [use(database, candidate) for candidate in ("x", "y", "x", "z", "y", "z")] == [1, 2, 1, 3, 2, 3]
    assert database.read(lambda connection: uses(connection, ROWS)) == 3


def test_rows_are_worn_whatever_project_looks_at_them(database: Database) -> None:
    assert use(database, "x", project="hotels") == 1
    assert use(database, "y", project="hotels-copy") == 2


def test_other_rows_are_counted_apart(database: Database) -> None:
    assert use(database, "x") == 1
    assert use(database, "x", rows=OTHER_ROWS) == 1


def test_every_use_is_in_the_ledger_once(database: Database) -> None:
    for candidate in ("x", "x", "y"):
        use(database, candidate)
    found = database.read(lambda connection: entries(connection, subject=ROWS)).rows
    assert [(entry.action, entry.detail["candidate"], entry.detail["number"]) for entry in found] == [
        ("hold-out used", "y", 2),
        ("hold-out used", "x", 1),
    ]
