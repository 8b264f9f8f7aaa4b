"""Page-Hinkley: the sum of what lies above the mean so far grows when the mean has moved, and likewise below.

    m_t = Σ (x_i - x̄_i - δ),   fires when m_t - min m is above λ;   the same with -x for a fall,

where x̄_i is the mean of the values since the last firing, x_i included, and the allowance δ is an eighth of the
standard deviation of the reference: a shift is found soonest when δ is half of it, and a quarter of a standard
deviation is what it takes an error rate of 5 % to double.

It compares the stream with itself: the level of the reference does not matter, only how its values vary. After a firing
it learns the new level, so a shift makes it fire once. A shift soon after a start is found late, or not at all, because
the mean so far holds few values from before.
"""

from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.monitoring.detector import (
    Detector,
    State,
    climbs,
    firings,
    number,
    quiet_period,
    threshold,
    whole,
)

ALLOWANCE = 1 / 8


@final
class PageHinkley:
    """Watches for a move, up or down, of the mean; it remembers a count and three sums.

    All its numbers but the count are in units of 2⁻²⁶.
    """

    def __init__(
        self, *, allowance: int, threshold: int, count: int = 0, total: int = 0, up: int = 0, down: int = 0
    ) -> None:
        self._allowance, self._threshold = allowance, threshold
        self._count, self._total, self._up, self._down = count, total, up, down

    def update(self, values: Float64[np.ndarray, " values"]) -> list[int]:
        """Take in the next values; give the places at which it fired."""
        return firings(whole(values), self._look)

    def state(self) -> State:
        """Give the settings, the count and the sums."""
        return {
            "allowance": self._allowance,
            "threshold": self._threshold,
            "count": self._count,
            "total": self._total,
            "up": self._up,
            "down": self._down,
        }

    def _look(self, values: Int64[np.ndarray, " part"]) -> int | None:
        above = _above_mean(values, self._count, self._total)
        up = climbs(above - self._allowance, self._up)
        down = climbs(-above - self._allowance, self._down)
        over = np.maximum(up, down) > self._threshold
        hit = int(over.argmax())
        if over[hit]:
            self._count = self._total = self._up = self._down = 0
            return hit
        self._count += len(values)
        self._total += int(values.sum())
        self._up, self._down = int(up[-1]), int(down[-1])
        return None


def make(reference: Float64[np.ndarray, " rows"], *, run_length: int, seed: int) -> PageHinkley:
    """Set the threshold to a run length.

    >>> quiet = np.random.default_rng(1).beta(2, 5, size=3000)
    >>> watch = make(quiet, run_length=1000, seed=0)
    >>> watch.update(np.array([0.3, 0.2] * 200 + [0.9] * 10))
    [404]
    """
    quiet = quiet_period(reference)
    allowance = round(ALLOWANCE * quiet.spread)

    def peaks(
        streams: Int64[np.ndarray, "streams time"], levels: Int64[np.ndarray, " streams"]
    ) -> Float64[np.ndarray, " streams"]:
        above = _above_mean(streams)
        up, down = climbs(above - allowance), climbs(-above - allowance)
        return np.maximum(up.max(axis=1), down.max(axis=1)).astype(np.float64)

    return PageHinkley(allowance=allowance, threshold=round(threshold(quiet, peaks, run_length=run_length, seed=seed)))


def from_state(state: State) -> PageHinkley:
    """Go on where `PageHinkley.state` was taken."""
    return PageHinkley(
        allowance=int(number(state, "allowance")),
        threshold=int(number(state, "threshold")),
        count=int(number(state, "count")),
        total=int(number(state, "total")),
        up=int(number(state, "up")),
        down=int(number(state, "down")),
    )


def _above_mean(
    values: Int64[np.ndarray, "*streams time"], count: int = 0, total: int = 0
) -> Int64[np.ndarray, "*streams time"]:
    """Give how far each value lies above the mean up to and with it, after `count` values that sum to `total`."""
    totals = np.cumsum(values, axis=-1)
    totals += total
    totals //= np.arange(count + 1, count + 1 + values.shape[-1])
    return values - totals


PLUGIN = Detector(
    make=make,
    from_state=from_state,
    title="Page-Hinkley",
    paper="Page 1954, Biometrika 41, 100-115, doi:10.1093/biomet/41.1-2.100; Hinkley 1971, Biometrika 58, 509-523",
)
