"""Only what nothing can reach any more is thrown away, and never without an entry in the ledger."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.digest import sha256_bytes
from holdtrue.core.errors import Misuse
from holdtrue.core.files import ObjectStore
from holdtrue.registry.aliases import promote
from holdtrue.registry.catalog import Release, Run, add_release, record_run, releases_page
from holdtrue.registry.database import Database, connect
from holdtrue.registry.gc import Item, Keep, Kind, Referenced, collect, inventory, plan_gc, referenced_by
from holdtrue.registry.ledger import entries
from holdtrue.registry.sealing import verify

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=100)
NOTHING = Referenced(releases={}, aliased=frozenset(), recent=frozenset())


def item(kind: Kind, name: str, *mentions: str, modified: datetime = OLD) -> Item:
    path = f"{kind}s/{name}"
    return Item(kind=kind, path=path, name=name, size_bytes=1, modified=modified, mentions=frozenset(mentions))


def gone(items: list[Item], referenced: Referenced = NOTHING, keep: Keep | None = None) -> set[str]:
    return {each.name for each in plan_gc(items, referenced, keep=keep or Keep(), now=NOW)}


def test_an_object_stays_while_a_release_reaches_it() -> None:
    items = [item("release", "r", "s"), item("snapshot", "s", "part"), item("object", "part"), item("object", "lost")]
    assert gone(items) == {"lost"}


def test_what_a_recent_run_or_candidate_names_stays() -> None:
    items = [
        item("run", "new", "a", modified=NOW - timedelta(days=1)),
        item("candidate", "old", "b"),
        *(item("object", name) for name in "abc"),
    ]
    assert gone(items) == {"old", "b", "c"}
    assert gone(items, replace(NOTHING, recent=frozenset({"c"}))) == {"old", "b"}


def test_what_was_just_written_may_be_about_to_be_used() -> None:
    kinds: list[Kind] = ["object", "snapshot", "scratch"]
    items = [item(kind, kind, modified=NOW - timedelta(hours=23)) for kind in kinds]
    assert gone(items) == set()
    assert gone([replace(each, modified=NOW - timedelta(hours=25)) for each in items]) == {
        "object",
        "snapshot",
        "scratch",
    }


def test_releases_are_kept_for_ever_unless_told_otherwise_and_with_an_alias_even_then() -> None:
    items = [item("release", name, f"of {name}") for name in ("plain", "named", "young", "unknown")]
    items += [item("object", f"of {each.name}") for each in items]
    referenced = Referenced(
        releases={"plain": OLD, "named": OLD, "young": NOW}, aliased=frozenset({"named"}), recent=frozenset()
    )
    assert gone(items, referenced) == set()
    assert gone(items, referenced, Keep(releases=timedelta(days=50))) == {"plain", "of plain"}


def test_held_out_rows_go_with_their_release() -> None:
    rows = [replace(item("held-out", name), path=f"watch/{name}.held-out.parquet") for name in ("there", "old", "lost")]
    releases = [item("release", "there"), item("release", "old")]
    referenced = replace(NOTHING, releases={"there": NOW, "old": OLD})
    found = plan_gc([*rows, *releases], referenced, keep=Keep(releases=timedelta(days=50)), now=NOW)
    assert [each.path for each in found] == [
        "releases/old",
        "watch/lost.held-out.parquet",
        "watch/old.held-out.parquet",
    ]


def test_held_out_rows_are_found_in_a_store(tmp_path: Path) -> None:
    (tmp_path / "watch").mkdir()
    for name in (f"{'ab' * 32}.held-out.parquet", "notes.held-out.parquet", "alarms.json"):
        (tmp_path / "watch" / name).write_bytes(b"rows")
    assert [(each.kind, each.name) for each in inventory(tmp_path)] == [("held-out", "ab" * 32)]


KINDS: list[Kind] = ["object", "snapshot", "release", "candidate", "run", "scratch"]
NAMES = st.sampled_from([f"n{number}" for number in range(12)])
ITEMS = st.lists(
    st.builds(
        item, st.sampled_from(KINDS), NAMES, NAMES, NAMES, modified=st.sampled_from([OLD, NOW - timedelta(hours=1)])
    ),
    unique_by=lambda each: each.path,
    max_size=15,
)


@given(ITEMS, st.sets(NAMES), st.sets(NAMES), st.sampled_from([None, timedelta(days=1)]))
def test_nothing_that_stays_names_an_object_that_goes(
    items: list[Item], aliased: set[str], recent: set[str], releases: timedelta | None
) -> None:
    referenced = Referenced(
        releases={each.name: each.modified for each in items if each.kind == "release"},
        aliased=frozenset(aliased),
        recent=frozenset(recent),
    )
    going = plan_gc(items, referenced, keep=Keep(releases=releases), now=NOW)
    stays = [each for each in items if each not in going]
    named = {mention for each in stays if each.kind in {"release", "run", "candidate"} for mention in each.mentions}
    lost = {each.name for each in going if each.kind in {"object", "snapshot"}}
    assert not named & lost
    assert not aliased & {each.name for each in going if each.kind == "release"}
    assert all(each.modified == OLD for each in going)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def age(path: Path, moment: datetime) -> None:
    for entry in (path, *path.rglob("*")):
        os.utime(entry, (moment.timestamp(), moment.timestamp()))


def stock(home: Path, database: Database) -> dict[str, str]:
    """Fill a store as runs do: two releases with a snapshot each, one of them named, and what is left of others."""
    store, names = ObjectStore(root=home / "objects"), dict[str, str]()
    for which in ("named", "plain", "forgotten"):
        part = store.put(f"rows of {which}".encode())
        snapshot = sha256_bytes(which.encode())
        names[which], names[f"{which} part"], names[f"{which} snapshot"] = sha256_bytes(part.encode()), part, snapshot
        (home / "snapshots").mkdir(exist_ok=True)
        (home / "snapshots" / f"{snapshot}.json").write_text(json.dumps({"parts": [{"sha256": part}]}))
    for which in ("named", "plain"):
        folder = home / "releases" / names[which]
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"lineage": {"snapshot": names[f"{which} snapshot"]}}))
        release = Release(digest=names[which], project="hotels", created=OLD, path=f"releases/{names[which]}")
        database.write(lambda connection, release=release: add_release(connection, release, actor="ada", now=OLD))
    database.write(
        lambda connection: promote(connection, "hotels", names["named"], "champion", actor="ada", reason="", now=OLD)
    )
    for folder in ("candidates/run-7", "runs/key-7", "tmp/left"):
        (home / folder).mkdir(parents=True)
        (home / folder / "report.json").write_text("{}")
    age(home, OLD)
    return names


def stored(home: Path) -> list[Path]:
    return sorted(path for path in home.rglob("*") if not path.name.startswith("holdtrue.db"))


def plan(home: Path, database: Database, keep: Keep) -> tuple[Item, ...]:
    referenced = database.read(lambda connection: referenced_by(connection, keep=keep, now=NOW))
    return plan_gc(inventory(home), referenced, keep=keep, now=NOW)


def test_a_plan_alone_deletes_nothing(home: Path, database: Database) -> None:
    stock(home, database)
    before = stored(home)
    assert plan(home, database, Keep())
    assert stored(home) == before


def test_what_is_unreachable_goes_from_the_disk_and_the_ledger_says_so(home: Path, database: Database) -> None:
    names = stock(home, database)
    going = plan(home, database, Keep())
    part = names["forgotten part"]
    expected = {
        f"objects/{part[:2]}/{part}",
        f"snapshots/{names['forgotten snapshot']}.json",
        "candidates/run-7",
        "runs/key-7",
        "tmp/left",
    }
    assert {each.path for each in going} == expected
    collect(home, going, database, project="hotels", actor="ada", now=NOW)
    assert not [path for path in expected if (home / path).exists()]
    assert ObjectStore(root=home / "objects").get(names["plain part"]) == b"rows of plain"
    assert plan(home, database, Keep()) == ()
    (entry, *_) = database.read(entries).rows
    assert entry.action == "storage reclaimed"
    assert set(entry.detail["paths"]) == expected  # pyright: ignore[reportArgumentType] - a list, as written
    assert entry.detail["bytes"] == sum(each.size_bytes for each in going) > 0
    database.read(verify)


def test_an_old_release_without_a_name_goes_when_asked_with_all_that_only_it_needed(
    home: Path, database: Database
) -> None:
    names = stock(home, database)
    collect(
        home, plan(home, database, Keep(releases=timedelta(days=30))), database, project="hotels", actor="ada", now=NOW
    )
    left = database.read(releases_page).rows
    assert [release.digest for release in left] == [names["named"]]
    assert {path.name for path in (home / "releases").iterdir()} == {names["named"]}
    assert {path.name for path in (home / "objects").glob("*/*")} == {names["named part"]}
    assert not any((home / "tmp").iterdir())
    database.read(verify)


def test_a_release_that_was_named_after_the_plan_stays(home: Path, database: Database) -> None:
    names = stock(home, database)
    going = plan(home, database, Keep(releases=timedelta(days=30)))
    database.write(
        lambda connection: promote(connection, "hotels", names["plain"], "second", actor="ada", reason="", now=NOW)
    )
    before = stored(home)
    with pytest.raises(Misuse, match="is second"):
        collect(home, going, database, project="hotels", actor="ada", now=NOW)
    assert stored(home) == before


def test_what_a_recent_run_in_the_catalog_used_stays(home: Path, database: Database) -> None:
    names = stock(home, database)
    run = Run(id="run-7", project="hotels", started=NOW, state="failed", snapshot=names["forgotten snapshot"])
    database.write(lambda connection: record_run(connection, run, actor="ada", now=NOW))
    assert {each.path for each in plan(home, database, Keep())} == {"runs/key-7", "tmp/left"}


def test_links_and_strangers_are_left_alone(home: Path, tmp_path: Path) -> None:
    database = connect(f"sqlite:///{home / 'holdtrue.db'}")
    stock(home, database)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (home / "objects" / "zz").symlink_to(tmp_path / "precious")
    (home / "candidates" / "linked").symlink_to(tmp_path / "precious")
    (home / "objects" / "notes.txt").write_text("mine")
    (home / "keys").mkdir()
    (home / "keys" / "signing.pem").write_text("key")
    age(home, OLD)
    collect(home, plan(home, database, Keep()), database, project="hotels", actor="ada", now=NOW)
    assert (tmp_path / "precious" / "file").read_text() == "x"
    assert (home / "objects" / "notes.txt").exists()
    assert (home / "keys" / "signing.pem").exists()
    assert (home / "holdtrue.db").exists()
