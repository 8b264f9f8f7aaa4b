"""The ledger sealed and verified: any entry that was altered, removed, added or moved is found and named.

What this finds: every change of an entry, of the catalog it describes, of the tip or of a checkpoint, unless all of
them were rewritten together, which takes the signing key; and the loss of any entry that a checkpoint counted.
What it cannot find from the database and the checkpoint beside it: entries lost after the last checkpoint, both
rolled back together to an older state, and a history rewritten by whoever holds the key. A copy of a checkpoint kept
elsewhere finds these too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from holdtrue.core.errors import Refused
from holdtrue.core.files import sweep, write_whole
from holdtrue.registry.audit import Replay
from holdtrue.registry.database import Database
from holdtrue.registry.ledger import Deed, append, parse, read_tip
from holdtrue.registry.merkle import EMPTY_ROOT, Frontier, consistency_proof, inclusion_proof, leaf_hash
from holdtrue.registry.note import Checkpoint, PublicKey, Signer, open_checkpoint, sign_note
from holdtrue.registry.schema import CHECKPOINTS, LEDGER


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """A ledger that holds together.

    Attributes:
        count, root: the number of entries and the root of their tree, in hexadecimal.
        sealed: how many of them the last checkpoint counts; the loss of later ones would not be seen.
        signed: whether signatures were checked, which takes a trusted key.
    """

    count: int
    root: str
    sealed: int
    signed: bool


def seal(database: Database, *, origin: str, by: Signer, keep: Path | None) -> str:
    """Sign what the ledger holds now, store it, and keep a copy in a file beside the database.

    The copy is written after the transaction: if that fails, the older copy is still a beginning of the ledger.
    """

    def stored(connection: Connection) -> str:
        tip = read_tip(connection)
        known = connection.execute(select(CHECKPOINTS.c.note).where(CHECKPOINTS.c.size == tip.size)).scalar()
        if known is not None:
            return str(known)
        note = sign_note(Checkpoint(origin=origin, size=tip.size, root=tip.root).text(), by)
        connection.execute(CHECKPOINTS.insert().values(size=tip.size, note=note))
        return note

    note = database.write(stored)
    if keep is not None and not (keep.is_file() and keep.read_text(encoding="utf-8", errors="replace") == note):
        sweep(keep.parent)
        write_whole(keep, note.encode())
    return note


def trust(connection: Connection, *, project: str, fingerprint: str, actor: str, now: datetime) -> None:
    """Write into the ledger that a key is trusted from now on."""
    append(connection, [Deed(action="key trusted", project=project, subject=fingerprint)], actor=actor, now=now)


def verify(connection: Connection, *, trusted: Sequence[PublicKey] = (), kept: str | None = None) -> Verified:
    """Check the whole ledger, and the catalog against it; raises `Refused` that names the first bad entry.

    `kept` is a checkpoint from outside the database: the file beside it, or a copy from another place.
    """
    _check_file(connection)
    stored = list(_checkpoints(connection, trusted))
    copy = [] if kept is None else [("The checkpoint kept outside the database", open_checkpoint(kept, trusted))]
    checkpoints = [*stored, *copy]
    roots = {point.size: b"" for _, point in checkpoints}
    replay = Replay()
    walked = _walk(connection, roots, replay)
    for name, point in checkpoints:
        if point.size > walked.size:
            raise Refused(
                f"{name} counts {point.size} entries, but the ledger has only {walked.size}:"
                f" entry {walked.size} and what follows it was removed.",
                do="Restore the database from a backup that has them.",
            )
        if roots[point.size] != point.root:
            raise Refused(
                f"{name} does not agree with the first {point.size} entries: one of them was rewritten.",
                do="Restore the database from a backup.",
            )
    for name, point in copy:
        # A checkpoint is stored before it is copied. Older ones may go: a later one says all that they said.
        if point not in [other for _, other in stored]:
            raise Refused(f"{name} was removed from it.", do="Restore the database from a backup.")
    replay.compare(connection)
    sealed = max((point.size for _, point in checkpoints), default=0)
    return Verified(count=walked.size, root=walked.root.hex(), sealed=sealed, signed=bool(trusted and checkpoints))


def inclusion(connection: Connection, seq: int, size: int) -> tuple[bytes, ...]:
    """Prove an entry to whoever holds a checkpoint of `size` entries; see `merkle.includes`."""
    return inclusion_proof(seq, _hashes(connection, size))


def consistency(connection: Connection, first: int, second: int) -> tuple[bytes, ...]:
    """Prove that the ledger of `second` entries begins with that of `first`; see `merkle.extends`."""
    return consistency_proof(first, _hashes(connection, second))


def _check_file(connection: Connection) -> None:
    """A damaged index answers questions wrongly though every row is right; only SQLite's own check sees that."""
    if connection.dialect.name != "sqlite":
        return
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
    if found != ["ok"]:
        raise Refused(
            "The database file is damaged:", faults=found, do="Restore it from a backup, or rebuild it with sqlite3."
        )


def _hashes(connection: Connection, size: int) -> list[bytes]:
    query = select(LEDGER.c.hash).where(LEDGER.c.seq < size).order_by(LEDGER.c.seq)
    found = [bytes.fromhex(hashed) for hashed in connection.execute(query).scalars()]
    if len(found) != size:
        raise Refused(f"The ledger has no {size} entries; it has {len(found)}.")
    return found


def _walk(connection: Connection, roots: dict[int, bytes], replay: Replay) -> Frontier:
    """Go through the entries, keep the root at each size that is asked for, and end at the stored tip."""
    frontier = Frontier()
    if 0 in roots:
        roots[0] = EMPTY_ROOT
    for row in connection.execute(LEDGER.select().order_by(LEDGER.c.seq)).yield_per(1000):
        seq = frontier.size
        try:
            if row.seq != seq:
                raise ValueError("removed" if row.seq > seq else f"followed by a second entry {row.seq}")
            entry = parse(str(row.leaf))
            if (entry.seq, entry.project, entry.subject) != (seq, row.project, row.subject):
                raise ValueError("filed under another number, project or subject")
            if entry.previous != frontier.root.hex():
                raise ValueError("not the successor of the entries before it; it, or one of them, was rewritten")
            hashed = leaf_hash(entry.leaf())
            if row.hash != hashed.hex():
                raise ValueError("not what its hash says")
        except (ValueError, RecursionError) as error:
            raise _bad(seq, str(error)) from None
        frontier = frontier.append(hashed)
        if frontier.size in roots:
            roots[frontier.size] = frontier.root
        replay.hear(entry)
    _match_tip(connection, frontier)
    return frontier


def _match_tip(connection: Connection, walked: Frontier) -> None:
    tip = read_tip(connection)
    if tip.size != walked.size:
        raise _bad(min(tip.size, walked.size), f"removed or added: the tip of the tree counts {tip.size}")
    if tip != walked:
        raise _bad(max(walked.size - 1, 0), "not what the tip of the tree says")


def _checkpoints(connection: Connection, trusted: Sequence[PublicKey]) -> Iterator[tuple[str, Checkpoint]]:
    for row in connection.execute(CHECKPOINTS.select().order_by(CHECKPOINTS.c.size)):
        point = open_checkpoint(str(row.note), trusted)
        name = f"The stored checkpoint of {row.size} entries"
        if point.size != row.size:
            raise Refused(f"{name} is about {point.size} entries.", do="Restore the database from a backup.")
        yield name, point


def _bad(seq: int, what: str) -> Refused:
    return Refused(
        f"The ledger was tampered with: entry {seq} is {what}.",
        do="Restore the database from a backup, and compare both with a checkpoint kept elsewhere.",
    )
