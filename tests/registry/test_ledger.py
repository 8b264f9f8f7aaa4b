"""Every change is an entry of the ledger, in the change's own transaction."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from holdtrue.core.errors import Misuse
from holdtrue.registry.database import Database
from holdtrue.registry.ledger import Deed, append, entries, parse, read_tip
from holdtrue.registry.merkle import extends, includes, leaf_hash
from holdtrue.registry.sealing import consistency, inclusion, verify

NOW = datetime(2026, 3, 1, 12, 30, 15, 25, tzinfo=UTC)


def deed(number: int, *, project: str = "hotels") -> Deed:
    return Deed(action="tested", project=project, subject=f"thing-{number % 3}", detail={"number": number})


def fill(database: Database, count: int) -> None:
    for number in range(count):
        database.write(lambda connection, number=number: append(connection, [deed(number)], actor="ada", now=NOW))


def test_an_entry_says_who_did_what_to_what_and_when(database: Database) -> None:
    fill(database, 1)
    (entry,) = database.read(entries).rows
    assert json.loads(entry.leaf()) == {
        "seq": 0,
        "time": "2026-03-01T12:30:15.000025Z",
        "actor": "ada",
        "action": "tested",
        "project": "hotels",
        "subject": "thing-0",
        "detail": {"number": 0},
        "previous": hashlib.sha256(b"").hexdigest(),
    }


def test_an_entry_holds_the_root_of_all_before_it(database: Database) -> None:
    roots: list[str] = []
    for number in range(9):
        roots.append(database.read(read_tip).root.hex())
        database.write(lambda connection, number=number: append(connection, [deed(number)], actor="ada", now=NOW))
    assert [entry.previous for entry in database.read(entries).rows][::-1] == roots


def test_many_deeds_at_once_make_the_ledger_that_one_by_one_make(database: Database) -> None:
    fill(database, 5)
    one_by_one = database.read(read_tip)
    database.write(lambda connection: append(connection, [deed(number) for number in range(5)], actor="ada", now=NOW))
    ten = database.read(read_tip)
    assert ten.size == 10
    leaves = [leaf_hash(entry.leaf()) for entry in database.read(entries).rows][::-1]
    again = read_tip_of(leaves)
    assert (one_by_one.root, ten.root) == (again[5], again[10])


def read_tip_of(leaves: list[bytes]) -> dict[int, bytes]:
    """The root at each size, by the recursive definition."""

    def root(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return part[0]
        split = 1 << (len(part) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + root(part[:split]) + root(part[split:])).digest()

    return {size: root(leaves[:size]) for size in range(1, len(leaves) + 1)}


def test_a_change_that_fails_leaves_no_entry(database: Database) -> None:
    fill(database, 2)

    def fails(connection: object) -> None:
        append(connection, [deed(9)], actor="ada", now=NOW)  # pyright: ignore[reportArgumentType] - it is a Connection
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.write(fails)
    assert database.read(read_tip).size == 2
    assert database.read(verify).count == 2


def test_entries_come_newest_first_page_by_page(database: Database) -> None:
    fill(database, 7)
    first = database.read(lambda connection: entries(connection, limit=4))
    rest = database.read(lambda connection: entries(connection, limit=4, after=first.after))
    assert [entry.seq for entry in (*first.rows, *rest.rows)] == [6, 5, 4, 3, 2, 1, 0]
    assert rest.after is None
    of_one = database.read(lambda connection: entries(connection, subject="thing-1"))
    assert [entry.seq for entry in of_one.rows] == [4, 1]
    assert database.read(lambda connection: entries(connection, project="bikes")).rows == ()


@pytest.mark.parametrize(("after", "limit"), [("x", 5), ("-1", 5), (None, 0), (None, 1001)])
def test_a_page_that_cannot_be_is_refused(after: str | None, limit: int, database: Database) -> None:
    with pytest.raises(Misuse):
        database.read(lambda connection: entries(connection, after=after, limit=limit))


def test_words_in_another_encoding_do_not_stop_the_ledger(database: Database) -> None:
    odd = Deed(action="tested", project="hotels", subject="x", detail={"reason": "caf\udce9", "value": float("nan")})
    database.write(lambda connection: append(connection, [odd], actor="j\udcf6rg\0", now=NOW))
    (entry,) = database.read(entries).rows
    assert (entry.actor, entry.detail) == ("j?rg\0", {"reason": "caf?", "value": None})
    assert database.read(verify).count == 1


@pytest.mark.parametrize(
    "leaf",
    ["", "[]", "null", "{}", '{"seq":0}', "[" * 10_000, '{"a": 1}'],
)
def test_what_is_no_entry_is_not_read_as_one(leaf: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse(leaf)


def test_an_entry_and_an_older_state_are_proven_from_checkpoints_alone(database: Database) -> None:
    roots = {0: database.read(read_tip).root}
    for size in range(1, 8):
        fill(database, 1)
        roots[size] = database.read(read_tip).root
    everything = database.read(entries).rows[::-1]
    for seq, entry in enumerate(everything):
        proof = database.read(lambda connection, seq=seq: inclusion(connection, seq, 7))
        assert includes(leaf_hash(entry.leaf()), index=seq, size=7, proof=proof, root=roots[7])
    for first, root in roots.items():
        steps = database.read(lambda connection, first=first: consistency(connection, first, 7))
        assert extends(first=first, second=7, first_root=root, second_root=roots[7], proof=steps)
