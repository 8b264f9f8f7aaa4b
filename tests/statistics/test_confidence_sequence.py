import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv
from scipy.stats import binom, norm

from holdtrue.statistics.binomial import clopper_pearson
from holdtrue.statistics.confidence_sequence import (
    MeanSequence,
    PairedWins,
    difference_of,
    scores_of_difference,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def hits(share: float) -> Draw:
    return lambda generator, rows: (generator.random(rows) < share).astype(np.float64)


def skewed(generator: np.random.Generator, rows: int) -> np.ndarray:
    return generator.beta(0.2, 5, size=rows)


WORLDS = [(hits(0.01), 0.01), (hits(0.1), 0.1), (hits(0.5), 0.5), (hits(0.99), 0.99), (skewed, 0.2 / 5.2)]
WORLD_NAMES = ["share 0.01", "share 0.1", "share 0.5", "share 0.99", "skewed"]
STREAMS = 200


def often_enough(chance: float, streams: int) -> int:
    """More misses than this are seen once in 1,000 times when a miss has this chance."""
    return int(binom.ppf(0.999, streams, chance))


def capitals(scores: np.ndarray, mean: float, confidence: float) -> tuple[float, float]:
    """Bet against one mean score by score, as the formulas say it."""
    alpha = 1 - confidence
    above = below = 1.0
    guess_sum, square_sum = 0.5, 0.25
    for time, score in enumerate(scores.tolist(), start=1):
        stake = math.sqrt(2 * math.log(2 / alpha) / (square_sum / time * (time + 100) * math.log(time + 101)))
        above *= 1 + min(stake, 0.75 / mean) * (score - mean)
        below *= 1 - min(stake, 0.75 / (1 - mean)) * (score - mean)
        guess_sum += score
        square_sum += (score - guess_sum / (time + 1)) ** 2
    return above, below


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "mean"), WORLDS, ids=WORLD_NAMES)
def test_limits_and_evidence_hold_at_every_look_together(draw: Draw, mean: float) -> None:
    generator = np.random.default_rng(20)
    too_high = too_low = alarms_above = alarms_below = 0
    for _ in range(STREAMS):
        sequence = MeanSequence(0.9, cells=100)
        wrong = np.zeros(4, dtype=bool)
        for batch in draw(generator, 1000).reshape(5, 200):
            sequence.update(batch)
            found = sequence.limits()
            above, below = sequence.evidence_above(mean), sequence.evidence_below(mean)
            wrong |= [found.low > mean, found.high < mean, above >= 10, below >= 10]
        too_high, too_low = too_high + int(wrong[0]), too_low + int(wrong[1])
        alarms_above, alarms_below = alarms_above + int(wrong[2]), alarms_below + int(wrong[3])
    assert max(too_high, too_low) <= often_enough(0.05, STREAMS)
    assert too_high + too_low <= often_enough(0.1, STREAMS)
    assert max(alarms_above, alarms_below) <= often_enough(0.1, STREAMS)


def test_limits_for_one_look_would_not_have_held() -> None:
    """The same kind of streams and looks find out an interval that is not made for them."""
    streams = hits(0.1)(np.random.default_rng(20), STREAMS * 1000).reshape(STREAMS, 20, 50)
    seen = streams.sum(axis=2).cumsum(axis=1)
    rows = 50.0 * np.arange(1, 21)
    low, high = betaincinv(seen, rows - seen + 1, 0.05), betaincinv(seen + 1, rows - seen, 0.95)
    wrong = ((low > 0.1) | (high < 0.1)).any(axis=1).sum()
    assert wrong > 2 * often_enough(0.1, STREAMS)


@pytest.mark.parametrize(("draw", "mean"), WORLDS, ids=WORLD_NAMES)
def test_the_evidence_is_the_capital_of_the_formulas(draw: Draw, mean: float) -> None:
    scores = draw(np.random.default_rng(3), 90)
    sequence = MeanSequence(0.9, cells=40)
    # Five candidates are left untouched by laying the others anew.
    staying = (np.sin(np.linspace(0, math.pi / 2, 21)) ** 2)[[2, 6, 10, 14, 18]]
    for batch in np.split(scores, [1, 2, 17, 60]):
        sequence.update(batch)
    for candidate in staying.tolist():
        above, below = capitals(scores, candidate, 0.9)
        assert sequence.evidence_above(candidate) == pytest.approx(above, rel=1e-9)
        assert sequence.evidence_below(candidate) == pytest.approx(below, rel=1e-9)


@pytest.mark.parametrize("place", [1, 4, 9])
def test_no_bet_gains_on_average_when_the_mean_is_the_candidate(place: int) -> None:
    """Enumerated over all sequences of 7 hits and misses, looked at after 3."""
    share = float(np.sin(place * math.pi / 20) ** 2)
    above = below = 0.0
    for drawn in itertools.product([0.0, 1.0], repeat=7):
        sequence = MeanSequence(0.9, cells=20)
        sequence.update(np.array(drawn[:3]))
        sequence.update(np.array(drawn[3:]))
        chance = share ** sum(drawn) * (1 - share) ** (7 - sum(drawn))
        above += chance * sequence.evidence_above(share)
        below += chance * sequence.evidence_below(share)
    assert (above, below) == pytest.approx((1.0, 1.0), abs=1e-9)


@pytest.mark.parametrize("limit", [0.0, 0.031, 0.1, 0.11, 0.4, 0.77, 1.0])
def test_the_evidence_between_candidates_is_never_too_much(limit: float) -> None:
    scores = hits(0.1)(np.random.default_rng(4), 3000)
    sequence = MeanSequence(0.9, cells=40)
    sequence.update(scores)
    # Neither 0 nor 1 can be divided by; next to them the capital is as good as theirs.
    above, below = capitals(scores, min(max(limit, 1e-12), 1 - 1e-12), 0.9)
    assert sequence.evidence_above(limit) <= above * (1 + 1e-6)
    assert sequence.evidence_below(limit) <= below * (1 + 1e-6)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
def test_after_10000_rows_limits_are_less_than_twice_as_wide_as_for_one_look(share: float) -> None:
    scores = hits(share)(np.random.default_rng(5), 10_000)
    sequence = MeanSequence(0.95)
    sequence.update(scores)
    found, once = sequence.limits(), clopper_pearson(scores.sum(), 10_000, 0.95)
    assert 1 < (found.high - found.low) / (once.high - once.low) < 2


def test_few_candidates_do_because_they_move_to_where_they_are_needed() -> None:
    """A candidate out of 200 that stayed where it was would make the limits wider by a third."""
    scores = hits(0.5)(np.random.default_rng(6), 20_000)
    few, many = MeanSequence(0.95, cells=200), MeanSequence(0.95, cells=1000)
    for batch in np.split(scores, 10):
        few.update(batch)
        many.update(batch)
    wide, narrow = few.limits(), many.limits()
    assert 1 < (wide.high - wide.low) / (narrow.high - narrow.low) < 1.12


@settings(max_examples=50)
@given(st.lists(st.lists(st.floats(0, 1), max_size=30), max_size=6))
def test_limits_only_move_inwards_and_stay_within_0_and_1(batches: list[list[float]]) -> None:
    sequence = MeanSequence(0.5, cells=20)
    low, high = 0.0, 1.0
    for batch in batches:
        sequence.update(np.array(batch, dtype=np.float64))
        found = sequence.limits()
        if math.isfinite(found.low):
            assert low <= found.low < found.high <= high
            low, high = found.low, found.high


@pytest.mark.parametrize("always", [0.0, 1.0])
def test_scores_at_the_end_of_the_scale_leave_that_end_open(always: float) -> None:
    sequence = MeanSequence(0.95)
    for _ in range(5):
        sequence.update(np.full(2000, always))
    found = sequence.limits()
    assert (found.low, found.high)[int(always)] == always
    assert found.high - found.low < 0.002


def test_a_mean_that_moves_is_said_and_proves_nothing() -> None:
    generator = np.random.default_rng(7)
    sequence = MeanSequence(0.95, cells=100)
    sequence.update(hits(0.1)(generator, 2000))
    assert not sequence.moved
    sequence.update(hits(0.4)(generator, 2000))
    assert sequence.moved
    found = sequence.limits()
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert "moved" in found.method


def test_no_rows_give_no_limits_and_no_evidence() -> None:
    sequence = MeanSequence(0.9)
    sequence.update(np.zeros(0))
    found = sequence.limits()
    assert math.isnan(found.value)
    assert (found.low, found.high, found.rows) == (-math.inf, math.inf, 0)
    assert sequence.evidence_above(0.3) == sequence.evidence_below(0.3) == 1.0


def test_a_sequence_goes_on_from_its_state_as_if_nothing_had_happened() -> None:
    first, later = skewed(np.random.default_rng(8), 700), skewed(np.random.default_rng(9), 300)
    sequence = MeanSequence(0.95, cells=200)
    size = len(sequence.state()["candidates"])
    sequence.update(first)
    back = MeanSequence.from_state(json.loads(json.dumps(sequence.state(), allow_nan=False)))
    for one in (sequence, back):
        one.update(later)
    assert back.limits() == sequence.limits()
    assert back.state() == sequence.state()
    assert len(back.state()["candidates"]) == size


def test_a_difference_on_the_same_rows_is_watched_as_a_mean() -> None:
    generator = np.random.default_rng(10)
    one, two = hits(0.9)(generator, 5000), hits(0.8)(generator, 5000)
    sequence = MeanSequence(0.95, cells=200)
    sequence.update(scores_of_difference(one, two))
    gap = difference_of(sequence.limits())
    assert gap.value == pytest.approx(one.mean() - two.mean())
    assert 0 < gap.low < 0.1 < gap.high < 0.2


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12), max_size=6))
def test_pairs_are_made_in_the_order_of_arrival(batches: list[list[tuple[int, bool]]]) -> None:
    pairs = PairedWins()
    found: list[float] = []
    for batch in batches:
        scores = np.array([score for score, _ in batch], dtype=np.float64)
        found += pairs.update(scores, np.array([label for _, label in batch], dtype=bool)).tolist()
    rows = [row for batch in batches for row in batch]
    positives, negatives = ([score for score, label in rows if label is wanted] for wanted in (True, False))
    expected = [float(np.heaviside(one - two, 0.5)) for one, two in zip(positives, negatives, strict=False)]
    assert found == expected
    assert pairs.waiting == len(rows) - 2 * len(found)
    assert pairs.left_out == 0


def test_only_so_many_rows_wait_and_the_rest_is_counted() -> None:
    pairs = PairedWins(most_waiting=3)
    assert len(pairs.update(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.ones(5, dtype=bool))) == 0
    assert (pairs.waiting, pairs.left_out) == (3, 2)
    back = PairedWins.from_state(json.loads(json.dumps(pairs.state())))
    # The oldest two are gone, so 0.3 is the first that finds a partner.
    assert back.update(np.array([0.35, 0.35]), np.zeros(2, dtype=bool)).tolist() == [0.0, 1.0]
    assert (back.waiting, back.left_out) == (1, 2)


@pytest.mark.slow
def test_the_area_is_within_its_limits_at_every_look_together() -> None:
    generator = np.random.default_rng(11)
    area = float(norm.cdf(1.5 / math.sqrt(2)))
    misses = 0
    for _ in range(STREAMS):
        sequence, pairs = MeanSequence(0.9, cells=100), PairedWins()
        wrong = False
        for _ in range(5):
            labels = generator.random(300) < 0.3
            sequence.update(pairs.update(generator.normal(size=300) + 1.5 * labels, labels))
            found = sequence.limits()
            wrong |= not found.low <= area <= found.high
        misses += wrong
    assert misses <= often_enough(0.1, STREAMS)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.01, 1.01])
def test_scores_outside_0_and_1_are_refused(wrong: float) -> None:
    sequence = MeanSequence(0.9)
    with pytest.raises(ValueError, match=r"scores must be numbers in \[0, 1\]; 1 of 3 are not.*in row 2"):
        sequence.update(np.array([0.5, wrong, 0.5]))
    assert sequence.limits().rows == 0
    with pytest.raises(ValueError, match=r"scores of two must be numbers in \[0, 1\]"):
        scores_of_difference(np.array([0.5]), np.array([wrong]))


def test_impossible_settings_limits_and_states_are_refused() -> None:
    with pytest.raises(ValueError, match="confidence"):
        MeanSequence(95)
    with pytest.raises(ValueError, match="even number, 20 or more, got 21"):
        MeanSequence(0.9, cells=21)
    with pytest.raises(ValueError, match=r"must lie there too, got 1\.5"):
        MeanSequence(0.9).evidence_above(1.5)
    with pytest.raises(ValueError, match="finite candidates"):
        MeanSequence.from_state({**MeanSequence(0.9).state(), "cells": 500})
    with pytest.raises(ValueError, match="most_waiting"):
        PairedWins(most_waiting=0)
    with pytest.raises(ValueError, match="scores must be finite numbers"):
        PairedWins().update(np.array([math.nan]), np.array([True]))
