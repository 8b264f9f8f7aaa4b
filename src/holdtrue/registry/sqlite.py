"""The registry in one SQLite file: many readers, and one writer at a time among all processes.

SQLite before 3.51.3 can damage a database in WAL mode when two connections write or checkpoint at one instant. So a
writer first holds a lock file beside the database, only its holder checkpoints, and readers open the file read-only,
which keeps them from checkpointing when they close.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from holdtrue.core.errors import Busy, HoldtrueError, Refused
from holdtrue.core.files import sync

WAL_LIMIT_BYTES = 4 * 2**20
COMMON = ("PRAGMA foreign_keys=ON", "PRAGMA trusted_schema=OFF", "PRAGMA wal_autocheckpoint=0")


def readable(file: Path) -> Callable[[], Generator[Connection]]:
    """Give a source of consistent, read-only views."""
    engine = _engine(lambda: _open(file, _reading_mode(file), COMMON), begin="BEGIN")

    def reading() -> Generator[Connection]:
        with _explained(file), engine.begin() as connection:
            yield connection

    return reading


def writable(file: Path, *, patience_s: float) -> Callable[[], Generator[Connection]]:
    """Give a source of write transactions: kept whole when the caller's block ends well, else as if never begun."""
    settings = (f"PRAGMA busy_timeout={int(patience_s * 1000)}", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")
    engine = _engine(lambda: _open(file, "mode=rwc", (*settings, *COMMON)), begin="BEGIN IMMEDIATE")

    def writing() -> Generator[Connection]:
        _make_folder(file)
        with _held(file, patience_s), _explained(file), engine.connect() as connection:
            with connection.begin():
                yield connection
            _checkpoint(connection, file)

    return writing


def _engine(opening: Callable[[], sqlite3.Connection], *, begin: str) -> Engine:
    # A connection for each transaction: nothing is shared between threads, inherited by a fork, or held while idle.
    engine = create_engine("sqlite+pysqlite://", creator=opening, poolclass=NullPool)
    event.listen(engine, "begin", partial(_begin, begin))
    return engine


def _begin(statement: str, connection: Connection) -> None:
    connection.exec_driver_sql(statement)


def _open(file: Path, mode: str, settings: tuple[str, ...]) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=30)
    try:
        for setting in settings:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _reading_mode(file: Path) -> str:
    # Even a reader of a WAL database writes its shared index. Where nothing can be written and no WAL is left over,
    # the file itself is all there is, and nobody else can change it.
    still = not os.access(file.parent, os.W_OK, effective_ids=True) and not file.with_name(file.name + "-wal").exists()
    return "mode=ro&immutable=1" if still else "mode=ro"


def _checkpoint(connection: Connection, file: Path) -> None:
    """Move a long WAL into the database; closing does it too, but not while a reader has the file open."""
    wal = file.with_name(file.name + "-wal")
    if not wal.exists() or wal.stat().st_size < WAL_LIMIT_BYTES:
        return
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    # What was committed is already safe in the WAL: a checkpoint that cannot be made now is made later.
    with suppress(sqlite3.Error):
        raw.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _make_folder(file: Path) -> None:
    try:
        if not file.parent.is_dir():
            file.parent.mkdir(parents=True, exist_ok=True)
            sync(file.parent.parent)
    except OSError as error:
        raise _unwritable(file, error) from None


@contextmanager
def _held(file: Path, patience_s: float) -> Generator[None]:
    """Hold the lock beside the database. The system lets go of it when the process ends, however it ends."""
    lock = file.with_name(file.name + ".lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unwritable(lock, error) from None
    try:
        _wait_for(handle, file, patience_s)
        try:
            # For the message of whoever waits in vain. The width is fixed so that a full disk does not matter.
            with suppress(OSError):
                os.pwrite(handle, f"{os.getpid():<10d}".encode(), 0)
            yield
        finally:
            # Said aloud, because a child forked meanwhile shares the open file and would go on holding it.
            fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def _wait_for(handle: int, file: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    pause_s = 0.001
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(
                    f"{_holder(handle)} has been writing {file} for more than {patience_s:g} s.",
                    do="Wait for it to finish, or end that process: what it did not finish is undone.",
                ) from None
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)
        else:
            return


def _holder(handle: int) -> str:
    number = os.pread(handle, 10, 0).decode(errors="replace").strip()
    if not number.isdigit():
        return "Another process"
    try:
        command = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"Process {number}" + (f" ({command[:80]})" if command else "")


@contextmanager
def _explained(file: Path) -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _explain(error.orig, file) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from a damaged name of a table
        raise _explain(error, file) from error


def _explain(error: BaseException | None, file: Path) -> HoldtrueError:
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Busy(
            f"Another program, not Holdtrue, has locked {file}.",
            do="Close the program that has the file open, such as a database browser, and run again.",
        )
    unreadable = isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error)
    if unreadable or name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return Refused(
            f"{file} is damaged or is no SQLite database ({error}).",
            do="Restore it from a backup, or move it away: releases stay in their folders and can be registered again.",
        )
    if name == "SQLITE_FULL":
        return HoldtrueError(f"There is no room to write {file}.", do="Make room and run again; nothing was changed.")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return HoldtrueError(
            f"{file} cannot be read or written: {error}.",
            do="Check the disk, its free space and the permissions of the file and its folder; nothing was changed.",
        )
    return HoldtrueError(f"The database {file} failed: {error}.", do="Nothing was changed. Run again with --debug.")


def _unwritable(path: Path, error: OSError) -> HoldtrueError:
    return HoldtrueError(
        f"{path} cannot be written: {error.strerror}.",
        do="Give write permission, make room, or set HOLDTRUE_HOME to another folder; nothing was changed.",
    )
