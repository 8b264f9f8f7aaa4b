"""Rows of traffic spelled as the rows of a source are, so that one contract reads both to what a release saw.

A source that came as text stays text, and traffic is written as such text. A column of another type becomes the widest
that its kind needs: what a client may send (41.5 where a file had whole numbers) must fit in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from holdtrue.core.errors import Misuse
from holdtrue.data.contract import EXACT, Contract, Field
from holdtrue.data.dates import EPOCH, EPOCH_FORMATS, ISO, read_dates
from holdtrue.data.parse import typed
from holdtrue.data.readers.columns import Column

RECEIVED = "holdtrue_received"  # when the row was asked for; empty where it is no row of traffic
HALF_US = 0.5e-6
WIDEST = {"number": "Float64", "date": "Datetime(UTC)", "category": "String", "text": "String"}
POLARS: Mapping[str, pl.DataType] = {
    "Int64": pl.Int64(),
    "Float64": pl.Float64(),
    "String": pl.String(),
    "Boolean": pl.Boolean(),
    "Date": pl.Date(),
    "Datetime": pl.Datetime("us"),
    "Datetime(UTC)": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How rows of a source and rows of traffic look together.

    Attributes:
        columns: those of the source, some of them widened, and `RECEIVED`.
        fields: how the columns that traffic has, or may have, are read.
        absent: the columns that rows of traffic may lack.
    """

    columns: tuple[Column, ...]
    fields: Mapping[str, Field]
    absent: tuple[str, ...]


def form_of(
    columns: Sequence[Column], contract: Contract, given: Sequence[str], *, more: Mapping[str, Field] | None = None
) -> Form:
    """Say how a source and traffic that has the columns `given`, and may have `more`, are put together."""
    if any(column.name == RECEIVED for column in columns):
        raise Misuse(f"The source has a column {RECEIVED!r}, which is ours.", do="Give that column another name.")
    fields = {**(more or {}), **{name: contract.field(name) for name in given}}
    made = [
        Column(name=column.name, type=WIDEST[fields[column.name].kind])
        if column.name in fields and column.type != "String"
        else column
        for column in columns
    ]
    return Form(
        columns=(*made, Column(name=RECEIVED, type="Datetime(UTC)")),
        fields=fields,
        absent=tuple(column.name for column in columns if column.name not in given),
    )


def of_source(form: Form, raw: pl.DataFrame) -> pl.DataFrame:
    """Put raw rows of the source into the form."""
    made: list[pl.Series] = []
    for column in form.columns:
        if column.name == RECEIVED:
            made.append(pl.Series(column.name, [None], dtype=POLARS[column.type]).new_from_index(0, raw.height))
            continue
        series = raw.get_column(column.name)
        field = form.fields.get(column.name)
        if field is not None and series.dtype != pl.String:
            series = raw.select(typed(field, series.dtype).alias(column.name)).to_series()
            series = moments(series) if field.kind == "date" else series
        made.append(series)
    return pl.DataFrame(made)


def of_traffic(form: Form, cells: Mapping[str, pl.Series], rows: int) -> "tuple[pl.DataFrame, np.ndarray]":
    """Put typed columns into the form; says of each row whether all of it reads back to the same values.

    Numbers and dates come as Float64 (a date is seconds since 1970 UTC), others as String; null is missing.
    """
    made: list[pl.Series] = []
    same = np.ones(rows, dtype=bool)
    for column in form.columns:
        field = form.fields.get(column.name)
        if column.name == RECEIVED:
            made.append(moments(cells[RECEIVED]))
        elif field is None:
            made.append(pl.Series(column.name, [None], dtype=POLARS[column.type]).new_from_index(0, rows))
        else:
            written = spelled(field, column.type, cells[column.name]).alias(column.name)
            again = pl.DataFrame([written]).select(typed(field, written.dtype).alias(column.name)).to_series()
            same &= _same(field, again, cells[column.name])
            made.append(written)
    return pl.DataFrame(made), same


def _same(field: Field, one: pl.Series, other: pl.Series) -> "np.ndarray":
    """Compare typed columns bit by bit, and dates by the microsecond, which is all that a column of dates knows."""
    equal = one.eq_missing(other)
    return (
        equal | ((one - other).abs() < HALF_US).fill_null(value=False) if field.kind == "date" else equal
    ).to_numpy()


def spelled(field: Field, to: str, values: pl.Series) -> pl.Series:
    """Write typed values in the type of a column; what cannot be written so is left empty."""
    if to != "String":
        return moments(values) if field.kind == "date" else values.cast(POLARS[to])
    if not field.numeric:
        return values
    known = values.drop_nulls().unique()
    texts = _dates(field, known) if field.kind == "date" else [numeral(each, field.decimal) for each in known]
    return values.replace_strict(known, pl.Series(texts, dtype=pl.String), return_dtype=pl.String, default=None)


def moments(seconds: pl.Series) -> pl.Series:
    """Turn seconds since 1970 UTC into moments; dates are exact to the microsecond."""
    micros = (seconds * 1e6).round().cast(pl.Int64, strict=False)
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def numeral(value: float, decimal: str = ".") -> str:
    """Write a number so that it is read to the same bits, a whole one without a point.

    >>> numeral(41.0), numeral(0.1 + 0.2), numeral(-2.5, ","), numeral(1e300)
    ('41', '0.30000000000000004', '-2,5', '1e+300')
    """
    whole = value.is_integer() and abs(value) < EXACT and not (value == 0 and np.signbit(value))
    return str(int(value)) if whole else repr(value).replace(".", decimal)


def _dates(field: Field, values: pl.Series) -> list[str | None]:
    """Write each date in the first of the ways that gives it back."""
    texts: list[str | None] = [None] * len(values)
    for written in _ways(field, values):
        read = read_dates(pl.Series(written, dtype=pl.String), field.formats)
        for place, (text, was, now) in enumerate(zip(written, values, read, strict=True)):
            if texts[place] is None and now is not None and abs(was - now) < HALF_US:
                texts[place] = text
    return texts


def day_of(field: Field, seconds: pl.Series) -> pl.Series:
    """Take moments to the last one before them that a column can hold: a day, where days are all it knows."""
    best = pl.Series(seconds.name, [None], dtype=pl.Float64).new_from_index(0, len(seconds))
    for written in _ways(field, seconds):
        read = read_dates(pl.Series(written, dtype=pl.String), field.formats)
        better = read.is_not_null() & (read <= seconds) & (best.is_null() | (read > best))
        best = read.zip_with(better, best)
    return best


def _ways(field: Field, values: pl.Series) -> list[list[str | None]]:
    """Write dates in each form that the column is read by."""
    moments_ = [_moment(each) for each in values]
    ways: list[list[str | None]] = []
    for form in field.formats or ISO:
        if form in EPOCH_FORMATS:
            ways.append([None if each is None else numeral(each * EPOCH_FORMATS[form]) for each in values])
        else:
            ways.append([None if each is None else each.strftime(form) for each in moments_])
    return ways


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else EPOCH + timedelta(microseconds=round(seconds * 1e6))
    except OverflowError:  # beyond the year 9999
        return None
