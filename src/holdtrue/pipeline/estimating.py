"""Estimates of the promises until labels come: a sample of the traffic, held against the held-out rows.

As windows are read, a fixed number of rows of each is kept: those with the smallest hash of their prediction's id, so
whoever reads the same rows in whatever order keeps the same ones, and samples of several windows make one of all.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import polars as pl
from jaxtyping import UInt64

from holdtrue.data.traffic.label import Label
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.estimate import Estimated, Rows, clocks, estimated
from holdtrue.monitoring.joint import Joint, joint
from holdtrue.monitoring.quality import Pledge
from holdtrue.monitoring.ruler import Columns, Gauge, Texts
from holdtrue.pipeline.answers import ANSWERED
from holdtrue.pipeline.held_out import HeldOut
from holdtrue.pipeline.labelled import Labelled, spellings
from holdtrue.pipeline.recorded import SHARES, recorded_outputs
from holdtrue.release.interface import Interface
from holdtrue.release.quarantine import Admitted
from holdtrue.serving.model import Model

SAMPLED = 2_000  # rows of a window
MOST = 4_000  # rows of all windows together
OUTPUTS = (SHARES, "decision", "value", "low", "high")


@dataclass(slots=True)
class Sample:
    """Some rows of a window: the hash of each, its columns and outputs.

    Attributes:
        rows: all of the window.
        enough: no row with a larger hash is taken any more.
    """

    rows: int = 0
    enough: int = 2**64 - 1
    marks: "np.ndarray" = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    columns: "np.ndarray" = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    outputs: "dict[str, np.ndarray]" = field(default_factory=dict)


@final
class Sampler:
    """Takes samples of what one release is asked, and knows its held-out rows; without these it does nothing."""

    def __init__(
        self,
        past: HeldOut | None,
        gauge: Gauge,
        interface: Interface,
        classes: Sequence[str],
        *,
        time: Collection[str] = (),
    ) -> None:
        named = {} if past is None else past.columns
        self._numbers = [ruler.name for ruler in gauge.numbers if ruler.name in named and ruler.name != ANSWERED]
        self._texts = [ruler for ruler in gauge.texts if ruler.name in named and ruler.name != ANSWERED]
        self._interface, self._classes = interface, tuple(classes)
        self._code = {text: code for code, text in enumerate(classes)}
        self._truths: dict[int, float] = {}
        self._past = past
        self.time = tuple(time)  # columns that say when a row is from

    def take(self, sample: Sample, columns: Columns, asked: Sequence[Receipt]) -> None:
        """Take in the rows of some requests, whose columns lie under each other; their outputs are open to read."""
        if self._past is None:
            return
        marks = np.concatenate([marks_of(receipt.id, range(receipt.rows)) for receipt in asked])
        sample.rows += len(marks)
        fit = np.sort(np.concatenate([sample.marks, marks]))[:SAMPLED]
        if len(fit) == SAMPLED:
            sample.enough = int(fit[-1])
        # Room is made for the smallest marks; what was kept before and is too large now is left out.
        enough = np.uint64(sample.enough)
        fresh = np.flatnonzero(marks <= enough)
        made = self._laid({name: _some(values, fresh) for name, values in columns.items()}, len(fresh))
        outputs = [recorded_outputs(receipt, self._interface) for receipt in asked]
        kept = sample.marks <= enough
        sample.columns = np.concatenate([sample.columns[kept], made]) if len(sample.marks) else made
        for name in OUTPUTS:
            if all(name in output for output in outputs):
                found = np.concatenate([np.asarray(output[name]) for output in outputs])[fresh]
                before = sample.outputs.get(name)
                sample.outputs[name] = found if before is None else np.concatenate([before[kept], found])
        sample.marks = np.concatenate([sample.marks[kept], marks[fresh]])

    def hear(self, sample: Sample, receipt: Receipt, labels: Mapping[int, Label]) -> None:
        """Note what is said of the rows of a prediction, if they are in the sample or may still come into it."""
        if self._past is None or not labels:
            return
        for mark, label in zip(marks_of(receipt.id, labels).tolist(), labels.values(), strict=True):
            if mark <= sample.enough and (truth := self._truth_of(label)) is not None:
                self._truths[mark] = truth

    def _truth_of(self, label: Label) -> float | None:
        if not self._classes:
            return float(label.value) if isinstance(label.value, int | float) else None
        found = {self._code[text] for text in spellings(label.value) if text in self._code}
        return float(found.pop()) if len(found) == 1 else None

    def _laid(self, columns: Columns, rows: int) -> "np.ndarray":
        """Lay columns side by side as numbers: a text is the number of its bin."""
        found: list[np.ndarray] = [np.asarray(columns[name], dtype=np.float64) for name in self._numbers]
        found += [ruler.places(columns[ruler.name]).astype(np.float64) for ruler in self._texts]
        return _narrow(np.stack(found, axis=1)) if found else np.empty((rows, 0), dtype=np.float32)

    def held(self) -> Rows | None:
        """Give the held-out rows, as rows of now are given."""
        if self._past is None:
            return None
        rows = self._past.predictions.rows
        return self._beside(self._laid(self._past.columns, rows), self._past.predictions, rows)

    def now(self, samples: Iterable[Sample]) -> Rows | None:
        """Give an even sample of the rows of several windows."""
        known = [sample for sample in samples if len(sample.marks)]
        if not known:
            return None
        # A window of which rows were left out has all rows up to its largest mark: up to the least of these, so do all.
        cut = min(sample.enough for sample in known)
        marks = np.concatenate([sample.marks for sample in known])
        order = np.argsort(marks, kind="stable")[: min(MOST, int((marks <= np.uint64(cut)).sum()))]
        columns = np.concatenate([sample.columns for sample in known])[order]
        outputs = {name: np.concatenate([sample.outputs[name] for sample in known])[order] for name in known[0].outputs}
        truth = np.array([self._truths.get(mark, np.nan) for mark in marks[order].tolist()])
        return self._beside(columns, self._predictions(outputs, truth), sum(sample.rows for sample in known))

    def joint(self, sample: Sample, reference: Columns) -> Joint | None:
        """Hold all columns of a window together against the reference rows, but for those that run with time."""
        held, now = self.held(), self.now([sample])
        if held is None or now is None:
            return None
        keep = ~(clocks(held) | np.isin(held.names, [*self.time, ANSWERED]))
        rows = len(next(iter(reference.values())))
        before = self._laid(reference, rows)[:, keep[:-1]]
        there = now.only(keep)
        return joint(before, there.columns, there.names)

    def _predictions(self, outputs: "Mapping[str, np.ndarray]", truth: "np.ndarray") -> Predictions:
        made = {name: values.astype(np.float64) for name, values in outputs.items()}
        if self._classes:
            decided = made.get("decision")
            return Predictions(
                truth=truth,
                classes=self._classes,
                probabilities=made.get(SHARES),
                decisions=None if decided is None else decided[:, 0].astype(np.int64),
            )
        value, low, high = (made[name][:, 0] if name in made else None for name in ("value", "low", "high"))
        return Predictions(truth=truth, values=value, low=low, high=high)

    def _beside(self, columns: "np.ndarray", answered: Predictions, stand_for: int) -> Rows:
        """Put what was answered beside the columns, as one more."""
        answer = answered.values
        if answered.probabilities is not None:
            two = len(self._classes) == 2
            answer = answered.probabilities[:, 1] if two else answered.probabilities.argmax(axis=1)
        assert answer is not None
        is_text = [False] * len(self._numbers) + [True] * len(self._texts) + [len(self._classes) > 2]
        return Rows(
            names=(*self._numbers, *(ruler.name for ruler in self._texts), ANSWERED),
            is_text=np.array(is_text),
            columns=np.concatenate([columns, _narrow(np.asarray(answer))[:, None]], axis=1),
            predictions=answered,
            stand_for=stand_for,
        )


def estimates(
    sampler: Sampler, samples: Iterable[Sample], admitted: Admitted, labelled: Labelled
) -> tuple[Estimated, ...]:
    """Estimate what the report of a release promised about metrics, for the rows of these windows."""
    held, now = sampler.held(), sampler.now(samples)
    if held is None or now is None:
        return ()
    confidence = float(json.loads(admitted.files["report.json"]).get("confidence", 0.95))
    return estimated(pledges(admitted), held, now, labelled.predictions(), confidence=confidence, time=sampler.time)


def reference_columns(model: Model, past: pl.DataFrame) -> "dict[str, np.ndarray | Texts]":
    """Take rows of a reference as requests have them; columns marked personal are not among them."""
    found: dict[str, np.ndarray | Texts] = {}
    for name in past.columns:
        if name in model.reader.numbers:
            found[name] = past.get_column(name).cast(pl.Float64).fill_null(np.nan).to_numpy()
        elif name in model.reader.texts:
            found[name] = past.get_column(name).cast(pl.String).fill_null("").to_list()
    return found


def pledges(admitted: Admitted) -> list[Pledge]:
    """Give what the report of a release promised about metrics."""
    report = json.loads(admitted.files["report.json"])
    return [
        Pledge(text=each["text"], metric=each["scope"], direction=each["direction"], bound=each["bound"])
        for each in report.get("promises", ())
        if each["kind"] == "quality"
    ]


def marks_of(id: str, rows: Iterable[int]) -> UInt64[np.ndarray, " rows"]:
    """Give the hash of each row of a prediction.

    >>> marks_of("a", [0, 1]).tolist() == marks_of("a", range(2)).tolist(), len(set(marks_of("a", range(999)).tolist()))
    (True, 999)
    """
    begin = int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "little")
    mixed = np.fromiter(rows, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(begin)
    # SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2714064.2660195): neighbours get hashes that look independent.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _narrow(values: "np.ndarray") -> "np.ndarray":
    """Keep half of each number's bits; what is too large for them is the largest there is."""
    most = np.finfo(np.float32).max
    return np.clip(values, -most, most).astype(np.float32)


def _some(values: "np.ndarray | Texts", index: "np.ndarray") -> "np.ndarray | Texts":
    return values[index] if isinstance(values, np.ndarray) else [str(values[place]) for place in index.tolist()]
