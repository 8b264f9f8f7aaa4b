"""Two arms that chance chooses between: wrong claims are rare at every look, right ones come soon."""

import json

import numpy as np
import pytest

from holdtrue.statistics.random_gap import RandomGap, evidence, growth

STREAMS = 2_000


def claims(share: float, stable: float, canary: float, *, looks: int = 60, rows: int = 50) -> tuple[float, float]:
    """Give the share of streams that were ever called surely not worse by 0.01, and worse; rates move with the hour."""
    chance = np.random.default_rng(3)
    good, bad = np.zeros((STREAMS, 40)), np.zeros((STREAMS, 40))
    passed, worse = np.zeros(STREAMS, dtype=bool), np.zeros(STREAMS, dtype=bool)
    requests = round(rows / share)
    for look in range(looks):
        moved = 0.02 * (look % 2)  # in both arms, so that the gap stays
        mine = chance.binomial(requests, share, STREAMS)
        events = chance.binomial(mine, canary + moved), chance.binomial(requests - mine, stable + moved)
        more = growth(share, requests, *events, margin=0.01, allowed=0.0)
        good, bad = good + more[0], bad + more[1]
        passed |= np.exp(good).mean(axis=1) >= 20
        worse |= np.exp(bad).mean(axis=1) >= 20
    return float(passed.mean()), float(worse.mean())


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_wrong_claims_are_rare_though_rates_move(share: float) -> None:
    assert claims(share, 0.005, 0.015)[0] < 0.05
    assert claims(share, 0.005, 0.005)[1] < 0.05


@pytest.mark.slow
def test_a_canary_that_is_much_worse_is_found_and_one_that_is_not_passes() -> None:
    assert claims(0.1, 0.005, 0.1)[1] > 0.99
    assert claims(0.1, 0.005, 0.005, looks=200)[0] > 0.7


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_events_are_scores_of_one_in_whatever_order(share: float) -> None:
    counted, summed = RandomGap(margin=0.02, allowed=0.01), RandomGap(margin=0.02, allowed=0.01)
    counted.update_events(share=share, requests=30, canary_events=2, stable_events=3)
    summed.update_scores(share=share, canary=np.array([0.0, 1.0]), stable=np.array([1.0, 0.0, 1.0]))
    summed.update_scores(share=share, canary=np.array([1.0]), stable=np.array([1.0] + [0.0] * 23))
    np.testing.assert_allclose(counted.state(), summed.state(), rtol=1e-9)


def test_no_bet_gains_where_its_claim_is_true() -> None:
    for share in (0.01, 0.3, 0.9):
        for canary, stable in ((0.05, 0.04), (0.3, 0.29), (0.01, 0.0)):  # worse by just the margin
            chances = np.array([share * canary, (1 - share) * stable, 0.0])
            chances[2] = 1 - chances.sum()
            each = [growth(share, 1, *events, margin=0.01, allowed=0.01) for events in ((1, 0), (0, 1), (0, 0))]
            for side in (0, 1):
                mean = chances @ np.exp([one[side] for one in each])
                assert mean.max() < 1 + 1e-12


def test_it_goes_on_from_what_json_holds() -> None:
    one = RandomGap(margin=0.01)
    one.update_events(share=0.2, requests=5_000, canary_events=0, stable_events=1)
    two = RandomGap.from_state(json.loads(json.dumps(one.state())), margin=0.01)
    assert two.state() == one.state()
    assert two.surely_not_worse(0.05)
    assert evidence(np.array([900.0, 0.0])) == pytest.approx(np.exp(700))


def test_faults_are_told() -> None:
    with pytest.raises(ValueError, match="margin lies in"):
        RandomGap(margin=0.0)
    with pytest.raises(ValueError, match="allowed in"):
        RandomGap(margin=0.1, allowed=0.5)
    gap = RandomGap(margin=0.1)
    with pytest.raises(ValueError, match="impossible"):
        gap.update_events(share=0.1, requests=3, canary_events=2, stable_events=2)
    with pytest.raises(ValueError, match="one arm alone"):
        gap.update_events(share=1.0, requests=3, canary_events=2, stable_events=0)
    with pytest.raises(ValueError, match="scores of the canary"):
        gap.update_scores(share=0.5, canary=np.array([1.5]), stable=np.zeros(0))
    with pytest.raises(ValueError, match="finite capitals"):
        RandomGap.from_state([[0.0], [0.0]], margin=0.1)
