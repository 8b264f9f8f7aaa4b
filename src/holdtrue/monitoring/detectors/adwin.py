"""ADWIN: a window that grows while its older and newer parts have the same mean, and ends when they differ.

The n values of the window are cut wherever two buckets meet, into n₀ old and n₁ new ones. It fires when, for some cut,

    |μ₀ - μ₁| ≥ √(2/m σ² ln(2/δ')) + 2/(3m) ln(2/δ'),   1/m = 1/n₀ + 1/n₁,   δ' = δ / ln n,

with the variance σ² of the window (Bifet & Gavaldà 2007, SDM, 443-448). Solved for ln(2/δ') the right side says how
strong the evidence of a cut is; what is compared with ln(2/δ) is that evidence less ln ln n.

The values are kept as an exponential histogram: buckets of 32, 64, 128, … values, at most 5 of each size, each with the
sum of its values. It looks each 32 values, as the authors' implementation does.

It compares the stream with itself: the level of the reference does not matter. Unlike in the paper the window starts
empty after a firing. The paper keeps what is newer than the cut; when there was no change, that is a part picked for
being extreme, and the next false alarm comes early (simulated: run lengths of 0.6 times the one accepted).
"""

import math
from collections.abc import Sequence
from typing import Generic, TypeVar, final

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.monitoring.detector import (
    RESOLUTION,
    Detector,
    State,
    number,
    numbers,
    quiet_period,
    threshold,
    whole,
)

T = TypeVar("T", float, np.ndarray)

BUCKET = 32
MOST_OF_A_SIZE = 5
# Two buckets. Evidence is at least minus this, so with this added it is proportional to the squared gap at that look.
FIRST_LOOK = math.log(math.log(2 * BUCKET))


@final
class Window(Generic[T]):
    """Buckets, the oldest first, of one stream or of many side by side.

    Attributes:
        sizes: how many values each bucket holds.
        sums: their sum, by bucket.
        square: the sum of the squares of all values.
    """

    def __init__(self, square: T, sums: Sequence[T] = (), sizes: Sequence[int] = ()) -> None:
        self.sizes, self.sums, self.square = list(sizes), list(sums), square

    def add(self, total: T, square: T) -> None:
        """Take in 32 values; where there are too many buckets of a size the two oldest become one."""
        self.sizes.append(BUCKET)
        self.sums.append(total)
        self.square = self.square + square
        size, end = BUCKET, len(self.sizes)
        while end - (oldest := self.sizes.index(size)) > MOST_OF_A_SIZE:
            self.sums[oldest : oldest + 2] = [self.sums[oldest] + self.sums[oldest + 1]]
            size *= 2
            self.sizes[oldest : oldest + 2] = [size]
            end = oldest + 1

    def evidence(self) -> Float64[np.ndarray, " streams"] | float:
        """Give the largest ln(2/δ) at which it fires, for each stream; two buckets are needed."""
        sums = np.array(self.sums).cumsum(axis=0)
        rows = sum(self.sizes)
        mean = sums[-1] / rows
        variance = np.maximum(self.square / rows - mean * mean, 0.0)
        old = np.array(self.sizes[:-1], dtype=np.float64).cumsum().reshape(-1, *[1] * (sums.ndim - 1))
        # With gap = |μ₀ - μ₁| m = |Σ₀ - n₀ μ| and y² = ln(2/δ') the formula reads gap = √(2 m σ²) y + 2/3 y².
        gap = np.abs(sums[:-1] - old * mean)
        square = old * (rows - old) * (2 / rows * variance)
        root = 0.75 * (np.sqrt(square + 8 / 3 * gap) - np.sqrt(square)).max(axis=0)
        return root * root - math.log(math.log(rows))


@final
class Adwin:
    """Watches for a change, up or down, of the mean in a window that is as long as there was none.

    It remembers at most 5 buckets for each doubling of the values, and fewer than 32 values that wait for a bucket.
    """

    def __init__(self, *, limit: float, window: Window[float], waiting: Int64[np.ndarray, " values"]) -> None:
        self._limit, self._window, self._waiting = limit, window, waiting

    def update(self, values: Float64[np.ndarray, " values"]) -> list[int]:
        """Take in the next values; give the places, each the last of 32, at which it fired."""
        shift = len(self._waiting)
        held = np.concatenate([self._waiting, whole(values)])
        full = len(held) // BUCKET
        self._waiting = held[full * BUCKET :]
        sums, squares = _totals(held[: full * BUCKET])
        taken = zip(sums.tolist(), squares.tolist(), strict=True)
        return [(i + 1) * BUCKET - 1 - shift for i, (total, square) in enumerate(taken) if self._cut(total, square)]

    def state(self) -> State:
        """Give ln(2/δ), the buckets and the values that wait."""
        return {
            "limit": self._limit,
            "sizes": list(map(float, self._window.sizes)),
            "sums": self._window.sums.copy(),
            "square": self._window.square,
            "waiting": list(map(float, self._waiting)),
        }

    def _cut(self, total: float, square: float) -> bool:
        self._window.add(total, square)
        if len(self._window.sizes) < 2 or self._window.evidence() < self._limit:
            return False
        self._window = Window(0.0)
        return True


def make(reference: Float64[np.ndarray, " rows"], *, run_length: int, seed: int) -> Adwin:
    """Set δ to a run length: streams drawn from the reference reach ln(2/δ) once in so many values, on average.

    By Bifet & Gavaldà's theorem 3.1 the chance to fire at one look is at most δ for independent values, so δ could be
    32 / run_length. But that bound holds for any distribution and is far from what happens: simulated with normal
    values of a standard deviation of 0.1, it did not fire once in 400 run lengths, and found a shift of half a standard
    deviation after 324 values instead of 68. And it does not hold for values that follow one another. A δ found by
    drawing may be above 1; it is then a setting, no chance.

    >>> quiet = np.random.default_rng(1).beta(2, 5, size=3000)
    >>> watch = make(quiet, run_length=1000, seed=0)
    >>> watch.update(np.array([0.3, 0.2] * 160 + [0.9] * 64))
    [351]
    """
    quiet = quiet_period(reference)
    limit = threshold(quiet, _peaks, run_length=run_length, seed=seed) - FIRST_LOOK
    return Adwin(limit=limit, window=Window(0.0), waiting=np.empty(0, dtype=np.int64))


def from_state(state: State) -> Adwin:
    """Go on where `Adwin.state` was taken."""
    sums, sizes = numbers(state, "sums"), list(map(int, numbers(state, "sizes")))
    if len(sizes) != len(sums):
        raise ValueError(f"a saved state of this detector holds as many 'sizes' as 'sums', got {sizes} and {sums}.")
    window = Window(number(state, "square"), sums, sizes)
    waiting = np.array(numbers(state, "waiting"), dtype=np.float64).astype(np.int64)
    return Adwin(limit=number(state, "limit"), window=window, waiting=waiting)


def _totals(
    values: Int64[np.ndarray, "*streams time"],
) -> tuple[Float64[np.ndarray, "*streams buckets"], Float64[np.ndarray, "*streams buckets"]]:
    """Give the sums of each 32 values and of their squares, without error until the last division."""
    held = values.reshape(*values.shape[:-1], -1, BUCKET)
    return held.sum(axis=-1) / RESOLUTION, (held * held).sum(axis=-1) / RESOLUTION**2


def _peaks(
    streams: Int64[np.ndarray, "streams time"], levels: Int64[np.ndarray, " streams"]
) -> Float64[np.ndarray, " streams"]:
    """Give the strongest evidence in each stream; until it fires, a window has the same buckets in all of them."""
    sums, squares = _totals(streams[:, : streams.shape[1] // BUCKET * BUCKET])
    window = Window[np.ndarray](np.zeros(len(streams)))
    highest = np.full(len(streams), -np.inf)
    for place in range(sums.shape[1]):
        window.add(sums[:, place], squares[:, place])
        if place:
            highest = np.maximum(highest, window.evidence())
    return highest + FIRST_LOOK


PLUGIN = Detector(
    make=make,
    from_state=from_state,
    title="ADWIN",
    paper="Bifet & Gavaldà 2007, SDM, 443-448, doi:10.1137/1.9781611972771.42",
)
