"""What was answered to each row that happened: by the endpoint, whichever release it was, and by the frozen release."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import polars as pl

from holdtrue.evaluation.predictions import Predictions
from holdtrue.pipeline.labelled import spellings
from holdtrue.release.predictor import Predictor

PARTS = ("decision", "value", "low", "high")
REFUSED = ""


@final
class Answers:
    """Answers by the place of the row.

    Attributes:
        release: who answered each row; nothing where nobody did.
    """

    def __init__(self, rows: int, classes: Sequence[str]) -> None:
        self.release: list[str] = [REFUSED] * rows
        self._classes = tuple(classes)
        self._parts = {name: np.full(rows, np.nan) for name in PARTS}
        self._shares = np.full((rows, len(classes)), np.nan)

    @property
    def answered(self) -> "np.ndarray":
        """Tell which rows have an answer."""
        return np.array([release != REFUSED for release in self.release], dtype=bool)

    def put(self, place: int, release: str, told: Mapping[str, Any]) -> None:
        """Take the answer to one row, as the endpoint writes it for people."""
        self.release[place] = release
        for name, values in self._parts.items():
            if name in told:
                values[place] = told[name]
        shares = told.get("probabilities")
        if shares is not None:
            self._shares[place] = [shares.get(name, np.nan) for name in self._classes]

    def put_all(self, release: str, made: pl.DataFrame) -> None:
        """Take the answers of one release to all rows."""
        self.release = [release] * made.height
        for name, values in self._parts.items():
            if name in made.columns:
                values[:] = made.get_column(name).cast(pl.Float64).to_numpy()
        for code, name in enumerate(self._classes):
            if f"probability.{name}" in made.columns:
                self._shares[:, code] = made.get_column(f"probability.{name}").cast(pl.Float64).to_numpy()

    def predictions(self, truth: "np.ndarray", index: "np.ndarray") -> Predictions:
        """Give the answers to some rows beside their truth, a code or a number."""
        parts = {name: values[index] for name, values in self._parts.items()}
        if not self._classes:
            low, high = (None if np.isnan(parts[name]).all() else parts[name] for name in ("low", "high"))
            return Predictions(truth=truth[index], values=parts["value"], low=low, high=high)
        has_shares = not np.isnan(self._shares[index]).any()
        return Predictions(
            truth=truth[index],
            classes=self._classes,
            probabilities=self._shares[index] if has_shares else None,
            decisions=None if np.isnan(parts["decision"]).any() else parts["decision"].astype(np.int64),
        )


def frozen_answers(frozen: Predictor, raw: pl.DataFrame) -> Answers:
    """Let one release answer all rows."""
    made = Answers(raw.height, frozen.release.core.classes)
    made.put_all(frozen.release.digest, frozen.predict(raw))
    return made


def truth_codes(truth: Sequence[Any], classes: Sequence[str]) -> "np.ndarray":
    """Turn truths into codes of classes, or numbers; NaN where nobody knows, or it is no class of the release."""
    if not classes:
        return np.array([value if isinstance(value, int | float) else np.nan for value in truth], dtype=np.float64)
    codes = {name: code for code, name in enumerate(classes)}
    known: dict[Any, float] = {}
    for value in set(truth):
        found = {codes[text] for text in spellings(value) if text in codes}
        known[value] = float(found.pop()) if len(found) == 1 else np.nan
    return np.array([known[value] for value in truth], dtype=np.float64)
