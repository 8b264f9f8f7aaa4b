"""The target over time, through the parts the rows were split into: what drifts is seen before it hurts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from jaxtyping import Float64

from holdtrue.statistics.binomial import wilson
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.mean import mean_estimate

BUCKETS = 36
LEAST_ROWS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """When each row happened (seconds since 1970), its target, and the part it belongs to.

    `target` is 1 where the class that is followed came true and 0 elsewhere, or the number to predict.
    """

    time: Float64[np.ndarray, " rows"]
    target: Float64[np.ndarray, " rows"]
    part: Sequence[str]
    is_share: bool


def followed(truth: Float64[np.ndarray, " rows"], classes: Sequence[str]) -> Float64[np.ndarray, " rows"]:
    """Turn true classes into what the timeline follows: the positive one of two, else the most common one."""
    if not classes:
        return truth
    code = 1 if len(classes) == 2 else int(np.bincount(truth.astype(np.int64)).argmax())
    return (truth == code).astype(np.float64)


def target_over_time(timeline: Timeline, confidence: float, seed: int) -> list[dict[str, Any]]:
    """Give the mean target in equal stretches of time, cut where the part changes; those of few rows are left out."""
    known = np.isfinite(timeline.time) & np.isfinite(timeline.target)
    if not known.any():
        return []
    time, target = timeline.time[known], timeline.target[known]
    parts, part = np.unique(np.asarray(timeline.part)[known], return_inverse=True)
    edges = np.linspace(time.min(), time.max(), BUCKETS + 1)
    bucket = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, BUCKETS - 1)
    made: list[tuple[float, dict[str, Any]]] = []
    for key in np.unique(bucket * len(parts) + part).tolist():
        here = bucket * len(parts) + part == key
        if int(here.sum()) < LEAST_ROWS:
            continue
        first, last = float(time[here].min()), float(time[here].max())
        found = _mean(target[here], confidence, seed, is_share=timeline.is_share)
        made.append(
            (first, {"from": _day(first), "to": _day(last), "part": str(parts[key % len(parts)]), **_short(found)})
        )
    return [entry for _, entry in sorted(made, key=lambda pair: pair[0])]


def _mean(target: "np.ndarray", confidence: float, seed: int, *, is_share: bool) -> Estimate:
    if is_share:
        return wilson(int(target.sum()), len(target), confidence)
    return mean_estimate(target, confidence, seed)


def _short(found: Estimate) -> dict[str, float | int]:
    return {"value": found.value, "low": found.low, "high": found.high, "rows": found.rows}


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
