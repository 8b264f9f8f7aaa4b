"""The catalog keeps what it is told, once, and finds it again by page, by name and by beginning."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.digest import sha256_bytes
from holdtrue.core.errors import Misuse
from holdtrue.registry.aliases import promote
from holdtrue.registry.catalog import (
    Release,
    Run,
    add_release,
    find_release,
    find_run,
    record_run,
    record_runs,
    releases_page,
    remove_release,
    runs_page,
)
from holdtrue.registry.database import Database, connect
from holdtrue.registry.ledger import entries
from holdtrue.registry.page import Page

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = Run(id="run-1", project="hotels", started=NOW, state="running", snapshot="5" * 64)


def release(digest: str, *, project: str = "hotels") -> Release:
    return Release(
        digest=digest, project=project, created=NOW, path=f"releases/{digest}", verdict={"verdict": "proven"}
    )


def put(database: Database, *releases: Release) -> None:
    for each in releases:
        database.write(lambda connection, each=each: add_release(connection, each, actor="ada", now=NOW))


def actions(database: Database) -> list[str]:
    return [entry.action for entry in database.read(entries).rows][::-1]


def test_a_run_comes_back_as_it_was_recorded(database: Database) -> None:
    run = replace(
        RUN,
        state="finished",
        finished=NOW + timedelta(minutes=1, microseconds=3),
        verdict="proven",
        release="a" * 64,
        metrics={"roc_auc": {"value": 0.87, "low": 0.85}, "mape": float("inf")},
        report="runs/run-1/report.html",
    )
    database.write(lambda connection: record_run(connection, run, actor="ada", now=NOW))
    found = database.read(lambda connection: find_run(connection, "run-1"))
    assert found == replace(run, metrics={"roc_auc": {"value": 0.87, "low": 0.85}, "mape": None})


def test_a_run_is_written_once_for_each_thing_that_becomes_of_it(database: Database) -> None:
    finished = replace(RUN, state="finished", finished=NOW, verdict="refuted")
    for run in (RUN, RUN, finished, finished):
        database.write(lambda connection, run=run: record_run(connection, run, actor="ada", now=NOW))
    assert actions(database) == ["project opened", "run recorded", "run recorded"]
    assert database.read(lambda connection: find_run(connection, "run-1")).verdict == "refuted"


def test_a_run_stays_in_its_project(database: Database) -> None:
    database.write(lambda connection: record_run(connection, RUN, actor="ada", now=NOW))
    with pytest.raises(Misuse, match="is of project 'hotels', not 'bikes'"):
        database.write(lambda connection: record_run(connection, replace(RUN, project="bikes"), actor="ada", now=NOW))


@pytest.mark.parametrize("make", [lambda: replace(RUN, id="../x"), lambda: replace(RUN, project="a b\n")])
def test_a_name_is_one_that_can_be_a_file(make: Callable[[], Run]) -> None:
    with pytest.raises(Misuse, match="cannot name a"):
        make()


def test_a_release_is_registered_once_and_keeps_its_first_record(database: Database) -> None:
    put(database, release("a" * 64))
    again = replace(release("a" * 64), created=NOW + timedelta(days=1), verdict={})
    assert not database.write(lambda connection: add_release(connection, again, actor="bob", now=NOW))
    assert database.read(lambda connection: find_release(connection, "a" * 64)) == release("a" * 64)
    assert actions(database) == ["project opened", "release made"]


def test_a_release_that_was_moved_is_found_where_it_is_now(database: Database) -> None:
    put(database, release("a" * 64), replace(release("a" * 64), path="elsewhere"))
    assert database.read(lambda connection: find_release(connection, "aaaa")).path == "elsewhere"
    assert actions(database)[-1] == "release moved"


def test_a_release_stays_in_its_project(database: Database) -> None:
    put(database, release("a" * 64))
    with pytest.raises(Misuse, match="is of project 'hotels'"):
        put(database, release("a" * 64, project="bikes"))


def test_a_release_is_found_by_the_beginning_of_its_digest(database: Database) -> None:
    one, two = "abcd" + "0" * 60, "abcd" + "1" * 60
    put(database, release(one), release(two), release("f" * 64, project="bikes"))

    def find(name: str, project: str | None = None) -> Release:
        return database.read(lambda connection: find_release(connection, name, project=project))

    assert find("abcd1").digest == two
    assert find(one).digest == one
    with pytest.raises(Misuse, match="more than one release") as caught:
        find("abcd")
    assert len(caught.value.faults) == 2
    for name in ("abc", "abce", "ABCD1", "", "f" * 65, "abcd%", "champion"):
        with pytest.raises(Misuse, match="There is no release"):
            find(name)
    with pytest.raises(Misuse, match="There is no release"):
        find("ffff", project="hotels")


def test_a_release_is_found_by_its_alias_before_its_digest(database: Database) -> None:
    put(database, release("a" * 64), release("beef" + "0" * 60))
    database.write(lambda connection: promote(connection, "hotels", "aaaa", "beef", actor="ada", reason="", now=NOW))
    assert database.read(lambda connection: find_release(connection, "beef", project="hotels")).digest == "a" * 64
    assert database.read(lambda connection: find_release(connection, "beef")).digest == "beef" + "0" * 60


def test_a_release_with_an_alias_is_not_removed(database: Database) -> None:
    put(database, release("a" * 64))
    database.write(
        lambda connection: promote(connection, "hotels", "aaaa", "champion", actor="ada", reason="", now=NOW)
    )
    with pytest.raises(Misuse, match="is champion"):
        database.write(lambda connection: remove_release(connection, "a" * 64, actor="ada", now=NOW))


def test_runs_are_listed_by_what_is_asked_for(database: Database) -> None:
    runs = [
        replace(RUN, id="a", state="finished", verdict="proven", release="a" * 64),
        replace(RUN, id="b", state="finished", verdict="refuted"),
        replace(RUN, id="c", state="failed"),
        replace(RUN, id="d", project="bikes", state="finished", verdict="refuted"),
    ]
    database.write(lambda connection: record_runs(connection, runs, actor="ada", now=NOW))

    def listed(**asked: Any) -> list[str]:
        return [run.id for run in database.read(lambda connection: runs_page(connection, **asked)).rows]

    assert listed() == ["d", "c", "b", "a"]
    assert listed(project="hotels") == ["c", "b", "a"]
    assert listed(verdict="refuted") == ["d", "b"]
    assert listed(project="hotels", verdict="refuted") == ["b"]
    assert listed(state="failed") == ["c"]
    assert listed(release="a" * 64) == ["a"]


@pytest.mark.parametrize(("after", "limit"), [("x", 5), ("12", 5), ("a/b", 5), (None, 0), (None, 1001)])
def test_a_page_that_cannot_be_is_refused(after: str | None, limit: int, database: Database) -> None:
    with pytest.raises(Misuse):
        database.read(lambda connection: runs_page(connection, after=after, limit=limit))


def walk(database: Database, limit: int, between: Callable[[], None] = lambda: None) -> list[str]:
    """Turn the pages to the end."""
    found: list[str] = []
    after: str | None = None
    while True:
        page: Page[Run] = database.read(
            lambda connection, after=after: runs_page(connection, project="hotels", after=after, limit=limit)
        )
        found += [run.id for run in page.rows]
        if page.after is None:
            return found
        after = page.after
        between()


# Few moments, so that many runs share one: the order then rests on the id alone.
SOME_RUNS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 999)), unique_by=lambda run: run[1], max_size=40)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(SOME_RUNS, st.integers(1, 12))
def test_the_pages_together_are_the_whole_list_in_order(made: list[tuple[int, int]], limit: int) -> None:
    runs = [replace(RUN, id=f"r{number}", started=NOW + timedelta(seconds=second)) for second, number in made]
    with tempfile.TemporaryDirectory() as folder:
        database = connect(f"sqlite:///{Path(folder) / 'a.db'}")
        database.write(lambda connection: record_runs(connection, runs, actor="ada", now=NOW))
        found = walk(database, limit)
    assert found == [run.id for run in sorted(runs, key=lambda run: (run.started, run.id), reverse=True)]


def test_a_run_that_comes_while_pages_are_turned_neither_hides_nor_repeats_another(database: Database) -> None:
    runs = [replace(RUN, id=f"r{number}", started=NOW + timedelta(seconds=number)) for number in range(20)]
    database.write(lambda connection: record_runs(connection, runs, actor="ada", now=NOW))
    added = iter(range(100, 200))

    def add_newer() -> None:
        newer = replace(RUN, id=f"r{next(added)}", started=NOW + timedelta(days=1))
        database.write(lambda connection: record_run(connection, newer, actor="ada", now=NOW))

    assert walk(database, 3, add_newer) == [f"r{number}" for number in reversed(range(20))]


def test_releases_are_listed_newest_first(database: Database) -> None:
    digests = [sha256_bytes(bytes([number])) for number in range(7)]
    for number, digest in enumerate(digests):
        put(database, replace(release(digest), created=NOW + timedelta(seconds=number)))
    first = database.read(lambda connection: releases_page(connection, project="hotels", limit=4))
    rest = database.read(lambda connection: releases_page(connection, project="hotels", after=first.after, limit=4))
    assert [each.digest for each in (*first.rows, *rest.rows)] == digests[::-1]
    assert rest.after is None
