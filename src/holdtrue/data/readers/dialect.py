"""The delimiter and the names of the columns, decided from the first rows."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from holdtrue.core.errors import DataFault
from holdtrue.data.readers.columns import name_faults
from holdtrue.data.readers.faults import Faults, crop

LIKELY = (",", ";", "\t", "|")
SAMPLE_ROWS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How a text file is divided."""

    delimiter: str
    names: tuple[str, ...]


def find_dialect(
    sample: str, *, asked: str | None, header: bool, columns: tuple[str, ...] | None, strip: bool, where: str
) -> Dialect:
    """Decide how to divide a file from its first rows; raises `DataFault` when its header names no columns."""
    delimiter = single(asked) if asked else sniffed(sample, strip)
    first = next(records(sample, delimiter, strip), [])
    if not first or first == [""]:
        raise DataFault(f"{where} is empty: it holds blank lines only.", do="Export it again.")
    if len(first) == 1:
        refuse_other_delimiter(sample, delimiter, first[0], strip, where)
    if not header:
        return Dialect(delimiter=delimiter, names=given_names(columns, len(first), where))
    names = tuple(name.strip() if strip else name for name in first)
    faults = Faults(where=where)
    for text in name_faults(names):
        faults.add(text)
    faults.check(
        do="Name every column once in the first row. If that row is no header, say `header: false` "
        "and name the columns in the project file."
    )
    return Dialect(delimiter=delimiter, names=names)


def single(asked: str) -> str:
    """Reduce `", "` to the comma in it: blanks around values are stripped anyway."""
    return asked.strip(" ") or " "


def records(sample: str, delimiter: str, strip: bool) -> Iterator[list[str]]:
    """Give the sample's rows that are not blank; what cannot be divided ends them."""
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=strip):
            if row:
                yield row
    except csv.Error:
        return


def sniffed(sample: str, strip: bool) -> str:
    """Choose the delimiter that divides most rows into as many fields as the first."""
    best = (0.0, 0, ",")
    for candidate in LIKELY:
        rows = [len(row) for row, _ in zip(records(sample, candidate, strip), range(SAMPLE_ROWS), strict=False)]
        if rows and rows[0] > 1:
            agreeing = sum(count == rows[0] for count in rows) / len(rows)
            best = max(best, (agreeing, rows[0], candidate))
    return best[2]


def refuse_other_delimiter(sample: str, delimiter: str, first: str, strip: bool, where: str) -> None:
    other = sniffed(sample, strip)
    found = len(next(records(sample, other, strip), []))
    if other == delimiter or found < 2:
        return
    raise DataFault(
        f"{where} has one column when divided at {delimiter!r}: {crop(first)}.",
        do=f"Its first row holds {other!r}, which gives {found} columns: say `delimiter: {other!r}`.",
    )


def given_names(columns: tuple[str, ...] | None, count: int, where: str) -> tuple[str, ...]:
    if columns is None:
        return tuple(f"column_{place}" for place in range(1, count + 1))
    if len(columns) != count:
        raise DataFault(
            f"{where} has {count} columns in its first row, and {len(columns)} are named.",
            do="Name them all, in their order.",
        )
    return columns
