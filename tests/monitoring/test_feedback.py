"""Labels that only rows of some decisions get are seen, and those that come regardless are never called so."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.monitoring.feedback import SURE, Feedback, _at_most, feedback  # pyright: ignore[reportPrivateUsage]

NAMES: tuple[str, ...] = ("a", "b", "c")


def test_the_chance_is_that_of_a_draw_without_replacement() -> None:
    rows, mine, labels, found = 40, 15, 12, 2
    ways = sum(math.comb(mine, few) * math.comb(rows - mine, labels - few) for few in range(found + 1))
    assert _at_most(found, rows, mine, labels) == pytest.approx(ways / math.comb(rows, labels))


@pytest.mark.parametrize("rate", [0.002, 0.02, 0.3, 1.0])
def test_labels_that_come_regardless_are_never_called_steered(rate: float) -> None:
    chance = np.random.default_rng(7)
    for _ in range(1_000):
        rows = int(chance.integers(1, 3_000))
        shares = chance.dirichlet([0.3] * 3)
        counts = chance.multinomial(rows, shares)
        answered = dict(zip(NAMES, map(int, counts), strict=True))
        labelled = {name: int(chance.binomial(count, rate)) for name, count in answered.items()}
        assert not feedback(answered, labelled).steered, (answered, labelled)


@pytest.mark.parametrize("refused", [0.2, 0.5, 0.9])
def test_labels_of_one_decision_alone_are_found_as_soon_as_the_other_would_have_had_some(refused: float) -> None:
    needed = math.ceil(math.log(SURE / 2) / math.log(1 - refused)) + 1  # all labels miss it by chance so seldom
    rows = 100 * needed
    answered = {"pay": round(rows * (1 - refused)), "refuse": round(rows * refused)}
    assert feedback(answered, {"pay": needed}) == Feedback(unlabelled=("refuse",), exploration=0.0)
    assert not feedback(answered, {"pay": needed // 2}).steered


def test_what_has_a_label_in_spite_of_the_decision_is_the_exploration() -> None:
    answered = {"pay": 5_000, "refuse": 5_000}
    assert feedback(answered, {"pay": 980, "refuse": 20}).exploration == pytest.approx(0.02)
    assert feedback(answered, {"pay": 980, "refuse": 20}, by_chance=1_000).exploration == pytest.approx(0.51)


def test_one_decision_for_all_says_nothing() -> None:
    assert not feedback({"pay": 9_000, "refuse": 0}, {"pay": 4_000}).steered
    assert not feedback({"pay": 9_000}, {"pay": 4_000}).steered
    assert not feedback({"pay": 9_000, "refuse": 100}, {}).steered


@given(st.dictionaries(st.sampled_from(NAMES), st.tuples(st.integers(0, 5_000), st.floats(0, 1)), min_size=1))
def test_the_exploration_is_a_share_and_the_decision_with_the_highest_rate_is_never_blamed(
    rows: dict[str, tuple[int, float]],
) -> None:
    answered = {name: count for name, (count, _) in rows.items()}
    labelled = {name: int(count * share) for name, (count, share) in rows.items()}
    found = feedback(answered, labelled, by_chance=3)
    assert 0 <= found.exploration <= 1
    rates = {name: labelled[name] / count for name, count in answered.items() if count}
    assert not rates or max(rates, key=lambda name: rates[name]) not in found.unlabelled
