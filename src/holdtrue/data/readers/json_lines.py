"""JSON lines: one object a line; the file is read twice, first for the type of each key, then for the rows."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import cast

import pyarrow as pa

from holdtrue.core.errors import DataFault
from holdtrue.data.readers.columns import TYPES, Column, Note, Table, name_faults
from holdtrue.data.readers.encoding import Encoding, find_encoding, utf8
from holdtrue.data.readers.faults import Faults, crop

BATCH_ROWS = 16_384

UNFIT = {"nested": "a list or an object", "unwritable": "half a character or a NUL"}

Value = str | float | bool | None
Record = dict[str, Value]


def read(path: Path, encoding: str | None, *, where: str, note: Note) -> Table:
    """Find the keys and their types, then give the rows; raises `DataFault` with every line that is no flat object.

    A key that some lines lack is missing there. A key with numbers and text, or with integers beyond 64 bits, is text.
    """
    found = find_encoding(path, encoding, where=where)
    if found.note:
        note(found.note)
    columns = survey(path, found, where)
    return Table(columns=columns, batches=rows(path, found, columns, where))


def lines(path: Path, encoding: Encoding, where: str) -> Iterator[tuple[int, bytes]]:
    """Give the lines that are not blank, with their numbers."""
    number = 0
    rest = b""
    for piece in utf8(path, encoding, where=where):
        *whole, rest = (rest + piece).split(b"\n")
        for number, line in enumerate(whole, number + 1):  # noqa: B020 (the count goes on from the last piece)
            if line.strip():
                yield number, line
    if rest.strip():
        yield number + 1, rest


def survey(path: Path, encoding: Encoding, where: str) -> tuple[Column, ...]:
    kinds: dict[str, set[str]] = {}
    faults = Faults(where=where)
    for number, line in lines(path, encoding, where):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == 1 and line.lstrip().startswith(b"["):
                raise one_document(where) from error
            faults.add(f"line {number:,}: {error}: {crop(line.decode())}")
            continue
        if not isinstance(record, dict):
            faults.add(f"line {number:,} is not an object: {crop(line.decode())}")
            continue
        for key, value in cast("Record", record).items():
            kind = kind_of(value)
            if kind in UNFIT:
                faults.add(f"line {number:,}: {key!r} holds {UNFIT[kind]}: {crop(json.dumps(value))}")
            kinds.setdefault(key, set()).add(kind)
    for text in name_faults(list(kinds)):
        faults.add(text)
    faults.check(do='Write one flat object a line, such as {"age": 31, "city": "Oslo"}; flatten or drop nested keys.')
    if not kinds:
        raise DataFault(f"{where} is empty: it holds no object with a key.", do="Export it again.")
    return tuple(Column(name=key, type=type_of(found)) for key, found in kinds.items())


def one_document(where: str) -> DataFault:
    return DataFault(
        f"{where} is one JSON array over several lines; one object a line is expected.",
        do="Convert it: jq -c '.[]' old.json > new.jsonl",
    )


def kind_of(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "large"
    if isinstance(value, float):
        return "number"
    if not isinstance(value, str):
        return "nested"
    return "text" if is_plain(value) else "unwritable"


def is_plain(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def type_of(kinds: set[str]) -> str:
    """Choose the type that holds all that was found.

    >>> type_of({"integer", "number", "missing"}), type_of({"integer", "text"})
    ('Float64', 'String')
    """
    found = kinds - {"missing"}
    if found == {"integer"}:
        return "Int64"
    if found == {"boolean"}:
        return "Boolean"
    return "Float64" if found in ({"number"}, {"integer", "number"}) else "String"


def rows(path: Path, encoding: Encoding, columns: Sequence[Column], where: str) -> Iterator[pa.RecordBatch]:
    schema = pa.schema([(column.name, TYPES[column.type]) for column in columns])
    source = lines(path, encoding, where)
    while chunk := list(islice(source, BATCH_ROWS)):
        records = [json.loads(line) for _, line in chunk]
        arrays = [
            pa.array([fitted(record.get(column.name), column.type) for record in records], TYPES[column.type])
            for column in columns
        ]
        yield pa.record_batch(arrays, schema=schema)


def fitted(value: Value, to: str) -> Value:
    """Turn a value of a mixed key into what its column holds."""
    if value is None:
        return None
    if to == "Float64":
        return float(value)
    return value if to != "String" or isinstance(value, str) else json.dumps(value)
