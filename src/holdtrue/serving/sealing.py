"""Whom a request is about, and receipts sealed with that person's key, so that the person can be forgotten.

A worker imports this only when the endpoint was told which column names the person.
"""

import hmac
import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.core.files import new_file, sync
from holdtrue.data.traffic.receipt import Receipt, pack
from holdtrue.data.traffic.subjects import Subjects
from holdtrue.serving.ask import Problem
from holdtrue.serving.reader import Unfit, Values

FILE = "subjects"  # in the folder of keys
LONGEST = 1_000
_SECRET_BYTES = 32


def person_of(column: str, values: "Values | None") -> str:
    """Name the one person whose rows these are, or nobody; raises `Problem` or `Unfit`.

    A request that mixes persons is refused: its body is one piece, so under the key of one of them it would be lost
    with that one, and stay readable when another is forgotten. A request without the column is refused too: whoever
    leaves it out by mistake must not have the rows kept in the clear. Null says that a row is nobody's.

    >>> person_of("guest", [7.0, "7", None])
    '7'
    """
    if values is None:
        raise Unfit([f"column {column!r} is not there: it says whose rows these are; write null for nobody"])
    given = values.tolist() if not isinstance(values, Sequence) else values
    named = {text for value in given if (text := _text(column, value))}
    if len(named) > 1:
        what = "the rows of a request are about one person: their record is sealed with that person's key"
        raise Problem(422, "persons", what, faults=[f"column {column!r}: {len(named):,} persons; ask for each alone"])
    return named.pop() if named else ""


def _text(column: str, value: Any) -> str:
    """Write a value as text, however it came: 7, 7.0 and "7" are one person."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float) or (isinstance(value, str) and len(value) > LONGEST):
        raise Unfit([f"column {column!r} names a person by a text of at most {LONGEST:,} characters, or a number"])
    return str(value).strip()


def alias(keys: Path, person: str) -> str:
    """Give the name that receipts use for a person: nobody finds out who it is without the folder of keys."""
    return _alias(secret_of(keys / f"{FILE}.secret"), person)


def _alias(secret: bytes, person: str) -> str:
    return hmac.digest(secret, person.encode(errors="surrogatepass"), "sha256").hex()


def secret_of(file: Path) -> bytes:
    """Read the secret of a store; it is made whole or not at all."""
    with suppress(FileNotFoundError):
        found = file.read_bytes()
        if len(found) != _SECRET_BYTES:
            raise Refused(f"{file} is not the secret that was written.", do="Restore it from a backup.")
        return found
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with new_file(file.parent) as (stream, path):
        stream.write(secrets.token_bytes(_SECRET_BYTES))
        stream.flush()
        os.fsync(stream.fileno())
        with suppress(FileExistsError):  # another worker made it at the same time: that one counts
            os.link(path, file)
    sync(file.parent)
    return secret_of(file)


@final
class Sealer:
    """Seals the receipts of a worker in a thread: the key of a new person waits for the disk, the event loop does not.

    Attributes:
        column: names the person in a request.
    """

    def __init__(self, column: str, keys: Path, *, soon: Callable[..., object]) -> None:
        """Take the folder of keys; `soon` calls a function in the event loop, from any thread."""
        self.column = column
        self._subjects = Subjects(keys / FILE)
        self._soon = soon
        self._secret = secret_of(keys / f"{FILE}.secret")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seal")

    def subject_of(self, columns: "Mapping[str, Values]") -> str:
        """Give the name that receipts use for the person of a request, or nothing for nobody's."""
        person = person_of(self.column, columns.get(self.column))
        return _alias(self._secret, person) if person else ""

    def seal(self, receipts: Sequence[Receipt], then: Callable[[list[bytes] | HoldtrueError], None]) -> None:
        """Give the frames of receipts, sealed where they name a person, or what went wrong."""
        self._thread.submit(self._away, receipts, then)

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def _away(self, receipts: Sequence[Receipt], then: Callable[[list[bytes] | HoldtrueError], None]) -> None:
        try:
            sealed: list[bytes] | HoldtrueError = [pack(self._subjects.conceal(one)) for one in receipts]
        except HoldtrueError as error:
            sealed = error
        except Exception as error:  # a disk that fails, or a lock that is lost: whoever waits must hear of it
            sealed = HoldtrueError(f"The receipts could not be sealed: {error}.")
        self._soon(then, sealed)
