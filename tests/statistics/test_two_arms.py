import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from holdtrue.statistics.two_arms import ArmGap, EventShare

STREAMS = 250
NONE = np.zeros(0)
updates = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9])), max_size=6
)


def evidence_of(stages: list[tuple[int, int, float]]) -> float:
    test = EventShare()
    for canary_events, all_events, share in stages:
        test.update(canary_events, all_events, share)
    return test.evidence


def requests_until(
    rates: tuple[float, float], shares: "np.ndarray", generator: np.random.Generator, *, batch: int
) -> int | None:
    """Send batches of requests to both arms until the evidence reaches 20; None when it never does."""
    test = EventShare()
    for look, share in enumerate(shares.tolist(), start=1):
        to_canary = generator.binomial(batch, share)
        canary = int(generator.binomial(to_canary, rates[0]))
        stable = int(generator.binomial(batch - to_canary, rates[1]))
        test.update(canary, canary + stable, share)
        if test.worse and test.evidence >= 20:
            return look * batch
    return None


@pytest.mark.parametrize("factor", [1.0, 0.8, 0.3])
def test_the_expected_evidence_is_1_under_equal_rates_and_less_for_a_better_canary(factor: float) -> None:
    """Enumerated over all counts of two stages with different shares."""
    events, shares = (12, 9), (0.1, 0.5)
    chances = [binom.pmf(np.arange(n + 1), n, factor * share) for n, share in zip(events, shares, strict=True)]
    expected = sum(
        float(chances[0][one] * chances[1][two])
        * evidence_of([(one, events[0], shares[0]), (two, events[1], shares[1])])
        for one in range(events[0] + 1)
        for two in range(events[1] + 1)
    )
    assert expected == pytest.approx(1.0, abs=1e-9) if factor == 1 else expected < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "shares",
    [np.full(32, 0.1), np.repeat([0.01, 0.05, 0.25, 0.5], 8), np.tile([0.02, 0.4], 16)],
    ids=["one share", "growing", "to and fro"],
)
def test_the_same_release_twice_is_rolled_back_in_at_most_5_percent(shares: "np.ndarray") -> None:
    generator = np.random.default_rng(30)
    alarms = sum(requests_until((0.005, 0.005), shares, generator, batch=1500) is not None for _ in range(STREAMS))
    assert alarms / STREAMS <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "batch", "most"), [(0.01, 200, 22_000), (0.02, 50, 5_000), (0.05, 25, 1_300), (0.2, 10, 280)]
)
def test_a_worse_canary_is_found_soon(rate: float, batch: int, most: int) -> None:
    generator = np.random.default_rng(31)
    found = [requests_until((rate, 0.005), np.full(400, 0.1), generator, batch=batch) for _ in range(60)]
    assert np.median([math.inf if one is None else one for one in found]) <= most


def test_a_share_that_changes_costs_nothing() -> None:
    """The capital of one stage is that of many with the same share; the order of stages does not matter."""
    assert evidence_of([(3, 10, 0.1), (2, 7, 0.1), (9, 20, 0.3)]) == pytest.approx(
        evidence_of([(9, 20, 0.3), (5, 17, 0.1)])
    )


@given(updates)
def test_evidence_never_speaks_against_a_canary_with_no_more_than_its_share(
    drawn: list[tuple[int, int, float]],
) -> None:
    test = EventShare()
    for canary, stable, share in drawn:
        test.update(canary, canary + stable, share)
        assert test.worse or test.evidence <= 1 + 1e-9


@given(updates)
def test_more_events_in_the_canary_are_more_evidence(drawn: list[tuple[int, int, float]]) -> None:
    stages = [(canary, canary + stable, share) for canary, stable, share in drawn]
    more = [*stages, (1, 1, 0.5)]
    fewer = [*stages, (0, 1, 0.5)]
    assert evidence_of(fewer) < evidence_of(more)


def test_a_test_of_events_goes_on_from_its_state() -> None:
    test = EventShare()
    test.update(4, 20, 0.1)
    back = EventShare.from_state(json.loads(json.dumps(test.state(), allow_nan=False)))
    for one in (test, back):
        one.update(9, 30, 0.2)
    assert (back.evidence, back.worse) == (test.evidence, test.worse)
    assert back.state() == test.state()


def test_overwhelming_evidence_stays_a_number() -> None:
    assert math.isfinite(evidence_of([(100_000, 100_000, 0.01)]))


@pytest.mark.slow
@pytest.mark.parametrize(("canary", "stable"), [(0.05, 0.05), (0.3, 0.2)])
def test_the_gap_of_two_arms_is_within_its_limits_at_every_look_together(canary: float, stable: float) -> None:
    generator = np.random.default_rng(32)
    misses = 0
    for _ in range(100):
        gap = ArmGap(0.8, cells=60)
        wrong = False
        for _ in range(6):
            gap.update(
                (generator.random(80) < canary).astype(np.float64), (generator.random(320) < stable).astype(np.float64)
            )
            found = gap.limits()
            wrong |= not found.low <= canary - stable <= found.high
        misses += wrong
    assert misses <= binom.ppf(0.999, 100, 0.2)


def test_a_canary_is_proven_not_worse_only_when_the_margin_lies_outside_the_limits() -> None:
    generator = np.random.default_rng(33)
    gap = ArmGap(0.9, cells=100)
    for _ in range(4):
        gap.update((generator.random(1000) < 0.9).astype(np.float64), (generator.random(2000) < 0.9).astype(np.float64))
    found = gap.limits()
    assert found.low < 0 < found.high
    for margin, proven in ((-found.low + 0.001, True), (-found.low - 0.001, False)):
        assert gap.not_worse(margin=margin, better="higher") is proven
    for margin, proven in ((found.high + 0.001, True), (found.high - 0.001, False)):
        assert gap.not_worse(margin=margin, better="lower") is proven


def test_an_arm_without_rows_or_with_a_mean_that_moved_proves_nothing() -> None:
    gap = ArmGap(0.9, cells=40)
    gap.update(np.full(100, 0.5), NONE)
    assert (gap.limits().low, gap.limits().high) == (-math.inf, math.inf)
    gap.update(NONE, np.full(1000, 0.1))
    assert math.isfinite(gap.limits().low)
    gap.update(NONE, np.full(1000, 0.9))
    assert gap.moved
    assert "moved" in gap.limits().method
    assert not gap.not_worse(margin=1, better="higher")


def test_a_gap_goes_on_from_its_state() -> None:
    generator = np.random.default_rng(34)
    gap = ArmGap(0.9, cells=40)
    gap.update(generator.random(100), generator.random(300))
    back = ArmGap.from_state(json.loads(json.dumps(gap.state(), allow_nan=False)))
    canary, stable = generator.random(50), generator.random(80)
    for one in (gap, back):
        one.update(canary, stable)
    assert back.limits() == gap.limits()
    assert back.state() == gap.state()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_share_without_two_arms_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share must lie between 0 and 1, both excluded"):
        EventShare().update(1, 2, share)


def test_impossible_counts_scores_settings_and_states_are_refused() -> None:
    with pytest.raises(ValueError, match="3 canary events of 2 events in all is impossible"):
        EventShare().update(3, 2, 0.1)
    with pytest.raises(ValueError, match="impossible"):
        EventShare().update(-1, 2, 0.1)
    with pytest.raises(ValueError, match="200 finite capitals"):
        EventShare.from_state({**EventShare().state(), "capitals": [0.0]})
    with pytest.raises(ValueError, match="confidence"):
        ArmGap(95)
    with pytest.raises(ValueError, match=r"margin must lie in \[0, 1\]"):
        ArmGap(0.9).not_worse(margin=-0.1, better="lower")
    with pytest.raises(ValueError, match=r"scores must be numbers in \[0, 1\]"):
        ArmGap(0.9).update(np.array([2.0]), NONE)
