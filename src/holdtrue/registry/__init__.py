"""The catalog of releases, their aliases and the tamper-evident ledger.

The path through this package:
    database.py   one registry, in SQLite or Postgres: whole transactions, one writer
    schema.py     its tables, and the numbered steps that make them
    catalog.py    projects, runs and releases
    aliases.py    names that move, and what they were at any moment
    wear.py       how often the held-out rows have judged
    ledger.py     every change, written in its own transaction
    merkle.py     the tree over the ledger, and its proofs
    note.py       signed checkpoints
    sealing.py    the ledger sealed and verified; audit.py holds the catalog against it
    gc.py         what may be thrown away
"""

from holdtrue.registry.aliases import aliases_of, promote
from holdtrue.registry.catalog import Release, Run, add_release, find_release, record_run
from holdtrue.registry.database import Database, connect
from holdtrue.registry.sealing import seal, verify
from holdtrue.registry.wear import use_number

__all__ = [
    "Database",
    "Release",
    "Run",
    "add_release",
    "aliases_of",
    "connect",
    "find_release",
    "promote",
    "record_run",
    "seal",
    "use_number",
    "verify",
]
