"""How dates are written: from text in known formats to seconds since 1970 UTC, and back to ISO text.

A date is a float64: whole microseconds stay exact until the year 2255. A text without a zone is taken as UTC.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

DAY_S = 86_400.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_FORMATS = {"epoch": 1.0, "epoch_ms": 1000.0}
# How a date is written when nothing else is agreed; a fraction of a second may be left out.
ISO = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M",
)
DIRECTIVES = frozenset("YymdbBHIpMSfzjaA")
CLOCK = re.compile(r"%[HIpMSfz]")
# "%Y" also reads "15" as the year 15; nobody means that.
FIRST_S, LAST_S = (
    (datetime(1000, 1, 1, tzinfo=UTC) - EPOCH).total_seconds(),
    (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH).total_seconds(),
)


def format_fault(form: str) -> str | None:
    """Say what is wrong with a date format, or nothing.

    >>> format_fault("%d-%q-%y")
    "the date format '%d-%q-%y' has an unknown part %q; known: %A %B %H %I %M %S %Y %a %b %d %f %j %m %p %y %z"
    """
    if form in EPOCH_FORMATS:
        return None
    parts: list[str] = re.findall(r"%(.?)", form, re.DOTALL)
    unknown = [part for part in parts if part not in DIRECTIVES]
    known = " ".join(f"%{letter}" for letter in sorted(DIRECTIVES))
    if unknown:
        return f"the date format {form!r} has an unknown part %{unknown[0]}; known: {known}"
    if not {"Y", "y"} & set(parts) or not ({"m", "b", "B"} & set(parts) or "j" in parts):
        return f"the date format {form!r} has no year or no month; write for instance '%d.%m.%Y'"
    if CLOCK.search(form) and not ("M" in parts and ({"H"} <= set(parts) or {"I", "p"} <= set(parts))):
        return f"the date format {form!r} has a part of a clock; it needs hour and minute, such as %H:%M or %I:%M %p"
    return None


def read_dates(text: "pl.Series", formats: Sequence[str]) -> "pl.Series":
    """Turn texts without blanks around them into seconds; the first format that fits wins, null where none does.

    Without formats the text is read as ISO 8601.

    >>> import polars as pl
    >>> read_dates(pl.Series(["7/1/2015", "02-Jun-06", "7/1/15"]), ["%m/%d/%Y", "%d-%b-%y"]).to_list()
    [1435708800.0, 1149206400.0, None]
    """
    import polars as pl

    seconds = pl.Series(text.name, [None], dtype=pl.Float64).new_from_index(0, len(text))
    for form in formats or ISO:
        left = (text.is_not_null() & seconds.is_null()).arg_true()
        if len(left):
            seconds = seconds.scatter(left, _read_one(text.gather(left), form))
    return seconds


def _read_one(text: "pl.Series", form: str) -> "pl.Series":
    import polars as pl

    if form in EPOCH_FORMATS:
        return text.cast(pl.Float64, strict=False) / EPOCH_FORMATS[form]
    # The engine's %.f takes the point with it, and its %z does not know Z.
    known = form.replace(".%f", "%.f")
    if "%z" in form:
        text = text.str.replace(r"[zZ]$", "+00:00")
    if not CLOCK.search(form):
        seconds = text.str.strptime(pl.Date, known, strict=False).cast(pl.Int32).cast(pl.Float64) * DAY_S
    else:
        moment = text.str.strptime(pl.Datetime("us", "UTC") if "%z" in form else pl.Datetime("us"), known, strict=False)
        seconds = moment.cast(pl.Int64).cast(pl.Float64) / 1e6
    return seconds.set(~seconds.is_between(FIRST_S, LAST_S), None)


def date_of_number(value: "pl.Expr", formats: Sequence[str]) -> "pl.Expr":
    """Turn a number into seconds; it counts milliseconds when the contract says "epoch_ms", else seconds."""
    import polars as pl

    return value.cast(pl.Float64) / (1000.0 if "epoch_ms" in formats else 1.0)


def iso_of_seconds(seconds: float) -> str:
    """Write a moment as a person would: a day when it is one.

    >>> iso_of_seconds(1435708800.0), iso_of_seconds(1435712400.5)
    ('2015-07-01', '2015-07-01T01:00:00.500000Z')
    """
    moment = EPOCH + timedelta(seconds=seconds)
    if seconds % DAY_S == 0:
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat() + "Z"


def seconds_of_iso(text: str) -> float:
    """Read a date or a moment in ISO form; raises `ValueError` with what is wrong.

    >>> seconds_of_iso("2015-07-01T02:00:00+01:00")
    1435712400.0
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no date in ISO form, such as 2015-07-01 or 2015-07-01T12:30:00Z.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH).total_seconds()
