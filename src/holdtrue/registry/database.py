"""Where the registry lives: `connect` opens it, brings its tables up to date, and gives whole transactions."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError

from holdtrue.core.errors import Misuse, Refused
from holdtrue.registry import postgres, sqlite
from holdtrue.registry.schema import KNOWN_VERSION, migrate, version_of

T = TypeVar("T")
SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """An open registry. `place` names it for people and holds no password.

    All that is done in one `write` is done whole or not at all, and nobody else writes meanwhile. A `read` sees one
    moment, whatever others write during it.
    """

    place: str
    reading: Callable[[], AbstractContextManager[Connection]]
    writing: Callable[[], AbstractContextManager[Connection]]

    def read(self, act: Callable[[Connection], T]) -> T:
        with self.reading() as connection:
            return act(connection)

    def write(self, act: Callable[[Connection], T]) -> T:
        with self.writing() as connection:
            return act(connection)


def connect(url: str, *, patience_s: float = 30.0) -> Database:
    """Open a registry (`sqlite:///file` or `postgresql://…`); its tables are made, or brought up to date.

    Raises `Refused` when a newer Holdtrue made it, `Busy` when another process has been writing for `patience_s`.
    """
    database = _located(url, patience_s)
    if _version(url, database) < KNOWN_VERSION:
        database.write(migrate)
    return database


def _located(url: str, patience_s: float) -> Database:
    # Cut by hand: a folder's name may hold `?` or `%`, which mean something else in a URL.
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        file = Path(url.removeprefix(SQLITE))
        reading, writing = sqlite.readable(file), sqlite.writable(file, patience_s=patience_s)
        return Database(place=str(file), reading=contextmanager(reading), writing=contextmanager(writing))
    try:
        parsed = make_url(url)
    except ArgumentError:
        # What was given is not shown: it may hold a password.
        raise Misuse(
            "The address of the registry is not a database URL.",
            do="Write sqlite:///path/to/file or postgresql://user@host:5432/name in HOLDTRUE_DATABASE_URL.",
        ) from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise Misuse(
            f"The registry cannot live in {parsed.get_backend_name()!r}.",
            do="Write sqlite:///path/to/file or postgresql://user@host:5432/name in HOLDTRUE_DATABASE_URL.",
        )
    reading, writing = postgres.sources(parsed, patience_s=patience_s)
    return Database(place=postgres.shown(parsed), reading=contextmanager(reading), writing=contextmanager(writing))


def _version(url: str, database: Database) -> int:
    if url.startswith(SQLITE):
        file = Path(url.removeprefix(SQLITE))
        if not file.exists() or file.stat().st_size == 0:
            return 0
        # Whoever made the file was killed at it: only a writer can undo that, and a reader would be refused.
        if file.with_name(file.name + "-journal").exists():
            return 0
    found = database.read(version_of)
    if found > KNOWN_VERSION:
        raise Refused(
            f"The registry {database.place} was made by a newer Holdtrue (tables of version {found};"
            f" this one knows {KNOWN_VERSION}).",
            do="Install the newer Holdtrue, or use another registry.",
        )
    return found
