"""The Open Inference Protocol, version 2, over gRPC: the same requests as over REST, as messages of protobuf.

Values come typed in the message of their tensor, or raw after all tensors, and answers go out raw. What a request may
say, and what is told of a wrong one, is as in v2.py.
"""

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from struct import error as struct_error
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from holdtrue.serving.ask import About, Answer, Ask, Problem, malformed
from holdtrue.serving.grpc_messages import KINDS, Message
from holdtrue.serving.wire.tensors import BYTES, DATATYPES, LONGEST_TEXT, TYPES, raw_of, read_raw
from holdtrue.serving.wire.v2 import LONGEST_ID, MOST_INPUTS, MOST_PARAMETERS, MOST_VALUES

# Where typed values of a datatype are; half precision has no place there.
PLACES = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
NARROW = frozenset({"INT8", "INT16", "UINT8", "UINT16"})  # they travel in 32 bits
SHARED = "shared_memory_region"
MOST_SEEN = 10_000
LONGEST_SEEN = 256  # bytes

_Request = KINDS["OpenInferRequest"]
_Input = KINDS["InferInputTensor"]
_Output = KINDS["InferRequestedOutputTensor"]
_Response = KINDS["ModelInferResponse"]


class _Tensor(NamedTuple):
    """What is said of one tensor, without its values unless they came typed; `one` reads a single raw value."""

    name: str
    datatype: str
    rows: int
    one: Callable[[bytes], Sequence[Any]]
    message: Message | None = None


# Raw requests of one client differ in their values alone, which are elsewhere: its tensors are read once.
_seen: dict[bytes, _Tensor] = {}


def parsed(body: bytes) -> Message:
    """Read the message of a request; the messages in it are still bytes. Raises `Problem` when it is none."""
    request = _Request()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise malformed("the message is no ModelInferRequest") from None
    return request


def read(body: bytes, about: About) -> Ask:
    """Read a recorded request again."""
    return ask_of(parsed(body), about)


def ask_of(request: Message, about: About) -> Ask:
    """Read a request; raises `Problem` with what is wrong."""
    raw: Sequence[bytes] = request.raw_input_contents
    _check(request)
    columns: dict[str, Any] = {}
    rows = -1
    values = 0
    for place, data in enumerate(request.inputs):
        seen = _seen.get(data) or _seen_first(data, about)
        name, datatype, count, one, message = seen
        column = about.columns.get(name, name)  # one that is not of this model is left alone
        if column in columns:
            raise malformed(f"input {name!r} is there twice")
        values += count
        if rows not in (-1, count) or values > MOST_VALUES:
            raise _uneven(name, count, rows, values)
        rows = count
        if not raw:
            columns[column] = _typed(message or _input(data), name, datatype, count)
        elif message is not None and message.contents.ByteSize():
            raise malformed(f"input {name!r} has contents, and there are raw contents too")
        else:
            try:
                columns[column] = one(raw[place])
            except (struct_error, UnicodeDecodeError):
                columns[column] = read_raw(memoryview(raw[place]), datatype, count, name)
    outputs = _wanted(request.outputs, about) if request.outputs else ()
    return Ask(rows=rows, columns=columns, id=request.id, outputs=outputs)


def _input(data: bytes) -> Message:
    message = _Input()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise malformed("an input is no InferInputTensor") from None
    return message


def _seen_first(data: bytes, about: About) -> _Tensor:
    """Read what is said of one tensor."""
    message = _input(data)
    name, datatype = message.name, message.datatype
    rows = _count(name, message.shape)
    if datatype not in DATATYPES:
        raise malformed(f"input {name!r}: the datatype {datatype[:20]!r} is none of {', '.join(DATATYPES)}")
    one = ONE[datatype] if rows == 1 and datatype in ONE else _many
    if name in about.columns and len(data) <= LONGEST_SEEN and not message.HasField("contents"):
        if len(_seen) >= MOST_SEEN:
            _seen.clear()
        _seen[data] = _Tensor(name, datatype, rows, one)
    return _Tensor(name, datatype, rows, one, message)


def _text(data: bytes) -> Sequence[str]:
    size = len(data) - 4
    if size < 0 or size > LONGEST_TEXT or int.from_bytes(data[:4], "little") != size:
        raise struct_error
    return (str(data[4:], "utf-8"),)


def _many(data: bytes) -> Sequence[Any]:
    raise struct_error  # all but a single value is read by `read_raw`


# How a single raw value is read: an array would take longer to make than to read.
ONE: Mapping[str, Callable[[bytes], Sequence[Any]]] = {
    "BOOL": Struct("?").unpack,
    "INT8": Struct("<b").unpack,
    "INT16": Struct("<h").unpack,
    "INT32": Struct("<i").unpack,
    "INT64": Struct("<q").unpack,
    "UINT8": Struct("<B").unpack,
    "UINT16": Struct("<H").unpack,
    "UINT32": Struct("<I").unpack,
    "UINT64": Struct("<Q").unpack,
    "FP16": Struct("<e").unpack,
    "FP32": Struct("<f").unpack,
    "FP64": Struct("<d").unpack,
    BYTES: _text,
}


def _check(request: Message) -> None:
    inputs, raw = len(request.inputs), len(request.raw_input_contents)
    if not 0 < inputs <= MOST_INPUTS:
        raise malformed(f"there are {inputs} inputs; give between 1 and {MOST_INPUTS:,}")
    if raw and raw != inputs:
        raise malformed(f"there are {inputs} inputs and {raw} raw contents; give one for each input, or none")
    if len(request.id) > LONGEST_ID or not request.id.isprintable():
        raise malformed(f"the id must be at most {LONGEST_ID} printable characters")
    if len(request.parameters) > MOST_PARAMETERS:
        raise malformed(f"there are {len(request.parameters)} parameters; at most {MOST_PARAMETERS} are allowed")


def _count(name: str, shape: Sequence[int]) -> int:
    """Give the number of rows that a shape announces."""
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        if 0 < shape[0] <= MOST_VALUES:
            return shape[0]
        raise malformed(f"input {name!r}: {shape[0]} rows; give between 1 and {MOST_VALUES:,}")
    shown = str(list(shape[:20]))[:60]
    raise malformed(f"input {name!r} is one column: its shape is [rows] or [rows, 1], not {shown}")


def _uneven(name: str, count: int, rows: int, values: int) -> Problem:
    if values > MOST_VALUES:
        return Problem(413, "too large", f"more than {MOST_VALUES:,} values in one request; send fewer rows at once")
    return malformed(f"input {name!r} has {count} rows, the inputs before it {rows}")


def _typed(given: Message, name: str, datatype: str, count: int) -> "Sequence[Any]":
    """Give the values that came typed."""
    place = PLACES.get(datatype)
    values: Sequence[Any] = getattr(given.contents, place) if place else []
    if len(values) != count:
        raise _misplaced(given, name, datatype, count, len(values))
    if datatype == BYTES:
        return _texts(values, name)
    if datatype in NARROW:
        limits = np.iinfo(TYPES[datatype])
        if not (limits.min <= min(values) and max(values) <= limits.max):
            raise malformed(f"input {name!r}: a value does not fit {datatype}")
    return (values[0],) if count == 1 else list(values)


def _misplaced(given: Message, name: str, datatype: str, count: int, there: int) -> Problem:
    """Say why the values that a shape announces are not where they should be."""
    place = PLACES.get(datatype)
    if place is None:
        return malformed(f"input {name!r}: values of {datatype} go into raw_input_contents")
    if SHARED in given.parameters:
        return malformed(f"input {name!r}: shared memory is an extension that this server does not have")
    filled = ", ".join(field.name for field, _ in given.contents.ListFields() if field.name != place)
    if filled and not there:
        return malformed(f"input {name!r}: values of {datatype} go into {place}, not {filled}")
    return malformed(f"input {name!r}: its shape announces {count} values and {there} are there")


def _texts(values: Sequence[bytes], name: str) -> list[str]:
    texts: list[str] = []
    for data in values:
        if len(data) > LONGEST_TEXT:
            raise malformed(f"input {name!r}: a text is longer than {LONGEST_TEXT:,} characters")
        try:
            texts.append(str(data, "utf-8"))
        except UnicodeDecodeError:
            raise malformed(f"input {name!r}: text {len(texts)} is not UTF-8") from None
    return texts


def _wanted(outputs: Sequence[bytes], about: About) -> tuple[str, ...]:
    """Give the outputs asked for."""
    names: list[str] = []
    for data in outputs:
        each = _Output()
        try:
            each.ParseFromString(data)
        except DecodeError:
            raise malformed("an output is no InferRequestedOutputTensor") from None
        name = each.name
        if name not in about.known or name in names:
            why = "is asked for twice" if name in names else f"is none of {', '.join(about.known)}"
            raise malformed(f"output {name[:80]!r} {why}")
        if "classification" in each.parameters:
            raise malformed("classification is an extension that this server does not have; ask for the probabilities")
        if SHARED in each.parameters:
            raise malformed(f"output {name!r}: shared memory is an extension that this server does not have")
        names.append(name)
    return tuple(names)


def write(ask: Ask, answer: Answer) -> Message:
    """Write an answer; all tensors are raw."""
    about = answer.about
    response = _Response(model_name=about.name, model_version=about.version, id=ask.id)
    response.parameters["prediction_id"].string_param = answer.prediction
    response.parameters["release"].string_param = about.digest
    for name in ask.outputs or about.known:
        known = about.known[name]
        response.outputs.add(name=name, datatype=known.datatype, shape=(ask.rows, known.places))
        response.raw_output_contents.append(raw_of(answer, name))
    return response
