"""Which rows teach, which choose and which judge: by time, by group, by class, at random, or as given.

No row is dealt by its place in the file. Equal moments, the rows of a group and identical rows stay on one side;
where that cannot be (identical rows at different times, or in a test file that was given) they are counted.
A row without a date, or from the future, is refused: it could be anywhere in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.dates import iso_of_seconds
from holdtrue.data.division import By, Rows, Split, Table, class_codes, moments_of, units_of, unusable
from holdtrue.data.hashes import shares
from holdtrue.data.units import Units, cut

# From so many groups on each is dealt by its own name alone, so that new groups move no old one. With fewer, the
# shares would be left to luck, so groups are ranked by their names.
MANY_GROUPS = 50
# A few equal rows are chance where columns are few. When most of the test rows are copies, the file is the wrong one.
MOST_COPIED = 0.5

ADVICE: dict[By, str] = {
    "time": "Give more rows, larger shares, or split in another way.",
    "group": "Give larger shares, another seed, or a column with more groups.",
    "stratified": "Give more rows of these classes, or leave them out.",
    "random": "Split by class instead (by: stratified), or give more rows.",
    "given": "Give a test file of other rows; with `time`, one that begins where the first file ends.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Positions of rows, in the order of time if there is one, else as they came.

    Attributes:
        cuts: the moments (seconds since 1970 UTC) at which validation and test begin, in a split by time.
        repeated: how many rows repeat another one.
        across: how many validation and test rows have an identical row in training.
        notes: what a reader of the report should know.
    """

    train: Rows
    validation: Rows
    test: Rows
    cuts: tuple[float, float] | None = None
    repeated: int = 0
    across: int = 0
    notes: tuple[str, ...] = ()


def split(table: Table, settings: Split, *, now: datetime | None = None) -> Parts:
    """Divide the rows; raises `DataFault` with everything that makes it impossible.

    In a split by time, and in a given one whose rows have a time, no row to learn from is later than a test row. `now`
    refuses rows from the future.
    """
    if settings.by == "stratified" and not table.labelled:
        raise Misuse("A stratified split needs classes; the target is a number.", do="Split by time or at random.")
    faults = unusable(table)
    if faults:
        raise DataFault("The rows cannot be divided:", faults=faults)
    dated = settings.by == "time" or (settings.by == "given" and bool(table.time))
    moments = moments_of(table, now) if dated else None
    units = units_of(table, settings)
    part = _dealt(table, settings, units, moments)
    arranged = np.arange(table.frame.height) if moments is None else np.argsort(moments, kind="stable")
    train, validation, test = (arranged[part[arranged] == number] for number in range(3))
    faults = _class_faults(table, (train, validation, test))
    if settings.by == "given":
        faults += _copied(units, np.concatenate([train, validation]), test)
    if settings.by == "given" and moments is not None:
        faults += _time_travel(moments, np.concatenate([train, validation]), test)
    if faults:
        raise DataFault(f"The split ({settings.by}) cannot be used:", faults=faults, do=ADVICE[settings.by])
    across = int(np.isin(units.content[part > 0], units.content[train]).sum())
    return Parts(
        train=train,
        validation=validation,
        test=test,
        cuts=_cuts(moments, validation, test) if settings.by == "time" and moments is not None else None,
        repeated=units.repeated,
        across=across,
        notes=_notes(units, across, kept=units.together and moments is None and settings.by != "given"),
    )


def _cuts(moments: Float64[np.ndarray, " rows"], validation: Rows, test: Rows) -> tuple[float, float]:
    begins = float(moments[test[0]])
    return (float(moments[validation[0]]) if len(validation) else begins, begins)


def _dealt(
    table: Table, settings: Split, units: Units, moments: Float64[np.ndarray, " rows"] | None
) -> Int64[np.ndarray, " rows"]:
    """Give each row its part: 0 trains, 1 validates, 2 tests."""
    part = np.zeros(table.frame.height, dtype=np.int64)
    every = np.arange(table.frame.height)
    later = 1 - settings.test - settings.validation
    steps = [(later, 1), (1 - settings.test, 2)] if settings.validation else [(1 - settings.test, 2)]
    if settings.by == "given":
        given = np.zeros(0, dtype=bool) if table.given is None else table.given
        if len(given) != len(part) or given.all() or not given.any():
            raise Misuse("A given split needs to know for each row whether it is a test row, and rows of both sorts.")
        part[given] = 2
        every = every[~given]
        steps = [(1 - settings.validation, 1)] if settings.validation else []
    if settings.by == "group":
        return _by_group(settings, units, steps)
    if moments is not None:
        strata = [every[np.argsort(moments[every], kind="stable")]]
        binding = moments.view(np.uint64)
    else:
        codes = class_codes(table)[every] if table.labelled and settings.by != "random" else np.zeros(len(every))
        strata = [units.order(every[codes == code]) for code in np.unique(codes)]
        binding = units.unit
    short: list[str] = []
    for rows in strata:
        cuts = cut(binding[rows], [fraction for fraction, _ in steps])
        for border, (_, number) in zip(cuts or [], steps, strict=False):
            part[rows[border:]] = number
        if cuts is None:
            short.append(_short(table, settings, rows, len(steps) + 1))
    if short:
        raise DataFault("There is too little to divide:", faults=short, do=ADVICE[settings.by])
    return part


def _by_group(settings: Split, units: Units, steps: Sequence[tuple[float, int]]) -> Rows:
    places, code = np.unique(units.place, return_inverse=True)
    part = np.zeros(len(places), dtype=np.int64)
    if len(places) >= MANY_GROUPS:
        share = shares(places)
        for fraction, number in steps:
            part[share >= fraction] = number
        return part[code]
    cuts = cut(np.arange(len(places)), [fraction for fraction, _ in steps])
    if cuts is None:
        few = f"column {settings.group!r} has {len(places)} groups; each of the {len(steps) + 1} parts needs one"
        raise DataFault("There is too little to divide:", faults=[few], do=ADVICE["group"])
    for border, (_, number) in zip(cuts, steps, strict=True):
        part[border:] = number
    return part[code]


def _short(table: Table, settings: Split, rows: Rows, parts: int) -> str:
    if table.time and settings.by in ("time", "given"):
        return f"{' + '.join(table.time)} has too few different moments in {len(rows):,} rows for {parts} parts"
    name = f"class {table.frame.get_column(table.target)[int(rows[0])]!r}" if settings.by != "random" else "the table"
    return f"{name} has too few different rows ({len(rows):,} in all) for {parts} parts"


def _class_faults(table: Table, parts: Sequence[Rows]) -> list[str]:
    """Say which part lacks rows, or a class that others have."""
    titles = ("training", "validation", "test")
    target = table.frame.get_column(table.target)
    everything = set(target.unique())
    faults: list[str] = []
    for title, rows in zip(titles, parts, strict=True):
        if not len(rows) and title != "validation":
            faults.append(f"no row falls into {title}")
        elif len(rows) and table.labelled:
            absent = sorted(everything - set(target.gather(rows).unique()), key=str)
            shown = ", ".join(repr(each) for each in absent[:5]) + (", …" if len(absent) > 5 else "")
            faults += [f"no row of class {shown} falls into {title} ({len(rows):,} rows)"] if absent else []
    return faults


def _time_travel(moments: Float64[np.ndarray, " rows"], before: Rows, test: Rows) -> list[str]:
    """Say how many rows to learn from lie after the first row to judge by."""
    begins = moments[test].min()
    later = int((moments[before] > begins).sum())
    if not later:
        return []
    return [
        f"{later:,} of {len(before):,} rows to learn from lie after the first test row, {iso_of_seconds(begins)}: "
        "the model would be judged on its past"
    ]


def _copied(units: Units, before: Rows, test: Rows) -> list[str]:
    """Say so when the rows to judge by are mostly those to learn from: somebody named the wrong file."""
    copied = int(np.isin(units.content[test], units.content[before]).sum())
    if not units.together or copied <= MOST_COPIED * len(test):
        return []
    return [f"{copied:,} of {len(test):,} test rows are also among the rows to learn from"]


def _notes(units: Units, across: int, *, kept: bool) -> tuple[str, ...]:
    notes: list[str] = []
    if units.repeated:
        how = "they were kept on one side" if kept else "they were not kept on one side"
        notes.append(f"{units.repeated:,} rows repeat another row; {how}.")
    if across:
        notes.append(f"{across:,} validation and test rows have an identical row in training.")
    return tuple(notes)
