"""The rows of a project as they happened: in the order of time, each with its truth and with when that was known."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Int64

from holdtrue.core.errors import DataFault, Misuse, nearest
from holdtrue.data.contract import Contract
from holdtrue.data.contract_yaml import read_yaml
from holdtrue.data.dates import iso_of_seconds, seconds_of_iso
from holdtrue.data.infer import infer
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.source import batches
from holdtrue.pipeline.prepare import source_of
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.workspace import Workspace
from holdtrue.spec.quantity import share

SECOND_US = 1_000_000
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
NEVER = np.iinfo(np.int64).max  # a truth that nobody knows
BY_ORDER_S = 946_684_800  # 2000-01-01, where the time of rows without one begins
TAKEN = "taken_at"  # the column with that time


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows in the order of time.

    Attributes:
        raw: as the source has them.
        time_us: when each was there to be asked for, since 1970 UTC.
        known_us: when its truth became known, never before that; `NEVER` where there is none.
        truth: as a label says it; None where there is none.
    """

    raw: pl.DataFrame
    time_us: Int64[np.ndarray, " rows"]
    known_us: Int64[np.ndarray, " rows"]
    truth: Sequence[Any]

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, index: "np.ndarray") -> "Rows":
        """Keep some rows, by their positions."""
        return Rows(
            raw=self.raw[index],
            time_us=self.time_us[index],
            known_us=self.known_us[index],
            truth=[self.truth[place] for place in index.tolist()],
        )


def span_us(text: str) -> int | None:
    """Read a length of time, None when it is none.

    >>> span_us("1d"), span_us("90 min"), span_us("0.5h"), span_us("checked_out")
    (86400000000, 5400000000, 1800000000, None)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\s*", text)
    return None if found is None else round(float(found[1]) * SECONDS[found[2]] * SECOND_US)


def read_rows(workspace: Workspace, *, labels_after: str, by_order: str, tell: Tell) -> Rows:
    """Read the rows of the project and put them into the order of time.

    `labels_after` is a length of time, or a column that says when each truth became known. With `by_order`, a length of
    time, the rows are taken as they stand, each so long after the one before, and get a column that says when. Raises
    `Misuse` and `DataFault`.
    """
    tell("read the rows")
    raw = _raw(workspace)
    absent = [name for name in (workspace.project.data.target, *workspace.project.data.time) if name not in raw.columns]
    if absent:
        raise Misuse(
            "The project file names columns that are not in the data:",
            faults=[f"there is no column {name!r}{nearest(name, raw.columns)}" for name in absent],
        )
    time_us = _by_order(raw.height, by_order) if by_order else _times(workspace, raw)
    if by_order:
        moments = pl.Series(TAKEN, time_us).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
        raw = raw.with_columns(moments)
    truth = _truths(workspace, raw)
    known_us = np.maximum(_known(workspace, raw, time_us, labels_after), time_us)
    known_us[[value is None for value in truth]] = NEVER
    rows = Rows(raw=raw, time_us=time_us, known_us=known_us, truth=truth)
    return rows.take(np.argsort(time_us, kind="stable"))


def divide(rows: Rows, start: str, end: str = "") -> tuple[Rows, Rows, int]:
    """Give the rows that teach, those that are lived through, and the moment between them.

    `start` and `end` are dates, or shares of the rows such as `60%`; without an end the rows are lived through to the
    last. What happened before the start and became known after it can teach nobody yet, and is left out.
    """
    start_us = _moment(rows, start, "--start")
    end_us = _moment(rows, end, "--end") if end else NEVER
    if end_us <= start_us:
        raise Misuse(f"A simulation cannot end at {end}: it starts at {start}.", do="Choose a later --end.")
    past = rows.take(np.flatnonzero((rows.time_us < start_us) & (rows.known_us <= start_us)))
    live = rows.take(np.flatnonzero((rows.time_us >= start_us) & (rows.time_us < end_us)))
    if not len(past) or not len(live):
        first, last = (iso_of_seconds(int(rows.time_us[place]) // SECOND_US) for place in (0, -1))
        missing = "no row with a known truth lies before it" if not len(past) else "no row lies after it"
        missing += f" and before {end}" if end and len(past) else ""
        raise Misuse(
            f"A simulation cannot start at {start}: {missing}.",
            do=f"The rows are from {first} to {last}; choose within.",
        )
    return past, live, start_us


def _raw(workspace: Workspace) -> pl.DataFrame:
    data = workspace.project.data
    places = [data.source, *([data.test] if data.test else [])]
    tables = [pa.Table.from_batches(list(batches(source_of(data, place), base=workspace.folder))) for place in places]
    made = pl.from_arrow(pa.concat_tables([table.select(tables[0].column_names) for table in tables]))
    assert isinstance(made, pl.DataFrame)
    return made


def contract_of(workspace: Workspace, raw: pl.DataFrame, names: Sequence[str], *, time: Sequence[str] = ()) -> Contract:
    """Give how some columns are read: as contract.yaml says, else as the rows look."""
    kept = Contract(fields=())
    if workspace.contract_file.is_file():
        written = read_yaml(workspace.contract_file.read_text(encoding="utf-8"))
        kept = written.only([name for name in names if name in written.names])
    absent = [name for name in names if name not in kept.names]
    if not absent:
        return kept
    guessed, _ = infer(raw.select(absent), target=None, time=[name for name in time if name in absent])
    return replace(kept, fields=(*kept.fields, *guessed.fields))


def _times(workspace: Workspace, raw: pl.DataFrame) -> Int64[np.ndarray, " rows"]:
    names = workspace.project.data.time
    if not names:
        raise Misuse(
            "The project does not say when its rows happened.",
            do="Name the column in the project file, as data.time; or take the rows as they stand: --by-order 30min",
        )
    contract = contract_of(workspace, raw, names, time=names)
    if len(names) == 1 and contract.field(names[0]).kind != "date":
        raise Misuse(
            f"The time {names[0]!r} is a {contract.field(names[0]).kind}, and no date.",
            do="Describe how it is written in contract.yaml; or take the rows as they stand: --by-order 30min",
        )
    return _moments(time_values(parse(contract, raw), names), f"the time ({', '.join(names)})")


def _moments(seconds: pl.Series, what: str) -> Int64[np.ndarray, " rows"]:
    unknown = seconds.is_null() | ~seconds.fill_null(0.0).is_finite()
    if unknown.any():
        first = int(unknown.arg_true()[0]) + 1
        raise DataFault(
            f"{what[0].upper()}{what[1:]} is not known in {unknown.sum():,} of {len(seconds):,} rows; the first is row"
            f" {first}.",
            do="Leave those rows out of the source: nobody knows when they happened.",
        )
    return (seconds.to_numpy() * SECOND_US).round().astype(np.int64)


def _by_order(count: int, between: str) -> Int64[np.ndarray, " rows"]:
    apart_us = span_us(between)
    if not apart_us:
        raise Misuse(f"{between!r} is no length of time between two rows.", do="Write it so: --by-order 30min")
    return BY_ORDER_S * SECOND_US + np.arange(count, dtype=np.int64) * apart_us


def _truths(workspace: Workspace, raw: pl.DataFrame) -> list[Any]:
    name = workspace.project.data.target
    typed = parse(contract_of(workspace, raw, [name]), raw).get_column(name)
    values = typed.to_list()
    if typed.dtype == pl.Float64:
        return [int(value) if value is not None and float(value).is_integer() else value for value in values]
    return values


def _known(
    workspace: Workspace, raw: pl.DataFrame, time_us: Int64[np.ndarray, " rows"], after: str
) -> Int64[np.ndarray, " rows"]:
    delay_us = span_us(after)
    if delay_us is not None:
        return time_us + delay_us
    if after not in raw.columns:
        raise Misuse(
            f"Labels come after {after!r}, which is neither a length of time nor a column{nearest(after, raw.columns)}",
            do="Write it so: --labels-after 1d, or name the column with the time when the truth became known.",
        )
    contract = contract_of(workspace, raw, [after], time=[after])
    if contract.field(after).kind != "date":
        raise Misuse(f"Labels come after the column {after!r}, which is a {contract.field(after).kind} and no date.")
    seconds = parse(contract, raw).get_column(after)
    if seconds.null_count() == len(seconds):
        raise DataFault(f"The column {after!r} holds no date that can be read.")
    known = _moments(seconds.fill_null(0.0), f"the column {after!r}")
    known[seconds.is_null().to_numpy()] = NEVER
    return known


def _moment(rows: Rows, text: str, option: str) -> int:
    part = share(text)
    try:
        part = float(part) if isinstance(part, float | str) else 0.0
    except ValueError:
        part = None
    if part is not None:
        if not 0 < part < 1:
            raise Misuse(f"{text!r} is no share of the rows between 0 and 1.", do=f"Write it so: {option} 60%")
        return int(rows.time_us[round(part * len(rows))])
    try:
        return round(seconds_of_iso(text) * SECOND_US)
    except ValueError as error:
        what = option.removeprefix("--")
        raise Misuse(f"The {what} {error}", do=f"Or name a share of the rows: {option} 60%") from None
