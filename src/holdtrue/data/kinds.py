"""What kind of column this is: a number, a date, a category or free text, told by its values, never by its place."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from holdtrue.data.contract import EXACT
from holdtrue.data.date_formats import DateReading, date_reading
from holdtrue.data.dates import read_dates
from holdtrue.data.numerals import read_numerals
from holdtrue.data.parse import is_text
from holdtrue.data.rules import Kind
from holdtrue.data.values import Values

# In a column of numbers or dates each of these means missing; in a column of words only those that are never a word.
TOKENS = frozenset({"na", "n/a", "#n/a", "null", "(null)", "nan", "?", "missing", "unknown", "not available"})
NUMBER_TOKENS = TOKENS | {"none", "nil", "-", "--", ".", "#value!", "#div/0!", "#null!", "not applicable", "tbd"}
TARGET_TOKENS = frozenset({"na", "n/a", "null", "(null)", "nan", "?"})  # "unknown" may well be a class
COUNTRY = r"^[A-Z]{2}$"
MOSTLY = 0.5
CODES = 0.01  # a share of whole numbers with a leading zero that is no slip of the pen
EPOCH_NAMED = re.compile(r"time|date|epoch|(?:^|[\W_])(?:ts|at)(?:$|[\W_])", re.IGNORECASE)
EPOCH_S = (1e9, 2.2e9)  # 2001 to 2039
PREFIXED = r"^[A-Z](?:[a-z]?[A-Z0-9./ -])*\d$"  # A/5 21171, but no word as in See DN-304
LONG_CHARACTERS, MANY_WORDS = 20, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a column is read.

    Attributes:
        present: its values, without those that mean missing or cannot be read.
        typed: the same values as they are read.
        missing: texts that mean missing.
        strange: values that cannot be read, which then become missing.
        note: what made the decision, where it is not plain.
    """

    kind: Kind
    present: Values
    typed: pl.Series
    missing: tuple[str, ...] = ()
    strange: Values | None = None
    formats: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    note: str = ""


def reading_of(values: Values, *, is_target: bool = False) -> Reading:
    """Decide how a column is read."""
    column = values.values
    dtype = column.dtype
    if is_text(dtype) or not len(column):
        return _text(values, is_target=is_target)
    if dtype == pl.Date:
        return Reading(kind="date", present=values, typed=column.cast(pl.Int32).cast(pl.Float64) * 86_400.0)
    if isinstance(dtype, pl.Datetime):
        return Reading(kind="date", present=values, typed=column.dt.epoch("us").cast(pl.Float64) / 1e6)
    if isinstance(dtype, pl.Time | pl.Boolean):
        words = column.cast(pl.String)
        return Reading(kind="category", present=values, typed=words)
    number = column.dt.total_seconds(fractional=True) if isinstance(dtype, pl.Duration) else column.cast(pl.Float64)
    if dtype.is_integer():
        return _whole(values, number)
    return Reading(kind="number", present=values, typed=number)


def _whole(values: Values, number: pl.Series) -> Reading:
    if float(number.abs().max() or 0) > EXACT:  # pyright: ignore[reportArgumentType]
        return _too_long(values)
    scaled = {"epoch": number, "epoch_ms": number / 1000}
    for form, seconds in scaled.items():
        if EPOCH_NAMED.search(values.name) and seconds.is_between(*EPOCH_S).all():
            note = "the name and the size of the numbers say that they count time since 1970"
            return Reading(kind="date", present=values, typed=seconds, formats=(form,), note=note)
    return Reading(kind="number", present=values, typed=number)


def _too_long(values: Values) -> Reading:
    note = "whole numbers above 2^53 lose digits as numbers, so they are read as text"
    return Reading(kind="category", present=values, typed=values.values.cast(pl.String), note=note)


def _text(values: Values, *, is_target: bool) -> Reading:
    words = replace(values, values=values.values.cast(pl.String))
    lower = words.values.str.to_lowercase()
    bare = words.only(~lower.is_in(list(NUMBER_TOKENS)))
    missing = tuple(words.values.filter(lower.is_in(list(NUMBER_TOKENS))).to_list())
    why = ""
    if len(bare.values):
        dates = date_reading(bare)
        if dates and dates.share >= MOSTLY:
            return _dates(bare, dates, missing)
        number = _number(bare, missing)
        if number:
            return number
        why = f"only {dates.share:.0%} of the values are dates" if dates else _why_no_number(bare)
    known = TARGET_TOKENS if is_target else TOKENS
    means_missing = lower.is_in(list(known))
    codes = words.values.str.contains(COUNTRY)
    if words.share(codes) >= 0.8 and int(codes.sum()) >= 5:
        means_missing &= words.values != "NA"  # Namibia
    kept = words.only(~means_missing)
    missing = tuple(words.values.filter(means_missing).to_list())
    return Reading(kind=_words_or_text(kept), present=kept, typed=kept.values, missing=missing, note=why)


def _dates(values: Values, dates: DateReading, missing: tuple[str, ...]) -> Reading:
    seconds = read_dates(values.values, dates.formats)
    return _readable(
        Reading(kind="date", present=values, typed=seconds, missing=missing, formats=dates.formats, note=dates.note)
    )


def _readable(reading: Reading) -> Reading:
    """Part what could be read from what could not."""
    read = reading.typed.is_not_null()
    strange = reading.present.only(~read)
    return replace(
        reading,
        present=reading.present.only(read),
        typed=reading.typed.drop_nulls(),
        strange=strange if len(strange.values) else None,
    )


def _number(values: Values, missing: tuple[str, ...]) -> Reading | None:
    point, comma = (read_numerals(values.values, mark) for mark in (".", ","))
    shares = values.share(point.is_not_null()), values.share(comma.is_not_null())
    decimal: Literal[".", ","] = "," if shares[1] > shares[0] else "."
    number = comma if decimal == "," else point
    if max(shares) < MOSTLY or _are_codes(values, number) or _lose_digits(values.values, number):
        return None
    note = ""
    if shares[0] == shares[1] and not (point.eq_missing(comma)).all():
        note = "a comma is taken for a mark of thousands; write decimal: ',' if it is the decimal mark"
    elif decimal == ",":
        note = "the decimal mark is a comma, since some values make no sense with a point"
    return _readable(Reading(kind="number", present=values, typed=number, missing=missing, decimal=decimal, note=note))


def _are_codes(values: Values, number: pl.Series) -> bool:
    """Tell numbers from codes: some have a leading zero, or stand beside texts such as A/5 21171."""
    padded = int(values.values.str.contains(r"^0\d+$").sum())
    strange = values.only(number.is_null())
    prefixed = strange.share(strange.values.str.contains(PREFIXED)) > MOSTLY
    return padded >= CODES * len(values.values) or (prefixed and bool((number == number.floor()).all()))


def _lose_digits(texts: pl.Series, number: pl.Series) -> bool:
    return bool((texts.str.contains(r"^[-+]?\d{16,}$") & (number.abs() > EXACT)).any())


def _why_no_number(values: Values) -> str:
    number = read_numerals(values.values, ".")
    share = values.share(number.is_not_null())
    if share >= MOSTLY and _lose_digits(values.values, number):
        return "whole numbers above 2^53 lose digits as numbers, so they are read as text"
    if share >= MOSTLY:
        return "some values are codes (a leading zero, or letters before the digits), so all are read as text"
    if share > 0:
        return f"only {share:.0%} of the values are numbers"
    return ""


def _words_or_text(values: Values) -> Kind:
    """Free text is long, and hardly any value stands there twice."""
    if not len(values.values) or len(values.values) < MOSTLY * values.present:
        return "category"
    weight = values.counts / values.present
    characters = float(np.dot(weight, values.values.str.len_chars().to_numpy()))
    words = float(np.dot(weight, values.values.str.count_matches(r"\s+").to_numpy() + 1.0))
    return "text" if characters >= LONG_CHARACTERS or words >= MANY_WORDS else "category"
