"""Requests of the Open Inference Protocol as most clients write them, read by decoders made for one model.

All columns once and in the model's order, numbers as FP64 and texts as BYTES, in JSON or as binary tensors, and nothing
missing. The decoders check this in C. What is a little different is left to v2.py, which knows every form and says what
is wrong; both read a request alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from struct import Struct
from typing import Any, Literal, Union, final

import msgspec
import numpy as np

from holdtrue.serving.ask import Problem
from holdtrue.serving.wire.tensors import BYTES, LONGEST_TEXT, read_raw

MOST_COLUMNS = 512  # a type for each; very wide tables are read as ever
MOST_VALUES = 1_000_000  # of one request, over all inputs
EXACT = 2.0**53  # beyond it a whole number may not be the float it was read as; of several rows all become floats
TRIES = 32  # a client that writes otherwise is not tried for ever, but again now and then

Parameters = dict[str, Any]


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: Parameters | None = None


class Request(msgspec.Struct):
    """What every request says; the types of its inputs are for those who read it."""

    inputs: list[Any]
    id: str = ""
    parameters: Parameters | None = None
    outputs: list[Wanted] | None = None


class _Size(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    binary_data_size: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a plain request says.

    Attributes:
        columns: each of `rows` values.
        numbers: the columns of numbers together (columns, rows), where they came so; None for a single row.
        request: its `id`, `parameters` and `outputs`, not looked at yet.
    """

    rows: int
    columns: Mapping[str, Any]
    numbers: "np.ndarray | None"
    request: Request


@final
class Plain:
    """Reads such requests to one model."""

    def __init__(self, order: Sequence[str], textual: frozenset[str]) -> None:
        """Take the columns in the order of the model's metadata."""
        self._names = tuple(order)
        self._numbers = [place for place, name in enumerate(order) if name not in textual]
        self._texts = [place for place, name in enumerate(order) if name in textual]
        named = [(place, name, name in textual) for place, name in enumerate(order)]
        self._single = [_single(*each) for each in named]
        self._listed = [_listed(*each) for each in named]
        self._sized = [_sized(*each) for each in named]
        self._decode_row = _decoder(self._single)
        self._decode_rows = _decoder(self._listed)
        self._decode_head = _decoder(self._sized)
        self._tries = TRIES

    def read(self, body: bytes, header: int | None) -> Found | None:
        """Read a request; None when it is not of this form, and so perhaps wrong."""
        if not self._tries and len(body) % TRIES:
            return None
        if header is not None:
            found = self._binary(body, header)
        else:
            # Most requests have one row, and any other ends the first decoder at its first input.
            found = self._row(body) if len(body) <= LONGEST_TEXT else None
            found = found or self._rows(body)
        self._tries = max(0, self._tries - 1) if found is None else TRIES
        return found

    def _row(self, body: bytes) -> Found | None:
        request = _decoded(self._decode_row, body)
        if request is None or list(map(type, request.inputs)) != self._single:
            return None
        data = [each.data for each in request.inputs]
        numbers = [data[place][0] for place in self._numbers]
        if numbers and (min(numbers) <= -EXACT or max(numbers) >= EXACT):
            return None
        return Found(1, dict(zip(self._names, data, strict=True)), None, request)

    def _rows(self, body: bytes) -> Found | None:
        request = _decoded(self._decode_rows, body)
        if request is None or list(map(type, request.inputs)) != self._listed:
            return None
        inputs = request.inputs
        rows = inputs[0].shape[0]
        data = [each.data for each in inputs]
        if not 1 < rows <= MOST_VALUES // len(data) or {rows} != {*map(len, data), *[each.shape[0] for each in inputs]}:
            return None
        texts = [data[place] for place in self._texts]
        if len(body) > LONGEST_TEXT and any(len(text) > LONGEST_TEXT for column in texts for text in column):
            return None
        # Packing is three times as fast as turning lists into arrays.
        column = Struct(f"{rows}d").pack
        together = b"".join([column(*data[place]) for place in self._numbers])
        numbers = np.frombuffer(together).reshape(len(self._numbers), rows)
        columns: dict[str, Any] = dict(zip(self._names, data, strict=True))
        columns.update({self._names[place]: values for place, values in zip(self._numbers, numbers, strict=True)})
        return Found(rows, columns, numbers, request)

    def _binary(self, body: bytes, header: int) -> Found | None:
        request = _decoded(self._decode_head, memoryview(body)[:header])
        if request is None or list(map(type, request.inputs)) != self._sized:
            return None
        inputs = request.inputs
        shape = inputs[0].shape
        rows, width = shape[0], 8 * shape[0]
        if not 0 < rows <= MOST_VALUES // len(inputs) or [each.shape for each in inputs].count(shape) != len(inputs):
            return None
        sizes = [each.parameters.binary_data_size for each in inputs]
        places = list(accumulate(sizes, initial=header))
        if min(sizes) < 0 or places[-1] != len(body) or {sizes[place] for place in self._numbers} - {width}:
            return None
        together = b"".join([body[places[place] : places[place] + width] for place in self._numbers])
        numbers = np.frombuffer(together, "<f8").reshape(len(self._numbers), rows)
        columns: dict[str, Any] = dict.fromkeys(self._names)  # in their order
        for place, column in zip(self._numbers, numbers.tolist() if rows == 1 else numbers, strict=True):
            columns[self._names[place]] = column
        try:
            for place in self._texts:
                raw = memoryview(body)[places[place] : places[place + 1]]
                columns[self._names[place]] = read_raw(raw, BYTES, rows, self._names[place])
        except Problem:
            return None
        return Found(rows, columns, None if rows == 1 else numbers, request)


def _decoder(types: Sequence[type[msgspec.Struct]]) -> Any:
    inputs = list[Union[tuple(types)]]  # type: ignore[misc] # noqa: UP007 - made when the program runs
    return msgspec.json.Decoder(msgspec.defstruct("PlainRequest", [("inputs", inputs)], bases=(Request,))).decode


def _decoded(decode: Any, text: bytes | memoryview) -> Any:
    """Read a request; None when it is of another form."""
    try:
        return decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _single(place: int, name: str, is_text: bool) -> type[msgspec.Struct]:
    """Make the type of an input in JSON, of one value; its name is the tag by which the decoder knows it."""
    one = tuple[Literal[1], Literal[1]]
    return _input(place, name, one, ("data", tuple[str] if is_text else tuple[float]), is_text=is_text)


def _listed(place: int, name: str, is_text: bool) -> type[msgspec.Struct]:
    """Make the type of an input in JSON, of any number of values."""
    shape = tuple[int, Literal[1]]
    return _input(place, name, shape, ("data", list[str] if is_text else list[float]), is_text=is_text)


def _sized(place: int, name: str, is_text: bool) -> type[msgspec.Struct]:
    """Make the type of an input whose values follow as bytes."""
    return _input(place, name, tuple[int, Literal[1]], ("parameters", _Size), is_text=is_text)


def _input(place: int, name: str, shape: Any, values: tuple[str, Any], *, is_text: bool) -> type[msgspec.Struct]:
    fields = [("shape", shape), ("datatype", Literal["BYTES"] if is_text else Literal["FP64"]), values]
    return msgspec.defstruct(f"Input{place}", fields, tag=name, tag_field="name", forbid_unknown_fields=True, gc=False)


def plain_of(order: Sequence[str], textual: frozenset[str]) -> Plain | None:
    """Make a reader for a model, unless it has more columns than are worth a type each."""
    return Plain(order, textual) if 0 < len(order) <= MOST_COLUMNS else None
