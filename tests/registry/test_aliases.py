"""An alias moves in one step, and what it was at any moment can be asked."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import Misuse
from holdtrue.registry.aliases import Move, alias_at, alias_history, aliases_of, promote
from holdtrue.registry.catalog import Release, add_release
from holdtrue.registry.database import Database, connect
from holdtrue.registry.ledger import entries

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def stocked(database: Database) -> Database:
    stock(database)
    return database


def stock(database: Database) -> None:
    for digest in (ONE, TWO, THREE):
        release = Release(digest=digest, project="hotels", created=NOW, path=digest)
        database.write(lambda connection, release=release: add_release(connection, release, actor="ada", now=NOW))


def move(database: Database, digest: str, *, hours: float = 0, alias: str = "champion") -> bool:
    when = NOW + timedelta(hours=hours)
    return database.write(
        lambda connection: promote(connection, "hotels", digest, alias, actor="ada", reason="better", now=when)
    )


def at(database: Database, hours: float) -> str | None:
    return database.read(lambda connection: alias_at(connection, "hotels", "champion", NOW + timedelta(hours=hours)))


def test_an_alias_can_be_asked_for_any_moment(stocked: Database) -> None:
    move(stocked, ONE, hours=1)
    move(stocked, TWO, hours=2)
    move(stocked, ONE, hours=3)
    assert [at(stocked, hours) for hours in (0.99, 1, 1.5, 2, 2.99, 3, 99)] == [None, ONE, ONE, TWO, TWO, ONE, ONE]


def test_who_moved_an_alias_when_and_why_is_kept(stocked: Database) -> None:
    move(stocked, ONE, hours=1)
    move(stocked, TWO, hours=2)
    history = stocked.read(lambda connection: alias_history(connection, "hotels", "champion"))
    moved = Move(name="champion", digest=TWO, since=NOW + timedelta(hours=2), actor="ada", reason="better")
    assert history[0] == moved
    assert [each.digest for each in history] == [TWO, ONE]


def test_a_move_to_where_the_alias_is_already_writes_nothing(stocked: Database) -> None:
    assert move(stocked, ONE)
    before = stocked.read(entries)
    assert not move(stocked, ONE, hours=1)
    assert stocked.read(entries) == before


def test_one_release_may_have_several_aliases(stocked: Database) -> None:
    move(stocked, ONE, alias="champion")
    move(stocked, ONE, alias="2026.03-blue")
    found = stocked.read(lambda connection: aliases_of(connection, "hotels"))
    assert [(alias.name, alias.digest) for alias in found] == [("2026.03-blue", ONE), ("champion", ONE)]


def test_an_alias_may_be_given_by_another_alias(stocked: Database) -> None:
    move(stocked, TWO, alias="challenger")
    move(stocked, "challenger")
    assert at(stocked, 0) == TWO


@pytest.mark.parametrize("alias", ["", "-x", ".hidden", "a b", "a/b", "x" * 101, "champion\n", "ä", "a" * 64])
def test_what_could_not_be_told_from_a_digest_or_a_path_is_no_alias(alias: str, stocked: Database) -> None:
    with pytest.raises(Misuse, match="cannot be an alias"):
        move(stocked, ONE, alias=alias)


def test_an_alias_points_only_at_releases_of_its_project(stocked: Database) -> None:
    other = Release(digest="e" * 64, project="bikes", created=NOW, path="x")
    stocked.write(lambda connection: add_release(connection, other, actor="ada", now=NOW))
    for digest in ("e" * 64, "9" * 64):
        with pytest.raises(Misuse, match="There is no release"):
            move(stocked, digest)


@settings(max_examples=10, deadline=None)
@given(moves=st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE]), st.integers(-5, 5)), max_size=10))
def test_a_clock_that_steps_back_does_not_reorder_the_moves(
    moves: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    database = connect(f"sqlite:///{tmp_path_factory.mktemp('clock') / 'a.db'}")
    stock(database)
    for digest, hours in moves:
        move(database, digest, hours=hours)
    if moves:
        (alias,) = database.read(lambda connection: aliases_of(connection, "hotels"))
        assert alias.digest == moves[-1][0]
        # Whatever the clock said, the present and all later moments agree with the last move.
        latest = max(hours for _, hours in moves)
        assert at(database, latest) == at(database, 1000) == moves[-1][0]
