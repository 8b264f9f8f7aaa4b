"""One writer at a time, whole transactions or none, and a plain word when it cannot be."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text

from holdtrue.core.digest import sha256_bytes
from holdtrue.core.errors import Busy, HoldtrueError, Misuse, Refused
from holdtrue.registry.aliases import alias_history
from holdtrue.registry.catalog import Run, record_run, record_runs, releases_page, runs_page
from holdtrue.registry.database import Database, connect
from holdtrue.registry.page import Page
from holdtrue.registry.schema import METADATA, VERSION
from holdtrue.registry.sealing import verify
from holdtrue.registry.wear import uses

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RUN = Run(id="run-1", project="hotels", started=NOW, state="running")
WRITER = Path(__file__).with_name("writer.py")


def record(database: Database, run: Run = RUN) -> None:
    database.write(lambda connection: record_run(connection, run, actor="ada", now=NOW))


def run_ids(database: Database) -> set[str]:
    found: set[str] = set()
    page: Page[Run] = Page(rows=(), after=None)
    while True:
        page = database.read(lambda connection, after=page.after: runs_page(connection, after=after, limit=100))
        found |= {run.id for run in page.rows}
        if page.after is None:
            return found


def writer(url: str, prefix: str, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, str(WRITER), url, prefix, str(count)], stdout=subprocess.PIPE, text=True)


def test_the_steps_make_the_tables_that_the_code_asks_for(database: Database) -> None:
    def columns(connection: Connection) -> dict[str, set[str]]:
        found = inspect(connection)
        return {
            table: {str(column["name"]) for column in found.get_columns(table)} for table in found.get_table_names()
        }

    assert database.read(columns) == {table.name: set(table.columns.keys()) for table in METADATA.sorted_tables}


def test_opening_again_finds_what_was_written(url: str) -> None:
    record(connect(url))
    assert run_ids(connect(url)) == {"run-1"}


def test_the_tables_of_a_newer_version_are_refused(url: str) -> None:
    connect(url).write(lambda connection: connection.execute(VERSION.update().values(version=99)))
    with pytest.raises(Refused, match="made by a newer Holdtrue"):
        connect(url)


def test_what_fails_half_way_leaves_nothing(database: Database) -> None:
    def fails(connection: Connection) -> None:
        record_run(connection, RUN, actor="ada", now=NOW)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.write(fails)
    assert run_ids(database) == set()
    record(database)


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(HoldtrueError):
        database.read(lambda connection: record_run(connection, RUN, actor="ada", now=NOW))
    assert run_ids(database) == set()


def test_a_reader_sees_one_moment_and_does_not_stop_the_writer(database: Database) -> None:
    def look(connection: Connection) -> tuple[int, int]:
        before = len(runs_page(connection).rows)
        record(database)
        return before, len(runs_page(connection).rows)

    assert database.read(look) == (0, 0)
    assert run_ids(database) == {"run-1"}


def test_a_writer_waits_no_longer_than_it_was_told_and_says_for_whom(url: str) -> None:
    database = connect(url, patience_s=0.2)
    started = time.monotonic()
    with pytest.raises(Busy, match=r"(?s)[Pp]rocess \d+.*has been writing"):
        database.write(lambda _: record(database))
    assert time.monotonic() - started < 40
    record(database)


def test_a_program_that_is_not_ours_is_waited_for_and_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = connect(f"sqlite:///{path}", patience_s=0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as browser:
        browser.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="Another program"):
            record(database)
        browser.execute("ROLLBACK")
    record(database)


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path / 'a.db'}")
    record(database)
    many = [Run(id=f"r{number}", project="hotels", started=NOW, state="failed") for number in range(5000)]

    def fill(connection: Connection) -> None:
        connection.execute(text("PRAGMA max_page_count=100"))  # the file may grow no further, as on a full disk
        record_runs(connection, many, actor="ada", now=NOW)

    with pytest.raises(HoldtrueError, match="no room"):
        database.write(fill)
    assert run_ids(database) == {"run-1"}
    assert database.read(verify).count == 2


@contextmanager
def as_nobody() -> Generator[None]:
    """Give up the rights of an administrator, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "home"
        path.mkdir()
        Path(folder).chmod(0o755)
        yield path
        path.chmod(0o755)


def test_what_may_not_be_written_can_still_be_read(shared: Path) -> None:
    database = connect(f"sqlite:///{shared / 'a.db'}")
    record(database)
    shared.chmod(0o555)
    (shared / "a.db").chmod(0o444)
    with as_nobody():
        assert run_ids(connect(f"sqlite:///{shared / 'a.db'}")) == {"run-1"}
        with pytest.raises(HoldtrueError, match="cannot be written: Permission denied"):
            record(database)
    assert run_ids(database) == {"run-1"}


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(HoldtrueError, match=r"/proc/nowhere/a.db cannot be written"):
        connect("sqlite:////proc/nowhere/a.db")


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "50% off? #1 ü"
    record(connect(f"sqlite:///{folder / 'a.db'}"))
    assert (folder / "a.db").is_file()
    assert run_ids(connect(f"sqlite:///{folder / 'a.db'}")) == {"run-1"}


@pytest.mark.parametrize("damage", [lambda data: b"not a database" * 200, lambda data: data[:4096] + os.urandom(8192)])
def test_a_damaged_file_is_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    record(connect(f"sqlite:///{path}"))
    with closing(sqlite3.connect(path)) as whole:
        whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Refused, match="damaged"):
        connect(f"sqlite:///{path}").read(verify)


def test_a_file_whose_maker_was_killed_is_made_anew(tmp_path: Path) -> None:
    made, left = tmp_path / "made.db", tmp_path / "left.db"
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")  # so that pages reach the file before the end of the transaction
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE big (content)")
        connection.executemany("INSERT INTO big VALUES (?)", [("x" * 3000,)] * 50)
        for end in ("", "-journal"):
            shutil.copy(f"{made}{end}", f"{left}{end}")
    assert left.stat().st_size > 0
    database = connect(f"sqlite:///{left}")
    record(database)
    assert run_ids(database) == {RUN.id}
    assert not database.read(lambda connection: inspect(connection).has_table("big"))


@pytest.mark.parametrize("url", ["", "sqlite:///", "mysql://root:secret@host/x", "secret"])
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(Misuse) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(HoldtrueError, match=r"postgresql://ada:\*\*\*@127.0.0.1:1/models cannot be reached") as caught:
        connect("postgresql://ada:s3cret@127.0.0.1:1/models?sslpassword=s3cret&connect_timeout=2")
    assert "s3cret" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_turns_a_user_away_is_told_of_without_the_password(postgres_url: str) -> None:
    with pytest.raises(HoldtrueError, match="cannot be reached") as caught:
        connect(postgres_url.replace("root@", "no_such_user:s3cret@"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.slow
def test_eight_processes_write_at_once_and_nothing_is_lost_or_doubled(url: str) -> None:
    processes = [writer(url, f"w{number}", 25) for number in range(8)]
    told = {line for process in processes for line in process.communicate(timeout=300)[0].split()}
    assert [process.returncode for process in processes] == [0] * 8
    expected = {f"w{number}-{count}" for number in range(8) for count in range(25)}
    database = connect(url)
    assert told == run_ids(database) == expected
    # One entry for the project, and a use, a release, a move and a run for each write.
    assert database.read(verify).count == 1 + 4 * len(expected)
    assert database.read(lambda connection: uses(connection, "f" * 64)) == len(expected)


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_no_half_state(url: str) -> None:
    database, chance = connect(url), random.Random(5)
    acknowledged: set[str] = set()
    for attempt in range(20):
        process = writer(url, f"k{attempt}", 10_000)
        assert process.stdout is not None
        acknowledged |= {process.stdout.readline().strip() for _ in range(chance.randint(1, 8))}
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        acknowledged |= set(process.stdout.read().split("\n")[:-1])
        process.wait()
        runs = run_ids(database)
        assert acknowledged <= runs
        assert len(runs - acknowledged) <= attempt + 1  # at most one was done but not yet told, in each attempt
        assert database.read(verify).count == 1 + 4 * len(runs)
        check_whole(database, runs)
    assert len(acknowledged) >= 20


def check_whole(database: Database, runs: set[str]) -> None:
    """Every run has its release, its use of the held-out rows and its turn as champion."""
    moves = database.read(lambda connection: alias_history(connection, "hotels", "champion"))
    assert {move.digest for move in moves} == {sha256_bytes(run.encode()) for run in runs}
    assert len(moves) == len(runs)
    assert database.read(lambda connection: uses(connection, "f" * 64)) == len(runs)
    newest = database.read(lambda connection: releases_page(connection, limit=1000)).rows
    assert len(newest) == min(len(runs), 1000)
