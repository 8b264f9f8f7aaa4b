"""Predictions whose truth is known by now, in the order in which it became known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from holdtrue.data.traffic.label import Label, Scalar
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.delay import Delay, delay_of
from holdtrue.monitoring.label_issues import SURE, Heard
from holdtrue.pipeline.recorded import SHARES, recorded_outputs
from holdtrue.release.interface import Interface

HOUR_US = 3_600_000_000


@final
class Labelled:
    """Gathers the rows of one release that have a label.

    Attributes:
        rows: all rows seen, with a label or without.
        odd: labels that are none of the classes, or no number.
        heard: what came from each source, by its name or else by whose token brought it.
        decided: all rows by what was decided for them, where the release decides; `told` are those that have a label.
        by_chance: labelled rows that chance sent to another release; who sees them counts them here.
    """

    def __init__(self, interface: Interface, classes: Sequence[str]) -> None:
        self.rows = 0
        self.odd = 0
        self.heard: dict[str, Heard] = {}
        self.decided: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.by_chance = 0
        self._interface = interface
        self._classes = tuple(classes)
        self._code = {text: code for code, text in enumerate(classes)}
        self._order: list[tuple[int, int]] = []  # when each label came, and when its prediction was made
        self._waiting: Counter[int] = Counter()  # rows without a label, by the hour in which they were asked for
        self._truth: list[float] = []
        self._answers: dict[str, list[np.ndarray]] = {}

    def add(self, receipt: Receipt, labels: Mapping[int, Label]) -> None:
        """Take a prediction of the release, and the labels of its rows; its outputs must be open to read."""
        self.rows += receipt.rows
        if receipt.rows > len(labels):
            self._waiting[receipt.time_us // HOUR_US] += receipt.rows - len(labels)
        outputs = recorded_outputs(receipt, self._interface) if labels or self._classes else {}
        decisions = self._decisions(outputs)
        self.decided.update(decisions)
        if not labels:
            return
        self.told.update(decisions[row] for row in labels if row < len(decisions))
        truths = {row: truth for row, label in labels.items() if (truth := self._truth_of(label.value)) is not None}
        self.odd += len(labels) - len(truths)
        self._hear(labels, truths, outputs.get("probabilities"))
        for row, truth in truths.items():
            self._order.append((labels[row].received_us, receipt.time_us))
            self._truth.append(truth)
            for name, values in outputs.items():
                if isinstance(values, np.ndarray):
                    self._answers.setdefault(name, []).append(values[row])

    def _decisions(self, outputs: "Mapping[str, np.ndarray | Sequence[str]]") -> list[str]:
        """Give what was decided for each row: the class that is named, or else the most probable one."""
        decision, shares = outputs.get("decision"), outputs.get(SHARES)
        codes = None
        if isinstance(decision, np.ndarray):
            codes = decision[:, 0]
        elif isinstance(shares, np.ndarray):
            codes = shares.argmax(axis=1)
        return [] if codes is None or not self._classes else [self._classes[int(code)] for code in codes]

    def _hear(self, labels: Mapping[int, Label], truths: dict[int, float], shares: object) -> None:
        for row, label in labels.items():
            heard = self.heard.setdefault(label.source or label.caller, Heard())
            heard.labels += 1
            if row not in truths:
                heard.odd += 1
            elif isinstance(shares, np.ndarray) and shares[row].max() >= SURE:
                heard.sure += 1
                heard.against += int(shares[row].argmax()) != int(truths[row])

    def predictions(self) -> Predictions:
        """Give the labelled rows in the order in which their labels came."""
        order = np.lexsort(tuple(np.array(self._order, dtype=np.int64).reshape(-1, 2).T[::-1]))
        truth = np.array(self._truth, dtype=np.float64)[order]
        if not len(truth):
            return Predictions(truth=truth, classes=self._classes)
        answers: Any = {name: np.array(values)[order] for name, values in self._answers.items()}
        if self._classes:
            return Predictions(
                truth=truth,
                classes=self._classes,
                probabilities=answers["probabilities"].astype(np.float64) if "probabilities" in answers else None,
                decisions=answers["decision"][:, 0].astype(np.int64) if "decision" in answers else None,
            )
        value, low, high = (
            answers[name][:, 0].astype(np.float64) if name in answers else None for name in ("value", "low", "high")
        )
        return Predictions(truth=truth, values=value, low=low, high=high)

    def delay(self, now_us: int) -> Delay | None:
        """Estimate how long labels take; None where none has come."""
        waits = np.array([came_us - made_us for came_us, made_us in self._order], dtype=np.float64) / 1e6
        hours = np.array(list(self._waiting), dtype=np.float64) + 0.5
        rows = np.array(list(self._waiting.values()), dtype=np.float64)
        return delay_of(waits, np.maximum(now_us - hours * HOUR_US, 0.0) / 1e6, rows)

    def _truth_of(self, value: Scalar) -> float | None:
        if not self._classes:
            return float(value) if isinstance(value, int | float) else None
        found = {self._code[text] for text in spellings(value) if text in self._code}
        return float(found.pop()) if len(found) == 1 else None


def spellings(value: Scalar) -> frozenset[str]:
    """Give the classes that a label may mean: systems write the same truth as 1, 1.0, "1" or true.

    >>> sorted(spellings(True)), sorted(spellings(1.0)), sorted(spellings("yes"))
    (['1', 'True', 'true'], ['1', '1.0'], ['yes'])
    """
    if isinstance(value, bool):
        return frozenset((str(value), str(value).lower(), str(int(value))))
    if isinstance(value, float) and value.is_integer():
        return frozenset((str(value), str(int(value))))
    return frozenset(() if value is None else (str(value),))
