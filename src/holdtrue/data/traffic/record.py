"""One record in a file: a head that vouches for itself, the payload, and a last byte that is never zero.

The head has its own check sum, so that a changed length is told from a record that ends too early. The last byte
tells a record that the disk never got (it reads as zeros after a power cut) from one that was changed.
"""

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from holdtrue.core.errors import Misuse, Refused

RECEIPT, LABEL, GAP, SEAL = 1, 2, 3, 255

HEAD_BYTES = 16
MOST_BYTES = 256 * 2**20
END = b"\x5a"
_MARK = 0xB7
_HEAD = Struct("<BBHII")  # mark, kind, zero, length of the payload, its CRC-32
_CHECK = Struct("<I")


class Record(NamedTuple):
    """A record that was read and found whole; `at` is where it begins in its file."""

    kind: int
    payload: bytes
    at: int


class Head(NamedTuple):
    """What the head of a record says of the rest."""

    kind: int
    length: int
    check: int


def frame(kind: int, payload: bytes) -> bytes:
    """Give the bytes of a record as they lie in a file."""
    if len(payload) > MOST_BYTES:
        raise Misuse(f"A record of {len(payload):,} bytes is too large; at most {MOST_BYTES:,} are kept.")
    head = _HEAD.pack(_MARK, kind, 0, len(payload), crc32(payload))
    return b"".join((head, _CHECK.pack(crc32(head)), payload, END))


def read_head(data: bytes) -> Head | None:
    """Read the first 16 bytes of a record; None when they are no head, or a changed one."""
    mark, kind, zero, length, check = _HEAD.unpack_from(data)
    if mark != _MARK or zero or _CHECK.unpack_from(data, _HEAD.size)[0] != crc32(data[: _HEAD.size]):
        return None
    return Head(kind, length, check)


def is_whole(head: Head, rest: bytes) -> bool:
    """Whether what follows a head, the last byte included, is what was written."""
    return len(rest) == head.length + 1 and rest[-1:] == END and crc32(rest[:-1]) == head.check


def unframe(data: bytes, kind: int) -> bytes:
    """Give the payload of exactly one record; raises `Refused` when it changed or is of another kind."""
    head = read_head(data) if len(data) > HEAD_BYTES else None
    if head is None or head.kind != kind or not is_whole(head, data[HEAD_BYTES:]):
        raise Refused("The bytes are not the record that was written.", do="Restore them from a backup.")
    return data[HEAD_BYTES:-1]
