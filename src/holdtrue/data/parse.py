"""Raw columns become typed columns: one set of expressions for training, for a file and for a single row.

Each expression looks at its own row only, so a table gives what its rows give one by one, in any chunks. What is
written in several ways is read step by step on each chunk: one expression for it all would repeat its parts a
hundred times, which the query engine does not notice.
"""

from functools import partial
from typing import TypeVar

import polars as pl

from holdtrue.core.errors import DataFault, nearest
from holdtrue.data.contract import EXACT, Contract, Field
from holdtrue.data.dates import DAY_S, date_of_number, read_dates
from holdtrue.data.numerals import read_numerals

Table = TypeVar("Table", pl.DataFrame, pl.LazyFrame)
UNITS = {"ms": 1e3, "us": 1e6, "ns": 1e9}


def expressions(contract: Contract, schema: pl.Schema) -> list[pl.Expr]:
    """Give one expression for each field, in order; raises `DataFault` with every column that cannot be read.

    `number` and `date` become Float64 (a date is seconds since 1970 UTC), `category` and `text` become String;
    null is missing. A text that cannot be read is null too: check.py tells it from a missing one.
    """
    absent = [
        f"column {name!r} is not there{nearest(name, schema.names())}" for name in contract.names if name not in schema
    ]
    strange = [
        f"column {field.name!r} holds {schema[field.name]}, which is no {field.kind}"
        for field in contract.fields
        if field.name in schema and not _known(field, schema[field.name])
    ]
    if absent or strange:
        raise DataFault(
            "The table does not have the columns of its contract:",
            faults=[*absent, *strange],
            do="Give the columns as the contract names them, or take them out of the contract and train again.",
        )
    return [typed(field, schema[field.name]).alias(field.name) for field in contract.fields]


def parse(contract: Contract, table: Table) -> Table:
    """Give the typed columns of the contract and no others; eager stays eager, lazy stays lazy."""
    return table.select(expressions(contract, table.lazy().collect_schema()))


def typed(field: Field, dtype: pl.DataType) -> pl.Expr:
    """Read one raw column of a known type."""
    if not field.numeric:
        return present(field, dtype)
    if is_text(dtype):
        return present(field, dtype).map_batches(partial(_read, field), return_dtype=pl.Float64, is_elementwise=True)
    raw = pl.col(field.name)
    if dtype == pl.Date:
        value = raw.cast(pl.Int32).cast(pl.Float64) * DAY_S
    elif isinstance(dtype, pl.Datetime | pl.Duration):
        value = raw.cast(pl.Int64).cast(pl.Float64) / UNITS[dtype.time_unit]
    else:
        value = date_of_number(raw, field.formats if field.kind == "date" else ())
    return pl.when(~(value.is_nan() | value.is_in(field.missing_numbers))).then(value)


def unreadable(field: Field, dtype: pl.DataType) -> pl.Expr:
    """Tell where a text stands that should be a number or a date and cannot be read."""
    if not (field.numeric and is_text(dtype)):
        return pl.lit(False)

    def strange(text: pl.Series) -> pl.Series:
        return text.is_not_null() & read_cells(field, text).is_null()

    return present(field, dtype).map_batches(strange, return_dtype=pl.Boolean, is_elementwise=True)


def read_cells(field: Field, text: pl.Series) -> pl.Series:
    """Read texts that are not missing as the numbers or dates they should be."""
    return read_dates(text, field.formats) if field.kind == "date" else read_numerals(text, field.decimal)


def _read(field: Field, text: pl.Series) -> pl.Series:
    value = read_cells(field, text)
    tokens = field.missing_numbers
    return value.set(value.is_in(tokens), None) if tokens else value


def present(field: Field, dtype: pl.DataType) -> pl.Expr:
    """Give a raw column as text without the blanks around it; null where it is missing."""
    raw = pl.col(field.name)
    text = (_spelled(field, raw) if dtype == pl.Boolean else written(raw, dtype)).str.strip_chars()
    return pl.when(~text.is_in(field.missing_texts)).then(text)


def _spelled(field: Field, truth: pl.Expr) -> pl.Expr:
    """Write true and false as the known categories do: a `True` from one source is the `true` of another."""
    known = {category.lower(): category for category in field.categories or ()}
    return (
        pl.when(truth)
        .then(pl.lit(known.get("true", "true")))
        .when(truth.not_())
        .then(pl.lit(known.get("false", "false")))
    )


def written(raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Write a column of any type as text, a whole number without a point: 1.0 from one source is the 1 of another."""
    if dtype.is_float():
        number = raw.fill_nan(None)
        whole = number.is_finite() & (number == number.floor()) & (number.abs() < EXACT)
        return (
            pl.when(whole).then(number.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(number.cast(pl.String))
        )
    return raw.cast(pl.String)


def is_text(dtype: pl.DataType) -> bool:
    """Whether a raw column came as text, whose numbers and dates are still to be read."""
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)


def _known(field: Field, dtype: pl.DataType) -> bool:
    if dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object):
        return False
    if field.numeric:
        return dtype != pl.Time and not (
            field.kind == "date" and (dtype == pl.Boolean or isinstance(dtype, pl.Duration))
        )
    return not isinstance(dtype, pl.Duration)
