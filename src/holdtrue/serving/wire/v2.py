"""The Open Inference Protocol, version 2, over REST: JSON, raw binary tensors, and both in one request.

Each column of the model is an input of shape [rows] or [rows, 1]. A column of numbers also takes any other number type,
truths, and texts that the contract reads; a column of texts also takes numbers. Specification:
https://github.com/kserve/open-inference-protocol
"""

from array import array
from collections.abc import Sequence
from struct import unpack_from
from typing import Any

import msgspec
import numpy as np

from holdtrue.serving.ask import About, Answer, Ask, Problem, malformed
from holdtrue.serving.wire.tensors import BFLOAT, BYTES, DATATYPES, LONGEST_TEXT, TYPES, raw_of, read_raw
from holdtrue.serving.wire.v2_plain import MOST_VALUES, Parameters, Request

MOST_INPUTS = 10_000
ONE_ROW = [1, 1]
MOST_PARAMETERS = 32
LONGEST_ID = 128
LONGEST_SHOWN = 80
# What goes into float64 as it is: a column needs no other care of these.
EXACT = frozenset({"FP64", "INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32", "INT64", "UINT64"})
TEXT = (str,)
NOTHING: frozenset[str] = frozenset()
SIMPLE = {"FP64": (float, int), BYTES: TEXT}


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: Any = msgspec.UNSET
    parameters: Parameters | None = None


class _Request(Request):
    inputs: list[_Input]


_decode = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes, header: int | None, about: About) -> Ask:
    """Read a request; `header` is how many bytes of the body are JSON when tensors follow it.

    Raises `Problem` with what is wrong.
    """
    found = None if about.plain is None else about.plain.read(body, header)
    if found is None:
        return read_any(body, header, about)
    _check(found.request)
    outputs, binary = _wanted(found.request, about)
    return Ask(
        rows=found.rows,
        columns=found.columns,
        id=found.request.id,
        outputs=outputs,
        binary=binary,
        numbers=found.numbers,
    )


def read_any(body: bytes, header: int | None, about: About) -> Ask:
    """Read a request in whatever form the protocol knows; raises `Problem` with what is wrong."""
    text: bytes | memoryview = body
    at = len(body)  # of the next binary tensor
    if header is not None:
        if not 0 < header <= len(body):
            raise malformed(f"Inference-Header-Content-Length says {header}; the body has {len(body)} bytes")
        text, at = memoryview(body)[:header], header
    try:
        request = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"the request is not what the protocol asks for: {error}") from None
    _check(request)
    columns: dict[str, Any] = {}
    rows = -1
    values = 0
    for given in request.inputs:
        # What is not of this model is left alone, as a further column of a file is.
        name = about.columns.get(given.name, given.name)
        if name in columns:
            raise malformed(f"input {_short(given.name)} is there twice")
        count = 1 if given.shape == ONE_ROW else _count(given)
        values += count
        if (rows not in (-1, count)) or values > MOST_VALUES:
            raise _uneven(given, count, rows, values)
        rows = count
        if given.data is msgspec.UNSET:
            columns[name], at = _take(given, count, body, at)
        else:
            columns[name] = _listed(given, count)
    if at != len(body):
        raise malformed(f"{len(body) - at} bytes follow the last binary tensor")
    outputs, binary = _wanted(request, about)
    return Ask(rows=rows, columns=columns, id=request.id, outputs=outputs, binary=binary)


def _check(request: Request) -> None:
    if not 0 < len(request.inputs) <= MOST_INPUTS:
        raise malformed(f"there are {len(request.inputs)} inputs; give between 1 and {MOST_INPUTS:,}")
    if len(request.id) > LONGEST_ID or not request.id.isprintable():
        raise malformed(f"the id must be at most {LONGEST_ID} printable characters")
    if request.parameters and len(request.parameters) > MOST_PARAMETERS:
        raise malformed(f"there are {len(request.parameters)} parameters; at most {MOST_PARAMETERS} are allowed")


def _count(given: _Input) -> int:
    """Give the number of rows that a shape announces."""
    shape = given.shape
    if (len(shape) == 2 and shape[1] == 1) or len(shape) == 1:
        if 0 < shape[0] <= MOST_VALUES:
            return shape[0]
        rows = str(shape[0]) if abs(shape[0]) < 2**64 else "too many"
        raise malformed(f"input {_short(given.name)}: {rows} rows; give between 1 and {MOST_VALUES:,}")
    name = _short(given.name)
    raise malformed(f"input {name} is one column: its shape is [rows] or [rows, 1], not {str(shape)[:60]}")


def _short(name: str) -> str:
    """Show a name that a client chose; it may be as long as its request."""
    return repr(name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…")


def _uneven(given: _Input, count: int, rows: int, values: int) -> Problem:
    if values > MOST_VALUES:
        return Problem(413, "too large", f"more than {MOST_VALUES:,} values in one request; send fewer rows at once")
    return malformed(f"input {_short(given.name)} has {count} rows, the inputs before it {rows}")


def _take(given: _Input, count: int, body: bytes, at: int) -> "tuple[Sequence[Any] | np.ndarray, int]":
    """Take the next binary tensor; gives where the one after it begins."""
    size = given.parameters["binary_data_size"] if given.parameters and "binary_data_size" in given.parameters else None
    if type(size) is not int or size < 0:
        raise malformed(f"input {_short(given.name)} has neither data nor a binary_data_size")
    if size > len(body) - at:
        raise malformed(f"input {_short(given.name)}: binary_data_size is {size}, and {len(body) - at} bytes are left")
    if given.datatype == "FP64" and size == 8 * count:
        values = unpack_from("<d", body, at) if count == 1 else np.frombuffer(body, "<f8", count, at)
        return values, at + size
    _known(given)
    raw = memoryview(body)[at : at + size]
    return read_raw(raw, given.datatype, count, given.name[:LONGEST_SHOWN]), at + size


def _known(given: _Input) -> None:
    if given.datatype not in DATATYPES:
        known = ", ".join(DATATYPES)
        raise malformed(f"input {_short(given.name)}: the datatype {given.datatype[:20]!r} is none of {known}")


def _listed(given: _Input, count: int) -> "Sequence[Any] | np.ndarray":
    """Give the values of a JSON tensor."""
    data = given.data
    if type(data) is not list:
        raise malformed(f"input {_short(given.name)}: data is a list of values")
    if given.parameters is not None and "binary_data_size" in given.parameters:
        raise malformed(f"input {_short(given.name)} has both data and a binary_data_size")
    if data and type(data[0]) is list:
        data = _flat(given, data)
    if len(data) != count:
        raise malformed(f"input {_short(given.name)}: its shape announces {count} values and {len(data)} are there")
    if given.datatype == "FP64" and count > 1:
        try:
            return np.frombuffer(array("d", data))
        except (TypeError, OverflowError):  # a missing value, or what is no number
            return _of_type(given, data)
    simple = SIMPLE.get(given.datatype)
    if simple and count == 1 and type(data[0]) in simple and (simple is not TEXT or len(data[0]) <= LONGEST_TEXT):
        return data
    return _of_type(given, data)


def _flat(given: _Input, data: list[Any]) -> list[Any]:
    if not all(type(each) is list and len(each) == 1 for each in data):
        raise malformed(f"input {_short(given.name)}: nested data has one value in each row")
    return [each[0] for each in data]


def _of_type(given: _Input, data: list[Any]) -> "Sequence[Any] | np.ndarray":
    """Hold values against their datatype. A null is a missing value, which the protocol has no word for."""
    _known(given)
    kinds = set(map(type, data))
    datatype = given.datatype
    if datatype == BYTES:
        if not kinds <= {str, type(None)}:
            raise malformed(f"input {_short(given.name)}: BYTES are texts")
        if any(len(text) > LONGEST_TEXT for text in data if text):
            raise malformed(f"input {_short(given.name)}: a text is longer than {LONGEST_TEXT:,} characters")
        return data
    if datatype == "BOOL":
        if not all(value is None or value is True or value is False or value in (0, 1) for value in data):
            raise malformed(f"input {_short(given.name)}: BOOL is true or false")
        return [None if value is None else bool(value) for value in data]
    whole = datatype not in ("FP16", "FP32", "FP64", BFLOAT)
    if not kinds <= ({int, type(None)} if whole else {int, float, type(None)}):
        raise malformed(f"input {_short(given.name)}: {datatype} are {'whole numbers' if whole else 'numbers'}")
    if whole:
        limits = np.iinfo(TYPES[datatype])
        if any(value is not None and not limits.min <= value <= limits.max for value in data):
            raise malformed(f"input {_short(given.name)}: a value does not fit {datatype}")
    if datatype in EXACT:
        return data
    return _narrow(given, data)


def _narrow(given: _Input, data: list[Any]) -> "np.ndarray":
    """Round numbers to a narrower type, as the binary form of the same request does."""
    try:
        values = np.array(data, dtype=np.float64)
    except OverflowError:
        raise malformed(f"input {_short(given.name)}: a value does not fit {given.datatype}") from None
    with np.errstate(over="ignore"):
        if given.datatype == BFLOAT:
            return (values.astype("<f4").view("<u4") & 0xFFFF0000).view("<f4")
        return values.astype(TYPES[given.datatype])


def _wanted(request: Request, about: About) -> tuple[tuple[str, ...], frozenset[str]]:
    """Give the outputs asked for, and those of them that go out as bytes."""
    if not request.outputs and not request.parameters:
        return (), NOTHING
    everything = (request.parameters or {}).get("binary_data_output", False)
    if type(everything) is not bool:
        raise malformed("binary_data_output is true or false")
    if not request.outputs:
        return (), frozenset(about.known) if everything else frozenset()
    names: list[str] = []
    binary: set[str] = set()
    for each in request.outputs:
        if each.name not in about.known or each.name in names:
            why = "is asked for twice" if each.name in names else f"is none of {', '.join(about.known)}"
            raise malformed(f"output {each.name[:80]!r} {why}")
        names.append(each.name)
        parameters = each.parameters or {}
        if parameters.get("classification"):
            raise malformed("classification is an extension that this server does not have; ask for the probabilities")
        chosen = parameters.get("binary_data", everything)
        if type(chosen) is not bool:
            raise malformed("binary_data is true or false")
        if chosen:
            binary.add(each.name)
    return tuple(names), frozenset(binary)


def write(ask: Ask, answer: Answer) -> tuple[bytes, int | None]:
    """Write an answer; the second value is the length of its JSON when raw tensors follow it."""
    about = answer.about
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name in ask.outputs or about.known:
        known = about.known[name]
        made: dict[str, Any] = {"name": name, "datatype": known.datatype, "shape": [ask.rows, known.places]}
        if name in ask.binary:
            raw = raw_of(answer, name)
            made["parameters"] = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            values = answer.arrays[name]
            alone = answer.stop - answer.start == 1
            made["data"] = answer.listed(name)[0] if alone else values[answer.start : answer.stop].ravel().tolist()
        outputs.append(made)
    head = _encode(
        {
            "model_name": about.name,
            "model_version": about.version,
            **({"id": ask.id} if ask.id else {}),
            "parameters": {"prediction_id": answer.prediction, "release": about.digest},
            "outputs": outputs,
        }
    )
    return (b"".join([head, *tail]), len(head)) if tail else (head, None)
