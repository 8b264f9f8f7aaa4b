"""Folds for predictions on rows a model has not learnt from: by group, forward in time, or by class.

The rules are those of the split they lie in: equal moments, groups and identical rows stay on one side. In time, a
fold learns from all that came before the rows it predicts; the first rows are only learnt from.
"""

from dataclasses import dataclass

import numpy as np

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.division import Rows, Split, Table, class_codes, moments_of, units_of
from holdtrue.data.units import Units, cut

SALT = 1_000_003  # folds deal the rows in another order than the split they lie in


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """Positions in the table: rows to learn from, and rows to predict."""

    train: Rows
    validation: Rows


def folds(table: Table, settings: Split, *, rows: Rows, count: int) -> tuple[Fold, ...]:
    """Divide some rows of a table (those of the training part) into folds; raises `DataFault` if there are too few.

    Every row is predicted once, but for the first ones of a split by time.
    """
    if count < 2:
        raise Misuse(f"Predictions on unseen rows need at least 2 folds, got {count}.")
    if settings.by == "time" or (settings.by == "given" and table.time):
        return _forward(table, rows, count)
    number = _by_group(table, settings, rows, count) if settings.by == "group" else _dealt(table, settings, rows, count)
    made = tuple(Fold(train=rows[number != fold], validation=rows[number == fold]) for fold in range(count))
    _refuse_unlearnable(table, made)
    return made


def _forward(table: Table, rows: Rows, count: int) -> tuple[Fold, ...]:
    moments = moments_of(table, None)
    order = rows[np.argsort(moments[rows], kind="stable")]
    cuts = cut(moments[order].view(np.uint64), [(number + 1) / (count + 1) for number in range(count)])
    if cuts is None:
        raise DataFault(f"The {len(rows):,} rows have too few different moments for {count} folds forward in time.")
    ends = [*cuts[1:], len(order)]
    made = tuple(Fold(train=order[:begin], validation=order[begin:end]) for begin, end in zip(cuts, ends, strict=True))
    _refuse_unlearnable(table, made)
    return made


def _by_group(table: Table, settings: Split, rows: Rows, count: int) -> Rows:
    """Deal the groups in turn, so that folds differ by one group at most."""
    places, code = np.unique(_units(table, settings).place[rows], return_inverse=True)
    if len(places) < count:
        raise DataFault(
            f"Column {settings.group!r} has {len(places)} groups in the {len(rows):,} rows to learn from; "
            f"{count} folds need {count}.",
            do="Ask for fewer folds, or give more groups.",
        )
    return (np.arange(len(places)) % count)[code]


def _dealt(table: Table, settings: Split, rows: Rows, count: int) -> Rows:
    units = _units(table, settings)
    number = np.zeros(table.frame.height, dtype=np.int64)
    labelled = table.labelled and settings.by != "random"
    codes = class_codes(table)[rows] if labelled else np.zeros(len(rows), dtype=np.int64)
    for code in np.unique(codes):
        order = units.order(rows[codes == code])
        # A class with fewer rows than folds is missing from some of them; what is left in the others is enough.
        possible = next(few for few in range(count, 0, -1) if cut(units.unit[order], _even(few)) is not None)
        for border in cut(units.unit[order], _even(possible)) or []:
            number[order[border:]] += 1
    return number[rows]


def _even(count: int) -> list[float]:
    return [(number + 1) / count for number in range(count - 1)]


def _units(table: Table, settings: Split) -> Units:
    return units_of(table, Split(by=settings.by, group=settings.group, seed=settings.seed + SALT))


def _refuse_unlearnable(table: Table, made: tuple[Fold, ...]) -> None:
    """Raise `DataFault` when a fold would predict a class that it has never seen."""
    if not table.labelled:
        return
    target = table.frame.get_column(table.target)
    faults: list[str] = []
    everything = {
        each for fold in made for each in target.gather(np.concatenate([fold.train, fold.validation])).unique()
    }
    for number, fold in enumerate(made, 1):
        absent = sorted(everything - set(target.gather(fold.train).unique()), key=str)
        faults += [f"fold {number} of {len(made)} has no row of class {each!r} to learn from" for each in absent]
    if faults:
        raise DataFault(
            "The rows to learn from cannot be folded:",
            faults=faults,
            do="Give more rows of these classes, ask for fewer folds, or split in another way.",
        )
