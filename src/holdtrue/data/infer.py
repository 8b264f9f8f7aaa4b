"""A first contract from the rows themselves, with the reason for each guess: what a person then corrects.

Every guess looks at all rows: each column is read once, as its different values with their counts.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from holdtrue.core.errors import DataFault, Misuse, nearest
from holdtrue.data.contract import Contract, Field
from holdtrue.data.dates import FIRST_S, iso_of_seconds
from holdtrue.data.kinds import Reading, reading_of
from holdtrue.data.personal import personal_sign
from holdtrue.data.values import Values, values_of

MOST_CATEGORIES, SEEN_OFTEN = 50, 5
# From few rows the true range is much wider than what was seen.
ENOUGH_ROWS, ROOM, MORE_ROOM = 1000, 1.0, 3.0
LARGEST = 1e300  # beyond, the room itself would be infinite
YEAR_S = 365.25 * 86_400
FEWEST_FOR_UNIQUE = 50
DENSE = 20  # ids are given out one after the other; a measure that never repeats is spread much wider
NAMED_ID = re.compile(
    r"(?:^|[\W_])(?:id|uid|uuid|guid|key|number|no|nr)(?:$|[\W_])|(?-i:[a-z](?:Id|ID)$)", re.IGNORECASE
)
CODE = r"^\S*\d\S*$"


def infer(
    table: pl.DataFrame | pl.LazyFrame,
    *,
    target: str | None,
    time: Sequence[str] = (),
    key: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> tuple[Contract, dict[str, str]]:
    """Guess the contract of raw rows; gives it with a note on each column.

    Columns in `drop` are left out. The target, the time and the key may not be missing, whatever the rows say.
    """
    columns = describe(table, target=target, time=time, key=key, drop=drop)
    contract = Contract(fields=tuple(column.field for column in columns), key=tuple(key))
    return contract, {column.field.name: _note(column) for column in columns}


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column: what stands in it, how it is read, and what is asked of it."""

    values: Values
    reading: Reading
    field: Field


def describe(
    table: pl.DataFrame | pl.LazyFrame,
    *,
    target: str | None,
    time: Sequence[str] = (),
    key: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> list[Column]:
    """Read each column once, all rows of it, and describe it."""
    schema = table.lazy().collect_schema()
    _refuse_strangers(schema, [*([target] if target else []), *time, *key, *drop])
    _refuse_nested(schema, drop)
    columns: list[Column] = []
    for name in schema.names():
        if name in drop:
            continue
        values = values_of(table, name)
        reading = reading_of(values, is_target=name == target)
        field = _field(
            values,
            reading,
            required=name in (target, *time, *key),
            is_target=name == target,
            unique=(name,) == tuple(key) or (name != target and _names_rows(reading)),
        )
        columns.append(Column(values=values, reading=reading, field=field))
    return columns


def _refuse_strangers(schema: pl.Schema, named: Sequence[str]) -> None:
    absent = [name for name in dict.fromkeys(named) if name not in schema]
    if absent:
        faults = [f"there is no column {name!r}{nearest(name, schema.names())}" for name in absent]
        raise Misuse("The table does not have the columns that are named:", faults=faults)


def _refuse_nested(schema: pl.Schema, drop: Sequence[str]) -> None:
    nested = {
        name: dtype
        for name, dtype in schema.items()
        if name not in drop and (dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object))
    }
    if nested:
        raise DataFault(
            "The table has columns that are neither numbers, dates nor text:",
            faults=[f"column {name!r} holds {dtype}" for name, dtype in nested.items()],
            do="Give their parts as columns of their own, or name them in `drop`.",
        )


def _field(values: Values, reading: Reading, *, required: bool, is_target: bool, unique: bool) -> Field:
    present = reading.present
    missing = present.present < values.rows
    closed = _closed(reading, is_target=is_target)
    low, high = (None, None) if unique else _range(reading)
    return Field(
        name=values.name,
        kind=reading.kind,
        integer=_whole(reading),
        nullable=missing and not required,
        missing=reading.missing,
        low=low,
        high=high,
        categories=closed,
        unseen="refuse" if closed and is_target else "allow",
        unique=unique,
        formats=reading.formats,
        decimal=reading.decimal,
        unreadable="missing" if reading.strange else "refuse",
        personal=bool(_personal(reading)),
    )


def _whole(reading: Reading) -> bool:
    finite = reading.typed.filter(reading.typed.is_finite()) if reading.kind == "number" else reading.typed
    if reading.kind != "number" or not len(finite):
        return False
    sure = reading.present.values.dtype.is_integer() or reading.present.present >= FEWEST_FOR_UNIQUE
    return sure and bool((finite == finite.floor()).all())


def _names_rows(reading: Reading) -> bool:
    """Whether the column looks like the name of a row: whole numbers or codes, each of them once."""
    values = reading.present
    if values.present < FEWEST_FOR_UNIQUE or values.present < values.rows or (values.counts > 1).any():
        return False
    if reading.kind == "number":
        if not _whole(reading):
            return False
        span = float(reading.typed.max()) - float(reading.typed.min())  # pyright: ignore[reportArgumentType]
        return span < DENSE * values.present or bool(NAMED_ID.search(values.name))
    return reading.kind == "category" and bool(reading.typed.str.contains(CODE).all())


def _closed(reading: Reading, *, is_target: bool) -> tuple[str, ...] | None:
    if reading.kind != "category" or not 0 < len(reading.typed) <= MOST_CATEGORIES:
        return None
    if not is_target and reading.present.counts.min() < SEEN_OFTEN:
        return None
    return tuple(reading.typed.to_list())


def _range(reading: Reading) -> tuple[float | None, float | None]:
    """Widen what was seen by a span on each side (three from few rows), but not past zero, in round numbers.

    Whole numbers with two values are a yes and a no, and stay so. A date has no end: time goes on.
    """
    if reading.kind not in ("number", "date"):
        return None, None
    finite = reading.typed.filter(reading.typed.is_finite())
    if not len(finite):
        return None, None
    least, most = float(finite.min()), float(finite.max())  # pyright: ignore[reportArgumentType]
    room = ROOM if reading.present.present >= ENOUGH_ROWS else MORE_ROOM
    if reading.kind == "date":
        earliest = np.floor((least - room * max(most - least, YEAR_S)) / 86_400) * 86_400
        return max(float(earliest), FIRST_S), None
    if len(finite) == 2 and _whole(reading):
        return least, most
    slack = room * max(most - least, 0.1 * max(abs(least), abs(most)))
    if slack == 0 or max(abs(least), abs(most), slack) > LARGEST:
        return None, None
    low = max(_rounded(least - slack, np.floor), 0.0 if least >= 0 else -np.inf)
    high = min(_rounded(most + slack, np.ceil), 0.0 if most <= 0 else np.inf)
    return low, high


def _rounded(value: float, towards: Callable[[float], float]) -> float:
    """Round to two digits, downwards or upwards.

    >>> _rounded(1474.0, np.ceil), _rounded(-0.0123, np.floor)
    (1500.0, -0.013)
    """
    if abs(value) < 1 / LARGEST:
        return value
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 1)
    return float(f"{towards(value / step) * step:.6g}")


def _personal(reading: Reading) -> str:
    different = len(reading.typed) >= 0.5 * max(reading.present.present, 1) and len(reading.typed) >= 10
    return personal_sign(reading.present.name, reading.typed, mostly_different=different)


def _note(column: Column) -> str:
    values, reading, field = column.values, column.reading, column.field
    present = reading.present
    if not present.present:
        return "Every value is missing; the column says nothing and is best dropped."
    described = {"number": _number_note, "date": _date_note, "category": _category_note, "text": _text_note}
    parts = [described[field.kind](reading, field), reading.note]
    strange = reading.strange.present if reading.strange else 0
    gaps = values.rows - present.present - strange
    if gaps:
        written = f", written {', '.join(map(repr, field.missing))}" if field.missing else ""
        parts.append(f"{gaps:,} of {values.rows:,} values {'is' if gaps == 1 else 'are'} missing{written}")
    if reading.strange:
        often = reading.strange.values[int(np.argmax(reading.strange.counts))]
        example = "" if field.personal else f" such as {often!r}"
        parts.append(f"{strange:,} texts{example} are no {field.kind} and become missing (unreadable: missing)")
    if field.unique:
        parts.append("no value stands there twice")
    if field.personal:
        parts.append(f"personal, since {_personal(reading)}")
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."


def _number_note(reading: Reading, field: Field) -> str:
    finite = reading.typed.filter(reading.typed.is_finite())
    if not len(finite):
        return "every number is infinite"
    noun = "whole numbers" if field.integer else "numbers"
    note = f"{len(finite):,} different {noun} from {_shown(finite.min())} to {_shown(finite.max())}"
    if len(finite) < len(reading.typed):
        note += "; some are infinite, which breaks any contract"
    if field.low is not None and field.high is not None and len(finite) > 2:
        note += f"; the range leaves room for [{_shown(field.low)}, {_shown(field.high)}]"
    return note


def _shown(number: object) -> str:
    """Write a number for people.

    >>> _shown(5951990.0), _shown(0.00125), _shown(-6.38)
    ('5,951,990', '0.00125', '-6.38')
    """
    value = float(number)  # pyright: ignore[reportArgumentType]
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.6g}"


def _date_note(reading: Reading, field: Field) -> str:
    first, last = float(reading.typed.min()), float(reading.typed.max())  # pyright: ignore[reportArgumentType]
    written = f", written {' or '.join(field.formats)}" if field.formats else ""
    return f"dates from {iso_of_seconds(first)} to {iso_of_seconds(last)}{written}"


def _category_note(reading: Reading, field: Field) -> str:
    counts, present = reading.present.counts, reading.present.present
    note = f"{len(counts):,} categories" if len(counts) != 1 else "one category"
    if not field.personal and counts.max() > 1:
        note += f", most often {reading.typed[int(np.argmax(counts))]!r} ({counts.max() / present:.0%})"
    if field.categories is None:
        why = f"there are more than {MOST_CATEGORIES}" if len(counts) > MOST_CATEGORIES else "some are rare"
        return f"{note}; the set stays open because {why}"
    return note


def _text_note(reading: Reading, field: Field) -> str:
    return f"free text of {float(reading.typed.str.len_chars().mean() or 0):.0f} characters on average"  # pyright: ignore
