"""Detectors watch one stream of numbers for a change of its level, and are set by the false alarms one accepts.

A threshold on a sum says nothing about errors, so nobody is asked for one. Who makes a detector gives a quiet period
and how many values, on average, may pass between two false alarms. Streams are then drawn from the quiet period, and
the threshold is the one that they would cross about once in so many values.

The streams are drawn in blocks (circular block bootstrap, Politis & Romano 1992): neighbours stay together, so a stream
whose values follow one another closely keeps its long swings. Drawn value by value it would look far calmer than it is,
and the alarms would come many times too often.

Let M be the highest statistic in a stream of as many values as the run length R. If false alarms come at a steady rate,
once in R values, M stays below the threshold with the chance 1/e; so the threshold is that quantile of M. A start that
is calmer or wilder than the rest does not matter to the first order. For R above 10,000 shorter streams do, with the
quantile exp(-length/R); above 160,000 the threshold is extended along ln R, in which it is linear (Siegmund 1985).

Values become whole numbers, multiples of 2⁻²⁶, and all sums of them are exact. That is why a detector fires at the same
values however the stream was cut into batches, where it was stopped and resumed, and on whatever machine.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from numpy.lib.stride_tricks import sliding_window_view

from holdtrue.core.catalog import Catalog

State = Mapping[str, float | list[float]]

# The square of a number in [0, 1] takes 52 bits, so a block of 32 squares sums without error; so do 10¹¹ numbers.
RESOLUTION = 2**26
LEAST_SPREAD = 1e-5
LEAST_INDEPENDENT = 400
LEAST_RUN_LENGTH, MOST_RUN_LENGTH = 100, 10_000_000
# 800 streams of 10,000 values: the run length is known to 5 %, in about a second.
LONGEST_STREAM, MOST_STREAMS, VALUES_DRAWN = 10_000, 1_000, 8_000_000
# With a run length of 16 streams, 50 of the 800 still cross the threshold.
STREAMS_A_RUN = 16
VALUES_AT_ONCE = 2**20
LOST_AT_JOINTS = 0.05
MOST_LAGS = 1_000
SHORTEST_PART, LONGEST_PART = 2**8, 2**15


@runtime_checkable
class Watch(Protocol):
    """A detector at work on one stream; what it remembers does not grow, or only as the logarithm of the values."""

    def update(self, values: Float64[np.ndarray, " values"]) -> list[int]:
        """Take in the next values; give the places in this batch, from 0, at which it fired. It restarts after each.

        Raises ValueError where a value is missing or lies outside [0, 1]; then none of the batch was taken in.
        """
        ...

    def state(self) -> State:
        """Give all there is to know, as JSON can hold it, to go on later or elsewhere."""
        ...


@runtime_checkable
class Make(Protocol):
    """How a detector is made from a quiet period."""

    def __call__(self, reference: Float64[np.ndarray, " rows"], *, run_length: int, seed: int) -> Watch:
        """Set a detector so that on a stream like the reference it fires once in `run_length` values, on average.

        Args:
            reference: values in [0, 1] of a period without change, in the order in which they came.
            run_length: mean number of values between two false alarms, 100 to 10,000,000.
            seed: for the streams that are drawn; the same arguments give the same detector.

        Raises ValueError when the reference is too short, does not vary, or holds what is not in [0, 1].
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector:
    """A way to find changes in a stream of numbers in [0, 1]: an error (0 or 1), a score, a loss scaled to it.

    Attributes:
        make: (reference, run_length=, seed=) -> Watch.
        from_state: what `Watch.state` gave -> the same Watch, in the middle of its stream.
        title: as printed, such as "Page-Hinkley".
        paper: the reference.
    """

    make: Make
    from_state: Callable[[State], Watch]
    title: str
    paper: str


DETECTORS = Catalog(kind="detector", package="holdtrue.monitoring.detectors", interface=Detector)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """A quiet period, measured; numbers are in units of 2⁻²⁶.

    Attributes:
        values: the period itself.
        level: its mean.
        spread: its standard deviation.
        block: how many neighbours are drawn together.
        kept: the part of the variance of long sums that streams drawn in such blocks keep.
    """

    values: Int64[np.ndarray, " rows"]
    level: int
    spread: float
    block: int
    kept: float


# (streams, the mean of a redrawn reference for each) -> the highest value that the statistic reaches in each stream.
Peaks = Callable[[Int64[np.ndarray, "streams time"], Int64[np.ndarray, " streams"]], Float64[np.ndarray, " streams"]]


def whole(values: Float64[np.ndarray, " values"]) -> Int64[np.ndarray, " values"]:
    """Give the values in units of 2⁻²⁶; raises ValueError unless all lie in [0, 1].

    >>> whole(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 33554432, 67108864]
    """
    if values.ndim != 1:
        raise ValueError(f"the values of one stream are one line of numbers, got the shape {values.shape}.")
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(wrong):
        raise ValueError(
            f"values must be numbers from 0 to 1; {len(wrong)} of {len(values)} are not, the first is "
            f"{values[wrong[0]]} at place {wrong[0]}. Leave out what is missing; divide a loss by its largest value."
        )
    return np.rint(values * RESOLUTION).astype(np.int64)


def quiet_period(reference: Float64[np.ndarray, " rows"]) -> Quiet:
    """Measure a reference; raises ValueError when no run length can be promised from it.

    A block is so long that at most a twentieth of the variance of long sums is lost where blocks meet, and at least the
    cube root of the rows, for what is too weak to be seen (Hall, Horowitz & Jing 1995, Biometrika 82, 561-574), but at
    most a tenth of them.
    """
    values = whole(reference)
    rows = len(values)
    centred = reference - reference.mean() if rows else reference
    spread = math.sqrt(float(centred @ centred) / rows) if rows else 0.0
    if rows and spread < LEAST_SPREAD:
        raise ValueError(
            f"the reference does not vary: its standard deviation is {spread:.2g}, and {LEAST_SPREAD} is the least. "
            "Give a quiet period that holds all that is normal, the errors too."
        )
    weight, moment = _memory(centred) if rows else (1.0, 0.0)
    if rows < LEAST_INDEPENDENT * weight:
        raise ValueError(
            f"the reference is too short: its {rows} values tell as much as {rows / weight:.0f} independent ones, and "
            f"{LEAST_INDEPENDENT} are needed. Give a quiet period of {math.ceil(LEAST_INDEPENDENT * weight)} values."
        )
    block = math.ceil(max(rows ** (1 / 3), abs(moment) / weight / LOST_AT_JOINTS))
    block = min(block, rows // 10)
    return Quiet(
        values=values,
        level=round(float(reference.mean()) * RESOLUTION),
        spread=spread * RESOLUTION,
        block=block,
        # The mean of the reference takes up some of the variance too, block/rows of it.
        kept=max(0.5, 1 - max(moment, 0.0) / weight / block - block / rows),
    )


def threshold(quiet: Quiet, peaks: Peaks, *, run_length: int, seed: int) -> float:
    """Give the threshold that streams like the quiet period cross once in `run_length` values, on average.

    The average is over references too: a statistic that uses the mean of the reference is given, for each stream, that
    of a redrawn one, so that the error of a short reference counts. What one detector reaches depends on its reference;
    simulated for a run length of 10,000, in 8 of 10 cases it lay within 0.5 and 2 times that after 2,000 independent
    values (ADWIN's up to 3 times), within 0.6 and 1.8 after 10,000, again within 0.5 and 2 where those are rare errors.
    All firings together came once in 0.8 to 1.1 run lengths.

    Where blocks lose a part of the variance the threshold is raised in proportion, since at a given run length it is
    proportional to that variance. The cost is that of the statistic on at most 8,000,000 values.
    """
    if not LEAST_RUN_LENGTH <= run_length <= MOST_RUN_LENGTH:
        raise ValueError(
            f"run_length must be from {LEAST_RUN_LENGTH} to {MOST_RUN_LENGTH} values, got {run_length}; "
            "10000 means one false alarm in 10000 values."
        )
    time = min(run_length, LONGEST_STREAM)
    highest = _highest(quiet, peaks, min(MOST_STREAMS, VALUES_DRAWN // time), time, np.random.default_rng(seed))
    reach = min(run_length, STREAMS_A_RUN * time)
    limit = _quantile(highest, math.exp(-time / reach))
    if run_length > reach:
        slope = (limit - _quantile(highest, math.exp(-1))) / math.log(STREAMS_A_RUN)
        limit += slope * math.log(run_length / reach)
    return limit / quiet.kept


def climbs(steps: Int64[np.ndarray, "*streams time"], start: int = 0) -> Int64[np.ndarray, "*streams time"]:
    """Give how far the sum of the steps stands above the lowest it was, starting from `start` above it (Page 1954).

    >>> climbs(np.array([-2, 3, -1, -5, 4])).tolist()
    [0, 3, 2, 0, 4]
    """
    sums = np.cumsum(steps, axis=-1)
    sums += start
    lowest = np.minimum.accumulate(sums, axis=-1)
    np.minimum(lowest, 0, out=lowest)
    sums -= lowest
    return sums


def firings(
    values: Int64[np.ndarray, " values"], look: "Callable[[Int64[np.ndarray, ' part']], int | None]"
) -> list[int]:
    """Give the places at which a detector fires that looks at a part of a batch at a time.

    `look` gives the place of its first firing, having taken in the part up to there, or None, having taken in all of
    it. Parts start short after a firing and double, so that many firings do not make the same values be read again and
    again.
    """
    fired: list[int] = []
    place, length = 0, SHORTEST_PART
    while place < len(values):
        part = values[place : place + length]
        hit = look(part)
        place += len(part) if hit is None else hit + 1
        length = min(2 * length, LONGEST_PART) if hit is None else SHORTEST_PART
        if hit is not None:
            fired.append(place - 1)
    return fired


def number(state: State, name: str) -> float:
    """Read one number of a saved state."""
    value = state.get(name)
    if not isinstance(value, int | float):
        raise ValueError(
            f"a saved state of this detector holds a number {name!r}, got {value!r} among {sorted(state)}."
        )
    return value


def numbers(state: State, name: str) -> list[float]:
    """Read one list of numbers of a saved state."""
    value = state.get(name)
    if not isinstance(value, list):
        raise ValueError(f"a saved state of this detector holds a list {name!r}, got {value!r} among {sorted(state)}.")
    return value


def _memory(centred: "np.ndarray") -> tuple[float, float]:
    """Give Σ ρ_k, at least 1, and Σ |k| ρ_k over all lags k, positive and negative, with ρ_0 = 1.

    The first is how much more the mean varies than that of independent values. Blocks of b lose the second, over b.
    Lags count up to the last that stands out from noise and fade to nothing at twice that (the flat-top window and the
    rule for its width of Politis & White 2004, Econometric Rev. 23, 53-70).
    """
    rows, total = len(centred), float(centred @ centred)
    noise = 2 * math.sqrt(math.log10(rows) / rows) if rows > 1 else math.inf
    most, silent = min(MOST_LAGS, rows // 4), 0
    found: list[float] = []
    while len(found) < most and silent < max(5, math.sqrt(math.log10(rows))):
        found.append(_correlation(centred, len(found) + 1, total))
        silent = silent + 1 if abs(found[-1]) < noise else 0
    last = len(found) - silent
    if last == 0:
        return 1.0, 0.0
    found += [_correlation(centred, lag, total) for lag in range(len(found) + 1, min(2 * last, most) + 1)]
    lags = np.arange(1, min(2 * last, len(found)) + 1)
    faded = np.minimum(1.0, 2 - lags / last) * np.array(found[: len(lags)])
    return max(1.0, 1 + 2 * float(faded.sum())), 2 * float(lags @ faded)


def _correlation(centred: "np.ndarray", lag: int, total: float) -> float:
    return float(centred[lag:] @ centred[:-lag]) / total


def _highest(quiet: Quiet, peaks: Peaks, streams: int, time: int, generator: np.random.Generator) -> "np.ndarray":
    """Give the highest statistic in each of many drawn streams, in rising order."""
    rows, block = len(quiet.values), quiet.block
    windows = sliding_window_view(np.concatenate([quiet.values, quiet.values[: block - 1]]), block)
    sums = windows.sum(axis=1)
    at_once = max(1, VALUES_AT_ONCE // time)
    found: list[np.ndarray] = []
    for first in range(0, streams, at_once):
        count = min(at_once, streams - first)
        drawn = windows[generator.integers(rows, size=(count, -(-time // block)))].reshape(count, -1)[:, :time]
        blocks = generator.integers(rows, size=(count, -(-rows // block)))
        found.append(peaks(drawn, sums[blocks].sum(axis=1) // (blocks.shape[1] * block)))
    return np.sort(np.concatenate(found))


def _quantile(ordered: "np.ndarray", level: float) -> float:
    """Give the value that at least the share `level` does not exceed; of two, the higher."""
    return float(ordered[min(len(ordered) - 1, math.ceil(level * len(ordered)))])
