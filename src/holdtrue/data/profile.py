"""What a table holds and what its columns may be for: all that is needed to write a first project file.

Counts are of all rows; what needs a model or an order looks at a sample that depends on the number of rows alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from holdtrue.core.errors import DataFault
from holdtrue.data.codes import codes_of
from holdtrue.data.contract import Contract
from holdtrue.data.division import Split
from holdtrue.data.guesses import Guess, composed_times, group_of, key_of, task_of, time_of
from holdtrue.data.hashes import dealt
from holdtrue.data.infer import NAMED_ID, Column, describe
from holdtrue.data.leaks import leaks
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.rules import Kind
from holdtrue.data.scores import Target

SAMPLE_ROWS = 20_000
TOP = 5
MANY, MANY_SHARE = 1000, 0.1
FEWEST_OF_A_CLASS = 5
Names = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnProfile:
    """One column in numbers; `low`, `high` and `mean` are of numbers and dates (seconds since 1970 UTC)."""

    name: str
    kind: Kind
    missing: float
    distinct: int
    top: tuple[tuple[str, float], ...] = ()
    low: float | None = None
    high: float | None = None
    mean: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspicion:
    """Why a column should be looked at; `drop` when it should be left out until someone has."""

    column: str
    what: str
    reason: str
    drop: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What was found in a table, and what it is guessed to be."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    suspicions: tuple[Suspicion, ...]
    target: str | None
    task: Guess[str] | None
    time: Guess[Names]
    key: Guess[Names]
    group: Guess[str | None]
    split: Guess[Split]


def profile(table: pl.DataFrame | pl.LazyFrame, target: str | None) -> Profile:
    """Look at raw rows; raises `Misuse` when the target is not there and `DataFault` when there is no row."""
    described = describe(table, target=target)
    rows = described[0].values.rows if described else 0
    if not rows:
        raise DataFault("The table has no rows.", do="Give a file with a header and at least one row below it.")
    sample = _sample(table, described, rows)
    features = [column for column in described if column.field.name != target]
    aim = next((column for column in described if column.field.name == target), None)
    task = task_of(aim) if aim else None
    composed = composed_times(features)
    suspicions = [suspicion for column in features if (suspicion := _plain_suspicion(column, sample))]
    kinds: dict[str, Kind] = {column.field.name: column.field.kind for column in described}
    if aim and task:
        hidden = {suspicion.column for suspicion in suspicions if suspicion.drop}  # they tell nothing anyway
        suspicions += _leaks(sample.drop(hidden), aim, task.value, composed, kinds)
    leaking = {suspicion.column for suspicion in suspicions if suspicion.what == "leak"}
    time = time_of(features, sample, composed, leaking)
    group = group_of(features)
    return Profile(
        rows=rows,
        columns=tuple(_column_profile(column) for column in described),
        suspicions=tuple(suspicions),
        target=target,
        task=task,
        time=time,
        key=key_of(features),
        group=group,
        split=_split(time, group, task),
    )


def _sample(table: pl.DataFrame | pl.LazyFrame, described: Sequence[Column], rows: int) -> pl.DataFrame:
    """Typed rows in their order, all of them or some that a hash of their places picks."""
    lazy = table.lazy()
    if rows > SAMPLE_ROWS:
        places = dealt(np.arange(rows, dtype=np.uint64), seed=0)
        chosen = pl.LazyFrame({"\0row": np.sort(np.argsort(places)[:SAMPLE_ROWS]).astype(np.uint32)})
        lazy = lazy.with_row_index("\0row").join(chosen, on="\0row", how="semi").sort("\0row").drop("\0row")
    contract = Contract(fields=tuple(column.field for column in described))
    return parse(contract, lazy).collect(engine="streaming")


def _column_profile(column: Column) -> ColumnProfile:
    reading, present = column.reading, column.reading.present
    rows = max(column.values.rows, 1)
    often = np.argsort(-present.counts, kind="stable")[:TOP]
    shown = [] if column.field.personal else often
    values = reading.present.values
    summary: dict[str, float] = {}
    if column.field.numeric and len(reading.typed):
        numbers = reading.typed.cast(pl.Float64).to_numpy()
        finite = np.isfinite(numbers)
        if finite.any():
            mean = float(np.average(numbers[finite], weights=present.counts[finite]))
            summary = {"low": float(numbers[finite].min()), "high": float(numbers[finite].max()), "mean": mean}
    return ColumnProfile(
        name=column.field.name,
        kind=column.field.kind,
        missing=1 - present.present / rows,
        distinct=len(values),
        top=tuple((str(values[int(place)]), int(present.counts[place]) / rows) for place in shown),
        **summary,
    )


def _plain_suspicion(column: Column, sample: pl.DataFrame) -> Suspicion | None:
    """What is odd about a column by itself, the gravest first."""
    name, field, present = column.field.name, column.field, column.reading.present
    distinct = len(present.values)
    if not distinct:
        return Suspicion(column=name, what="all missing", reason="it has no value in any row", drop=True)
    if distinct == 1:
        gaps = " or nothing" if present.present < column.values.rows else ""
        value = "the same" if field.personal else repr(present.values[0])
        reason = f"it is {value}{gaps} in every row"
        return Suspicion(column=name, what="constant", reason=reason, drop=not gaps)
    identifier = _identifier(column, sample)
    if identifier:
        return Suspicion(column=name, what="identifier", reason=identifier, drop=True)
    if field.personal:
        return Suspicion(column=name, what="personal", reason="it seems to belong to a person", drop=False)
    if field.kind == "text":
        return Suspicion(column=name, what="text", reason=f"it is free text, {distinct:,} values in all", drop=False)
    if field.kind == "category" and (distinct > MANY or distinct > max(50, MANY_SHARE * present.present)):
        reason = f"it has {distinct:,} categories in {present.present:,} rows; most are too rare to learn from"
        return Suspicion(column=name, what="high cardinality", reason=reason, drop=False)
    return None


def _identifier(column: Column, sample: pl.DataFrame) -> str:
    """Say why a column names rows instead of describing them, or nothing."""
    field, present = column.field, column.reading.present
    if field.unique:
        steps = sample.get_column(field.name).diff().drop_nulls() if field.numeric else pl.Series([], dtype=pl.Float64)
        growing = ", growing from row to row" if len(steps) and bool((steps > 0).all()) else ""
        return f"every row has another value{growing}"
    nearly = len(present.values) >= 0.95 * present.present and present.present >= 50
    counted = field.integer or field.kind == "category"
    if nearly and counted and NAMED_ID.search(field.name):
        return "it is called an id and nearly every row has another value"
    return ""


def _leaks(
    sample: pl.DataFrame, aim: Column, task: str, composed: Sequence[Names], kinds: Mapping[str, Kind]
) -> list[Suspicion]:
    name = aim.field.name
    sample = sample.filter(pl.col(name).is_not_null())
    truth = sample.get_column(name)
    classes: tuple[str, ...] = ()
    values = truth.cast(pl.Float64, strict=False).to_numpy()
    if task == "classification":
        codes, names = codes_of(truth)
        counts = np.sort(np.bincount(codes))
        if len(names) < 2 or counts[-2] < FEWEST_OF_A_CLASS:
            return []
        classes = tuple(f"{each:g}" if isinstance(each, float) else str(each) for each in names)
        values = codes
    elif truth.dtype == pl.String or sample.height < 2 * FEWEST_OF_A_CLASS or truth.n_unique() < 2:
        return []
    times = {
        " + ".join(parts): time_values(sample, parts).fill_null(float("nan")).to_numpy()
        for parts in composed
        if set(parts) <= set(sample.columns)
    }
    found = leaks(
        sample.drop(name),
        Target(name=name, values=np.asarray(values, dtype=np.float64), classes=classes),
        kinds,
        times,
    )
    return [Suspicion(column=leak.column, what="leak", reason=leak.reason, drop=leak.sure) for leak in found]


def _split(time: Guess[Names], group: Guess[str | None], task: Guess[str] | None) -> Guess[Split]:
    if time.value:
        return Guess(
            value=Split(by="time"), reason="rows have a time: the model is judged on the latest, as it will be used"
        )
    if group.value:
        return Guess(
            value=Split(by="group", group=group.value),
            reason=f"rows with the same {group.value} are alike: the model is judged on others than it has seen",
        )
    if task and task.value == "classification":
        return Guess(
            value=Split(by="stratified"), reason="no column says when; every part gets its share of each class"
        )
    return Guess(value=Split(by="random"), reason="no column says when")
