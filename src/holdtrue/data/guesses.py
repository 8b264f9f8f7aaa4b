"""What the columns of a table are for: which says when, which names a row, which groups rows; each with a reason."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import polars as pl

from holdtrue.data.infer import NAMED_ID, Column
from holdtrue.data.moments import MONTHS

T = TypeVar("T")
PARTS = {
    "year": re.compile(r"(?<![a-z])(?:year|yr)(?![a-z])", re.IGNORECASE),
    "month": re.compile(r"(?<![a-z])(?:month|mnth)(?![a-z])", re.IGNORECASE),
    "day": re.compile(r"(?<![a-z])(?:day(?:_of_month)?|dom)(?![a-z_])", re.IGNORECASE),
    "hour": re.compile(r"(?<![a-z])(?:hour|hr)(?![a-z])", re.IGNORECASE),
}
WITHIN = {"year": (1900, 2100), "month": (1, 12), "day": (1, 31), "hour": (0, 23)}
BIRTH = re.compile(r"birth|dob", re.IGNORECASE)
BEFOREHAND = re.compile(r"schedul|plan|creat|order|book|request|start|plac|sent|due", re.IGNORECASE)
GROUPED = re.compile(
    r"customer|user|patient|client|machine|device|engine|unit|store|account|member|session|household|subject|person"
    r"|vehicle|driver|player|sensor|site|visitor",
    re.IGNORECASE,
)
FEWEST_MOMENTS = 10
IN_ORDER = 0.9
MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess(Generic[T]):
    """A value, and why."""

    value: T
    reason: str


def task_of(column: Column) -> Guess[str]:
    """Tell classes from numbers by the values of the target."""
    distinct, kind = len(column.reading.typed), column.field.kind
    if kind in ("category", "text"):
        return Guess(value="classification", reason=f"the target is text with {distinct:,} values")
    if distinct == 2:
        return Guess(value="classification", reason="the target has two values")
    few = min(MOST_CLASSES, column.values.present // 10)
    if column.field.integer and distinct <= few:
        return Guess(value="classification", reason=f"the target has only {distinct} whole numbers")
    return Guess(value="regression", reason=f"the target has {distinct:,} different numbers")


def composed_times(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Find columns that say together when: year, month and day (and hour) with the same rest of the name."""
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        for part, named in PARTS.items():
            if named.search(column.field.name) and _is_part(column, part):
                rest = named.sub("", column.field.name).strip("_ -.").lower()
                found.setdefault(rest, {}).setdefault(part, column.field.name)
    order = ("year", "month", "day", "hour")
    return [
        tuple(parts[name] for name in order[: 4 if "hour" in parts else 3])
        for parts in found.values()
        if {"year", "month", "day"} <= parts.keys()
    ]


def _is_part(column: Column, part: str) -> bool:
    typed = column.reading.typed
    if column.reading.present.present < column.values.rows or not len(typed):
        return False
    if column.field.kind == "category":
        return part == "month" and bool(typed.str.to_lowercase().str.slice(0, 3).is_in(list(MONTHS)).all())
    return column.field.kind == "number" and column.field.integer and bool(typed.is_between(*WITHIN[part]).all())


def time_of(
    columns: Sequence[Column], sample: pl.DataFrame, composed: Sequence[tuple[str, ...]], leaking: Set[str]
) -> Guess[tuple[str, ...]]:
    """Choose what orders the rows: parts of a date before a single date, what is sorted before what is not."""
    for parts in composed:
        if not leaking & set(parts):
            return Guess(value=parts, reason=f"{' + '.join(parts)} make a date in every row")
    dates = [column for column in columns if _is_moment(column) and column.field.name not in leaking]
    if not dates:
        return Guess(value=(), reason="no column is a date in every row")
    order = {column.field.name: _sorted(sample.get_column(column.field.name)) for column in dates}

    def rank(column: Column) -> tuple[bool, bool, float]:
        name = column.field.name
        mean = float(np.average(column.reading.typed.to_numpy(), weights=column.reading.present.counts))
        return (order[name] < IN_ORDER, not BEFOREHAND.search(name), mean)

    best = min(dates, key=rank)
    name = best.field.name
    reason = f"{name} is a date in every row"
    if order[name] >= IN_ORDER:
        reason += " and the rows lie in its order"
    others = [column.field.name for column in dates if column is not best]
    if others:
        reason += f" (other dates: {', '.join(others)}; the one known first should order the rows)"
    hour = _hour_beside(best, columns)
    return Guess(value=(name, hour) if hour else (name,), reason=f"{reason}, {hour} its hour" if hour else reason)


def _is_moment(column: Column) -> bool:
    complete = column.reading.present.present == column.values.rows
    enough = len(column.reading.typed) >= FEWEST_MOMENTS
    return column.field.kind == "date" and complete and enough and not BIRTH.search(column.field.name)


def _sorted(values: pl.Series) -> float:
    """The share of steps from row to row that go the same way, or none at all."""
    steps = values.diff().drop_nulls()
    if not len(steps):
        return 0.0
    return max(int((steps >= 0).sum()), int((steps <= 0).sum())) / len(steps)


def _hour_beside(date: Column, columns: Sequence[Column]) -> str | None:
    if not bool((date.reading.typed % 86_400 == 0).all()) or len(date.reading.typed) > date.values.rows / 2:
        return None
    hours = (column for column in columns if PARTS["hour"].search(column.field.name) and _is_part(column, "hour"))
    return next((column.field.name for column in hours), None)


def key_of(columns: Sequence[Column]) -> Guess[tuple[str, ...]]:
    """Choose the column that names a row, one called an id first."""
    unique = [column.field.name for column in columns if column.field.unique]
    if not unique:
        return Guess(value=(), reason="no column has another value in every row")
    name = next((name for name in unique if NAMED_ID.search(name)), unique[0])
    return Guess(value=(name,), reason=f"{name} has another value in every row")


def group_of(columns: Sequence[Column]) -> Guess[str | None]:
    """Choose the column whose rows belong together: called after someone or something, and met again and again."""
    for column in columns:
        name, distinct = column.field.name, len(column.reading.typed)
        complete = column.reading.present.present == column.values.rows
        if GROUPED.search(name) and NAMED_ID.search(name) and complete and 10 <= distinct <= column.values.rows / 2:
            return Guess(value=name, reason=f"{name} has {distinct:,} values, each met several times")
    return Guess(value=None, reason="no column names someone or something that is met several times")
