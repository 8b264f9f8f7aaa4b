"""The traffic of a release in windows of time, each held against what the release learned from."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import final

import numpy as np
import polars as pl

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.data.traffic.subjects import Forgotten
from holdtrue.evaluation.metric import METRICS
from holdtrue.monitoring.drift import LENGTHS, drifts
from holdtrue.monitoring.feedback import feedback
from holdtrue.monitoring.harm import Harm, harm, ranked
from holdtrue.monitoring.joint import Joint
from holdtrue.monitoring.label_issues import issue_rate, sure_errors
from holdtrue.monitoring.quality import held
from holdtrue.monitoring.ruler import Columns, Gauge, gauge_of
from holdtrue.monitoring.slices import slices_of
from holdtrue.pipeline.answers import ANSWERED, Answers, of_held_out, of_receipt, together
from holdtrue.pipeline.estimating import Sample, Sampler, estimates, pledges, reference_columns
from holdtrue.pipeline.held_out import HeldOut, read_held_out
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.label_join import LabelJoin
from holdtrue.pipeline.labelled import Labelled
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.replay import Again, Ready, traffic_of
from holdtrue.pipeline.watched import DAY_US, Quality, Watched, Window
from holdtrue.release.held import REFERENCE
from holdtrue.release.interface import read_interface
from holdtrue.release.quarantine import Admitted
from holdtrue.serving.model import Model
from holdtrue.serving.reader import Typed
from holdtrue.spec.project import Watch

MOST_WINDOWS = 366
MOST_HARMS = 8  # columns whose harm is estimated, those with the most evidence: of forty that changed nobody reads all
GATHERED = 8_192  # rows that are counted at once
ANSWERS = ("champion", "canary", "pinned")  # routes whose answers went out


def watch(
    keeper: Keeper,
    settings: Watch,
    *,
    release: str,
    windows: int,
    now_us: int,
    tell: Tell,
    again: Again | None = None,
    counts: "Counts | None" = None,
    time: Sequence[str] = (),
) -> Watched:
    """Look at the last `windows` windows of a release that are over; those before them are read for the longer view.

    Who looks again and again gives `counts`, where what was counted is kept, and not read again.
    `time` names the columns that say when a row is from.
    Raises `Misuse` where the budget allows no test, and what keeps the release from being used.
    """
    level = _level(settings, windows)
    again = again or Again(keeper)
    digest = keeper.folder_of(release).name
    ready = again.ready(digest)
    dial = _Dial.of(settings, ready[1])
    last = (now_us - dial.late_us) // dial.span_us  # the first window that cannot be looked at yet
    first = last - windows - max(LENGTHS) + 1
    damaged: list[str] = []
    traffic = traffic_of(keeper)
    known = LabelJoin(labels(traffic, endpoint=keeper.project, faults=damaged))
    done = {} if counts is None else counts.setdefault((digest, dial), {})
    past = read_held_out(keeper.home, digest, ready[1].plan.classes)
    shown_us = (last - windows) * dial.span_us
    tally = _Tally(again, ready, past, dial, known, done, since_us=shown_us, time=time, slices=settings.slices)
    unread = next((number for number in range(first, last) if number not in done), last)
    read = {"since_us": min(unread * dial.span_us, shown_us), "until_us": last * dial.span_us + dial.late_us}
    kept = receipts(traffic, endpoint=keeper.project, **read, faults=damaged)
    tally.add_all(kept, last, tell)
    seen = tuple(_judged(tally, first, last, shown=windows, level=level))
    tally.keep(range(first, last))
    samples = [tally.window(number).sample for number in range(last - windows, last)]
    return Watched(
        release=digest,
        window_days=settings.window,
        level=level,
        windows=seen,
        quality=_quality(ready[0], tally.labelled, past, since_us=shown_us, now_us=now_us, looks=windows),
        damaged=tuple(damaged),
        harms=() if past is None else tuple(_harms(ready[0], tally, seen, past)),
        estimates=estimates(tally.sampler, samples, ready[0], tally.labelled),
    )


def _harms(admitted: Admitted, tally: "_Tally", seen: Sequence[Window], past: HeldOut) -> list[Harm]:
    """Estimate what the columns under alarm do to the promises, as a whole or within a slice."""
    last = next((window for window in reversed(seen) if window.rows), None)
    if last is None or not last.alarms:
        return []
    counts = tally.window(last.start_us // tally.dial.span_us).counts
    rulers = {ruler.name: ruler for ruler in tally.gauge.rulers + tally.slices.rulers}
    within = [drift for drift in last.alarms if drift.whole]
    found: list[Harm] = []
    for drift in (*last.of_columns[:MOST_HARMS], *within[:MOST_HARMS]):
        part = tally.slices.of(drift.column) if drift.whole else None
        name = drift.whole or drift.column
        if name not in past.columns or (part is not None and part.column not in past.columns):
            continue
        here = None if part is None else part.rows(past.columns)
        found += [
            harm(rulers[drift.column], past.columns[name], counts[drift.column], past.predictions, pledge, within=here)
            for pledge in pledges(admitted)
            if pledge.metric in METRICS.names()
        ]
    return ranked(found)


def _level(settings: Watch, windows: int) -> float:
    """Give the chance of a false alarm that a window may have; refuses what cannot be looked at."""
    level = settings.alarm_budget * settings.window
    if not level < 1:
        raise Misuse(
            f"{settings.alarm_budget:.3g} false alarms a day are more than one for each window.",
            do="Set a smaller alarm_budget, or a shorter window.",
        )
    if not 0 < windows <= MOST_WINDOWS:
        raise Misuse(f"{windows} windows cannot be shown; between 1 and {MOST_WINDOWS} can.")
    return level


def _judged(tally: "_Tally", first: int, last: int, *, shown: int, level: float) -> Iterator[Window]:
    """Judge the last `shown` windows, each together with those before it."""
    found = [tally.window(number) for number in range(first, last)]
    for place in range(len(found) - shown, len(found)):
        here = found[place]
        counts = [window.counts for window in found[: place + 1] if window.counts]
        counts, joint = counts[-max(LENGTHS) :], tally.joint(here)
        rulers, parts = tally.gauge.rulers + tally.slices.rulers, tally.slices.whole
        judged = drifts(rulers, tally.reference, counts, level=level, joint=joint, parts=parts) if here.rows else []
        start_us = (first + place) * tally.dial.span_us
        held = {"rows": here.rows, "unread": here.unread, "late": here.late}
        yield Window(start_us=start_us, drifts=tuple(judged), **held)


def _quality(
    admitted: Admitted, labelled: Labelled, past: HeldOut | None, *, since_us: int, now_us: int, looks: int
) -> Quality:
    """Hold the labelled rows against what the report of the release promised about metrics."""
    report = json.loads(admitted.files["report.json"])
    predictions = labelled.predictions()
    promised = pledges(admitted)
    expected = 1.0 if past is None else sure_errors(past.predictions)
    # Each verdict may err, so all together may only as often as one.
    confidence = 1 - (1 - float(report.get("confidence", 0.95))) / max(len(promised), 1)
    return Quality(
        since_us=since_us,
        rows=labelled.rows,
        labelled=predictions.rows,
        odd=labelled.odd,
        delay=labelled.delay(now_us),
        promises=tuple(held(pledge, predictions, confidence=confidence, looks=looks) for pledge in promised),
        issues={source: issue_rate(heard, expected) for source, heard in sorted(labelled.heard.items())},
        feedback=feedback(labelled.decided, labelled.told, by_chance=labelled.by_chance),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Dial:
    """Says which window a request belongs to: by when it was asked, or by the time that its first row tells.

    Args:
        place: where that time stands among the numbers of a request; None where windows go by when it was asked.
        late_us: what comes so long after the end of its window is too late for it.
    """

    span_us: int
    late_us: int
    place: int | None

    @classmethod
    def of(cls, settings: Watch, model: Model) -> "_Dial":
        place = None
        if settings.by is not None:
            dates = _dates(model)
            if settings.by not in dates:
                told = f"its dates are {', '.join(dates)}" if dates else "it takes no dates"
                raise Misuse(
                    f"The release takes no date {settings.by!r}, so windows cannot go by it (watch.by): {told}.",
                    do="Name one that it takes, or leave watch.by out: then windows go by when a row was asked for.",
                )
            place = model.reader.numbers.index(settings.by)
        return cls(span_us=round(settings.window * DAY_US), late_us=round(settings.late * DAY_US), place=place)

    def window(self, asked_us: int, typed: Typed) -> int:
        """Give the number of a window. No row is from the future; one that does not tell is from when it was asked."""
        if self.place is None:
            return asked_us // self.span_us
        told_s = float(np.asarray(typed.numbers, dtype=np.float64).reshape(-1, typed.rows)[self.place, 0])
        return asked_us // self.span_us if np.isnan(told_s) else min(round(told_s * 1e6), asked_us) // self.span_us

    def is_late(self, asked_us: int, number: int) -> bool:
        return asked_us >= (number + 1) * self.span_us + self.late_us


@dataclass(slots=True)
class _Counted:
    """The counts of one window so far, and rows that wait to be counted."""

    rows: int = 0
    unread: int = 0
    late: int = 0
    counts: "dict[str, np.ndarray]" = field(default_factory=dict)
    waiting: list[Typed] = field(default_factory=list)
    answers: list[Answers] = field(default_factory=list)
    asked: list[Receipt] = field(default_factory=list)
    gathered: int = 0
    sample: Sample = field(default_factory=Sample)
    joint: Joint | None = None


@final
class _Tally:
    """Counts the rows of a release by window; what it holds does not grow with the rows."""

    def __init__(
        self,
        again: Again,
        ready: Ready,
        held_out: HeldOut | None,
        dial: _Dial,
        known: LabelJoin,
        done: "dict[int, _Counted]",
        *,
        since_us: int,
        time: Sequence[str] = (),
        slices: Sequence[str] = (),
    ) -> None:
        admitted, self._model = ready
        self._again = again
        self.dial = dial
        past = pl.read_parquet(io.BytesIO(admitted.files[REFERENCE]))
        self._past = reference_columns(self._model, past)
        self.gauge, self.reference = gauge_of(self._past, dates=_dates(self._model))
        self.slices, within = slices_of(slices, self.gauge, self._past)
        self.reference |= within
        plan = self._model.plan
        self._has_answers = held_out is not None
        if held_out is not None:
            gauge, reference = gauge_of({ANSWERED: of_held_out(held_out)})
            self.gauge = Gauge(numbers=self.gauge.numbers + gauge.numbers, texts=self.gauge.texts + gauge.texts)
            self.reference |= reference
        self._interface, self._classes = read_interface(plan.interface), plan.classes
        self._labelled_since_us = since_us
        self._known = known
        self.labelled = Labelled(self._interface, self._classes)
        self.sampler = Sampler(held_out, self.gauge, self._interface, self._classes, time=time)
        self._windows: dict[int, _Counted] = {}
        self._done = done
        for window in done.values():
            window.late = 0  # they are read again, for their labels

    def add_all(self, receipts: Iterable[Receipt], last: int, tell: Tell) -> None:
        """Take predictions; those of the window `last` and later ones are left for another look."""
        for count, receipt in enumerate(receipts):
            self._add(receipt, last)
            if count % 1_000 == 0:
                tell("read", count)

    def _add(self, receipt: Receipt, last: int) -> None:
        """Take a prediction, when it is one of the release and its answer went out."""
        if receipt.release != self._model.about.digest or receipt.route not in ANSWERS:
            self._explore(receipt)
            return
        asked_us = receipt.time_us
        if self.dial.place is None and (known := self._done.get(asked_us // self.dial.span_us)) is not None:
            with suppress(Forgotten, Refused):
                self._label(known, receipt, self._again.reveal(receipt))
            return
        try:
            plain = self._again.reveal(receipt)
            typed = self._again.typed(self._model, plain)
            answered = of_receipt(plain, self._interface, self._classes) if self._has_answers else None
        except (Forgotten, Refused):
            number = asked_us // self.dial.span_us
            if number not in self._done:
                self._window(number).unread += 1
            return
        number = self.dial.window(asked_us, typed)
        if number >= last:
            return
        window = self._window(number)
        self._label(window, receipt, plain)
        if self.dial.is_late(asked_us, number):
            window.late += receipt.rows
        if number in self._done or self.dial.is_late(asked_us, number):
            return
        window.waiting.append(typed)
        window.answers += [] if answered is None else [answered]
        window.asked.append(plain)
        window.gathered += receipt.rows
        if window.gathered >= GATHERED:
            self._count(window)

    def _window(self, number: int) -> _Counted:
        return self._done.get(number) or self._windows.setdefault(number, _Counted())

    def _explore(self, receipt: Receipt) -> None:
        """Count the labelled rows that chance sent to another release."""
        mine = receipt.release == self._model.about.digest
        if receipt.route == "canary" and not mine and receipt.time_us >= self._labelled_since_us:
            with suppress(Forgotten, Refused):
                self.labelled.by_chance += len(self._known.labels_of(self._again.reveal(receipt), self._model.about))

    def _label(self, window: _Counted, receipt: Receipt, plain: Receipt) -> None:
        if receipt.time_us >= self._labelled_since_us:
            labels = self._known.labels_of(plain, self._model.about)
            self.labelled.add(plain, labels)
            self.sampler.hear(window.sample, plain, labels)

    def joint(self, window: _Counted) -> Joint | None:
        """Hold the columns of a window together against the reference, once."""
        window.joint = window.joint or self.sampler.joint(window.sample, self._past)
        return window.joint

    def keep(self, numbers: range) -> None:
        """Keep what these windows hold, and nothing else."""
        held = {number: self.window(number) for number in numbers}
        self._done.clear()
        self._done.update(held)

    def window(self, number: int) -> _Counted:
        """Give what a window holds."""
        window = self._done.get(number) or self._windows.get(number) or _Counted()
        self._count(window)
        return window

    def _count(self, window: _Counted) -> None:
        if not window.waiting:
            return
        columns = dict(_columns(self._model, window.waiting))
        if self._has_answers:
            columns[ANSWERED] = together(window.answers)
        counts = self.gauge.count(columns) | self.slices.count(columns)
        window.counts = {name: window.counts.get(name, 0) + counts[name] for name in counts}
        self.sampler.take(window.sample, columns, window.asked)
        window.rows += window.gathered
        window.waiting, window.answers, window.asked, window.gathered = [], [], [], 0


Counts = dict[tuple[str, _Dial], dict[int, _Counted]]  # of a release and a sort of windows, by their number


def _dates(model: Model) -> list[str]:
    return [name for name in model.reader.numbers if model.reader.contract.field(name).kind == "date"]


def _columns(model: Model, read: Sequence[Typed]) -> Columns:
    """Lay the columns of several requests under each other."""
    numbers = np.concatenate(
        [np.asarray(typed.numbers, dtype=np.float64).reshape(len(model.reader.numbers), -1) for typed in read], axis=1
    )
    texts = [[text for typed in read for text in typed.texts[place]] for place in range(len(model.reader.texts))]
    return dict(zip(model.reader.numbers, numbers, strict=True)) | dict(zip(model.reader.texts, texts, strict=True))
