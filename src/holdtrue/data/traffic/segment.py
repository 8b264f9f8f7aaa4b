"""A file of records that only grows: a header, records, and once it is full a seal over all of them.

A segment is in one of three states, told by reading it:
    sealed   the last record is the seal, and it fits all that lies before it
    open     it ends with a whole record; its writer lives, or was killed between two writes
    torn     it ends within a record that was never whole; its writer was killed, or the power failed
Anything else is damage. A sealed file is made read-only, so one without its seal was cut; and each segment names the
digest of the one before it in its stream, so a shortened one is found by its successor.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Literal, final
from zlib import crc32

import msgspec
from blake3 import blake3

from holdtrue.core.errors import Refused
from holdtrue.data.traffic.record import HEAD_BYTES, SEAL, Head, Record, frame, is_whole, read_head

MAGIC = b"\x89HTSEG\r\n"
FORM = 1
SEALED_MODE = 0o400
_START = Struct("<8sHHI")  # magic, form, length of what follows, CRC-32 of all but itself
_VOUCHED = _START.size - 4
_BUFFER_BYTES = 1 << 20


class Header(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Whose records these are; `previous` is the digest in the seal of the segment before, if that has one."""

    endpoint: str
    stream: int
    number: int
    created_us: int
    previous: str = ""

    @property
    def name(self) -> str:
        return segment_name(self.stream, self.number)


class Seal(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How many records lie before the seal, and the BLAKE3 of every byte before it.

    SHA-256 would be half of what a receipt costs, where the processor has no instructions for it.
    """

    count: int
    digest: str


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a segment ends.

    Args:
        whole_bytes: where its last whole record ends.
        torn_bytes: what lies behind that and was never whole.
        digest: of the header and all whole records; what the seal says, or would say.
    """

    state: Literal["sealed", "open", "torn"]
    count: int
    whole_bytes: int
    torn_bytes: int
    digest: str


def segment_name(stream: int, number: int) -> str:
    """Name a segment.

    >>> segment_name(0xABC, 7)
    '00000abc-00000007'
    """
    return f"{stream:08x}-{number:08d}"


def header_bytes(header: Header) -> bytes:
    """Give the first bytes of a segment."""
    body = msgspec.msgpack.encode(header)
    start = _START.pack(MAGIC, FORM, len(body), 0)[:_VOUCHED]
    return start + crc32(body, crc32(start)).to_bytes(4, "little") + body


def seal_bytes(*, count: int, digest: str) -> bytes:
    """Give the last record of a segment."""
    return frame(SEAL, msgspec.msgpack.encode(Seal(count=count, digest=digest)))


def read_header(path: Path) -> Header:
    """Read whose records a segment holds."""
    with path.open("rb") as stream:
        return _take_header(path, stream)[0]


def read_segment(path: Path) -> "Segment":
    """Open a segment to go through its records once; raises `Refused` as soon as damage is met."""
    return Segment(path)


@final
class Segment:
    """The records of a segment; `end` is known when all were read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end: End | None = None
        self._stream = path.open("rb", buffering=_BUFFER_BYTES)
        try:
            self.header, self._first = _take_header(path, self._stream)
        except BaseException:
            self._stream.close()
            raise

    def __iter__(self) -> Iterator[Record]:
        with self._stream as stream:
            digest, count, at = blake3(self._first), 0, len(self._first)
            while True:
                start = stream.read(HEAD_BYTES)
                head = self._head(start, at)
                rest = stream.read(head.length + 1) if head else b""
                if head is None or not self._is_whole(head, rest, at):
                    self.end = self._unsealed(count, at, digest.hexdigest())
                    return
                if head.kind == SEAL:
                    self.end = self._sealed(rest[:-1], count, at, digest.hexdigest())
                    return
                digest.update(start)
                digest.update(rest)
                yield Record(head.kind, rest[:-1], at)
                at += len(start) + len(rest)
                count += 1

    @property
    def start(self) -> int:
        """Where the first record begins."""
        return len(self._first)

    def take(self) -> bytes:
        """Give the bytes of the file as they are, to search in; nothing but the header is checked."""
        with self._stream as stream:
            return self._first + stream.read()

    def finish(self) -> End:
        """Read what is left; gives how the segment ends."""
        if self.end is None:
            for _ in self:
                pass
        assert self.end is not None
        return self.end

    def _head(self, start: bytes, at: int) -> Head | None:
        """Read a head; None where the whole records end."""
        if len(start) < HEAD_BYTES:
            return None
        head = read_head(start)
        # A whole record ends in a byte that is not zero: with zeros alone behind it, this head never had one.
        if head is None and self._rest_holds_bytes():
            raise damaged(self.path, at, "the head of a record is damaged")
        return head

    def _is_whole(self, head: Head, rest: bytes, at: int) -> bool:
        if is_whole(head, rest):
            return True
        # Cut within the record, or its last byte, never zero, did not reach the disk, nor anything behind it.
        if len(rest) <= head.length or (rest[-1] == 0 and not self._rest_holds_bytes()):
            return False
        raise damaged(self.path, at, "a record is damaged")

    def _rest_holds_bytes(self) -> bool:
        while more := self._stream.read(_BUFFER_BYTES):
            if any(more):
                return True
        return False

    def _unsealed(self, count: int, at: int, digest: str) -> End:
        if not os.fstat(self._stream.fileno()).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise damaged(self.path, at, "it was sealed, and its end is cut off")
        torn = self._stream.tell() - at
        state = "torn" if torn else "open"
        return End(state=state, count=count, whole_bytes=at, torn_bytes=torn, digest=digest)

    def _sealed(self, payload: bytes, count: int, at: int, digest: str) -> End:
        try:
            seal = msgspec.msgpack.decode(payload, type=Seal)
        except msgspec.DecodeError:
            raise damaged(self.path, at, "the seal cannot be read") from None
        if seal.digest != digest or seal.count != count:
            raise damaged(self.path, at, "the seal does not fit the records before it")
        if self._stream.read(1):
            raise damaged(self.path, self._stream.tell() - 1, "something follows the seal")
        return End(state="sealed", count=count, whole_bytes=self._stream.tell(), torn_bytes=0, digest=digest)


def damaged(path: Path, at: int, what: str) -> Refused:
    """Say where a file of records is not as it was written."""
    return Refused(
        f"The segment {path} is damaged at byte {at:,}: {what}.",
        do="Restore the file from a backup; what lies before that byte can still be read.",
    )


def _take_header(path: Path, stream: BinaryIO) -> tuple[Header, bytes]:
    start = stream.read(_START.size)
    if len(start) < _START.size:
        raise damaged(path, 0, "its header is cut off")
    magic, form, length, check = _START.unpack(start)
    body = stream.read(length)
    if len(body) < length or crc32(body, crc32(start[:_VOUCHED])) != check or magic != MAGIC:
        raise damaged(path, 0, "its header is damaged")
    if form != FORM:
        raise Refused(
            f"The segment {path} has form {form}; this version reads form {FORM}.",
            do="Use a newer version of Holdtrue.",
        )
    try:
        header = msgspec.msgpack.decode(body, type=Header)
    except msgspec.DecodeError as error:
        raise damaged(path, 0, f"its header cannot be read: {error}") from None
    if header.name != path.name.split(".")[0]:
        raise damaged(path, 0, f"it is the segment {header.name} under another name")
    return header, start + body
