"""The catalog held against the ledger: what the entries say must have come about is what the tables must hold."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table

from holdtrue.core.errors import Refused
from holdtrue.registry.catalog import record_of
from holdtrue.registry.ledger import Entry
from holdtrue.registry.moment import EPOCH
from holdtrue.registry.schema import ALIAS_HISTORY, ALIASES, HOLDOUT_USES, PROJECTS, RELEASES, RUNS

# What the ledger gives in full is compared in full; of runs and releases it keeps the digest of the row.
KEYS: Mapping[str, tuple[str, ...]] = {
    "projects": ("name",),
    "runs": ("id",),
    "releases": ("digest",),
    "aliases": ("project", "name"),
    "alias_history": ("seq",),
    "holdout_uses": ("rows_digest", "candidate_digest"),
}
TABLES = (PROJECTS, RUNS, RELEASES, ALIASES, ALIAS_HISTORY, HOLDOUT_USES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """What the tables must hold after the entries heard so far: for each table, the record of each row by its key."""

    expected: dict[str, dict[tuple[object, ...], str]] = field(
        default_factory=lambda: {name: dict[tuple[object, ...], str]() for name in KEYS}
    )

    def hear(self, entry: Entry) -> None:
        if entry.action == "release removed":
            self.expected["releases"].pop((entry.subject,), None)
        for table, key, record in _outcome(entry):
            self.expected[table][key] = record

    def compare(self, connection: Connection) -> None:
        """Raise `Refused` that names the rows the ledger knows nothing of, or knows otherwise."""
        faults = [fault for table in TABLES for fault in self._faults(connection, table)]
        if faults:
            shown = [*faults[:10], *([f"and {len(faults) - 10} more"] if len(faults) > 10 else [])]
            raise Refused(
                f"The catalog was changed behind the ledger's back in {len(faults)} "
                f"place{'s' if len(faults) > 1 else ''}:",
                faults=shown,
                do="Restore the database from a backup; the entries of the ledger say what it held.",
            )

    def _faults(self, connection: Connection, table: Table) -> Iterator[str]:
        missing = dict(self.expected[table.name])
        for row in connection.execute(table.select()).yield_per(1000).mappings():
            key = tuple(row[name] for name in KEYS[table.name])
            record = missing.pop(key, None)
            shown = ", ".join(map(str, key))
            if record is None:
                yield f"{table.name}: {shown} has no entry in the ledger"
            elif any(isinstance(value, bytes) for value in row.values()) or record != record_of(dict(row)):
                yield f"{table.name}: {shown} is not what its last entry says"
        yield from (f"{table.name}: {', '.join(map(str, key))} is gone" for key in missing)


def _outcome(entry: Entry) -> Iterator[tuple[str, tuple[object, ...], str]]:
    """Say which rows an entry brought about."""
    detail: Mapping[str, Any] = entry.detail
    match entry.action:
        case "project opened":
            yield "projects", (entry.subject,), record_of({"name": entry.subject, "created_us": _count(entry.time)})
        case "run recorded":
            yield "runs", (entry.subject,), str(detail.get("record"))
        case "release made" | "release moved":
            yield "releases", (entry.subject,), str(detail.get("record"))
        case "alias moved":
            yield from _alias_moved(entry, detail)
        case "hold-out used":
            use = {
                "rows_digest": entry.subject,
                "candidate_digest": detail.get("candidate"),
                "project": entry.project,
                "number": detail.get("number"),
                "used_us": detail.get("used_us"),
            }
            yield "holdout_uses", (entry.subject, str(use["candidate_digest"])), record_of(use)
        case _:
            pass  # a deed beside the catalog, such as what gc deleted


def _alias_moved(entry: Entry, detail: Mapping[str, Any]) -> Iterator[tuple[str, tuple[object, ...], str]]:
    name = detail.get("alias")
    pointed = {
        "project": entry.project,
        "name": name,
        "digest": entry.subject,
        "since_us": detail.get("since_us"),
    }
    yield "aliases", (entry.project, str(name)), record_of(pointed)
    move = {**pointed, "seq": entry.seq, "actor": entry.actor, "reason": detail.get("reason")}
    yield "alias_history", (entry.seq,), record_of(move)


def _count(time: str) -> int:
    """Read a moment as the ledger writes it; what is malformed matches no row."""
    match = re.fullmatch(r"(.{19})\.(\d{6})Z", time)
    if match is None:
        return -1
    whole = type(EPOCH).fromisoformat(match[1] + "+00:00") - EPOCH
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + int(match[2])
