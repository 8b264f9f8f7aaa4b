"""A key for each person whose data a receipt holds: destroy the key, and the person is forgotten in every copy.

The keys lie in one SQLite file that its owner alone may read. What was deleted is overwritten there: in the file by
SQLite, in its journal by us. A copy of the file in a backup keeps the keys; it must not outlive the right to be
forgotten.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.core.files import sync
from holdtrue.data.traffic.receipt import Receipt

FORM = b"\x01"
_KEY_ID_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32
_OVERHEAD = len(FORM) + _KEY_ID_BYTES + _NONCE_BYTES + 16
_MOST_CACHED = 4096
_TABLE = """
CREATE TABLE IF NOT EXISTS keys (
    id BLOB PRIMARY KEY, subject TEXT UNIQUE, key BLOB, forgotten_us INTEGER
) WITHOUT ROWID
"""


class Forgotten(Refused):
    """The person of a record was forgotten: nobody can read it any more, and that is as it should be."""


@final
class Subjects:
    """Seals bytes for a person, opens them, and forgets the person. `file` is such as keys/subjects."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._journal = file.with_name(file.name + "-journal")
        self._known: dict[str, tuple[bytes, AESGCM]] = {}
        self._stamp = (0, b"")

    def seal(self, subject: str, plain: bytes, *, about: str = "") -> bytes:
        """Encrypt for a person; `about` must be said again to open it. A first key is made and kept when needed.

        Whoever was forgotten and comes back gets a new key: what was sealed before stays closed.
        """
        if not subject:
            raise Misuse("Name the person whose data is sealed.")
        key_id, cipher = self._key_of(subject)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return b"".join((FORM, key_id, nonce, cipher.encrypt(nonce, plain, _bound(subject, about))))

    def open(self, subject: str, sealed: bytes, *, about: str = "") -> bytes:
        """Decrypt; raises `Forgotten` when the person was, and `Refused` when a bit changed."""
        if len(sealed) < _OVERHEAD or sealed[:1] != FORM:
            raise Refused("The bytes were not sealed for a person.", do="Restore the record from a backup.")
        rest = memoryview(sealed)[len(FORM) :]
        key_id, nonce, text = rest[:_KEY_ID_BYTES], rest[_KEY_ID_BYTES:][:_NONCE_BYTES], rest[_KEY_ID_BYTES:]
        with self._reading() as database:
            row = database.execute("SELECT key, forgotten_us FROM keys WHERE id = ?", (bytes(key_id),)).fetchone()
        if row is None:
            raise Refused(
                f"No key in {self.file} opens these bytes.", do="Use the store of keys of the machine that wrote them."
            )
        if row[0] is None:
            raise Forgotten(f"The person {subject!r} was forgotten; this part of the record can never be read again.")
        try:
            return AESGCM(row[0]).decrypt(bytes(nonce), bytes(text[_NONCE_BYTES:]), _bound(subject, about))
        except InvalidTag:
            raise Refused(
                "The sealed bytes have changed, or belong to another person or record.",
                do="Restore the record from a backup.",
            ) from None

    def forget(self, subject: str, *, now_us: int) -> bool:
        """Destroy the key of a person; gives whether there was one. What it sealed can still be counted."""
        with self._writing() as database:
            done = database.execute(
                "UPDATE keys SET key = NULL, subject = NULL, forgotten_us = ? WHERE subject = ?", (now_us, subject)
            )
        self._known.pop(subject, None)
        return done.rowcount > 0

    def conceal(self, receipt: Receipt) -> Receipt:
        """Seal the body and the outputs of a receipt that names a person; others stay as they are."""
        if not receipt.subject:
            return receipt
        seal, subject, about = self.seal, receipt.subject, receipt.id
        return msgspec.structs.replace(
            receipt,
            body=seal(subject, receipt.body, about=f"{about} body"),
            outputs=seal(subject, receipt.outputs, about=f"{about} outputs"),
        )

    def reveal(self, receipt: Receipt) -> Receipt:
        """Open the body and the outputs of a receipt that names a person; raises `Refused` when it was forgotten."""
        if not receipt.subject:
            return receipt
        open_, subject, about = self.open, receipt.subject, receipt.id
        return msgspec.structs.replace(
            receipt,
            body=open_(subject, receipt.body, about=f"{about} body"),
            outputs=open_(subject, receipt.outputs, about=f"{about} outputs"),
        )

    def _key_of(self, subject: str) -> tuple[bytes, AESGCM]:
        # Any change of the file may be a person forgotten by another process: then no key is known any more.
        if self._stamp != (stamp := self._stamp_now()):
            self._known.clear()
            self._stamp = stamp
        if known := self._known.get(subject):
            return known
        row = self._stored(subject) or self._made(subject)
        if len(self._known) >= _MOST_CACHED:
            self._known.clear()
        self._known[subject] = found = (row[0], AESGCM(row[1]))
        return found

    def _stamp_now(self) -> tuple[int, bytes]:
        """Which file it is, and how often it was changed: SQLite counts that in four bytes of its header."""
        try:
            handle = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return (0, b"")
        try:
            return (os.fstat(handle).st_ino, os.pread(handle, 4, 24))
        finally:
            os.close(handle)

    def _stored(self, subject: str) -> tuple[bytes, bytes] | None:
        if not self.file.exists():
            return None
        with self._reading() as database:
            return database.execute("SELECT id, key FROM keys WHERE subject = ?", (subject,)).fetchone()

    def _made(self, subject: str) -> tuple[bytes, bytes]:
        """Make a key. It is on the disk before anything is sealed with it."""
        new = (secrets.token_bytes(_KEY_ID_BYTES), subject, secrets.token_bytes(_KEY_BYTES))
        with self._writing() as database:
            database.execute("INSERT OR IGNORE INTO keys (id, subject, key) VALUES (?, ?, ?)", new)
            return database.execute("SELECT id, key FROM keys WHERE subject = ?", (subject,)).fetchone()

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        if not self.file.exists():
            raise Refused(f"There are no keys in {self.file}.", do="Use the store of keys that the data belongs to.")
        with self._held(fcntl.LOCK_SH), self._explained(), closing(self._connect()) as database:
            yield database

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._held(fcntl.LOCK_EX), self._explained():
            if not self.file.exists():
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                sync(self.file.parent)
            is_known = self._stamp == self._stamp_now()
            with closing(self._connect()) as database:
                database.execute("BEGIN IMMEDIATE")
                database.execute(_TABLE)
                yield database
                database.execute("COMMIT")
            self._wipe_journal()
            if is_known:  # our own change makes no key unknown
                self._stamp = self._stamp_now()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.file, isolation_level=None)
        try:
            # The journal stays, so that it can be overwritten in its place; a journal of zeros counts as none.
            for setting in ("journal_mode=PERSIST", "synchronous=EXTRA", "secure_delete=ON", "trusted_schema=OFF"):
                database.execute(f"PRAGMA {setting}")
        except BaseException:
            database.close()
            raise
        return database

    def _wipe_journal(self) -> None:
        """The journal holds pages as they were before the change, with keys that are no more."""
        with suppress(FileNotFoundError), self._journal.open("r+b") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.write(bytes(size))
            stream.flush()
            os.fsync(stream.fileno())

    @contextmanager
    def _held(self, how: int) -> Generator[None]:
        """Hold the lock beside the file; the system lets go of it when the process ends."""
        handle = os.open(self.file.with_name(self.file.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise HoldtrueError(f"The keys in {self.file} cannot be used: {error}.") from None
        except sqlite3.DatabaseError as error:
            raise Refused(
                f"The keys in {self.file} are damaged: {error}.", do="Restore the file from a backup."
            ) from None


def _bound(subject: str, about: str) -> bytes:
    """What is vouched for along with the text: it cannot be moved to another person or record."""
    return f"{len(subject)}:{subject}{about}".encode()
