"""What every detector in the catalog keeps: it fires on a shift, seldom without, and can stop anywhere."""

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float64
from scipy.signal import lfilter
from scipy.special import ndtr

from holdtrue.monitoring.detector import DETECTORS, State, Watch

Stream = Callable[[int, np.random.Generator], np.ndarray]

NAMES = DETECTORS.names()
SPREAD = 0.1
RUN_LENGTH = 500


def normal(rows: int, generator: np.random.Generator) -> Float64[np.ndarray, " rows"]:
    return np.clip(0.5 + SPREAD * generator.standard_normal(rows), 0.1, 0.9)


def errors(rows: int, generator: np.random.Generator) -> Float64[np.ndarray, " rows"]:
    """One in twenty is an error."""
    return (generator.random(rows) < 0.05).astype(np.float64)


def following(rows: int, generator: np.random.Generator) -> Float64[np.ndarray, " rows"]:
    """Uniform values, each close to the one before; their mean varies about four times as much as if independent."""
    swings = lfilter([0.8], [1.0, -0.6], generator.standard_normal(rows + 100))[100:]
    return ndtr(swings)


@cache
def saved(name: str, run_length: int = RUN_LENGTH) -> State:
    """Make a detector once; each test goes on from its first state."""
    reference = normal(4000, np.random.default_rng(7))
    return DETECTORS.get(name).make(reference, run_length=run_length, seed=0).state()


def fresh(name: str, run_length: int = RUN_LENGTH) -> Watch:
    return DETECTORS.get(name).from_state(saved(name, run_length))


def delay(name: str, shift: float, seed: int) -> float:
    """Give how many values after a shift, 1500 values after the start, a detector fires; alarms before are left out."""
    values = normal(3000, np.random.default_rng(seed))
    values[1500:] = np.clip(values[1500:] + shift * SPREAD, 0.0, 1.0)
    watch = fresh(name, 10_000)
    watch.update(values[:1500])
    return min(watch.update(values[1500:]), default=np.inf) + 1


def reached(name: str, stream: Stream, *, rows: int, references: int, shuffled: bool = False) -> float:
    """Give the mean run length over many references, each with a stream of its own of 20 run lengths."""
    generator = np.random.default_rng(11)
    fired = 0
    for seed in range(references):
        reference = stream(rows, generator)
        reference = generator.permutation(reference) if shuffled else reference
        watch = DETECTORS.get(name).make(reference, run_length=RUN_LENGTH, seed=seed)
        fired += len(watch.update(stream(20 * RUN_LENGTH, generator)))
    return 20 * RUN_LENGTH * references / max(fired, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shift", "most"), [(0.5, 110), (1.0, 45), (2.0, 40)])
@pytest.mark.parametrize("sign", [1, -1], ids=["rise", "fall"])
def test_a_shift_is_found_within_some_dozens_of_values(name: str, shift: float, most: int, sign: int) -> None:
    """Shifts are in standard deviations, with one false alarm accepted in 10,000 values.

    Medians of 60 streams for half, one and two of them: CUSUM 54 to 69, 27 and 13 values; Page-Hinkley 61, 27 and 13;
    ADWIN, which looks each 32 values, 68 to 100, 36 and 36.
    """
    assert median(delay(name, sign * shift, seed) for seed in range(12)) <= most


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stream", [normal, errors, following])
def test_false_alarms_come_no_more_often_than_was_accepted(name: str, stream: Stream) -> None:
    assert reached(name, stream, rows=4000, references=16) >= 0.8 * RUN_LENGTH


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_values_taken_as_independent_that_follow_one_another_would_break_the_run_length(name: str) -> None:
    """A shuffled reference has the same values without their order, so it is what drawing value by value would see."""
    assert reached(name, following, rows=4000, references=5, shuffled=True) < RUN_LENGTH / 3


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 2000), max_size=10), seed=st.integers(0, 5))
def test_however_a_stream_is_cut_and_resumed_it_fires_at_the_same_values(name: str, cuts: list[int], seed: int) -> None:
    values = normal(2000, np.random.default_rng(seed))
    values[1000:1200] -= 0.1
    whole, fired = fresh(name), list[int]()
    expected = whole.update(values)
    watch = fresh(name)
    for start, end in pairwise([0, *sorted(cuts), 2000]):
        fired += [start + place for place in watch.update(values[start:end])]
        watch = DETECTORS.get(name).from_state(json.loads(json.dumps(watch.state())))
    assert fired == expected
    assert fired
    assert watch.state() == whole.state()


@pytest.mark.parametrize("name", NAMES)
def test_values_one_at_a_time_fire_as_a_batch_does(name: str) -> None:
    values = np.concatenate([normal(600, np.random.default_rng(1)), normal(200, np.random.default_rng(2)) * 0.5])
    watch = fresh(name)
    fired = [place for place in range(800) if watch.update(values[place : place + 1])]
    assert fired == fresh(name).update(values)
    assert fired


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_changes_nothing(name: str) -> None:
    watch = fresh(name)
    assert watch.update(np.empty(0)) == []
    assert watch.state() == saved(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_remembered_does_not_grow_with_the_values(name: str) -> None:
    """A stream without any change is the worst case for a window."""
    watch = fresh(name)
    watch.update(np.tile([0.4, 0.6], 150_000))
    assert len(json.dumps(watch.state())) < 4000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [np.nan, -0.01, 1.01, np.inf])
def test_what_is_not_in_0_to_1_is_refused_and_not_taken_in(name: str, wrong: float) -> None:
    watch = fresh(name)
    with pytest.raises(ValueError, match=r"numbers from 0 to 1; 1 of 3 are not, .* at place 2\. Leave out"):
        watch.update(np.array([0.5, 0.5, wrong]))
    assert watch.state() == saved(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_from_which_nothing_can_be_promised_is_refused(name: str) -> None:
    make = DETECTORS.get(name).make
    generator = np.random.default_rng(5)
    with pytest.raises(ValueError, match=r"too short: its 300 values .* Give a quiet period of 400 values"):
        make(normal(300, generator), run_length=1000, seed=0)
    with pytest.raises(ValueError, match=r"too short: its 800 values tell as much as .* independent ones"):
        make(following(800, generator), run_length=1000, seed=0)
    with pytest.raises(ValueError, match="too short: its 0 values"):
        make(np.empty(0), run_length=1000, seed=0)
    with pytest.raises(ValueError, match="does not vary"):
        make(np.full(1000, 0.1), run_length=1000, seed=0)
    with pytest.raises(ValueError, match="numbers from 0 to 1; 1 of 1000"):
        make(np.append(normal(999, generator), np.nan), run_length=1000, seed=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("run_length", [99, 10_000_001])
def test_a_run_length_that_cannot_be_promised_is_refused(name: str, run_length: int) -> None:
    with pytest.raises(ValueError, match=f"run_length must be from 100 to 10000000 values, got {run_length}"):
        DETECTORS.get(name).make(normal(500, np.random.default_rng(5)), run_length=run_length, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_longer_run_length_fires_later_and_the_same_seed_fires_alike(name: str) -> None:
    make, reference = DETECTORS.get(name).make, normal(1000, np.random.default_rng(5))
    values = np.concatenate([normal(1000, np.random.default_rng(6)), normal(1000, np.random.default_rng(7)) - 0.05])
    first = [make(reference, run_length=length, seed=3).update(values)[0] for length in (200, 2000, 2000)]
    assert first[0] < first[1] == first[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_state_of_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a saved state of this detector holds"):
        DETECTORS.get(name).from_state({"speed": 1.0})
