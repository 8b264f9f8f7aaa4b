"""Finds how dates are written: from the shape of each text to the few formats that read a column."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from holdtrue.data.dates import read_dates
from holdtrue.data.values import Values

MOST_FORMATS = 6
MOST_LOOKED_AT = 20_000
CLOCK = re.compile(
    r"^(?P<day>.*?\d)(?P<gap>[T ] ?)\d{1,2}:\d{2}(?P<second>:\d{2})?(?P<fraction>\.\d{1,9})?"
    r"(?P<noon> ?[AaPp][Mm])?(?P<zone> ?(?:Z|[-+]\d{2}:?\d{2}))?$"
)
NUMERIC = re.compile(r"^(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})$")
SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^\d{4}([-/.])\d{1,2}\1\d{1,2}$"), "%Y{0}%m{0}%d"),
    (re.compile(r"^\d{4}([-/])\d{1,2}$"), "%Y{0}%m"),
    (re.compile(r"^(?:19|20)\d{6}$"), "%Y%m%d"),
    (re.compile(r"^\d{1,2}([-/. ])[A-Za-z]{3}\1\d{4}$"), "%d{0}%b{0}%Y"),
    (re.compile(r"^\d{1,2}([-/. ])[A-Za-z]{3}\1\d{2}$"), "%d{0}%b{0}%y"),
    (re.compile(r"^\d{1,2}([-/. ])[A-Za-z]{4,9}\1\d{4}$"), "%d{0}%B{0}%Y"),
    (re.compile(r"^[A-Za-z]{3} \d{1,2}(,?) \d{4}$"), "%b %d{0} %Y"),
    (re.compile(r"^[A-Za-z]{4,9} \d{1,2}(,?) \d{4}$"), "%B %d{0} %Y"),
    (re.compile(r"^[A-Za-z]{3}(,?) \d{1,2} [A-Za-z]{3} \d{4}$"), "%a{0} %d %b %Y"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DateReading:
    """The formats that read a column, the share of its present rows that they read, and what was not sure."""

    formats: tuple[str, ...]
    share: float
    note: str


def date_reading(values: Values) -> DateReading | None:
    """Find the formats in which most of a text column reads as dates; None when there is none.

    Day before month or month before day is told by all values together: one number above 12 decides.
    """
    looked_at = _some(values)
    order, note = _order(looked_at)
    shapes = Counter[str]()
    for text, count in looked_at:
        form = _format(text, order)
        if form:
            shapes[form] += count
    if not shapes:
        return None
    formats = tuple(form for form, _ in shapes.most_common(MOST_FORMATS))
    seconds = read_dates(values.values, formats)
    if "%Y%m%d" in formats and (len(formats) > 1 or seconds.is_null().any()):
        return None  # eight digits are a date only when all of them are
    return DateReading(formats=formats, share=values.share(seconds.is_not_null()), note=note)


def _some(values: Values) -> list[tuple[str, int]]:
    """All values, or evenly many of very many."""
    step = max(1, -(-len(values.values) // MOST_LOOKED_AT))
    texts = values.values.gather(pl.Series(np.arange(0, len(values.values), step)))
    return list(zip(texts.to_list(), values.counts[::step].tolist(), strict=True))


def _order(texts: Iterable[tuple[str, int]]) -> tuple[dict[str, str], str]:
    """Decide for each separator whether the day or the month comes first, as the letter of what is first."""
    large: dict[str, list[int]] = {}
    for text, count in texts:
        found = NUMERIC.match(_day(text))
        if found:
            firsts = large.setdefault(found[2], [0, 0])
            firsts[0] += count * (int(found[1]) > 12)
            firsts[1] += count * (int(found[3]) > 12)
    order: dict[str, str] = {}
    notes: list[str] = []
    for mark, (first, second) in large.items():
        if first == second == 0:
            order[mark] = "m" if mark == "/" else "d"
            usual = "month/day" if mark == "/" else f"day{mark}month"
            notes.append(f"no value says whether the day or the month comes first; {usual} is assumed")
            continue
        order[mark] = "d" if first >= second else "m"
        if first and second:
            notes.append("some dates have the day first and some the month; the rarer way is not read")
        else:
            which = "day" if first else "month"
            notes.append(f"the {which} comes first, since the other number goes above 12")
    return order, "; ".join(notes)


def _day(text: str) -> str:
    clock = CLOCK.match(text)
    return clock["day"] if clock else text


def _format(text: str, order: dict[str, str]) -> str | None:
    """The format of one text, told by its shape alone."""
    clock = CLOCK.match(text)
    day = _day(text)
    numeric = NUMERIC.match(day)
    if numeric:
        mark, year = numeric[2], "%Y" if len(numeric[4]) == 4 else "%y"
        form = mark.join(["%d", "%m", year] if order.get(mark) == "d" else ["%m", "%d", year])
    else:
        form = next((form.format(*found.groups()) for shape, form in SHAPES if (found := shape.match(day))), None)
    if form is None or clock is None:
        return form
    noon, zone = clock["noon"], clock["zone"]
    return "".join(
        [
            form,
            clock["gap"],
            "%I:%M" if noon else "%H:%M",
            ":%S" if clock["second"] else "",
            ".%f" if clock["fraction"] else "",
            (" %p" if noon.startswith(" ") else "%p") if noon else "",
            (" %z" if zone.startswith(" ") else "%z") if zone else "",
        ]
    )
