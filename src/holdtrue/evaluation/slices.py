"""Where the model is weak: every category of every column, and segments that a small tree finds.

Each slice is compared with all other rows, one-sided; over all slices together the share of false alarms among those
called weak stays below the level (Benjamini and Hochberg). The tree is grown on one half of the held-out rows and its
leaves are judged on the other half, so that a segment is not praised for the noise it was chosen by.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64
from scipy.special import stdtr

from holdtrue.evaluation.grouping import group
from holdtrue.evaluation.influence import share_influence, standard_error, units_of
from holdtrue.evaluation.metric import Metric, metric_named
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.segments import find_segments
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.multiplicity import benjamini_hochberg

LEAST_ROWS = 30
# A difference that the rows prove may still be too small to care about: weak is a loss a tenth above that of all rows.
LEAST_EXCESS = 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A part of the rows: its value, that of all other rows, and whether it is weak beyond chance."""

    column: str
    name: str
    value: Estimate
    rest: float
    p_adjusted: float
    weak: bool
    found: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    column: str
    name: str
    found: str
    value: Estimate
    rest: float
    loss: float
    p: float


def slice_metric(metric: str, predictions: Predictions) -> str:
    """Name the metric that slices are judged by: the wanted one if it is a mean over rows, else the task's loss."""
    if metric_named(metric).per_row is not None:
        return metric
    return "mae" if predictions.probabilities is None else "log_loss"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judge:
    """Rows, their losses (more is worse, 0 is best) and what turns them into verdicts on slices."""

    predictions: Predictions
    metric: Metric
    loss: Float64[np.ndarray, " rows"]
    confidence: float
    seed: int

    def of(self, mask: "np.ndarray", column: str, name: str, found: str) -> _Candidate:
        inside, outside = mask & ~np.isnan(self.loss), ~mask & ~np.isnan(self.loss)
        loss = np.nan_to_num(self.loss)
        here, elsewhere = float(loss[inside].mean()), float(loss[outside].mean())
        pull = share_influence(loss, inside) - share_influence(loss, outside)
        error = standard_error(units_of(pull, self.predictions.clusters))
        return _Candidate(
            column=column,
            name=name,
            found=found,
            value=self.metric.estimate(self.predictions.take(mask), self.confidence, self.seed),
            rest=self.metric.bounds[1] - elsewhere if self.metric.higher_is_better else elsewhere,
            loss=here,
            p=float(stdtr(int(inside.sum()) - 1, (elsewhere - here) / error)) if error > 0 else 1.0,
        )

    def fits(self, mask: "np.ndarray") -> bool:
        defined = ~np.isnan(self.loss)
        return min(int((mask & defined).sum()), int((~mask & defined).sum())) >= LEAST_ROWS


def _judge(predictions: Predictions, metric: Metric, confidence: float, seed: int) -> _Judge:
    assert metric.per_row is not None
    scores = metric.per_row(predictions)
    loss = metric.bounds[1] - scores if metric.higher_is_better else scores
    return _Judge(predictions=predictions, metric=metric, loss=loss, confidence=confidence, seed=seed)


def slices(
    predictions: Predictions,
    frame: pl.DataFrame,
    metric: str,
    confidence: float,
    seed: int,
    *,
    dates: frozenset[str] = frozenset(),
) -> list[Slice]:
    """Judge every group of each column and the segments found; weak ones come first, the highest loss leading."""
    if frame.width == 0:
        return []
    judge = _judge(predictions, metric_named(metric), confidence, seed)
    found = [*_by_column(judge, frame, dates), *_by_tree(judge, frame, dates)]
    if not found:
        return []
    adjusted = benjamini_hochberg([candidate.p for candidate in found]).tolist()
    whole = float(np.nanmean(judge.loss))
    judged = [
        Slice(
            column=candidate.column,
            name=candidate.name,
            value=candidate.value,
            rest=candidate.rest,
            p_adjusted=p,
            weak=p <= 1 - confidence and candidate.loss >= LEAST_EXCESS * whole,
            found=candidate.found,
        )
        for candidate, p in zip(found, adjusted, strict=True)
    ]
    order = sorted(
        range(len(found)), key=lambda i: (not judged[i].weak, -found[i].loss if judged[i].weak else adjusted[i])
    )
    return [judged[i] for i in order]


def _by_column(judge: _Judge, frame: pl.DataFrame, dates: frozenset[str]) -> Iterable[_Candidate]:
    for series in frame.iter_columns():
        grouping = group(series, is_date=series.name in dates)
        sizes = np.bincount(grouping.codes)
        for code in range(len(grouping.names)):
            if sizes[code] >= LEAST_ROWS and judge.fits(mask := grouping.mask(code)):
                yield judge.of(mask, series.name, grouping.title(code), "category")


def _by_tree(judge: _Judge, frame: pl.DataFrame, dates: frozenset[str]) -> Iterable[_Candidate]:
    """Grow on one half and judge on the other; rows of a cluster stay in one half."""
    clusters = judge.predictions.clusters
    unit = np.arange(judge.predictions.rows) if clusters is None else clusters
    names, code = np.unique(unit, return_inverse=True)
    grows = (np.random.default_rng(judge.seed).permutation(len(names)) % 2 == 0)[code]
    if min(int(grows.sum()), int((~grows).sum())) < 4 * LEAST_ROWS:
        return
    segments = find_segments(frame.filter(pl.Series(grows)), judge.loss[grows], dates)
    rest = frame.filter(pl.Series(~grows))
    other = _judge(judge.predictions.take(~grows), judge.metric, judge.confidence, judge.seed)
    for segment in segments:
        if other.fits(mask := segment.contains(rest)):
            yield other.of(mask, segment.columns, segment.name, "tree")
