"""A challenger is trained: the rows there are now, from the source, from labelled traffic or from both, walked anew.

The same source, the same traffic and the same last moment give the same rows, so the same digest, also where a
training was killed and is asked for again. What is judged by: the newest rows, where rows have a time.

The held-out rows of one training are mostly those of the last. Each look at them is therefore paid for by the most
looked at of a few rows that both have (`run.py`): a training a day on slowly growing traffic is judged more strictly
from day to day, until newer rows have taken the place of older ones.
"""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

import json
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.contract import Contract
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.readers.columns import Column
from holdtrue.data.readers.frames import frame_batches
from holdtrue.data.snapshot import Snapshot, scan, snapshot
from holdtrue.data.snapshot import load as load_snapshot
from holdtrue.pipeline.gathering import Gathering, Left, Wanted
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.prepare import Taken, contract_of, features_of, guess_task, take
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.replay import Again
from holdtrue.pipeline.respelling import RECEIVED, form_of, of_source
from holdtrue.pipeline.run import run
from holdtrue.pipeline.workspace import Workspace
from holdtrue.registry.aliases import aliases_of
from holdtrue.release.predictor import Predictor
from holdtrue.spec import Project
from holdtrue.tasks import TASKS

CHAMPION = "champion"
ROW = "\0row"  # no file has a column of this name
DAY_US = 86_400_000_000
MOST_HELD = 0.95  # as in a project file: some rows must be left to learn from


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrained:
    """What a training came to.

    Attributes:
        release: the digest of the candidate, released or not.
        promises: the texts of the required promises, as in the report.
        cpu_s: processor time of this process meanwhile, and of its children that ended.
        rows: of which `live_rows` came from traffic; `left` says what of the traffic was not taken.
        aliases: the names it was given.
    """

    release: str
    verdict: Literal["proven", "unproven", "refuted"]
    promises: tuple[str, ...]
    cpu_s: float
    rows: int
    live_rows: int
    left: Left
    report: Path
    aliases: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "report": str(self.report)}


def retrain(
    workspace: Workspace,
    keeper: Keeper,
    *,
    until_us: int,
    tell: Tell,
    environ: Mapping[str, str],
    now: datetime,
    again: Again | None = None,
) -> Retrained:
    """Train a challenger as `retrain` of the project says, on what was known at `until_us`.

    It holds the store as a run does, so another run or `gc` meanwhile is refused with `Busy`, and so is this one while
    they go on; an endpoint serves on. Raises `DataFault` when there are no rows, and `Misuse` when the rows of traffic
    cannot be put beside those of the source.
    """
    if until_us > round(now.timestamp() * 1e6):
        raise Misuse("The last moment to learn from lies in the future.", do="Give one that is over.")
    began_s = _cpu_s()
    fresh = _Fresh(workspace=workspace, keeper=keeper, until_us=until_us, tell=tell, again=again)
    outcome = run(
        replace(workspace, loaded=replace(workspace.loaded, project=renewed(workspace.project))),
        now=now,
        clock=time.perf_counter,
        tell=tell,
        actor=keeper.actor,
        environ=environ,
        taken=fresh.take,
        overlapping=True,
    )
    promises = [str(each["text"]) for each in outcome.contents["promises"] if each["required"]]
    return Retrained(
        release=outcome.candidate,
        verdict=_verdict(outcome.verdict),
        promises=tuple(dict.fromkeys(promises)),
        cpu_s=_cpu_s() - began_s,
        rows=int(outcome.contents["data"]["rows"]),
        live_rows=fresh.left.taken,
        left=fresh.left,
        report=outcome.report,
        aliases=outcome.aliases,
    )


def renewed(project: Project) -> Project:
    """Give the project as a training by itself has it: other shares, and the newest rows judge if there is a time.

    Rows of traffic come after a second file of held-out rows, so where there are such, that file is one of the source.
    A group stays together, whatever the time.
    """
    wanted, split, data = project.retrain, project.split, project.data
    if wanted.validation + wanted.test >= MOST_HELD:
        raise Misuse("retrain.validation and retrain.test together leave less than 5 % of the rows to learn from.")
    joined = wanted.source != "source"
    if joined:
        data = data.model_copy(update={"test": None, "drop": (*data.drop, RECEIVED)})
    by = split.by if split.by != "given" or data.test is not None else None
    if data.test is None and split.group is None and data.time:
        by = "time"
    split = split.model_copy(update={"by": by, "validation": wanted.validation, "test": wanted.test})
    return project.model_copy(update={"data": data, "split": split})


@dataclass(kw_only=True, slots=True)
class _Fresh:
    """Takes the rows of a training; `left` is known afterwards."""

    workspace: Workspace
    keeper: Keeper
    until_us: int
    tell: Tell
    again: Again | None
    left: Left = field(default_factory=Left)

    @property
    def project(self) -> Project:
        return self.workspace.project

    @property
    def since_us(self) -> int | None:
        newest = self.project.retrain.newest
        return None if newest is None else self.until_us - round(newest * DAY_US)

    def take(self) -> Taken:
        wanted = self.project.retrain.source
        if wanted == "source":
            return self._of_source()
        taken = self._source() if wanted == "both" else Taken(snapshot=self._past(), held_out_rows=None)
        return self._joined(taken, with_source=wanted == "both")

    def _source(self) -> Taken:
        if self.since_us is not None and not self.project.data.time:
            raise Misuse(
                "retrain.newest cannot be kept: the rows of the source have no time.",
                do="Name it in data.time, learn from traffic alone (retrain.source: traffic), or leave newest out.",
            )
        try:
            return take(self.workspace, tell=self.tell)
        except DataFault as error:
            raise DataFault(
                f"The source cannot be read for a training: {error.what}",
                faults=error.faults,
                do=f"{error.do} To learn from labelled traffic alone, set retrain.source: traffic".strip(),
            ) from error

    def _of_source(self) -> Taken:
        taken = self._source()
        if self.since_us is None:
            return taken
        notes: list[str] = []
        contract = contract_of(self.workspace, scan(taken.snapshot, self.workspace.home.store), notes)
        first_held = taken.snapshot.rows - (taken.held_out_rows or 0)
        held = 0

        def rows() -> Iterator[pa.RecordBatch]:
            nonlocal held
            for start, frame in _frames(taken.snapshot, self.workspace):
                kept = _recent(frame.with_row_index(ROW, offset=start), contract, self.project, self.since_us)
                held += int((kept.get_column(ROW) >= first_held).sum())
                yield from frame_batches(kept.drop(ROW))

        made = snapshot(rows(), store=self.workspace.home.store)
        return replace(taken, snapshot=made, held_out_rows=None if taken.held_out_rows is None else held)

    def _champion(self) -> Predictor | None:
        aliases = self.keeper.database().read(lambda connection: aliases_of(connection, self.keeper.project))
        return self.keeper.predictor(CHAMPION) if any(alias.name == CHAMPION for alias in aliases) else None

    def _past(self) -> Snapshot:
        """Find the rows of the champion: they say how those of traffic are to look where there is no source."""
        champion = self._champion()
        if champion is None:
            raise Misuse("There is no champion, so no traffic to learn from.", do="Make one: holdtrue run")
        return load_snapshot(champion.release.core.lineage.snapshot, store=self.workspace.home.store)

    def _joined(self, taken: Taken, *, with_source: bool) -> Taken:
        """Put the rows of traffic after those of the source."""
        columns = [column for column in taken.snapshot.columns if with_source or column.name != RECEIVED]
        wanted, contract, unused = self._wanted(taken.snapshot, columns)
        gathering = Gathering(self.keeper, wanted, tell=self.tell, again=self.again)
        self.left = gathering.left

        def rows() -> Iterator[pa.RecordBatch]:
            for _, frame in _frames(taken.snapshot, self.workspace) if with_source else ():
                yield from frame_batches(of_source(wanted.form, _recent(frame, contract, self.project, self.since_us)))
            yield from gathering.batches()
            if not with_source and not gathering.left.taken:
                raise DataFault(
                    "There is no labelled traffic to learn from:",
                    faults=gathering.left.notes(),
                    do="Give labels (holdtrue label, or POST /labels), or learn from the source too: retrain.source",
                )

        made = snapshot(rows(), store=self.workspace.home.store, progress=lambda done: self.tell("snapshot", done))
        return Taken(
            snapshot=made,
            held_out_rows=None,
            absent=wanted.form.absent,
            notes=(*taken.notes, *gathering.left.notes(), *_told(unused)),
        )

    def _wanted(self, past: Snapshot, columns: list[Column]) -> tuple[Wanted, Contract, tuple[str, ...]]:
        """Say which traffic is taken and how it is to look, from how the rows before it look; and what is left out."""
        project, data = self.project, self.project.data
        raw = scan(past, self.workspace.home.store, [column.name for column in columns])
        contract = contract_of(self.workspace, raw, [])
        champion = self._champion()
        offered = features_of(contract, project)
        unused = () if champion is None else self._unused(champion, offered)
        features = tuple(name for name in offered if name not in unused)
        given = tuple(dict.fromkeys((*features, data.target, *data.time)))
        group = project.split.group
        if group is not None and group not in given:
            raise Misuse(
                f"Rows of one {group!r} must stay together (split.group), and requests do not say theirs.",
                do="Let the model take the column, or learn from the source alone: retrain.source: source",
            )
        target = parse(contract.only([data.target]), raw).collect(engine="streaming")
        task = project.task or guess_task(contract, target, data.target)
        agreed = contract.only(given)
        once = replace(agreed, fields=tuple(replace(one, unique=False) for one in agreed.fields), key=())
        # What the challenger does not learn from, the champion beside it may still ask for.
        asked = () if champion is None else champion.contract.fields
        more = {
            field.name: contract.field(field.name) if field.name in contract.names else field
            for field in asked
            if field.name not in given and any(column.name == field.name for column in columns)
        }
        wanted = Wanted(
            form=form_of(columns, contract, given, more=more),
            more=tuple(more),
            data=data,
            features=features,
            kept=once if self.workspace.contract_file.is_file() else None,
            labelled=TASKS.get(task).labelled,
            until_us=self.until_us,
            since_us=self.since_us,
        )
        return wanted, contract, unused

    def _unused(self, champion: Predictor, features: list[str]) -> tuple[str, ...]:
        """Name the columns that the champion was offered and found no use for, such as one that never changed.

        No traffic has them, so with them nothing could be learnt from it. One that is new to the champion is none.
        """
        line, store = champion.release.core.lineage, self.workspace.home.store
        if not store.has(line.project):
            return ()
        hidden = json.loads(store.get(line.project))["data"].get("drop", ())
        known = {column.name for column in load_snapshot(line.snapshot, store=store).columns} - set(hidden)
        taken = {str(port["name"]) for port in champion.release.core.inputs}
        return tuple(name for name in features if name in known - taken)


def _told(unused: tuple[str, ...]) -> tuple[str, ...]:
    names = ", ".join(map(repr, unused))
    why = "the champion found no use there, so traffic does not say it; retrain.source: source would learn from it"
    return (f"Not learnt from: {names}; {why}.",) if unused else ()


def _frames(kept: Snapshot, workspace: Workspace) -> Iterator[tuple[int, pl.DataFrame]]:
    """Give the parts of a snapshot, each with the place of its first row."""
    start = 0
    for part in kept.parts:
        yield start, scan(replace(kept, parts=(part,)), workspace.home.store).collect()
        start += part.rows


def _recent(frame: pl.DataFrame, contract: Contract, project: Project, since_us: int | None) -> pl.DataFrame:
    """Keep the rows since a moment, and those whose time is not known: what cannot use them says so."""
    if since_us is None:
        return frame
    seconds = time_values(parse(contract.only(project.data.time), frame), project.data.time)
    return frame.filter((seconds >= since_us / 1e6).fill_null(value=True))


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _verdict(text: str) -> Literal["proven", "unproven", "refuted"]:
    assert text in ("proven", "unproven", "refuted")
    return text
