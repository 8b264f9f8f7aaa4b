"""When each row happened, from one column or from several: a date, a date and an hour, or year, month, day.

What several columns say together is decided by their order: `[year, month, day, hour, minute]`, each but the first
optional, or `[date, hour, minute]`. A month may be a number or an English name. A day that does not exist (30
February) is missing.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float64

from holdtrue.core.errors import DataFault, Misuse, nearest
from holdtrue.data.dates import DAY_S

NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS = {name: number for number, name in enumerate(NAMES, 1)}
CLOCK_S = (3600.0, 60.0, 1.0)
CLOCK_NAMES = ("hour", "minute", "second")
CLOCK_MOST = (24, 60, 60)


def time_values(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Give seconds since 1970 UTC for each row of a typed frame; null where a part is missing or makes no date.

    A single column is taken as it is: a date, or any number that grows with time.

    >>> frame = pl.DataFrame({"year": [2015.0], "month": ["July"], "day": [1.0]})
    >>> time_values(frame, ["year", "month", "day"]).to_list()
    [1435708800.0]
    """
    absent = [f"{name!r} is not there{nearest(name, frame.columns)}" for name in columns if name not in frame.columns]
    if absent or not columns:
        raise Misuse("The time of a row cannot be found:", faults=absent or ["no column is named"])
    parts = [_numbers(frame.get_column(name)) for name in columns]
    if len(parts) == 1:
        return _series(parts[0])
    if _are_years(parts[0]):
        if len(parts) < 2 or len(parts) > 6:
            raise Misuse("A time is made of year, month, day, hour, minute and second, in this order.")
        start = _first_of_day(parts[0], parts[1], parts[2] if len(parts) > 2 else np.ones(len(parts[0])))
        return _series(start + _clock(parts[3:]))
    if len(parts) > 4:
        raise Misuse("A time that begins with a date goes on with hour, minute and second, in this order.")
    return _series(parts[0] + _clock(parts[1:]))


def _series(values: Float64[np.ndarray, " rows"]) -> pl.Series:
    return pl.Series("time", values).fill_nan(None)


def _numbers(column: pl.Series) -> Float64[np.ndarray, " rows"]:
    if column.dtype != pl.String:
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    lower = column.str.strip_chars().str.to_lowercase()
    known = lower.str.slice(0, 3).replace_strict(MONTHS, default=None, return_dtype=pl.Float64)
    value = known.zip_with(known.is_not_null(), lower.cast(pl.Float64, strict=False))
    strange = column.filter(value.is_null() & column.is_not_null())
    if len(strange):
        raise DataFault(
            f"The column {column.name!r} is part of the time, but {strange[0]!r} is neither a number nor a month.",
            do="Name other columns as `time`, or describe how they are written in the contract.",
        )
    return value.fill_null(float("nan")).to_numpy()


def _are_years(values: Float64[np.ndarray, " rows"]) -> bool:
    known = values[np.isfinite(values)]
    return bool(len(known)) and bool(np.all((known >= 1000) & (known <= 9999) & (known == np.floor(known))))


def _first_of_day(
    year: Float64[np.ndarray, " rows"], month: Float64[np.ndarray, " rows"], day: Float64[np.ndarray, " rows"]
) -> Float64[np.ndarray, " rows"]:
    """The first second of a day; NaN where the calendar has no such day."""
    known = np.isfinite(year) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    years = np.where(known, year, 1970).astype(np.int64).astype("datetime64[Y]")  # counted from 1970
    years = years - np.timedelta64(1970, "Y")
    months = years.astype("datetime64[M]") + np.where(known, month - 1, 0).astype(np.int64)
    days = months.astype("datetime64[D]") + np.where(known, day - 1, 0).astype(np.int64)
    exists = known & (days.astype("datetime64[M]") == months)
    return np.where(exists, days.astype(np.int64) * DAY_S, np.nan)


def _clock(parts: Sequence[Float64[np.ndarray, " rows"]]) -> Float64[np.ndarray, " rows"] | float:
    total: Float64[np.ndarray, " rows"] | float = 0.0
    for part, name, most, seconds in zip(parts, CLOCK_NAMES, CLOCK_MOST, CLOCK_S, strict=False):
        wrong = part[(part < 0) | (part > most)]
        if len(wrong):
            raise DataFault(f"In the time, the {name} {wrong[0]:g} does not lie between 0 and {most}.")
        total = total + part * seconds
    return total
