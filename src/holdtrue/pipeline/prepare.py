"""From the source to rows that are ready: snapshot, contract, typed columns, target and split."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Float64, Int64

from holdtrue.core.errors import DataFault, Misuse, nearest
from holdtrue.data.breach import Breach
from holdtrue.data.check import check
from holdtrue.data.contract import Contract
from holdtrue.data.contract_yaml import read_yaml
from holdtrue.data.division import By, Split, Table
from holdtrue.data.infer import infer
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.readers.columns import Column, columns_of, same_columns
from holdtrue.data.snapshot import Snapshot, scan, snapshot
from holdtrue.data.source import Source, batches, describe
from holdtrue.data.splits import Parts, split
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.workspace import CONTRACT, Workspace
from holdtrue.spec import Project
from holdtrue.spec.project import Data
from holdtrue.tasks import TASKS, Task

MOST_CLASSES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Rows that are ready to learn from and to judge by.

    Attributes:
        contract: of the whole table; `served` is the part a row must keep to be predicted.
        table: all typed columns with what they are for; `frame` holds those the model sees.
        kinds: how each of them is read.
        truth: the code of the class, or the number.
        classes: the names of the classes in the order of the codes; empty for regression.
        time: seconds since 1970 of each row, if the project has a time.
        clusters: the code of each row's group, if rows belong together: they are resampled together.
        breaches: what breaks the contract and is tolerated by a `complete` promise.
        source: the source as people know it.
    """

    task_name: str
    task: Task
    snapshot: Snapshot
    contract: Contract
    served: Contract
    table: Table
    frame: pl.DataFrame
    kinds: dict[str, str]
    truth: Float64[np.ndarray, " rows"]
    classes: tuple[str, ...]
    split: Split
    parts: Parts
    time: Float64[np.ndarray, " rows"] | None
    clusters: Int64[np.ndarray, " rows"] | None
    breaches: tuple[Breach, ...]
    source: str
    notes: tuple[str, ...]


def source_of(data: Data, location: str) -> Source:
    """Say how a location of the project file is read."""
    return Source(
        location=location,
        query=data.query if "://" in location else None,
        delimiter=data.delimiter,
        encoding=data.encoding,
        header=data.header,
        columns=data.columns,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A snapshot of the source, and how many of its last rows are the held-out ones of a second file.

    `absent` are columns that rows from elsewhere have not: nothing is asked of them, and they name no row.
    """

    snapshot: Snapshot
    held_out_rows: int | None
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prepare(
    workspace: Workspace, source: Taken, *, now: datetime, tell: Tell, contract: Contract | None = None
) -> Prepared:
    """Check, type and split the rows of a snapshot; raises `DataFault` with all that is wrong with them."""
    project, notes = workspace.project, list(source.notes)
    raw = scan(source.snapshot, workspace.home.store)
    _check_columns(workspace, tuple(column.name for column in source.snapshot.columns))
    tell("contract")
    contract = contract or contract_of(workspace, raw, notes)
    kept = contract.only([name for name in contract.names if name not in source.absent]) if source.absent else contract
    breaches = _enforced(kept, raw, project, now)
    typed = parse(contract, raw).collect(engine="streaming")
    task_name = project.task or guess_task(contract, typed, project.data.target)
    task, held_out = TASKS.get(task_name), source.held_out_rows
    truth, classes = _target(typed, contract, project, task)
    time = time_values(typed, project.data.time).to_numpy() if project.data.time else None
    names = [name for name in features_of(contract, project) if name not in source.absent]
    plan = _split(project, task, held_out)
    tell("split")
    table = Table(
        frame=typed,
        target=project.data.target,
        labelled=task.labelled,
        time=project.data.time,
        key=() if set(project.data.key) & set(source.absent) else project.data.key,
        features=tuple(names),
        given=None if held_out is None else np.arange(typed.height) >= typed.height - held_out,
    )
    parts = split(table, plan, now=now)
    notes += parts.notes
    return Prepared(
        task_name=task_name,
        task=task,
        snapshot=source.snapshot,
        contract=contract,
        served=contract.only(names),
        table=table,
        frame=typed.select(names),
        kinds={name: contract.kinds[name] for name in names},
        truth=truth,
        classes=classes,
        split=plan,
        parts=parts,
        time=time,
        clusters=_groups(typed, project),
        breaches=breaches,
        source=describe(source_of(project.data, project.data.source)),
        notes=tuple(notes),
    )


def features_of(contract: Contract, project: Project) -> list[str]:
    """Name the columns that the model sees."""
    hidden = {project.data.target, *project.data.drop, *project.data.key}
    names = [name for name in contract.names if name not in hidden]
    if not names:
        raise Misuse("No column is left to learn from.", do="Take some out of data.drop or data.key.")
    return names


def take(workspace: Workspace, *, tell: Tell) -> Taken:
    """Take the rows of the source, and after them those of `data.test`."""
    data, store, notes = workspace.project.data, workspace.home.store, list[str]()
    held_out_rows = [0]

    def rows() -> Iterator[pa.RecordBatch]:
        first: tuple[Column, ...] = ()
        for batch in batches(source_of(data, data.source), base=workspace.folder, note=notes.append):
            first = columns_of(batch.schema, where=data.source)
            yield batch
        if data.test is not None:
            for batch in batches(source_of(data, data.test), base=workspace.folder, note=notes.append):
                same_columns(columns_of(batch.schema, where=data.test), first, where=data.test, first=data.source)
                held_out_rows[0] += batch.num_rows
                yield batch

    tell("snapshot")
    taken = snapshot(rows(), store=store, progress=lambda done: tell("snapshot", done))
    return Taken(snapshot=taken, held_out_rows=held_out_rows[0] if data.test is not None else None, notes=tuple(notes))


def _check_columns(workspace: Workspace, known: tuple[str, ...]) -> None:
    """Every column the project file names must be there; all that are not are told at once."""
    project = workspace.project
    named = [
        (("data", "target"), project.data.target),
        *((("data", key), name) for key in ("time", "key", "drop") for name in getattr(project.data, key)),
        *((("report", key), name) for key in ("slices", "fair_across") for name in getattr(project.report, key)),
        *((("watch", "slices"), name) for name in project.watch.slices),
        *([(("watch", "by"), project.watch.by)] if project.watch.by else []),
        *([(("split", "group"), project.split.group)] if project.split.group else []),
        *_promised(project),
    ]
    faults = [
        f"{workspace.loaded.place(*path)}: the data have no column {name!r}{nearest(name, known)}"
        for path, name in named
        if name not in known
    ]
    if faults:
        raise Misuse("The project file names columns that are not in the data:", faults=faults)


def _promised(project: Project) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give the columns that promises speak of, each with its path in the project file."""
    for index, entry in enumerate(project.promises):
        if entry.fair:
            yield ("promises", index, "fair", "across"), entry.fair.across
        if entry.quality:
            yield from ((("promises", index, "quality", "where", name), name) for name in entry.quality.where or {})
        if entry.fresh and entry.fresh.column:
            yield ("promises", index, "fresh", "column"), entry.fresh.column


def contract_of(workspace: Workspace, raw: pl.LazyFrame, notes: list[str]) -> Contract:
    """Read the contract, or infer it. What is dropped is still read where people ask about it: fairness across it."""
    project, data, file = workspace.project, workspace.project.data, workspace.contract_file
    asked = [*project.report.slices, *project.report.fair_across, *(name for _, name in _promised(project))]
    group = [project.split.group] if project.split.group else []
    needed = tuple(dict.fromkeys([data.target, *data.time, *data.key, *group, *asked]))
    if not file.is_file():
        notes.append(
            f"There is no {CONTRACT}: the contract was inferred from these rows and is not checked against others."
        )
        drop = [name for name in data.drop if name not in needed]
        return infer(raw, target=data.target, time=data.time, key=data.key, drop=drop)[0]
    contract = _read_contract(file)
    absent = [name for name in needed if name not in contract.names]
    if not absent:
        return contract
    notes.append(f"{CONTRACT} does not describe {', '.join(absent)}; that was inferred from these rows.")
    drop = [name for name in raw.collect_schema().names() if name not in absent]
    target = data.target if data.target in absent else None
    more, _ = infer(raw.drop(drop), target=target, time=[name for name in data.time if name in absent])
    return replace(contract, fields=(*contract.fields, *more.fields))


def _read_contract(file: Path) -> Contract:
    try:
        return read_yaml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise Misuse(f"{CONTRACT} is not UTF-8 text (byte {error.start}).", do="Save it as UTF-8.") from None
    except Misuse as error:
        raise Misuse(f"{CONTRACT}: {error.what}", faults=error.faults, do=error.do) from None


def _enforced(contract: Contract, raw: pl.LazyFrame, project: Project, now: datetime) -> tuple[Breach, ...]:
    """Without a `complete` promise any breach stops the run; with one, it is for the verdict to say."""
    breaches = check(contract, raw, now=now)
    if not breaches or any(entry.kind == "complete" for entry in project.promises):
        return breaches
    raise DataFault(
        f"The rows break their contract in {len(breaches)} place{'s' if len(breaches) > 1 else ''}:",
        faults=[breach.sentence for breach in breaches],
        do="Clean the rows, widen the contract and say why, or promise how much may break: complete.",
    )


def guess_task(contract: Contract, typed: pl.DataFrame, target: str) -> str:
    """Text or few whole numbers are classes; everything else is a number to predict."""
    if not contract.field(target).numeric:
        return "classification"
    values = typed.get_column(target).drop_nulls()
    few = values.n_unique() <= min(20, max(2, len(values) // 20))
    return "classification" if few and bool((values == values.round()).all()) else "regression"


def _target(
    typed: pl.DataFrame, contract: Contract, project: Project, task: Task
) -> tuple[Float64[np.ndarray, " rows"], tuple[str, ...]]:
    name = project.data.target
    column = typed.get_column(name)
    if column.null_count():
        raise DataFault(
            f"The target {name!r} is missing in {column.null_count():,} of {len(column):,} rows.",
            do="Leave those rows out of the source: a row without its truth can neither teach nor judge.",
        )
    if not task.labelled:
        if not contract.field(name).numeric:
            raise Misuse(
                f"The target {name!r} is text, and regression predicts numbers.",
                do="Say `task: classification`, or make the column a number in contract.yaml.",
            )
        return column.cast(pl.Float64).to_numpy().astype(np.float64), ()
    words = column.map_elements(_class_name, return_dtype=pl.String) if contract.field(name).numeric else column
    classes = sorted(words.unique().to_list(), key=_class_order)
    if len(classes) < 2:
        raise DataFault(
            f"The target {name!r} has one class only ({', '.join(map(repr, classes))}).",
            do="Classification needs rows of at least two classes.",
        )
    if len(classes) > MOST_CLASSES:
        raise DataFault(
            f"The target {name!r} has {len(classes):,} classes; at most {MOST_CLASSES} can be judged.",
            do="Group them, or say `task: regression` if it is a number.",
        )
    positive = project.data.positive
    if positive is not None:
        if positive not in classes or len(classes) != 2:
            raise Misuse(f"data.positive is {positive!r}; the classes of {name!r} are {', '.join(map(repr, classes))}.")
        classes = [each for each in classes if each != positive] + [positive]
    codes = words.replace_strict(classes, list(range(len(classes))), return_dtype=pl.Float64)
    return codes.to_numpy().astype(np.float64), tuple(classes)


def truths_of(column: pl.Series, classes: tuple[str, ...]) -> "tuple[Float64[np.ndarray, ' known'], pl.Series]":
    """Give the truth of typed rows that came later, and which of them have one of the known classes."""
    if not classes:
        return column.cast(pl.Float64).to_numpy().astype(np.float64), column.is_not_null()
    words = column.map_elements(_class_name, return_dtype=pl.String) if column.dtype != pl.String else column
    codes = words.replace_strict(classes, list(range(len(classes))), return_dtype=pl.Float64, default=None)
    return codes.drop_nulls().to_numpy().astype(np.float64), codes.is_not_null()


def _class_name(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _class_order(name: str) -> tuple[int, float, str]:
    """Order numbers by size and words by alphabet; in a binary task the last is the positive class."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _groups(typed: pl.DataFrame, project: Project) -> Int64[np.ndarray, " rows"] | None:
    if project.split.group is None:
        return None
    column = typed.get_column(project.split.group).cast(pl.String).fill_null("")
    return column.rank("dense").to_numpy().astype(np.int64) - 1


def _split(project: Project, task: Task, held_out_rows: int | None) -> Split:
    settings = project.split
    if held_out_rows is not None and settings.by not in (None, "given"):
        raise Misuse(
            f"data.test names the held-out rows, so the split is not by {settings.by}.", do="Leave split.by out."
        )
    by = settings.by or _usual_split(project, task, given=held_out_rows is not None)
    if by == "given" and held_out_rows is None:
        raise Misuse("A given split needs data.test, the file with the held-out rows.")
    if by == "time" and not project.data.time:
        raise Misuse("A split by time needs data.time, the column that orders the rows.")
    if by == "stratified" and not task.labelled:
        by = "random"
    return Split(
        by=by, validation=settings.validation, test=settings.test, group=settings.group, seed=project.learn.seed
    )


def _usual_split(project: Project, task: Task, *, given: bool) -> By:
    if given:
        return "given"
    if project.split.group:
        return "group"
    if project.data.time:
        return "time"
    return "stratified" if task.labelled else "random"
