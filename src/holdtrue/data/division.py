"""What is needed to divide rows: the settings, the rows, and what makes a division impossible."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.codes import codes_of
from holdtrue.data.dates import EPOCH, iso_of_seconds
from holdtrue.data.moments import time_values
from holdtrue.data.units import Units, units_of_content, units_of_group

By = Literal["time", "group", "stratified", "random", "given"]
Rows = Int64[np.ndarray, " _rows"]
FEWEST_ROWS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """How rows are divided; `validation` and `test` are shares of all rows. A given test leaves only the first."""

    by: By
    validation: float = 0.15
    test: float = 0.2
    group: str | None = None
    seed: int = 7

    def __post_init__(self) -> None:
        faults: list[str] = []
        if not 0 < self.test < 1 or not 0 <= self.validation < 1 or self.validation + self.test >= 1:
            faults.append(f"validation {self.validation:g} and test {self.test:g} must leave rows to learn from")
        if self.by == "group" and not self.group:
            faults.append("a split by group needs the column whose rows stay together")
        if faults:
            raise Misuse("The split cannot be made:", faults=faults)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The typed rows to divide, and what its columns are for.

    Attributes:
        labelled: whether the target is one of a few classes, all of which every part needs.
        time: the columns that say when, in the order of `time_values`.
        key: the columns that name a row.
        features: what a model sees; all columns but the key and the target when left out.
        given: true for the rows of the second file, in a split that is given.
    """

    frame: pl.DataFrame
    target: str
    labelled: bool
    time: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    given: Bool[np.ndarray, " rows"] | None = None

    @property
    def content(self) -> list[str]:
        features = self.features
        if features is None:
            features = tuple(name for name in self.frame.columns if name not in self.key)
        return [*(name for name in features if name != self.target), self.target]


def unusable(table: Table) -> list[str]:
    """Say why these rows cannot be divided in any way."""
    target = table.frame.get_column(table.target)
    missing = target.is_null()
    faults: list[str] = []
    if table.frame.height < FEWEST_ROWS:
        faults.append(f"the table has {table.frame.height} rows; at least {FEWEST_ROWS} are needed")
    if missing.any():
        first = int(missing.arg_max() or 0) + 1
        faults.append(
            f"column {table.target!r}, the target, is empty in {int(missing.sum()):,} of {table.frame.height:,} rows; "
            f"the first is row {first:,}; leave these rows out"
        )
    known = target.drop_nulls().unique()
    if len(known) == 1:
        faults.append(f"column {table.target!r}, the target, is {known[0]!r} in every row; there is nothing to learn")
    return faults


def moments_of(table: Table, now: datetime | None) -> Float64[np.ndarray, " rows"]:
    """Give the moment of each row; raises `DataFault` when one is missing or lies in the future."""
    if not table.time:
        raise Misuse("A split by time needs `time`, the column that orders the rows.")
    values = time_values(table.frame, table.time)
    named = " + ".join(table.time)
    faults: list[str] = []
    missing = values.is_null()
    if missing.any():
        first = int(missing.arg_max() or 0) + 1
        faults.append(
            f"{named} is missing in {int(missing.sum()):,} of {len(values):,} rows; the first is row {first:,}; "
            "such a row could be later than the test"
        )
    future = values > (now - EPOCH).total_seconds() if now else pl.Series([False])
    if future.any():
        first = int(future.arg_max() or 0)
        faults.append(
            f"{named} lies in the future in {int(future.sum()):,} of {len(values):,} rows; "
            f"the first is row {first + 1:,}, {iso_of_seconds(values[first])}"
        )
    if faults:
        raise DataFault(
            "The rows cannot be put in the order of time:", faults=faults, do="Correct or leave out these rows."
        )
    return values.to_numpy()


def units_of(table: Table, settings: Split) -> Units:
    """Find which rows stay together under these settings."""
    if settings.by != "group":
        return units_of_content(table.frame, content=table.content, key=table.key, seed=settings.seed)
    group = settings.group or ""
    if group not in table.frame.columns:
        raise Misuse(f"The column {group!r} whose rows stay together is not there.")
    missing = table.frame.get_column(group).is_null().sum()
    if missing:
        raise DataFault(f"The column {group!r} whose rows stay together is missing in {missing:,} rows.")
    return units_of_group(table.frame, content=table.content, group=group, seed=settings.seed)


def class_codes(table: Table) -> Rows:
    """Give each row the number of its class."""
    return codes_of(table.frame.get_column(table.target))[0]
