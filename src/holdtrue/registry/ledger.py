"""The ledger: every change of the registry, in order, so that none can be altered later without it being seen.

An entry is canonical JSON that holds the root of all entries before it, and is a leaf of a Merkle tree (RFC 9162).
It is written in the transaction of the change itself: there is no change without its entry, and no entry without
its change.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from holdtrue.core.digest import canonical_json
from holdtrue.core.errors import Misuse, Refused
from holdtrue.registry.merkle import Frontier, leaf_hash
from holdtrue.registry.moment import iso, microseconds
from holdtrue.registry.page import MOST, Page
from holdtrue.registry.schema import LEDGER, TIP


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """What was done (such as `alias moved`), to what (`subject`, a digest or an id), and the particulars."""

    action: str
    project: str
    subject: str
    detail: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the ledger. `previous` is the root of the tree of all entries before it."""

    seq: int
    time: str
    actor: str
    action: str
    project: str
    subject: str
    detail: Mapping[str, object]
    previous: str

    def leaf(self) -> bytes:
        """The bytes that are hashed: the only way to write this entry."""
        return canonical_json({name: getattr(self, name) for name in self.__slots__})


FIELDS = dict.fromkeys(Entry.__slots__, str) | {"seq": int, "detail": dict}


def append(connection: Connection, deeds: Sequence[Deed], *, actor: str, now: datetime) -> int:
    """Write what was done, in the caller's transaction; gives the number of the first new entry."""
    time, tip = iso(microseconds(now)), read_tip(connection)
    first, rows = tip.size, list[dict[str, object]]()
    for deed in deeds:
        entry = Entry(
            seq=tip.size,
            time=time,
            actor=printable(actor),
            action=deed.action,
            project=deed.project,
            subject=deed.subject,
            detail=plain(deed.detail),
            previous=tip.root.hex(),
        )
        leaf = entry.leaf()
        hashed = leaf_hash(leaf)
        tip = tip.append(hashed)
        rows.append(
            {
                "seq": entry.seq,
                "project": entry.project,
                "subject": entry.subject,
                "leaf": leaf.decode(),
                "hash": hashed.hex(),
            }
        )
    if rows:
        connection.execute(LEDGER.insert(), rows)
        connection.execute(TIP.update().values(size=tip.size, peaks=_spelled(tip)))
    return first


def read_tip(connection: Connection) -> Frontier:
    """Read the right edge of the tree; raises `Refused` when it is no right edge of any tree."""
    try:
        (row,) = connection.execute(TIP.select()).all()
        tip = Frontier(size=row.size, peaks=tuple(bytes.fromhex(peak) for peak in row.peaks.split()))
        if _spelled(tip) != row.peaks:
            raise ValueError("not spelled as Holdtrue writes it")
    except (ValueError, TypeError, AttributeError) as error:
        raise Refused(
            f"The tip of the ledger was tampered with ({error}).", do="Restore the database from a backup."
        ) from None
    return tip


def _spelled(tip: Frontier) -> str:
    return " ".join(peak.hex() for peak in tip.peaks)


def entries(
    connection: Connection,
    *,
    project: str | None = None,
    subject: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[Entry]:
    """Give one page of entries, newest first; `after` is the mark that the page before ended with."""
    if not 1 <= limit <= MOST:
        raise Misuse(f"A page has from 1 to {MOST} rows, not {limit}.")
    query = select(LEDGER.c.seq, LEDGER.c.leaf)
    if project is not None:
        query = query.where(LEDGER.c.project == project)
    if subject is not None:
        query = query.where(LEDGER.c.subject == subject)
    if after is not None:
        if not after.isdigit():
            raise Misuse(f"{after!r} is not the mark of a page.", do="Use the mark that the page before ended with.")
        query = query.where(LEDGER.c.seq < int(after))
    found = connection.execute(query.order_by(LEDGER.c.seq.desc()).limit(limit + 1)).all()
    mark = str(found[limit - 1].seq) if len(found) > limit else None
    return Page(rows=tuple(parse(row.leaf) for row in found[:limit]), after=mark)


def parse(leaf: str) -> Entry:
    """Read an entry; raises `ValueError` for text that `Entry.leaf` would not have written so."""
    value = json.loads(leaf)
    if not isinstance(value, dict) or {name: type(inner) for name, inner in value.items()} != FIELDS:
        raise ValueError("not made of the fields of an entry")
    entry = Entry(**value)
    if entry.leaf() != leaf.encode():
        raise ValueError("not in canonical form")
    return entry


def printable(words: str) -> str:
    """Replace what UTF-8 cannot hold, such as bytes of a shell argument in another encoding."""
    return words.encode(errors="replace").decode()


def plain(value: Any) -> Any:
    """Copy a value of JSON; numbers that JSON lacks become null, as they do in a report."""
    if isinstance(value, Mapping):
        return {printable(str(name)): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return printable(value) if isinstance(value, str) else value
