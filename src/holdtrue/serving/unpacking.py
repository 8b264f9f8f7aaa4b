"""Bodies that come packed by gzip or zstd: never unpacked to more than a body may have."""

import zlib
from collections.abc import Collection

from holdtrue.serving.ask import Problem, malformed

MOST_RATIO = 100  # of a packed body to what it becomes
MAGIC = b"\x28\xb5\x2f\xfd"
OVER_HTTP = frozenset({b"identity", b"gzip", b"zstd"})
GZIP, ZLIB = 31, 15  # as zlib tells them apart


def unpacked(body: bytes, coding: bytes, most: int, *, codings: Collection[bytes] = OVER_HTTP) -> bytes:
    """Unpack a body to at most `most` bytes; raises `Problem`."""
    name = coding.strip().lower()
    if name not in codings:
        raise Problem(415, "media type", "a body is compressed by gzip or zstd, or not at all")
    if name == b"identity":
        return body
    most = min(most, max(len(body), 1) * MOST_RATIO)
    if name == b"zstd":
        return _zstd(body, most)
    return _inflated(body, most, name.decode(), GZIP if name == b"gzip" else ZLIB)


def _inflated(body: bytes, most: int, name: str, form: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=form)
    try:
        made = unpacker.decompress(body, most + 1)
    except zlib.error:
        raise malformed(f"the body is not {name}") from None
    if len(made) > most:
        raise _too_large(most)
    if not unpacker.eof or unpacker.unused_data:
        raise malformed(f"the {name} body ends too early, or more follows it")
    return made


def _zstd(body: bytes, most: int) -> bytes:
    size = announced(body)
    if size > most:
        raise _too_large(most)
    import pyarrow as pa

    try:
        # Not as a stream: each one that fails keeps 4 kB for ever (pyarrow 25).
        made = pa.Codec("zstd").decompress(body, decompressed_size=size, asbytes=True)
    except OSError:
        raise malformed("the body is not zstd, or not all of it") from None
    assert isinstance(made, bytes)
    return made


def announced(body: bytes) -> int:
    """Read how large a zstd body says it becomes (RFC 8878, 3.1.1.1); raises `Problem` when it does not say it.

    >>> announced(bytes.fromhex("28b52ffd 20 05"))
    5
    """
    if len(body) < 6 or not body.startswith(MAGIC):
        raise malformed("the body is not zstd")
    flags = body[4]
    whole = bool(flags & 0x20)  # one segment: no byte about the window
    at = 5 + (not whole) + (0, 1, 2, 4)[flags & 3]
    size = (int(whole), 2, 4, 8)[flags >> 6]
    if size == 0:
        raise malformed("the zstd body does not say its size: pack it in one piece")
    return int.from_bytes(body[at : at + size], "little") + (256 if size == 2 else 0)


def _too_large(most: int) -> Problem:
    return Problem(413, "too large", f"the body unpacks to more than {most:,} bytes")
