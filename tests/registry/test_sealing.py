"""Nobody can rewrite the ledger, or the catalog beside it, without being found."""

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from sqlalchemy import Connection, StaticPool, create_engine

from holdtrue.core.digest import canonical_json
from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.registry.aliases import promote
from holdtrue.registry.catalog import Release, Run, add_release, record_run, remove_release
from holdtrue.registry.database import Database, connect
from holdtrue.registry.ledger import entries
from holdtrue.registry.merkle import Frontier, leaf_hash
from holdtrue.registry.note import Checkpoint, sign_note, signer
from holdtrue.registry.sealing import Verified, seal, trust, verify
from holdtrue.registry.wear import use_number

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = signer(KEY, name="holdtrue")
# The tables, and the columns that make a row of them another row.
KEYS = {
    "projects": ["name"],
    "runs": ["id"],
    "releases": ["digest"],
    "aliases": ["name", "project"],
    "alias_history": ["seq"],
    "holdout_uses": ["number"],
    "ledger": ["seq"],
    "ledger_tip": ["id"],
    "checkpoints": ["size"],
}
TABLES = list(KEYS)


def live(database: Database, keep: Path, days: int = 4) -> None:
    """Do a bit of everything, and seal it, day by day."""
    for day in range(days):
        now = NOW + timedelta(days=day)
        digest, run = f"{day:x}" * 64, Run(id=f"run-{day}", project="hotels", started=now, state="running")

        def work(connection: Connection, digest: str = digest, run: Run = run, now: datetime = now) -> None:
            record_run(connection, run, actor="ada", now=now)
            use_number(connection, "f" * 64, digest, project="hotels", actor="ada", now=now)
            release = Release(digest=digest, project="hotels", created=now, path=f"releases/{digest}")
            add_release(connection, release, actor="ada", now=now)
            promote(connection, "hotels", digest, "champion", actor="ada", reason="better", now=now)
            done = Run(id=run.id, project="hotels", started=now, state="finished", verdict="proven", release=digest)
            record_run(connection, done, actor="ada", now=now)

        database.write(work)
        seal(database, origin="holdtrue/hotels", by=SIGNER, keep=keep)
    if days > 1:
        database.write(lambda connection: remove_release(connection, "0" * 64, actor="gc", now=NOW))
    database.write(lambda connection: trust(connection, project="hotels", fingerprint="k", actor="ada", now=NOW))
    seal(database, origin="holdtrue/hotels", by=SIGNER, keep=keep)


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"


@pytest.fixture
def raw(tmp_path: Path, keep: Path) -> Iterator[sqlite3.Connection]:
    """A copy in memory of a ledger that was lived in, without the guards that Holdtrue puts around it."""
    live(connect(f"sqlite:///{tmp_path / 'a.db'}"), keep)
    with unguarded(tmp_path / "a.db") as copy:
        yield copy


@contextmanager
def unguarded(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        with closing(sqlite3.connect(path)) as source:
            source.backup(copy)
        yield copy


def check(raw: sqlite3.Connection, kept: str | None) -> Verified:
    """Verify what a raw connection sees, its open transaction included."""
    engine = create_engine("sqlite+pysqlite://", creator=lambda: Unfinished(raw), poolclass=StaticPool)
    with engine.connect() as connection:
        return verify(connection, trusted=[KEY.public_key()], kept=kept)


class Unfinished:
    """A connection of which SQLAlchemy may neither end the transaction nor close it."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def rollback(self) -> None: ...

    def close(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def test_a_ledger_that_nobody_touched_is_verified(database: Database, keep: Path) -> None:
    live(database, keep)
    found = database.read(lambda connection: verify(connection, trusted=[KEY.public_key()], kept=keep.read_text()))
    count = len(database.read(lambda connection: entries(connection, limit=1000)).rows)
    assert (found.count, found.sealed, found.signed) == (count, count, True)
    assert found == check_root(found, database)


def check_root(found: Verified, database: Database) -> Verified:
    leaves = database.read(lambda connection: entries(connection, limit=1000)).rows[::-1]
    frontier = Frontier()
    for entry in leaves:
        frontier = frontier.append(leaf_hash(entry.leaf()))
    return Verified(count=frontier.size, root=frontier.root.hex(), sealed=found.sealed, signed=found.signed)


def test_an_empty_ledger_is_verified_and_sealed(database: Database, keep: Path) -> None:
    assert database.read(verify).count == 0
    note = seal(database, origin="holdtrue/hotels", by=SIGNER, keep=keep)
    assert database.read(lambda connection: verify(connection, kept=note)).sealed == 0


def test_sealing_what_is_sealed_changes_nothing(database: Database, keep: Path) -> None:
    live(database, keep, days=1)
    before = keep.read_text()
    assert seal(database, origin="holdtrue/hotels", by=SIGNER, keep=keep) == before == keep.read_text()


def test_a_copy_that_was_lost_is_made_again(database: Database, keep: Path) -> None:
    live(database, keep, days=1)
    before = keep.read_text()
    keep.unlink()
    seal(database, origin="holdtrue/hotels", by=SIGNER, keep=keep)
    assert keep.read_text() == before


def mutated(value: object, chance: random.Random) -> object:
    """Change a value a little, or wholly."""
    if value is None:
        return chance.choice(["x", 0, ""])
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 2, 1000, -(10**6)])
    text = str(value)
    place = chance.randrange(len(text)) if text else 0
    letter = chance.choice([c for c in '0123456789abcdefxyz{}",: \n' if text[place : place + 1] != c])
    return chance.choice(
        [
            text[:place] + letter + text[place + 1 :],
            text[:place] + letter + text[place:] if text.strip() else letter,
            text[:place] + text[place + 1 :] if text else "x",
            text + "0",
            text.encode() + b"\xff",
        ]
    )


def edit(raw: sqlite3.Connection, chance: random.Random) -> str:
    """Alter, delete, double or swap something anywhere; says what."""
    table = chance.choice(TABLES)
    columns = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
    ids = [row[0] for row in raw.execute(f"SELECT rowid FROM {table}")]
    one = chance.choice(ids)
    kind = chance.choice(["alter", "alter", "alter", "delete", "double", "swap", "cut"])
    if table == "checkpoints" and kind in {"delete", "cut"}:
        one = max(ids)  # to drop an older one takes nothing away: the last says all that it said
    if kind == "delete":
        raw.execute(f"DELETE FROM {table} WHERE rowid = ?", (one,))
    elif kind == "cut":
        raw.execute(f"DELETE FROM {table} WHERE rowid >= ?", (one,))
    elif kind == "double":
        row = list(raw.execute(f"SELECT * FROM {table} WHERE rowid = ?", (one,)).fetchone())
        key = chance.choice([name for name in KEYS[table] if name in columns])
        row[columns.index(key)] = mutated(row[columns.index(key)], chance)
        raw.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    elif kind == "swap" and len(ids) > 1:
        other = chance.choice([each for each in ids if each != one])
        name = chance.choice(columns)
        ours, theirs = (
            raw.execute(f"SELECT {name} FROM {table} WHERE rowid = ?", (each,)).fetchone()[0] for each in (one, other)
        )
        for each, value in ((one, None), (other, ours), (one, theirs)):
            raw.execute(f"UPDATE {table} SET {name} = ? WHERE rowid = ?", (spare(value, ours), each))
    else:
        name = chance.choice(columns)
        (old,) = raw.execute(f"SELECT {name} FROM {table} WHERE rowid = ?", (one,)).fetchone()
        raw.execute(f"UPDATE {table} SET {name} = ? WHERE rowid = ?", (mutated(old, chance), one))
    return f"{kind} in {table}: {raw.execute(f'SELECT * FROM {table}').fetchall()}"


def spare(value: object, like: object) -> object:
    """A value that is in no row: two rows change places by way of it, as a unique column demands."""
    return value if value is not None or like is None else (-99 if isinstance(like, int) else "~")


def content(raw: sqlite3.Connection) -> list[object]:
    return [raw.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES]


def attack(raw: sqlite3.Connection, kept: str, chance: random.Random) -> str:
    """Make one edit, see what `verify` says, and take the edit back."""
    before = content(raw)
    raw.execute("BEGIN")
    try:
        what = edit(raw, chance)
        if content(raw) == before:
            return "nothing changed"
        check(raw, kept)
    except sqlite3.IntegrityError:
        return "the tables refused it"
    except (HoldtrueError, sqlite3.OperationalError):  # the latter for bytes that are no text at all
        return "found"
    else:
        return f"missed: {what}"
    finally:
        if raw.in_transaction:
            raw.rollback()


@pytest.mark.parametrize(
    ("seed", "edits"), [(1, 50), pytest.param(2, 1000, marks=pytest.mark.slow)], ids=["some", "a thousand"]
)
def test_every_random_edit_is_found(seed: int, edits: int, raw: sqlite3.Connection, keep: Path) -> None:
    kept, chance, before = keep.read_text(), random.Random(seed), content(raw)
    outcomes: Counter[str] = Counter()
    while outcomes["found"] < edits:
        outcome = attack(raw, kept, chance)
        assert not outcome.startswith("missed"), outcome
        outcomes[outcome] += 1
    assert content(raw) == before
    assert check(raw, kept).signed


def rewrite(raw: sqlite3.Connection, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Forge a whole history: change the entries, then make every hash, root and the tip agree with them."""
    leaves = [json.loads(row[0]) for row in raw.execute("SELECT leaf FROM ledger ORDER BY seq")]
    raw.execute("DELETE FROM ledger")
    frontier = Frontier()
    for seq, entry in enumerate(change(leaves)):
        leaf = canonical_json({**entry, "seq": seq, "previous": frontier.root.hex()})
        hashed = leaf_hash(leaf)
        row = (entry["project"], entry["subject"], leaf.decode(), hashed.hex(), seq)
        raw.execute("INSERT INTO ledger (project, subject, leaf, hash, seq) VALUES (?, ?, ?, ?, ?)", row)
        frontier = frontier.append(hashed)
    peaks = " ".join(peak.hex() for peak in frontier.peaks)
    raw.execute("UPDATE ledger_tip SET size = ?, peaks = ?", (frontier.size, peaks))


FORGERIES: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "another actor in the first entry": lambda all: [{**all[0], "actor": "eve"}, *all[1:]],
    "another reason in the last": lambda all: [*all[:-1], {**all[-1], "actor": "eve"}],
    "one left out": lambda all: all[:5] + all[6:],
    "one put in": lambda all: [*all[:5], {**all[5], "actor": "eve"}, *all[5:]],
    "two changed about": lambda all: [all[1], all[0], *all[2:]],
    "the last one cut off": lambda all: all[:-1],
    "all cut off": lambda all: [],
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_history_rewritten_throughout_is_found_by_its_checkpoints(
    name: str, raw: sqlite3.Connection, keep: Path
) -> None:
    rewrite(raw, FORGERIES[name])
    with pytest.raises(Refused, match=r"rewritten|removed"):
        check(raw, None)
    # The forger also removes the checkpoints from the database: the copy beside it tells.
    raw.execute("DELETE FROM checkpoints")
    with pytest.raises(Refused, match=r"rewritten|removed"):
        check(raw, keep.read_text())


def test_a_checkpoint_that_a_forger_signed_is_refused(raw: sqlite3.Connection, keep: Path) -> None:
    rewrite(raw, FORGERIES["the last one cut off"])
    forger = signer(ed25519.Ed25519PrivateKey.generate(), name="holdtrue")
    (size,) = raw.execute("SELECT size FROM ledger_tip").fetchone()
    point = Checkpoint(origin="holdtrue/hotels", size=size, root=b"\0" * 32)
    raw.execute(
        "UPDATE checkpoints SET note = ?, size = ? WHERE size > ?", (sign_note(point.text(), forger), size, size)
    )
    with pytest.raises(Refused, match="not signed by a trusted key"):
        check(raw, keep.read_text())


def test_an_alias_moved_behind_the_ledgers_back_is_named(raw: sqlite3.Connection, keep: Path) -> None:
    raw.execute("UPDATE aliases SET digest = ?", ("1" * 64,))
    with pytest.raises(Refused, match="aliases: hotels, champion is not what its last entry says"):
        check(raw, keep.read_text())


def test_the_first_bad_entry_is_named(raw: sqlite3.Connection, keep: Path) -> None:
    for seq in (9, 7):
        raw.execute("UPDATE ledger SET leaf = replace(leaf, 'ada', 'eve') WHERE seq = ?", (seq,))
    with pytest.raises(Refused, match="entry 7 is not what its hash says"):
        check(raw, keep.read_text())


def test_what_was_done_since_the_last_checkpoint_can_be_cut_off_unseen(raw: sqlite3.Connection, keep: Path) -> None:
    """Said aloud, because it is the limit of what is promised: `sealed` tells how far it reaches."""
    kept = keep.read_text()
    count = check(raw, kept).count
    rewrite(raw, lambda all: [*all, {**all[-1], "subject": "another key"}])
    longer = check(raw, kept)
    assert (longer.count, longer.sealed) == (count + 1, count)
    rewrite(raw, lambda all: all[:count])
    assert check(raw, kept).count == count


def test_an_older_state_put_back_whole_is_found_by_a_checkpoint_kept_elsewhere(tmp_path: Path, keep: Path) -> None:
    database = connect(f"sqlite:///{tmp_path / 'a.db'}")
    live(database, keep, days=1)
    with unguarded(tmp_path / "a.db") as old:
        old_keep = keep.read_text()
        elsewhere = seal_one_more_day(database, keep)
        assert check(old, old_keep).signed  # both rolled back together: nothing here can tell
        with pytest.raises(Refused, match="was removed"):
            check(old, elsewhere)


def seal_one_more_day(database: Database, keep: Path) -> str:
    run = Run(id="later", project="hotels", started=NOW, state="failed")
    database.write(lambda connection: record_run(connection, run, actor="ada", now=NOW))
    return seal(database, origin="holdtrue/hotels", by=SIGNER, keep=keep)


@pytest.mark.slow
def test_a_flipped_byte_in_the_file_is_found_or_changes_nothing(tmp_path: Path, keep: Path) -> None:
    path = tmp_path / "a.db"
    live(connect(f"sqlite:///{path}"), keep)
    with closing(sqlite3.connect(path)) as whole:
        whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = content(whole)
    data, chance, found = path.read_bytes(), random.Random(3), 0
    for number in range(600):
        place = chance.randrange(len(data))
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        other = tmp_path / f"{number}.db"
        other.write_bytes(flipped)
        try:
            connect(f"sqlite:///{other}").read(
                lambda connection: verify(connection, trusted=[KEY.public_key()], kept=keep.read_text())
            )
        except HoldtrueError:
            found += 1
        else:
            with closing(sqlite3.connect(other)) as touched:
                assert content(touched) == before, f"byte {place}"
    assert found > 50
