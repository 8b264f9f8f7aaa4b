"""The rows that two releases are compared on, and what both answer to them.

They are the rows that judged the challenger, and the traffic that was labelled since it was made, less those that the
champion learnt from. Traffic that came after the
champion was made is new to it, whatever it says. Of the other rows it learnt: all up to the end of its learning part,
where that was cut by time; else those that are the same rows, by their key or by what the models see of them.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.data.contract import Contract
from holdtrue.data.contract_json import from_dict
from holdtrue.data.dates import iso_of_seconds
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.snapshot import scan
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.robustness import perturb, reference_of
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.pipeline.gathering import Gathering, Wanted
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.make import answers_of
from holdtrue.pipeline.prepare import Prepared, prepare, truths_of
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.reproduce import restored, taken_of
from holdtrue.pipeline.respelling import RECEIVED, form_of, of_source
from holdtrue.pipeline.workspace import Home
from holdtrue.release.held import CONTRACT, MODEL
from holdtrue.release.quarantine import Admitted, admit
from holdtrue.release.signing import trusted_keys
from holdtrue.spec import Project

ROW = "\0row"  # no file has a column of this name


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One release: checked, with the bytes that were."""

    admitted: Admitted
    contract: Contract
    report: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return self.admitted.release.digest

    @property
    def made(self) -> datetime:
        """The second after its rows were taken."""
        return datetime.fromisoformat(str(self.report["created"])) + timedelta(seconds=1)

    def answer(self, typed: pl.DataFrame) -> Mapping[str, np.ndarray]:
        return run(session(self.admitted.files[MODEL]), typed)


def side(keeper: Keeper, name: str) -> Side:
    """Check a release, named by its digest or an alias."""
    admitted = admit(keeper.folder_of(name), trusted=trusted_keys(keeper.home.keys))
    return Side(
        admitted=admitted,
        contract=from_dict(json.loads(admitted.files[CONTRACT])),
        report=json.loads(admitted.files["report.json"]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """The rows a release was made from, as they were then; `raw` are those that judged it, as they are for anybody."""

    project: Project
    prepared: Prepared
    rows: Int64[np.ndarray, " held_out"]
    raw: pl.DataFrame


def room_of(one: Side, home: Home, tell: Tell) -> Room:
    """Make the rows of a release ready again; raises `Misuse` or `Refused` where this store does not hold them."""
    lineage = one.admitted.release.core.lineage
    with tempfile.TemporaryDirectory() as scratch:
        workspace, taken = restored(lineage, home, Path(scratch)), taken_of(lineage, home)
        prepared = prepare(workspace, taken, now=one.made, tell=tell)
    rows = prepared.parts.test
    raw = scan(taken.snapshot, home.store).collect()[rows]
    return Room(project=workspace.project, prepared=prepared, rows=rows, raw=raw)


def with_traffic(room: Room, challenger: Side, champion: Side, keeper: Keeper, *, until_us: int, tell: Tell) -> Room:
    """Add the labelled traffic that came after the challenger was made, as it was known at `until_us`."""
    prepared, data = room.prepared, room.project.data
    features, columns = (
        tuple(prepared.frame.columns),
        [one for one in prepared.snapshot.columns if one.name != RECEIVED],
    )
    given = tuple(dict.fromkeys((*features, data.target, *data.time)))
    names = {column.name for column in columns}
    more = {one.name: one for one in champion.contract.fields if one.name in names and one.name not in given}
    form = form_of(columns, prepared.contract, given, more=more)
    wanted = Wanted(
        form=form,
        data=data,
        features=features,
        kept=None,
        labelled=prepared.task.labelled,
        until_us=until_us,
        more=tuple(more),
    )
    raw = room.raw if RECEIVED in room.raw.columns else of_source(form, room.raw)
    batches = Gathering(keeper, wanted, tell=tell).batches()
    later = [pl.DataFrame(pl.from_arrow(batch)).filter(pl.col(RECEIVED) > challenger.made) for batch in batches]
    live = pl.concat([raw.clear(), *(each.select(raw.columns) for each in later)])
    typed = parse(prepared.contract, live)
    truth, known = truths_of(typed.get_column(data.target), prepared.classes)
    frame = pl.concat([prepared.table.frame, typed.filter(known)])
    added = np.arange(prepared.table.frame.height, frame.height)
    group = room.project.split.group
    return replace(
        room,
        prepared=replace(
            prepared,
            table=replace(prepared.table, frame=frame),
            frame=frame.select(features),
            truth=np.concatenate([prepared.truth, truth]),
            time=time_values(frame, data.time).to_numpy() if data.time else None,
            clusters=frame.get_column(group).rank("dense").to_numpy().astype(np.int64) if group else None,
        ),
        rows=np.concatenate([room.rows, added]),
        raw=pl.concat([raw, live.filter(known)]),
    )


def past_of(champion: Side, home: Home, tell: Tell) -> Room | None:
    """Find what the champion learnt from; None where this store does not hold it any more."""
    try:
        return room_of(champion, home, tell)
    except HoldtrueError:
        return None


def fresh_rows(room: Room, champion: Side, past: Room | None) -> "tuple[Bool[np.ndarray, ' held_out'], str]":
    """Find the held-out rows that the champion cannot have learnt from, and say how."""
    later = np.zeros(len(room.rows), dtype=bool)
    if RECEIVED in room.raw.columns:
        later = (room.raw.get_column(RECEIVED) > champion.made).fill_null(value=False).to_numpy()
    live = f"{int(later.sum()):,} came from traffic after the champion was made"
    if past is None:
        return later, f"{live}, and what the champion learnt from is not in this store any more"
    new, how = _not_learnt(room, past)
    return later | new, f"{live}, and {int((new & ~later).sum()):,} more {how}"


def _not_learnt(room: Room, past: Room) -> "tuple[Bool[np.ndarray, ' held_out'], str]":
    before, here = past.prepared, room.prepared
    learnt = np.concatenate([before.parts.train, before.parts.validation])
    if before.split.by == "time" and before.time is not None and here.time is not None:
        end_s = float(before.time[learnt].max())
        return here.time[room.rows] > end_s, f"are later than all it learnt from, {iso_of_seconds(end_s)}"
    rows, known = here.table.frame[room.rows], before.table.frame[learnt]
    seen = [name for name in here.frame.columns if rows.schema[name] == known.schema.get(name)]
    key = list(past.project.data.key) if past.project.data.key == room.project.data.key else []
    if not key or not all(name in rows.columns and name in known.columns for name in key):
        return ~_among(rows, known, seen), "are none of those it learnt from, by what the models see of them"
    # Rows of traffic have no key.
    keyed, others = (known.filter(pl.all_horizontal(pl.col(key).is_not_null()) == there) for there in (True, False))
    has_key = rows.select(pl.all_horizontal(pl.col(key).is_not_null())).to_series().to_numpy()
    same = np.where(has_key, _among(rows, keyed, key), _among(rows, others, seen))
    return ~same, "are none of those it learnt from, by their key"


def _among(rows: pl.DataFrame, known: pl.DataFrame, names: list[str]) -> Bool[np.ndarray, " rows"]:
    """Say of each row whether another table has one that is equal in these columns."""
    found = rows.with_row_index(ROW).join(known.select(names).unique(), on=names, how="semi", nulls_equal=True)
    among = np.zeros(rows.height, dtype=bool)
    among[found.get_column(ROW).to_numpy()] = True
    return among


@dataclass(frozen=True, kw_only=True, slots=True)
class Hall:
    """The rows that are contested, typed as each side reads them; `frame` is the challenger's, with all its columns."""

    room: Room
    challenger: Side
    champion: Side
    rows: Int64[np.ndarray, " fresh"]
    frame: pl.DataFrame
    theirs: pl.DataFrame

    @property
    def seed(self) -> int:
        return self.room.project.learn.seed

    def answers(self) -> tuple[Predictions, Predictions]:
        return self._both(self.frame, self.theirs)

    def disturbed(self, name: str) -> tuple[Predictions, Predictions]:
        """Let both answer the same rows disturbed; what the challenger does not see stays as it is."""
        prepared = self.room.prepared
        reference = reference_of(prepared.frame[prepared.parts.train])
        moved = perturb(name, self.frame.select(prepared.frame.columns), reference, self.seed)
        alike = [each for each in moved.columns if moved.schema[each] == self.theirs.schema.get(each)]
        return self._both(moved, self.theirs.with_columns(moved.select(alike)))

    def _both(self, mine: pl.DataFrame, theirs: pl.DataFrame) -> tuple[Predictions, Predictions]:
        coverage = self.room.project.decide.coverage
        sides = ((self.challenger, mine), (self.champion, theirs))
        one, other = (answers_of(each.answer(rows), self.room.prepared, self.rows, coverage) for each, rows in sides)
        return one, other


def hall_of(room: Room, challenger: Side, champion: Side, fresh: "Bool[np.ndarray, ' held_out']") -> Hall:
    """Lay out the contested rows; raises `Misuse` when the champion cannot answer them."""
    core, prepared = champion.admitted.release.core, room.prepared
    absent = [name for name in champion.contract.names if name not in room.raw.columns]
    if absent or (core.task, core.classes) != (prepared.task_name, prepared.classes):
        told = (
            f"it takes the columns {', '.join(absent)}"
            if absent
            else f"it predicts {', '.join(core.classes) or core.task}"
        )
        raise Misuse(
            f"The champion ({core.digest[:12]}…) cannot answer the rows of the challenger: {told}.",
            do="Compare them by hand, and promote: holdtrue promote",
        )
    rows = room.rows[fresh]
    return Hall(
        room=room,
        challenger=challenger,
        champion=champion,
        rows=rows,
        frame=prepared.table.frame[rows],
        theirs=parse(champion.contract, room.raw.filter(pl.Series(fresh))),
    )
