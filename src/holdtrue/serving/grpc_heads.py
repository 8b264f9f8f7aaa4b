"""Header blocks become heads of calls; a block that came before, and changes no table, is not read again.

Clients say the same head with every call, so what it means is kept beside its bytes. A head that puts something into
the table of the connection changes what later bytes mean: then all that was kept is forgotten.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast, final

import hpack

from holdtrue.serving.endpoint import PIN
from holdtrue.serving.grpc_frames import Broken, Code

ONCE_HEARD = frozenset({b"authorization", b"traceparent", b"x-request-id", PIN})
HEARD = ONCE_HEARD | {b"tracestate"}
ONCE = frozenset({b"grpc-timeout", b"grpc-encoding", b"content-type"}) | ONCE_HEARD
PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
CONNECTION = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
NAME = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
KEPT, KEPT_BYTES = 8, 2 << 10  # heads of one connection, and the size of their blocks
WIDEST = 4  # times what a head may have, it is still read: the table stays right, and its call alone is refused

Field = tuple[bytes, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What the head of a call says.

    Attributes:
        heard: what we listen to in its metadata.
        timeout_s: how long its client waits; None is for ever.
        encoding: how its messages are packed.
        status: of HTTP, when this is no call of gRPC; else 0.
        fault: what is wrong with its metadata.
        large: it has more metadata than it may have.
        malformed: it is no head at all.
    """

    path: bytes = b""
    heard: Mapping[bytes, bytes]
    timeout_s: float | None = None
    encoding: bytes = b"identity"
    status: int = 0
    fault: str = ""
    large: bool = False
    malformed: bool = False


@final
class Heads:
    """Reads the header blocks of one connection, in their order."""

    __slots__ = ("_decoder", "_kept", "_most")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._decoder = hpack.Decoder(max_header_list_size=WIDEST * most_bytes)
        self._kept: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """Read a block; raises `Broken` when the ones after it could not be read any more."""
        known = self._kept.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table
        first, entries, size = self._first, len(table.dynamic_entries), table.maxsize
        try:
            fields = cast("Iterable[Field]", self._decoder.decode(block, raw=True))
        except hpack.OversizedHeaderListError:
            raise Broken(Code.CALM, "the head of a call is far too large") from None
        except (hpack.HPACKError, IndexError, ValueError):
            raise Broken(Code.COMPRESSION, "a header block cannot be read") from None
        fields = [(bytes(name), bytes(value)) for name, value in fields]
        head = head_of(fields, self._most)
        if self._first is not first or len(table.dynamic_entries) != entries or table.maxsize != size:
            self._kept.clear()
        elif len(block) <= KEPT_BYTES:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[block] = head
        return head

    @property
    def _first(self) -> object:
        """What stands first in the table: an object of its own for each time that something was put in."""
        entries = self._decoder.header_table.dynamic_entries
        return entries[0] if entries else None


def head_of(fields: list[Field], most_bytes: int) -> Head:
    """Say what the fields of a head mean.

    >>> call = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/Do")]
    >>> head_of([*call, (b"content-type", b"application/grpc"), (b"grpc-timeout", b"250m")], 1_000).timeout_s
    0.25
    >>> head_of([*call, (b"Te", b"trailers")], 1_000).malformed
    True
    """
    large = sum([len(name) + len(value) + 32 for name, value in fields]) > most_bytes
    found: dict[bytes, bytes] = {}
    fault = ""
    regular = False
    for name, value in fields:
        pseudo = name.startswith(b":")
        if (
            not NAME.fullmatch(name)
            or name in CONNECTION
            or (pseudo and (regular or name in found or name not in PSEUDO))
        ):
            return Head(heard={}, malformed=True)
        regular = regular or not pseudo
        if name in found and name in ONCE:
            fault = f"the metadata {name.decode()} is there twice"
        found[name] = value
    if not {b":method", b":scheme", b":path"} <= found.keys():
        return Head(heard={}, malformed=True)
    timeout_s: float | None = None
    if b"grpc-timeout" in found:
        timeout = TIMEOUT.fullmatch(found[b"grpc-timeout"])
        timeout_s = int(timeout[1]) * UNITS_S[timeout[2]] if timeout else None
        fault = fault or ("" if timeout else "grpc-timeout is up to 8 digits and a unit, such as 250m")
    return Head(
        path=found[b":path"],
        heard={name: found[name] for name in HEARD if name in found},
        timeout_s=timeout_s,
        encoding=found.get(b"grpc-encoding", b"identity"),
        status=_status(found),
        fault=fault,
        large=large,
    )


def _status(found: Mapping[bytes, bytes]) -> int:
    """Give the status of HTTP for what is no call of gRPC."""
    if found[b":method"] != b"POST":
        return 405
    kind = found.get(b"content-type", b"")
    return 0 if kind == b"application/grpc" or kind.startswith((b"application/grpc+", b"application/grpc;")) else 415
