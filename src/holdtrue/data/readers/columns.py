"""The few types a snapshot knows, and how Arrow columns become them."""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from holdtrue.core.errors import DataFault
from holdtrue.data.readers.faults import Faults

TYPES: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "Int64": pa.int64(),
        "Float64": pa.float64(),
        "String": pa.large_string(),
        "Boolean": pa.bool_(),
        "Date": pa.date32(),
        "Datetime": pa.timestamp("us"),
        "Datetime(UTC)": pa.timestamp("us", tz="UTC"),
    }
)

# A decimal of 15 digits survives the way to float64 and back; one of 16 may not (IEEE 754, DBL_DIG).
FLOAT_DIGITS = 15

Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column's name and its type, one of `TYPES`."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What a reader gives: its columns, and their rows in order."""

    columns: tuple[Column, ...]
    batches: Iterator[pa.RecordBatch]


CHECKS: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_integer, "Int64"),
    (pa.types.is_floating, "Float64"),
    (pa.types.is_boolean, "Boolean"),
    (pa.types.is_date, "Date"),
    (pa.types.is_duration, "Float64"),
    (pa.types.is_string, "String"),
    (pa.types.is_large_string, "String"),
    (pa.types.is_string_view, "String"),
    (pa.types.is_time, "String"),
    (pa.types.is_null, "String"),
)


def type_of(kind: pa.DataType) -> str | None:
    """Name the type an Arrow type becomes, or None when it cannot become one.

    Decimals of more than 15 digits become text, which keeps them; times of day become text; durations become seconds.

    >>> type_of(pa.uint8()), type_of(pa.decimal128(38, 2)), type_of(pa.list_(pa.int64()))
    ('Int64', 'String', None)
    """
    if isinstance(kind, pa.BaseExtensionType):
        plain = {"arrow.uuid": "String", "arrow.bool8": "Boolean"}
        return plain.get(kind.extension_name) or type_of(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return type_of(kind.value_type)
    if pa.types.is_timestamp(kind):
        return "Datetime(UTC)" if kind.tz else "Datetime"
    if pa.types.is_decimal(kind):
        return "Float64" if kind.precision <= FLOAT_DIGITS else "String"
    return next((name for check, name in CHECKS if check(kind)), None)


def name_faults(names: Sequence[str]) -> list[str]:
    """Say which names are blank and which are used twice.

    >>> name_faults(["a", "", "a"])
    ['column 2 has no name', "the name 'a' is used by columns 1, 3"]
    """
    blank = [f"column {place} has no name" for place, name in enumerate(names, 1) if not name.strip()]
    twice = [
        f"the name {name!r} is used by columns {', '.join(str(p) for p, other in enumerate(names, 1) if other == name)}"
        for name, count in Counter(names).items()
        if count > 1 and name.strip()
    ]
    return [*blank, *twice]


def columns_of(schema: pa.Schema, *, where: str) -> tuple[Column, ...]:
    """Type the columns of an Arrow schema; raises `DataFault` with every name and type that cannot be used."""
    faults = Faults(where=where)
    for text in name_faults(schema.names):
        faults.add(text)
    types = [type_of(kind) for kind in schema.types]
    for name, kind, found in zip(schema.names, schema.types, types, strict=True):
        if found is None:
            faults.add(f"column {name!r} holds {kind}, which is not one value a row")
    faults.check(do="Give every column one name, and flatten or drop nested and binary columns.")
    return tuple(Column(name=name, type=found or "") for name, found in zip(schema.names, types, strict=True))


def conform(batches: Iterator[pa.RecordBatch], columns: Sequence[Column], *, where: str) -> Iterator[pa.RecordBatch]:
    """Cast every batch to the columns' types; raises `DataFault` with the row of a value that does not fit."""
    schema = pa.schema([(column.name, TYPES[column.type]) for column in columns])
    first_row = 1
    for batch in batches:
        faults = Faults(where=where)
        arrays: list[pa.Array] = []
        for array, column in zip(batch.columns, columns, strict=True):
            try:
                arrays.append(cast(array, column.type))
            except pa.ArrowInvalid as error:
                row = first_row + misfit(array, column.type)
                faults.add(f"column {column.name!r}, data row {row:,}: the value does not fit {column.type} ({error})")
        faults.check(do="Store such values as text, or repair them.")
        yield pa.record_batch(arrays, schema=schema)
        first_row += batch.num_rows


def cast(array: pa.Array, to: str) -> pa.Array:
    """Turn an Arrow array into the named type, losing nothing but fractions of a microsecond."""
    kind = array.type
    target = TYPES[to]
    if kind.equals(target):
        return array
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.array([None if value is None else str(value) for value in array.to_pylist()], target)
        return cast(array.storage, to)
    if pa.types.is_dictionary(kind):
        return cast(array.dictionary_decode(), to)
    if pa.types.is_run_end_encoded(kind):
        return cast(pc.call_function("run_end_decode", [array]), to)
    if pa.types.is_decimal(kind):
        # Arrow multiplies by a power of ten, which rounds twice: 1.15 becomes 1.1500000000000001. Its parser is exact.
        return array.cast(pa.string()).cast(target)
    if pa.types.is_duration(kind):
        microseconds = array.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.float64())
        return pc.call_function("divide", [microseconds, pa.scalar(1e6)])
    finer = pa.types.is_timestamp(kind) and kind.unit == "ns"
    return array.cast(target, safe=not finer)


def misfit(array: pa.Array, to: str) -> int:
    """Find the first value that cannot be cast, by halving."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            cast(array.slice(low, middle - low), to)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def same_columns(found: Sequence[Column], expected: Sequence[Column], *, where: str, first: str) -> None:
    """Raise `DataFault` unless two parts have columns of the same names and types, in any order."""
    have = {column.name: column.type for column in found}
    want = {column.name: column.type for column in expected}
    if have == want:
        return
    missing = [f"column {name!r} is missing" for name in want if name not in have]
    extra = [f"column {name!r} is not in {first}" for name in have if name not in want]
    other = [
        f"column {name!r} is {have[name]}, but {want[name]} in {first}"
        for name in want
        if name in have and have[name] != want[name]
    ]
    raise DataFault(
        f"{where} does not have the columns of {first}:",
        faults=[*missing, *extra, *other],
        do="Write all parts with the same columns and types.",
    )
