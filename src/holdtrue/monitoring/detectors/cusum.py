"""CUSUM: what lies above the level of the reference, beyond an allowance, is summed, and likewise what lies below.

    up_t = max(0, up_{t-1} + x_t - μ - k),   down_t = max(0, down_{t-1} - x_t + μ - k),   fires when one is above h,

where μ is the mean of the reference. The allowance k is an eighth of its standard deviation σ: a shift is found soonest
when k is half of it, and a quarter of σ is what it takes an error rate of 5 % to double. Among all detectors that know
the levels before and after and have the same run length none is faster in the worst case (Moustakides 1986, Ann.
Statist. 14, 1379-1387).

It compares with the reference: while the level stays away it fires again and again, until a new one is made.
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
class Cusum:
    """Watches for a departure, up or down, from the level of the reference; it remembers two sums.

    All its numbers are in units of 2⁻²⁶.
    """

    def __init__(self, *, level: int, allowance: int, threshold: int, up: int = 0, down: int = 0) -> None:
        self._level, self._allowance, self._threshold = level, allowance, threshold
        self._up, self._down = up, down

    def update(self, values: Float64[np.ndarray, " values"]) -> list[int]:
        """Take in the next values; give the places at which it fired."""
        return firings(whole(values), self._look)

    def state(self) -> State:
        """Give the settings and both sums."""
        return {
            "level": self._level,
            "allowance": self._allowance,
            "threshold": self._threshold,
            "up": self._up,
            "down": self._down,
        }

    def _look(self, values: Int64[np.ndarray, " part"]) -> int | None:
        up = climbs(values - (self._level + self._allowance), self._up)
        down = climbs(self._level - self._allowance - values, self._down)
        over = np.maximum(up, down) > self._threshold
        hit = int(over.argmax())
        if over[hit]:
            self._up = self._down = 0
            return hit
        self._up, self._down = int(up[-1]), int(down[-1])
        return None


def make(reference: Float64[np.ndarray, " rows"], *, run_length: int, seed: int) -> Cusum:
    """Set the threshold to a run length.

    The mean of the reference has an error that turns into a slope of the sums, so the threshold is higher after a
    short reference.

    >>> quiet = np.random.default_rng(1).beta(2, 5, size=3000)
    >>> watch = make(quiet, run_length=1000, seed=0)
    >>> watch.update(np.array([0.3, 0.2] * 20 + [0.9] * 5))
    [44]
    """
    quiet = quiet_period(reference)
    allowance = round(ALLOWANCE * quiet.spread)

    def peaks(
        streams: Int64[np.ndarray, "streams time"], levels: Int64[np.ndarray, " streams"]
    ) -> Float64[np.ndarray, " streams"]:
        above = streams - levels[:, None]
        up, down = climbs(above - allowance), climbs(-above - allowance)
        return np.maximum(up.max(axis=1), down.max(axis=1)).astype(np.float64)

    limit = threshold(quiet, peaks, run_length=run_length, seed=seed)
    return Cusum(level=quiet.level, allowance=allowance, threshold=round(limit))


def from_state(state: State) -> Cusum:
    """Go on where `Cusum.state` was taken."""
    return Cusum(
        level=int(number(state, "level")),
        allowance=int(number(state, "allowance")),
        threshold=int(number(state, "threshold")),
        up=int(number(state, "up")),
        down=int(number(state, "down")),
    )


PLUGIN = Detector(
    make=make,
    from_state=from_state,
    title="CUSUM",
    paper="Page 1954, Biometrika 41, 100-115, doi:10.1093/biomet/41.1-2.100",
)
