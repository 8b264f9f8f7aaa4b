"""Labels: what turned out true, perhaps late; and gaps: how many predictions were not recorded, and why."""

import math
from typing import Annotated

import msgspec

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.receipt import Count, read_id
from holdtrue.data.traffic.record import GAP, LABEL, frame, unframe

Scalar = str | int | float | bool | None
Moment = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_LARGE = 1 << 63


class Label(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One true value, for a row of a prediction or for a business key (column to value), never both.

    Args:
        time_us: when it became true, since 1970 UTC; may be long ago.
        received_us: when we heard of it.
        idempotency: what the sender calls this message; sent again under the same name it counts once.
        source: who says so, such as a system or a person.
        caller: whose token brought it.
    """

    value: Scalar
    time_us: Moment
    received_us: Moment
    prediction: str = ""
    row: Count = 0
    key: dict[str, Scalar] = {}
    idempotency: str = ""
    source: str = ""
    caller: str = ""


class Gap(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """So many records between two times were not kept; when not `certain`, they may have been."""

    since_us: Moment
    until_us: Moment
    count: Count
    why: str
    certain: bool = True


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_label = msgspec.msgpack.Decoder(Label).decode
_decode_gap = msgspec.msgpack.Decoder(Gap).decode


def pack_label(label: Label) -> bytes:
    """Give the bytes of a label, ready for the journal; raises `Misuse` for one that names no target or no value."""
    if bool(label.prediction) == bool(label.key):
        raise Misuse("A label is for a prediction id or for a business key: give one of them.")
    if label.prediction:
        read_id(label.prediction)
    _check_numbers(row=label.row, time_us=label.time_us, received_us=label.received_us)
    if label.row < 0:
        raise Misuse(f"The row of a label is 0 or more, got {label.row}.")
    for value in (label.value, *label.key.values()):
        if isinstance(value, float) and not math.isfinite(value):
            raise Misuse(f"A label is a JSON value, and {value} is none.", do="Send null when nothing is known.")
        if isinstance(value, int):
            _check_numbers(value=value)
    try:
        return frame(LABEL, _encode(label))
    except UnicodeEncodeError as error:
        raise Misuse(f"{error.object[error.start : error.end]!r} is not text and cannot be recorded.") from None


def pack_gap(gap: Gap) -> bytes:
    """Give the bytes of a gap, ready for the journal."""
    return frame(GAP, _encode(gap))


def unpack_label(data: bytes) -> Label:
    """Read what `pack_label` gave; raises `Refused` when a bit of it changed."""
    return read_label(unframe(data, LABEL))


def unpack_gap(data: bytes) -> Gap:
    """Read what `pack_gap` gave; raises `Refused` when a bit of it changed."""
    return read_gap(unframe(data, GAP))


def read_label(payload: bytes) -> Label:
    """Read the payload of a record that was found whole."""
    try:
        return _decode_label(payload)
    except msgspec.DecodeError as error:
        raise _newer("label", error) from None


def read_gap(payload: bytes) -> Gap:
    """Read the payload of a record that was found whole."""
    try:
        return _decode_gap(payload)
    except msgspec.DecodeError as error:
        raise _newer("gap", error) from None


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        if not -_LARGE <= number < _LARGE:
            raise Misuse(f"The {name} of a label has at most 63 bits, got {number}.", do="Send it as text.")


def _newer(what: str, error: msgspec.DecodeError) -> Refused:
    return Refused(
        f"A {what} cannot be read: {error}.", do="Read it with the version of Holdtrue that wrote it, or a newer."
    )
