"""The measurements behind every promise: predictions, disturbed rows, bytes and clocks become estimates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from jaxtyping import Bool

from holdtrue.core.errors import Misuse, nearest
from holdtrue.data.breach import Breach
from holdtrue.evaluation.measure import (
    measure_beats,
    measure_calibrated,
    measure_fair,
    measure_fast,
    measure_quality,
    measure_robust,
)
from holdtrue.evaluation.predictions import Predictions
from holdtrue.pipeline.promising import Asked
from holdtrue.promises.promise import Judged, fact, judge
from holdtrue.spec.promises import Beats, Calibrated, Complete, Fair, Fast, Fresh, Quality, Robust, Small
from holdtrue.statistics.estimate import Estimate

DAY_S = 86_400.0
FAST_RUNS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything a promise may ask about a candidate.

    Attributes:
        predictions: of the candidate's graph on the held-out rows; `others` those of the baselines by name.
        rows: all typed columns of the held-out rows, for scopes and groups.
        disturbed: the candidate's predictions of the same rows under a disturbance.
        answer_one: answers a single row in this process.
        clock: seconds that only grow.
        newest: the moment of the newest row of a column (or of the project's time), seconds since 1970.
    """

    predictions: Predictions
    others: Mapping[str, Predictions]
    rows: pl.DataFrame
    disturbed: Callable[[str], Predictions]
    answer_one: Callable[[], object]
    clock: Callable[[], float]
    model_bytes: int
    breaches: Sequence[Breach]
    all_rows: int
    newest: Callable[[str | None], float | None]
    now: datetime
    metric: str
    dates: frozenset[str]
    seed: int


def judged(asked: Asked, evidence: Evidence, *, alpha: float) -> Judged:
    """Measure one promise at the level that is spent on it, and hold it to it."""
    return judge(asked.promise, measured(asked, evidence, confidence=1 - 2 * alpha), alpha=alpha)


def measured(asked: Asked, evidence: Evidence, *, confidence: float) -> Estimate:
    """Measure what a promise is about."""
    said, seed = asked.said, evidence.seed
    predictions = evidence.predictions
    match said:
        case Quality():
            mask = scope_mask(evidence.rows, said.where) if said.where else None
            return measure_quality(said.metric, predictions, confidence, seed, mask)
        case Beats():
            other = evidence.others[said.baseline]
            metric = said.metric or evidence.metric
            return measure_beats(metric, predictions, other, confidence, seed, relative=said.relative)
        case Calibrated():
            return measure_calibrated(predictions, confidence, seed)
        case Fair():
            groups = evidence.rows.get_column(said.across)
            is_date = said.across in evidence.dates
            return measure_fair(
                said.metric, predictions, groups, confidence, seed, minimum=said.minimum, is_date=is_date
            )
        case Robust():
            metric = said.metric or evidence.metric
            return measure_robust(metric, predictions, evidence.disturbed(asked.about), confidence, seed)
        case Fast():
            quantile = 0.99 if said.p99_ms is not None else 0.5
            return measure_fast(evidence.answer_one, FAST_RUNS, quantile, evidence.clock, confidence)
        case Small() | Complete() | Fresh():
            return _known(said, evidence)


def _known(said: Small | Complete | Fresh, evidence: Evidence) -> Estimate:
    """What is counted rather than estimated."""
    if isinstance(said, Small):
        return fact(float(evidence.model_bytes), method="counted")
    if isinstance(said, Complete):
        # One row may break the contract in several places: their sum bounds the rows from above.
        broken = min(sum(breach.count for breach in evidence.breaches), evidence.all_rows)
        return fact(broken / evidence.all_rows, rows=evidence.all_rows, method="contract check of every row")
    newest = evidence.newest(said.column)
    if newest is None:
        raise Misuse(
            f"The promise `fresh` needs a time{f' and {said.column!r} holds none' if said.column else ''}.",
            do="Name a date column: `- fresh: {age_at_most: 30d, column: NAME}`, or set data.time.",
        )
    return fact((evidence.now.timestamp() - newest) / DAY_S, method="clock")


def scope_mask(rows: pl.DataFrame, where: Mapping[str, str | float | bool]) -> Bool[np.ndarray, " rows"]:
    """Find the rows of a scope; raises `Misuse` for a value that no row has."""
    mask = np.ones(rows.height, dtype=bool)
    for name, value in where.items():
        column = rows.get_column(name)
        text = column.dtype == pl.String
        wanted: str | float = _as_text(value) if text else _as_number(name, value)
        found = (column == wanted).fill_null(False).to_numpy()
        if not found.any():
            known = column.drop_nulls().unique().to_list()
            told = nearest(str(wanted), [str(each) for each in known]) if len(known) <= 1000 else ""
            raise Misuse(f"No held-out row has {name} = {value!r}{told}")
        mask &= found
    return mask


def _as_text(value: str | float | bool) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _as_number(name: str, value: str | float | bool) -> float:
    try:
        return float(value)
    except ValueError:
        raise Misuse(f"The column {name!r} holds numbers, and {value!r} is none.") from None
