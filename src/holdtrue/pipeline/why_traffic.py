"""Why traffic is not as it was: the rows and the labels of late, held against what the release learned from."""

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from heapq import heappush, heappushpop
from typing import Any

import numpy as np
import polars as pl

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.data.traffic.subjects import Forgotten
from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.causes import Change, changes
from holdtrue.monitoring.label_causes import Complaint, Heard, complaint, heard, late, odd
from holdtrue.monitoring.ruler import Columns
from holdtrue.pipeline.held_out import read_held_out
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.label_join import LabelJoin
from holdtrue.pipeline.labelled import spellings
from holdtrue.pipeline.recorded import recorded_outputs
from holdtrue.pipeline.replay import Again, traffic_of
from holdtrue.pipeline.why import Cause
from holdtrue.release.held import REFERENCE
from holdtrue.release.interface import read_interface
from holdtrue.serving.model import Model
from holdtrue.serving.reader import Typed

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
DAYS = 28  # of traffic that are looked at
A_DAY = 1_000  # predictions of each day that are opened, and as many that have a label
LEAST_ROWS, MOST_ROWS = 500, 20_000  # rows that are "now": at least one day of them, and at most so many
SERVED = ("champion", "canary", "pinned")  # routes whose answers went out
POPULATION = "population changed"
LEAK = "may be known only afterwards"  # what a note of a report says of a column


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A prediction, opened; `truths` are its labels by row: value, source, and when each came; `odd` say no truth."""

    time_us: int
    caller: str
    typed: Typed
    outputs: Mapping[str, Any]
    truths: Mapping[int, tuple[float, str, int]]
    odd: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What a release was asked of late, and what is held against it.

    Attributes:
        past: rows that the release learned from.
        rows: a sample of the predictions, in the order of time; `labelled` one of those that have a label.
        report: its report, as JSON has it.
        asked: rows by the hour since 1970; `came` are labels.
        damaged: what of the log could not be read.
    """

    model: Model
    past: Columns
    rows: tuple[_Row, ...]
    labelled: tuple[_Row, ...]
    held_out: Predictions | None
    report: Mapping[str, Any]
    asked: Mapping[int, int]
    came: Mapping[int, int]
    damaged: tuple[str, ...]

    @property
    def dates(self) -> list[str]:
        return [each.name for each in self.model.reader.contract.fields if each.kind == "date"]


def traffic_now(keeper: Keeper, release: str, *, now: datetime, again: Again) -> Traffic | None:
    """Read what a release was asked in the last weeks; None where no endpoint ever wrote."""
    folder = traffic_of(keeper)
    if not (folder / keeper.project).is_dir():
        return None
    admitted, model = again.ready(keeper.folder_of(release).name)
    until_us = round(now.timestamp() * 1e6)
    damaged: list[str] = []
    said = list(labels(folder, endpoint=keeper.project, faults=damaged))
    join, asked = LabelJoin(said), Counter[int]()
    some, known = _Sample(), _Sample()
    kept = receipts(
        folder, endpoint=keeper.project, since_us=until_us - DAYS * DAY_US, until_us=until_us, faults=damaged
    )
    for one in kept:
        if one.release == model.about.digest and one.route in SERVED:
            asked[one.time_us // HOUR_US] += one.rows
            some.add(one)
            if join.may_know(one):
                known.add(one)
    reader = _Reader(again, model, join)
    held = read_held_out(keeper.home, model.about.digest, model.plan.classes)
    return Traffic(
        model=model,
        past=typed_columns(model, pl.read_parquet(io.BytesIO(admitted.files[REFERENCE]))),
        rows=tuple(row for one in some.kept() if (row := reader.read(one)) is not None),
        labelled=tuple(
            row for one in known.kept() if (row := reader.read(one)) is not None and (row.truths or row.odd)
        ),
        held_out=None if held is None else held.predictions,
        report=json.loads(admitted.files["report.json"]),
        asked=asked,
        came=Counter(each.received_us // HOUR_US for each in said),
        damaged=tuple(fault for fault in dict.fromkeys(damaged) if "has no seal" not in fault),
    )


class _Sample:
    """Keeps some predictions of each day by chance; those with equal bodies are kept together, or left together."""

    def __init__(self) -> None:
        self._days: dict[int, list[tuple[int, str, Receipt]]] = {}

    def add(self, receipt: Receipt) -> None:
        day = self._days.setdefault(receipt.time_us // DAY_US, [])
        number = int.from_bytes(sha256(receipt.body).digest()[:8], "big")
        item = (-number, receipt.id, receipt)  # the ids differ, so receipts are never compared
        if len(day) < A_DAY:
            heappush(day, item)
        elif item > day[0]:
            heappushpop(day, item)

    def kept(self) -> list[Receipt]:
        return sorted((one for day in self._days.values() for _, _, one in day), key=lambda one: (one.time_us, one.id))


class _Reader:
    """Opens receipts, and finds their labels."""

    def __init__(self, again: Again, model: Model, known: LabelJoin) -> None:
        self._again, self._model, self._known = again, model, known
        self._interface = read_interface(model.plan.interface)
        self._code = {text: code for code, text in enumerate(model.plan.classes)}

    def read(self, receipt: Receipt) -> _Row | None:
        try:
            plain = self._again.reveal(receipt)
            typed = self._again.typed(self._model, plain)
        except (Forgotten, Refused, Misuse):
            return None
        truths: dict[int, tuple[float, str, int]] = {}
        none: list[str] = []
        for row, label in self._known.labels_of(plain, self._model.about).items():
            truth = self._truth(label.value)
            if truth is not None:
                truths[row] = (truth, label.source or label.caller, label.received_us)
            elif label.value is not None:
                none.append(label.source or label.caller)
        outputs = recorded_outputs(plain, self._interface) if truths else {}
        return _Row(
            time_us=receipt.time_us, caller=receipt.caller, typed=typed, outputs=outputs, truths=truths, odd=tuple(none)
        )

    def _truth(self, value: Any) -> float | None:
        if not self._code:
            return float(value) if isinstance(value, int | float) else None
        found = {self._code[text] for text in spellings(value) if text in self._code}
        return float(found.pop()) if len(found) == 1 else None


def typed_columns(model: Model, past: pl.DataFrame) -> "dict[str, np.ndarray | Sequence[str]]":
    """Take rows of a reference as requests have them; columns marked personal are not among them."""
    found: dict[str, np.ndarray | Sequence[str]] = {}
    for name in past.columns:
        if name in model.reader.numbers:
            found[name] = past.get_column(name).cast(pl.Float64).fill_null(np.nan).to_numpy()
        elif name in model.reader.texts:
            found[name] = past.get_column(name).cast(pl.String).fill_null("").to_list()
    return found


def column_changes(traffic: Traffic) -> list[Change]:
    """Say what happened to the columns of the rows of now, and to whose rows, where it befell those of one caller."""
    rows = _now(traffic.rows)
    found = changes(traffic.past, _columns(traffic.model, rows), dates=traffic.dates)
    whole = {one.where for one in found if one.kind == POPULATION}
    callers = sorted({row.caller for row in rows})
    if not whole or len(callers) < 2:
        return found
    apart: dict[str, list[Change]] = {}
    for caller in callers:
        mine = [row for row in rows if row.caller == caller]
        for one in changes(traffic.past, _columns(traffic.model, mine), dates=traffic.dates):
            # What befell the column of all is asked about; that callers differ from each other is no news.
            if one.kind != POPULATION and set(one.where.split(", ")) & whole:
                told = f"of {caller or 'callers without a token'}, {len(mine) / len(rows):.0%} of the requests: "
                apart.setdefault(caller, []).append(replace(one, evidence=told + one.evidence))
    named = [one for each in apart.values() for one in each]
    explained = {name for one in named for name in one.where.split(", ")}
    return [*named, *(one for one in found if one.where not in explained)]


def _now(rows: Sequence[_Row]) -> list[_Row]:
    """Take the newest rows: a day of them at least, and more where a day has few."""
    found: list[_Row] = []
    count, last_us = 0, rows[-1].time_us if rows else 0
    for row in reversed(rows):
        enough = count >= LEAST_ROWS and row.time_us < last_us - DAY_US
        if enough or count >= MOST_ROWS:
            break
        found.append(row)
        count += row.typed.rows
    return found[::-1]


def _columns(model: Model, rows: Sequence[_Row]) -> Columns:
    """Lay the columns of several requests under each other."""
    if not rows:
        return {}
    read = [row.typed for row in rows]
    numbers = np.concatenate(
        [np.asarray(typed.numbers, dtype=np.float64).reshape(len(model.reader.numbers), -1) for typed in read], axis=1
    )
    texts = [[text for typed in read for text in typed.texts[place]] for place in range(len(model.reader.texts))]
    return dict(zip(model.reader.numbers, numbers, strict=True)) | dict(zip(model.reader.texts, texts, strict=True))


def label_complaints(traffic: Traffic) -> list[Complaint]:
    """Say what is wrong with the labels of late, or with what the rows mean."""
    labelled = _labelled(traffic)
    sense = Counter(source for row in traffic.labelled for _, source, _ in row.truths.values())
    nonsense = Counter(source for row in traffic.labelled for source in row.odd)
    found = [None if labelled is None else complaint(labelled), late(traffic.asked, traffic.came)]
    return [*odd(sense, nonsense), *(one for one in found if one is not None)]


def _labelled(traffic: Traffic) -> Heard | None:
    """Lay the labelled rows under each other, in the order in which their labels came."""
    placed = [(came_us, row, place) for row in traffic.labelled for place, (_, _, came_us) in row.truths.items()]
    placed.sort(key=lambda one: (one[0], one[1].time_us, one[2]))
    if not placed:
        return None
    columns = _one_by_one(traffic.model, [(row, place) for _, row, place in placed])
    kept = {name: values for name, values in columns.items() if name in traffic.past and name not in traffic.dates}
    predictions = _predictions(traffic.model, [(row, place) for _, row, place in placed])
    sources = [row.truths[place][1] for _, row, place in placed]
    return heard(predictions, traffic.held_out, kept, sources)


def _one_by_one(model: Model, placed: Sequence[tuple[_Row, int]]) -> Columns:
    laid = {id(row): _columns(model, [row]) for row, _ in placed}
    found: dict[str, np.ndarray | Sequence[str]] = {}
    for name in model.reader.numbers:
        found[name] = np.array([float(laid[id(row)][name][place]) for row, place in placed])
    for name in model.reader.texts:
        found[name] = [str(laid[id(row)][name][place]) for row, place in placed]
    return found


def _predictions(model: Model, placed: Sequence[tuple[_Row, int]]) -> Predictions:
    truth = np.array([row.truths[place][0] for row, place in placed])
    classes = tuple(model.plan.classes)
    if classes:
        shares = np.array([row.outputs["probabilities"][place] for row, place in placed], dtype=np.float64)
        return Predictions(truth=truth, classes=classes, probabilities=shares, decisions=shares.argmax(axis=1))
    values = np.array([float(row.outputs["value"][place][0]) for row, place in placed])
    return Predictions(truth=truth, values=values, low=values, high=values)


def causes_of_traffic(traffic: Traffic) -> list[Cause]:
    """Say what is wrong with the rows and labels of a release, the likeliest and worst first.

    What befell the data comes before what the labels say, for labels disagree because of it; that the population
    changed comes after both.
    """
    found = column_changes(traffic)
    data = [_of_change(one, traffic) for one in found if one.kind != POPULATION]
    calm = [_of_change(one, traffic) for one in found if one.kind == POPULATION]
    said = [
        Cause(
            what=f"{one.kind.capitalize()}: {one.where}.",
            because=(one.evidence,),
            do=one.do,
            kind=one.kind,
            where=one.where,
        )
        for one in label_complaints(traffic)
    ]
    return [*data, *said, *calm]


def _of_change(one: Change, traffic: Traffic) -> Cause:
    note = next((note for note in _notes(traffic.report) if LEAK in note and repr(one.where) in note), None)
    if note is not None:
        return Cause(
            what=f"The release was trained on {one.where}, which is known only afterwards.",
            because=(note, f"in service: {one.kind}, {one.evidence}"),
            do=f"Name it in data.drop and train again: drop: [{one.where}]",
            kind="leak column",
            where=one.where,
        )
    return Cause(
        what=f"{one.kind.capitalize()}: {one.where}.",
        because=(one.evidence, f"evidence 10^{one.strength:.1f}"),
        do=one.do,
        kind=one.kind,
        where=one.where,
    )


def _notes(report: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(note) for note in report.get("notes") or ())


def readable(keeper: Keeper, release: str, *, now: datetime, again: Again) -> Traffic | None:
    """Give the traffic of a release, or None where the release or its traffic cannot be read: others tell of that."""
    try:
        return traffic_now(keeper, release, now=now, again=again)
    except (HoldtrueError, OSError):
        return None
