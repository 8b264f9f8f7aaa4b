"""Tensors as the Open Inference Protocol writes them: raw little-endian numbers, texts after their length."""

from collections.abc import Sequence
from struct import error as struct_error
from struct import unpack_from
from typing import Any, final

import numpy as np

from holdtrue.serving.ask import Answer, malformed

TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BFLOAT, BYTES = "BF16", "BYTES"
DATATYPES = (*TYPES, BFLOAT, BYTES)
LONGEST_TEXT = 64 << 10
SMALL = 16  # values; below this a list costs less than an array


def read_raw(raw: memoryview, datatype: str, count: int, name: str) -> "Sequence[Any] | np.ndarray":
    """Read `count` values; raises `Problem` unless the bytes hold just these."""
    if datatype == BYTES:
        return read_texts(raw, count, name)
    size = 2 if datatype == BFLOAT else TYPES[datatype].itemsize
    if len(raw) != count * size:
        raise malformed(f"input {name!r}: {count} values of {datatype} take {count * size} bytes, not {len(raw)}")
    if datatype == BFLOAT:  # the upper half of a float32
        halves = np.frombuffer(raw, "<u2").astype("<u4") << 16
        values = halves.view("<f4")
    else:
        values = np.frombuffer(raw, TYPES[datatype])
        if datatype == "BOOL" and values.view("u1").max() > 1:
            raise malformed(f"input {name!r}: a BOOL is a byte 0 or 1")
    return values.tolist() if count < SMALL or datatype == "BOOL" else values


def read_texts(raw: memoryview, count: int, name: str) -> list[str]:
    """Read texts, each after its length in four bytes."""
    data = bytes(raw)
    quick = _ascii_texts(data, count)
    if quick is not None:
        return quick
    texts: list[str] = []
    at, end = 0, len(data)
    try:
        while at < end:
            start = at + 4
            at = start + unpack_from("<I", data, at)[0]
            if at > end or at - start > LONGEST_TEXT:
                raise malformed(f"input {name!r}: a text says it has {at - start} bytes; {end - start} are left")
            texts.append(str(data[start:at], "utf-8"))
    except UnicodeDecodeError:
        raise malformed(f"input {name!r}: text {len(texts)} is not UTF-8") from None
    except struct_error:
        raise malformed(f"input {name!r}: the length of a text is cut off") from None
    if len(texts) != count:
        raise malformed(f"input {name!r}: {count} texts are announced and {len(texts)} there")
    return texts


def _ascii_texts(data: bytes, count: int) -> list[str] | None:
    """Read short ASCII texts in a few steps over all of them; None when they are not sure to be such.

    The length of a text under 128 bytes is a character and three zeros, so the zeros part a text from the next; when
    every part is as long as the character before it says, this is the only way to read them.
    """
    if not data.isascii():
        return None
    first, *parts = data.decode("ascii").split("\0\0\0")
    if len(parts) != count or len(first) != 1:
        return None
    texts = [part[:-1] for part in parts]
    texts[-1] = parts[-1]
    told = first + "".join([part[-1:] for part in parts[:-1]])
    return texts if list(map(ord, told)) == list(map(len, texts)) else None


def write_raw(values: "np.ndarray") -> bytes:
    """Write an array as raw bytes."""
    if values.dtype.kind not in "OU":
        return values.tobytes()
    return b"".join(_raw_texts(values))


def text_rows(values: "np.ndarray") -> list[bytes]:
    """Write each row of an array of texts (rows, places) as raw bytes."""
    texts, places = _raw_texts(values), values.shape[1]
    return texts if places == 1 else [b"".join(texts[at : at + places]) for at in range(0, len(texts), places)]


def _raw_texts(values: "np.ndarray") -> list[bytes]:
    texts = values.ravel().tolist()
    made = {text: _counted(text.encode()) for text in set(texts)}  # labels are few, rows are many
    return [made[text] for text in texts]


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


@final
class Part:
    """One output of a batch as bytes, cut for each request without copying the whole again."""

    __slots__ = ("raw", "texts", "width")

    def __init__(self, array: "np.ndarray") -> None:
        self.texts = text_rows(array) if array.dtype.kind in "OU" else []
        self.raw = b"" if self.texts else array.tobytes()
        self.width = len(self.raw) // len(array) if len(array) else 0

    def bytes_of(self, start: int, stop: int) -> bytes:
        if self.width:
            return self.raw[start * self.width : stop * self.width]
        return b"".join(self.texts[start:stop])


def raw_of(answer: Answer, name: str) -> bytes:
    """Give one output of an answer as raw bytes, written once for all answers of its batch and their receipts."""
    part = answer.parts.get(name)
    if part is None:
        part = answer.parts[name] = Part(answer.arrays[name])
    return part.bytes_of(answer.start, answer.stop)
