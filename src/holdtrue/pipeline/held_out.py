"""The held-out rows of a release, kept in the store: what was asked, what it answered, and the truth.

They say how a metric would be if traffic had other shares of this or that. They are kept beside the releases and not in
them, for a release may travel further than its rows; columns marked personal are left out.
"""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from holdtrue.core.files import write_whole
from holdtrue.evaluation.predictions import Predictions
from holdtrue.pipeline.workspace import Home
from holdtrue.release.rows import parquet

if TYPE_CHECKING:
    from holdtrue.pipeline.make import Made

MOST_ROWS = 5_000
INPUT, TRUTH = "input.", "truth"
OF_CLASSES, OF_NUMBERS = ("probabilities", "decisions"), ("values", "low", "high")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Typed columns by name, as a release takes them, and what it answered."""

    columns: "dict[str, np.ndarray | Sequence[str]]"
    predictions: Predictions


def keep_held_out(home: Home, made: "Made", *, coverage: float, seed: int) -> None:
    """Write a sample of the rows that judged a release."""
    from holdtrue.pipeline.make import answers_of  # whoever only reads the rows need not load what trains

    prepared = made.prepared
    rows = prepared.parts.test
    if len(rows) > MOST_ROWS:
        # They stay in the order of their time, if they have one: what runs with time is known by that.
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))]
    frame = prepared.frame[rows]
    answers = answers_of(made.predict(frame), prepared, rows, coverage)
    hidden = {field.name for field in prepared.served.fields if field.personal}
    write_whole(home.held_out(made.core.digest), parquet(laid_out(frame, answers, hidden)), mode=0o600)


def laid_out(frame: pl.DataFrame, answers: Predictions, hidden: Collection[str]) -> pl.DataFrame:
    """Put typed rows, what was answered and the truth side by side; `hidden` columns are left out."""
    columns = {
        **{f"{INPUT}{name}": frame.get_column(name) for name in frame.columns if name not in hidden},
        TRUTH: pl.Series(answers.truth),
    }
    for name in (*OF_CLASSES, *OF_NUMBERS):
        values: Any = getattr(answers, name)
        if values is not None:
            parts = np.atleast_2d(np.asarray(values).T)
            columns |= {f"{name}.{place}": pl.Series(part) for place, part in enumerate(parts)}
    return pl.DataFrame([series.alias(name) for name, series in columns.items()])


def read_held_out(home: Home, digest: str, classes: Sequence[str]) -> HeldOut | None:
    """Give the held-out rows of a release; None where they were not kept."""
    try:
        frame = pl.read_parquet(io.BytesIO(home.held_out(digest).read_bytes()))
    except FileNotFoundError:
        return None
    columns: dict[str, np.ndarray | Sequence[str]] = {}
    for title in frame.columns:
        if title.startswith(INPUT):
            series = frame.get_column(title)
            columns[title.removeprefix(INPUT)] = (
                series.fill_null("").to_list()
                if series.dtype == pl.String
                else series.cast(pl.Float64).fill_null(np.nan).to_numpy()
            )
    truth = frame.get_column(TRUTH).to_numpy().astype(np.float64)
    if not classes:
        value, low, high = (_column(frame, name, 0) for name in OF_NUMBERS)
        return HeldOut(columns=columns, predictions=Predictions(truth=truth, values=value, low=low, high=high))
    shares = [_column(frame, OF_CLASSES[0], place) for place in range(len(classes))]
    predictions = Predictions(
        truth=truth,
        classes=tuple(classes),
        probabilities=np.stack(shares, axis=1),
        decisions=_column(frame, OF_CLASSES[1], 0).astype(np.int64),
    )
    return HeldOut(columns=columns, predictions=predictions)


def _column(frame: pl.DataFrame, name: str, place: int) -> "np.ndarray":
    return frame.get_column(f"{name}.{place}").to_numpy().astype(np.float64)
