"""Labelled traffic as rows to learn from: what releases were asked, and what turned out true.

Receipts are read stream by stream, and rows are given in batches: memory grows with the labels alone, of which each
takes part in what is true now. All that is not taken is counted by its reason.
"""

# pyarrow ships no types: what stands in a signature is unknown to the checker.
# pyright: reportUnknownParameterType=false

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import polars as pl
import pyarrow as pa

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.check import fits
from holdtrue.data.contract import Contract, Field
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.readers.frames import frame_batches
from holdtrue.data.traffic.label import Scalar
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.data.traffic.subjects import Forgotten
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.label_join import LabelJoin
from holdtrue.pipeline.labelled import spellings
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.replay import Again, traffic_of
from holdtrue.pipeline.respelling import RECEIVED, Form, day_of, of_traffic
from holdtrue.pipeline.watching import ANSWERS
from holdtrue.serving.model import Model
from holdtrue.serving.reader import Typed
from holdtrue.spec.project import Data

GATHERED = 8_192  # rows that are put together at once


@dataclass(kw_only=True, slots=True)
class Left:
    """What became of labelled rows, of which `taken` were taken.

    Attributes:
        forgotten: their person was forgotten.
        unread: their record, or the release that answered, cannot be read.
        odd: their label is no class, or no number.
        unlike: the release that answered took other columns than are learnt from now.
        unfit: the contract does not accept them now, or the form of the source cannot hold a value of theirs.
        old: they lie before what is looked at.
        damaged: what of the log could not be read.
    """

    taken: int = 0
    forgotten: int = 0
    unread: int = 0
    odd: int = 0
    unlike: int = 0
    unfit: int = 0
    old: int = 0
    damaged: list[str] = field(default_factory=list[str])

    def notes(self) -> tuple[str, ...]:
        """Say it to the reader of a report."""
        reasons = {
            "their person was forgotten": self.forgotten,
            "their record or their release cannot be read": self.unread,
            "their label is no class or no number": self.odd,
            "the release that answered them took other columns": self.unlike,
            "the contract does not accept them": self.unfit,
            "they are older than retrain.newest": self.old,
        }
        left = [f"{count:,} labelled rows of traffic were left out: {why}." for why, count in reasons.items() if count]
        damaged = [
            f"Of the traffic, {len(self.damaged):,} pieces are damaged; the first: {one}" for one in self.damaged
        ]
        return (
            f"{self.taken:,} rows come from labelled traffic.",
            *left,
            *damaged[:1],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which traffic is taken, and how it is to look.

    Attributes:
        features: the columns that are learnt from; only releases that take all of them have rows to give.
        more: columns that others ask for, such as the champion beside which a challenger is put; empty where a release
            took no such column.
        kept: what every row must keep, or None where nothing was agreed.
        labelled: whether the target is a class.
        until_us: the last moment that is looked at; labels that were heard later are not known.
        since_us: rows before it are left out, by the time of the project, or by when they were asked for.
    """

    form: Form
    data: Data
    features: tuple[str, ...]
    kept: Contract | None
    labelled: bool
    until_us: int
    since_us: int | None = None
    more: tuple[str, ...] = ()


@dataclass(slots=True)
class _Waiting:
    """Typed cells of rows that are not put together yet, column by column."""

    columns: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    truth: list[float | str] = field(default_factory=list[float | str])
    asked_s: list[float] = field(default_factory=list[float])


@final
class Gathering:
    """Goes through the traffic once; `left` counts while `batches` is walked through."""

    def __init__(self, keeper: Keeper, wanted: Wanted, *, tell: Tell, again: Again | None = None) -> None:
        self.left = Left()
        self._keeper = keeper
        self._wanted = wanted
        self._tell = tell
        self._again = again or Again(keeper)
        self._target = wanted.form.fields[wanted.data.target]
        self._received = _received_column(wanted)
        self._alike: dict[str, frozenset[str]] = {}
        self._waiting = _Waiting()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the rows in the form that is wanted, stream by stream, each in the order of time."""
        traffic, until_us = traffic_of(self._keeper), self._wanted.until_us
        if not (traffic / self._keeper.project).is_dir():  # nothing was ever served
            return
        known = labels(traffic, endpoint=self._keeper.project, faults=self.left.damaged)
        # As it was known at the last moment that is looked at.
        join = LabelJoin(label for label in known if label.received_us <= until_us)
        kept = receipts(traffic, endpoint=self._keeper.project, until_us=until_us + 1, faults=self.left.damaged)
        for count, receipt in enumerate(kept):
            if count % 1_000 == 0:
                self._tell("traffic", count)
            if receipt.route in ANSWERS and join.may_know(receipt):
                self._add(receipt, join)
            if len(self._waiting.truth) >= GATHERED:
                yield from self._put_together()
        yield from self._put_together()

    def _add(self, receipt: Receipt, join: LabelJoin) -> None:
        """Take the labelled rows of a prediction."""
        try:
            _, model = self._again.ready(receipt.release)
            plain = self._again.reveal(receipt)
            typed = self._again.typed(model, plain)
        except Forgotten:
            self.left.forgotten += join.count_by_id(receipt)
            return
        except (Refused, Misuse):
            self.left.unread += join.count_by_id(receipt)
            return
        said = join.labels_of(plain, model.about)
        if not said:
            return
        if not self._alike_in(model) >= set(self._wanted.features):
            self.left.unlike += len(said)
            return
        truths = {row: truth for row in sorted(said) if (truth := self._truth_of(said[row].value, model)) is not None}
        self.left.odd += len(said) - len(truths)
        self._keep(model, typed, truths, receipt.time_us / 1e6)

    def _alike_in(self, model: Model) -> frozenset[str]:
        """Name the columns that a release takes, and reads as they are read now."""
        digest = model.about.digest
        if digest not in self._alike:
            fields = self._wanted.form.fields
            taken = (one for one in model.reader.contract.fields if one.name in fields)
            self._alike[digest] = frozenset(one.name for one in taken if _sort(one) == _sort(fields[one.name]))
        return self._alike[digest]

    def _truth_of(self, value: Scalar, model: Model) -> float | str | None:
        if not self._wanted.labelled:
            return float(value) if isinstance(value, int | float) else None
        found = spellings(value) & set(model.plan.classes)
        if len(found) != 1:
            return None
        (name,) = found
        return float(name) if self._target.numeric else name

    def _keep(self, model: Model, typed: Typed, truths: Mapping[int, float | str], asked_s: float) -> None:
        if not truths:
            return
        rows, waiting, alike = list(truths), self._waiting, self._alike_in(model)
        numbers = np.asarray(typed.numbers, dtype=np.float64).reshape(len(model.reader.numbers), -1)[:, rows]
        cells: dict[str, list[Any]] = dict(zip(model.reader.numbers, numbers.tolist(), strict=True))
        for name, texts in zip(model.reader.texts, typed.texts, strict=True):
            cells[name] = [texts[row] for row in rows]
        for name in (*self._wanted.features, *self._wanted.more):
            waiting.columns.setdefault(name, []).extend(cells[name] if name in alike else [None] * len(rows))
        waiting.truth += truths.values()
        waiting.asked_s += [asked_s] * len(truths)

    def _put_together(self) -> Iterator[pa.RecordBatch]:
        waiting, self._waiting = self._waiting, _Waiting()
        count = len(waiting.truth)
        if not count:
            return
        fields = self._wanted.form.fields
        cells = {name: _series(name, values, fields[name].numeric) for name, values in waiting.columns.items()}
        cells[self._target.name] = _series(self._target.name, waiting.truth, self._target.numeric)
        cells[RECEIVED] = pl.Series(RECEIVED, waiting.asked_s, dtype=pl.Float64)
        if self._received is not None:
            cells[self._received] = day_of(fields[self._received], cells[RECEIVED]).alias(self._received)
        frame, same = of_traffic(self._wanted.form, cells, count)
        frame = self._recent(frame.filter(pl.Series(same)))
        fit = frame if self._wanted.kept is None else frame.filter(fits(self._wanted.kept, frame))
        self.left.taken += fit.height
        self.left.unfit += count - int(same.sum()) + frame.height - fit.height
        yield from frame_batches(fit)

    def _recent(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Leave out what is too old, by the time of the project, or else by when it was asked for."""
        since_us, time = self._wanted.since_us, self._wanted.data.time
        if since_us is None:
            return frame
        if time:
            contract = Contract(fields=tuple(self._wanted.form.fields[name] for name in time))
            seconds = time_values(parse(contract, frame), time)
        else:
            seconds = frame.get_column(RECEIVED).dt.epoch("us") / 1e6
        recent = frame.filter((seconds >= since_us / 1e6).fill_null(value=True))
        self.left.old += frame.height - recent.height
        return recent


def _received_column(wanted: Wanted) -> str | None:
    """Find the column of time that no release takes: when a row was asked for stands there."""
    unknown = [name for name in wanted.data.time if name not in wanted.features]
    if not unknown:
        return None
    if len(wanted.data.time) > 1 or wanted.form.fields[unknown[0]].kind != "date":
        raise Misuse(
            f"When a row of traffic was made stands in {', '.join(map(repr, wanted.data.time))}, which requests do not "
            "have, and the moment of the request cannot be written there.",
            do="Let the model take these columns, keep the time in one column of dates, or set retrain.source: source",
        )
    return unknown[0]


def _sort(field: Field) -> str:
    return field.kind if field.numeric else "text"


def _series(name: str, values: Sequence[Any], numeric: bool) -> pl.Series:
    if numeric:
        return pl.Series(name, values, dtype=pl.Float64).fill_nan(None)
    return pl.Series(name, [value or None for value in values], dtype=pl.String)
