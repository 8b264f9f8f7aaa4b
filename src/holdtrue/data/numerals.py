"""How numbers are written: thousands marks, currency and percent signs, accountants' negatives, decimal commas."""

from typing import Literal

import polars as pl

# One sign at most, before or after one currency sign; digits in groups (of 3, or 2 as in India, the last of 3) or in
# one piece; an exponent; a percent or currency sign. Groups that are wrong, such as "1,5" with a decimal point, do
# not match: better unreadable than ten times too large.
SHAPE = (
    r"^(?:[-+][$€£¥₹]?|[$€£¥₹]?[-+]?)"
    r"([1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{mark}\d*)?|\d+(?:{mark}\d*)?|{mark}\d+)"
    r"([eE][-+]?\d+)?[$€£¥₹%]?$"
)
GROUPS = {".": r"[,' \x{A0}\x{202F}’]", ",": r"[.' \x{A0}\x{202F}’]"}


def read_numerals(text: pl.Series, decimal: Literal[".", ","]) -> pl.Series:
    """Turn texts without blanks around them into float64, null where one is no number.

    "12%" is 0.12; "(5)" and "5-" are -5; "1e999" and "inf" are infinite.

    >>> read_numerals(pl.Series(["1,234.5", "(7)", "12%", "1,5", "See DN-304"]), ".").to_list()
    [1234.5, -7.0, 0.12, None, None]
    """
    plain = text
    if decimal == ",":
        point = text.str.contains(".", literal=True)
        plain = text.set(point, None).str.replace(",", ".", literal=True)
    quick = plain.cast(pl.Float64, strict=False)
    left = text.is_not_null() & quick.is_null()
    if left.any():
        dressed = _read_dressed(text.filter(left), decimal)
        quick = quick.scatter(left.arg_true(), dressed)
    return quick.fill_nan(None)


def _read_dressed(text: pl.Series, decimal: Literal[".", ","]) -> pl.Series:
    signed = (
        text.str.replace("−", "-", literal=True)
        .str.replace(r"^\(\s*([^-+()]*?)\s*\)$", "-${1}")
        .str.replace(r"^([^-+]*[^-+\s])\s*-$", "-${1}")
        .str.replace(r"\s*([$€£¥₹%])\s*", "${1}")
    )
    shape = SHAPE.format(group=GROUPS[decimal], mark=rf"\{decimal}")
    digits = signed.str.extract(shape, 1).str.replace_all(GROUPS[decimal], "").str.replace(",", ".", literal=True)
    size = (digits + signed.str.extract(shape, 2).fill_null("")).cast(pl.Float64, strict=False)
    size = size.zip_with(~signed.str.ends_with("%"), size / 100)
    return size.zip_with(~signed.str.contains(r"^[$€£¥₹]?-"), -size)
