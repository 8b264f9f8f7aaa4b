"""The parts that detectors share, and each detector against its formula: sums, blocks of a reference, thresholds."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Float64
from scipy.optimize import brentq
from scipy.signal import lfilter

from holdtrue.monitoring.detector import RESOLUTION, climbs, firings, quiet_period
from holdtrue.monitoring.detectors import adwin, cusum, page_hinkley


def independent(rows: int, seed: int) -> Float64[np.ndarray, " rows"]:
    return np.clip(0.5 + 0.1 * np.random.default_rng(seed).standard_normal(rows), 0.0, 1.0)


def following(rows: int, seed: int, closeness: float) -> Float64[np.ndarray, " rows"]:
    swings = lfilter([0.05], [1.0, -closeness], np.random.default_rng(seed).standard_normal(rows + 200))[200:]
    return np.clip(0.5 + swings, 0.0, 1.0)


def siegmund(run_length: float, allowance: float) -> float:
    """Give the threshold of a two-sided CUSUM of independent normal values, in standard deviations.

    Siegmund 1985, Sequential Analysis, 2.56: on one side the mean run length is (e^2kb - 2kb - 1) / 2k², b = h + 1.166.
    Both sides together fire twice as often.
    """

    def missing(height: float) -> float:
        slope = 2 * allowance * (height + 1.166)
        return (math.exp(slope) - slope - 1) / (2 * allowance**2) - 2 * run_length

    return float(brentq(missing, 0.0, 300.0))


@given(steps=arrays(np.int64, st.integers(1, 40), elements=st.integers(-50, 50)), start=st.integers(0, 60))
def test_a_climb_is_the_sum_that_never_falls_below_0(steps: "np.ndarray", start: int) -> None:
    expected: list[int] = []
    for step in steps.tolist():
        start_or_last = expected[-1] if expected else start
        expected.append(max(0, start_or_last + step))
    assert climbs(steps, start).tolist() == expected
    assert climbs(np.stack([steps, -steps]), start)[0].tolist() == expected


@given(marks=st.lists(st.booleans(), max_size=3000))
def test_each_mark_of_a_batch_fires_once(marks: list[bool]) -> None:
    def look(part: "np.ndarray") -> int | None:
        return int(part.argmax()) if part.any() else None

    assert firings(np.array(marks, dtype=np.int64), look) == [place for place, mark in enumerate(marks) if mark]


def test_a_reference_of_independent_values_has_the_shortest_blocks() -> None:
    quiet = quiet_period(independent(8000, seed=1))
    assert quiet.block == 20
    assert quiet.kept == pytest.approx(1 - 20 / 8000)
    assert (quiet.level / RESOLUTION, quiet.spread / RESOLUTION) == pytest.approx((0.5, 0.1), abs=0.003)


@pytest.mark.parametrize("closeness", [0.5, 0.7, 0.9])
def test_a_block_loses_a_twentieth_of_the_variance_of_long_sums(closeness: float) -> None:
    """Correlations are c^k here; the sum of |k| c^|k| over that of c^|k| is 2c / (1 - c²), and b is 20 times that."""
    rows = 100_000
    block = 40 * closeness / (1 - closeness**2)
    quiet = quiet_period(following(rows, 3, closeness))
    assert quiet.block == pytest.approx(max(block, rows ** (1 / 3)), rel=0.15)
    assert quiet.kept == pytest.approx(1 - block / 20 / quiet.block, abs=0.01)


@pytest.mark.parametrize(("run_length", "within"), [(1000, 0.05), (10_000, 0.05), (100_000, 0.05), (1_000_000, 0.08)])
def test_the_threshold_of_cusum_is_that_of_the_closed_form(run_length: int, within: float) -> None:
    """Blocks of 59 in 200,000 values know the variance of long sums, and so the threshold, to 2 %."""
    reference = independent(200_000, seed=4)
    state = cusum.make(reference, run_length=run_length, seed=1).state()
    height = float(str(state["threshold"])) / RESOLUTION / float(reference.std())
    assert height == pytest.approx(siegmund(run_length, 1 / 8), rel=within)


def naive_cusum(values: list[float], level: float, allowance: float, limit: float) -> list[int]:
    fired, up, down = list[int](), 0.0, 0.0
    for place, value in enumerate(values):
        up, down = max(0.0, up + value - level - allowance), max(0.0, down + level - value - allowance)
        if max(up, down) > limit:
            fired.append(place)
            up = down = 0.0
    return fired


def naive_page_hinkley(values: list[float], level: float, allowance: float, limit: float) -> list[int]:
    """As in the papers: both sums, the least of one and the most of the other; `level` is not used."""
    fired, start = list[int](), 0
    risen = fallen = least = most = total = 0.0
    for place, value in enumerate(values):
        total += value
        mean = total / (place + 1 - start)
        risen, fallen = risen + value - mean - allowance, fallen + value - mean + allowance
        least, most = min(least, risen), max(most, fallen)
        if max(risen - least, most - fallen) > limit:
            fired.append(place)
            risen = fallen = least = most = total = 0.0
            start = place + 1
    return fired


@pytest.mark.parametrize("seed", range(5))
def test_cusum_and_page_hinkley_fire_where_their_formulas_say(seed: int) -> None:
    levels = np.repeat([0.0, 0.05, -0.1, 0.2], 1000)
    values = np.clip(independent(4000, seed) + levels, 0.0, 1.0)
    common = {"allowance": round(RESOLUTION / 80), "threshold": RESOLUTION}
    one = cusum.from_state({**common, "level": RESOLUTION // 2, "up": 0, "down": 0})
    other = page_hinkley.from_state({**common, "count": 0, "total": 0, "up": 0, "down": 0})
    expected = naive_cusum(values.tolist(), 0.5, 1 / 80, 1.0), naive_page_hinkley(values.tolist(), 0.5, 1 / 80, 1.0)
    assert (one.update(values), other.update(values)) == expected
    assert min(map(len, expected)) >= 3


def cut_of_the_paper(values: "np.ndarray", chance: float) -> int | None:
    """Give the first value at which a cut between two blocks of 32 is found, all blocks being kept."""
    for rows in range(64, len(values) + 1, 32):
        window = values[:rows]
        log = math.log(2 * math.log(rows) / chance)
        for cut in range(32, rows, 32):
            harmonic = 1 / (1 / cut + 1 / (rows - cut))
            allowed = math.sqrt(2 / harmonic * float(window.var()) * log) + 2 / (3 * harmonic) * log
            if abs(float(window[:cut].mean() - window[cut:].mean())) >= allowed:
                return rows - 1
    return None


def test_adwin_cuts_where_its_formula_says() -> None:
    """With up to 5 blocks nothing is merged, so each cut of the formula is one of the window."""
    seen: list[int | None] = []
    empty: list[float] = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        values = generator.random(160)
        values[64:] *= generator.choice([1.0, 0.6, 0.3, 0.1])
        watch = adwin.from_state(
            {"limit": math.log(2 / 0.1), "sizes": empty, "sums": empty, "square": 0.0, "waiting": empty}
        )
        seen.append(cut_of_the_paper(values, 0.1))
        assert next(iter(watch.update(values)), None) == seen[-1]
    assert len(set(seen)) >= 4


def test_adwin_starts_empty_after_it_fired() -> None:
    watch = adwin.make(independent(1000, 1), run_length=1000, seed=0)
    empty = watch.state()
    assert watch.update(np.concatenate([independent(640, 2), independent(32, 3) * 0.2])) == [671]
    assert watch.state() == empty
    assert watch.update(independent(320, 4) * 0.2) == []


@pytest.mark.slow
@pytest.mark.parametrize("make", [adwin.make, cusum.make, page_hinkley.make])
def test_a_threshold_takes_seconds_at_most_for_any_run_length(make: Callable[..., object]) -> None:
    """Streams are no longer than 10,000 values, and 800 of them; beyond that the threshold is extended."""
    assert make(independent(500, 1), run_length=10_000_000, seed=0)
