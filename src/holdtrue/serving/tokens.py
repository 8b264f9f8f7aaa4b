"""Tokens at rest: who was given which, until when; of a secret only its SHA-256 is kept.

A secret has 256 bits, so that one hash of it is enough: nobody can try them all, as they could passwords.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import DecodeError, Meta, Struct, json, structs

from holdtrue.core.errors import Busy, Misuse, Refused, nearest
from holdtrue.core.files import sweep, write_whole
from holdtrue.serving.callers import SCOPES, Scope

FILE = "tokens.json"
DEFAULT_DAYS = 90
SECRET = re.compile(rb"ht_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}"
MOST_BYTES = 2**20  # some four thousand tokens; a worker reads them between two requests, in 20 ms
# Long enough that a holder is told "expired" and not "unknown"; the ledger keeps them for ever.
KEPT_WHEN_DEAD = timedelta(days=30)
PATIENCE_S = 10.0

Moment = Annotated[datetime, Meta(tz=True)]


class Token(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the list. `sha256` is of the whole text that a caller shows."""

    id: Annotated[str, Meta(pattern=r"\A[0-9a-f]{12}\Z")]
    name: Annotated[str, Meta(pattern=rf"\A{NAME}\Z")]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    created: Moment
    expires: Moment | None = None
    revoked: Moment | None = None

    def died(self) -> datetime | None:
        """When it ends or ended; None for one that goes on until it is revoked."""
        ends = [moment for moment in (self.expires, self.revoked) if moment is not None]
        return min(ends, default=None)


class Mark(NamedTuple):
    """What differs when a file was written again, or became readable by others."""

    device: int
    inode: int
    size: int
    written_ns: int
    changed_ns: int


def mark(path: Path) -> Mark | None:
    """Look at the list without opening it; None when there is none."""
    try:
        return _mark(path.lstat())
    except FileNotFoundError:
        return None


def _mark(about: os.stat_result) -> Mark:
    return Mark(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def listed(path: Path) -> tuple[Token, ...]:
    """Give all tokens, oldest first; raises `Refused` for a list that cannot be believed. No file is an empty list."""
    return read(path)[0]


def read(path: Path) -> tuple[tuple[Token, ...], Mark | None]:
    """Give all tokens, and the mark of exactly the bytes they were read from."""
    try:
        # O_NONBLOCK: a named pipe in place of the file must not make us wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return (), None
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise Refused(
            f"The tokens {path} cannot be read: {why}.", do="Make it a plain file of this user, with mode 600."
        ) from None
    try:
        about = os.fstat(handle)
        _private(path, about)
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = stream.read(about.st_size + 1)
    finally:
        os.close(handle)
    if len(data) != about.st_size:
        raise Refused(f"The tokens {path} changed while they were read.", do="Read them again.")
    return _parsed(path, data), _mark(about)


def _private(path: Path, about: os.stat_result) -> None:
    """Raise unless only its owner can read the list or put another in its place."""
    if not stat.S_ISREG(about.st_mode):
        raise Refused(f"{path} is not a plain file.", do="Remove it, and give out new tokens: holdtrue token new")
    if about.st_mode & 0o077:
        raise Refused(
            f"The tokens {path} can be read by others (mode {stat.S_IMODE(about.st_mode):o}).",
            do=f"Close them with `chmod 600 {path}`; if others could write there, give out new ones.",
        )
    if path.parent.stat().st_mode & 0o022:
        raise Refused(
            f"Others can put another list in place of {path}.", do=f"Close the folder: chmod 700 {path.parent}"
        )
    if about.st_size > MOST_BYTES:
        raise Refused(
            f"The tokens {path} take {about.st_size:,} bytes; at most {MOST_BYTES:,} are read.",
            do="Remove the file, and give out new tokens: holdtrue token new",
        )


def _parsed(path: Path, data: bytes) -> tuple[Token, ...]:
    try:
        tokens = json.decode(data, type=tuple[Token, ...])
        for what, seen in (("id", {each.id for each in tokens}), ("secret", {each.sha256 for each in tokens})):
            if len(seen) < len(tokens):
                raise ValueError(f"two tokens have one {what}")
    except (DecodeError, ValueError, RecursionError) as error:
        raise Refused(
            f"The list of tokens {path} is damaged: {error}.",
            do="Restore it from a backup, or remove it and give out new tokens: holdtrue token new",
        ) from None
    return tokens


def issue(
    path: Path, *, name: str, scopes: Sequence[str], now: datetime, expires: datetime | None
) -> tuple[Token, str]:
    """Give out a new token; also gives its secret, which is told this once and kept nowhere."""
    _checked(name, scopes, now, expires)
    with _alone(path):
        tokens = [each for each in listed(path) if (each.died() or now) > now - KEPT_WHEN_DEAD]
        taken = {each.id for each in tokens}
        while (identifier := secrets.token_hex(6)) in taken:
            pass
        secret = f"ht_{identifier}_{secrets.token_urlsafe(32)}"
        token = Token(
            id=identifier,
            name=name,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            created=now,
            expires=expires,
        )
        _write(path, [*tokens, token])
    return token, secret


def revoke(path: Path, identifier: str, now: datetime) -> tuple[Token, bool]:
    """End a token for ever; says whether it was still whole. Raises `Misuse` when no token has this id."""
    if mark(path) is None:  # nothing to change, so no folder is made for it either
        raise _nobody(identifier, ())
    with _alone(path):
        tokens = listed(path)
        found = next((each for each in tokens if each.id == identifier), None)
        if found is None:
            raise _nobody(identifier, tokens)
        if found.revoked is not None:
            return found, False
        ended = structs.replace(found, revoked=now)
        _write(path, [ended if each is found else each for each in tokens])
    return ended, True


def _nobody(identifier: str, tokens: Sequence[Token]) -> Misuse:
    # What was given is shown in part: it may be a secret, mistyped.
    close = nearest(identifier[:12], [each.id for each in tokens][-10:])
    return Misuse(f"There is no token {identifier[:12]!r}{close}", do="List them: holdtrue token list")


def _checked(name: str, scopes: Sequence[str], now: datetime, expires: datetime | None) -> None:
    faults: list[str] = []
    if not re.fullmatch(NAME, name):
        faults.append(
            f"the name {name[:100]!r} should have 1 to 100 letters, digits and . _ @ -, and begin with one of the first"
        )
    faults += [f"there is no scope {scope!r}{nearest(scope, SCOPES)}" for scope in scopes if scope not in SCOPES]
    if not scopes:
        faults.append(f"it has no scope; known: {', '.join(SCOPES)}")
    if expires is not None and expires <= now:
        faults.append(f"it would have expired at {expires.isoformat()}, before it is made")
    if faults:
        raise Misuse("This token cannot be made:", faults=faults)


def _write(path: Path, tokens: Sequence[Token]) -> None:
    # A line for each, for those who look; what is read does not depend on it.
    data = b"[\n" + b",\n".join(json.encode(each) for each in tokens) + b"\n]\n"
    if len(data) > MOST_BYTES:
        raise Misuse(
            f"There are {len(tokens):,} tokens; more than {MOST_BYTES:,} bytes of them are not kept.",
            do=f"Revoke some: what ended {KEPT_WHEN_DEAD.days} days ago is dropped.",
        )
    write_whole(path, data, mode=0o600)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Hold the list, so that of two who change it neither loses anything; raises `Busy` after ten seconds."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"Another process has been changing {path} for more than {PATIENCE_S:g} s.",
                        do="Wait for it to finish, or end that process: the list is whole either way.",
                    ) from None
                time.sleep(0.005)
        sweep(path.parent)
        yield
    finally:
        os.close(handle)
