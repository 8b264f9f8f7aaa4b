"""Which release answers: shares, keys that stay, pins, and the names of the routes."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.lanes import Twice, hall

from holdtrue.core.errors import Misuse
from holdtrue.serving.lane import Lane
from holdtrue.serving.router import Router, Routing, key_of

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
LANES: dict[str, Lane] = {}


@pytest.fixture(scope="module", autouse=True)
def lanes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make three lanes that nobody asks."""

    async def make() -> None:
        with hall(tmp_path_factory.mktemp("lanes")) as here:
            LANES.update({digest: here.lane(Twice(digest=digest)) for digest in (A, B, C)})

    asyncio.run(make())


def router(routing: Routing, *, seed: int = 1) -> Router:
    made = Router("m", random.Random(seed))
    for digest in (A, B, C):
        made.load(LANES[digest])
    made.follow(routing)
    return made


def drawn(made: Router, count: int, key: str = "") -> "Counter[str]":
    return Counter(made.choose(key and f"{key}{number}").lane.model.about.digest for number in range(count))


def test_shares_are_as_the_weights_say() -> None:
    found = drawn(router(Routing(weights={A: 90, B: 10, C: 0})), 20_000)
    assert found[A] / 20_000 == pytest.approx(0.9, abs=0.01)
    assert found[C] == 0


def test_the_weight_of_a_choice_is_its_probability() -> None:
    made = router(Routing(weights={A: 3, B: 1}))
    assert {made.choose().weight for _ in range(100)} == {0.75, 0.25}


def test_a_key_always_meets_the_same_release_and_keys_share_as_the_weights_say() -> None:
    made = router(Routing(weights={A: 70, B: 30}, sticky="guest"))
    assert len({made.choose("guest 17").lane.model.about.digest for _ in range(50)}) == 1
    assert drawn(made, 20_000, "guest ")[B] / 20_000 == pytest.approx(0.3, abs=0.015)
    assert drawn(made, 500, "guest ") == drawn(router(made.routing, seed=9), 500, "guest ")


def test_a_larger_canary_keeps_the_keys_it_had() -> None:
    small, large = (router(Routing(weights={A: 100 - share, B: share})) for share in (10, 40))
    had = {n for n in range(2_000) if small.choose(f"k{n}").lane.model.about.digest == B}
    assert had <= {n for n in range(2_000) if large.choose(f"k{n}").lane.model.about.digest == B}


def test_a_version_is_found_by_its_beginning_and_never_by_half_of_one() -> None:
    made = router(Routing(weights={A: 1}))
    pinned = made.pinned("bbbbbb")
    assert pinned is not None
    assert (pinned.lane.model.about.digest, pinned.route, pinned.weight) == (B, "pinned", 1.0)
    assert made.pinned("bbbbb") is None
    assert made.pinned("") is None
    assert made.pinned("d" * 64) is None


def test_the_champion_is_who_it_is_said_to_be_whatever_its_share() -> None:
    made = router(Routing(weights={A: 10, B: 90}, champion=A))
    assert made.champion.model.about.digest == A
    found = {(choice.lane.model.about.digest, choice.route) for choice in (made.choose() for _ in range(200))}
    assert found == {(A, "champion"), (B, "canary")}
    assert router(Routing(weights={A: 10, B: 90})).champion.model.about.digest == B


@pytest.mark.parametrize(
    ("routing", "told"),
    [
        (Routing(weights={"d" * 64: 1}), "is not loaded"),
        (Routing(weights={A: 1}, shadow=("d" * 64,)), "is not loaded"),
        (Routing(weights={A: -1}), "the weight of"),
        (Routing(weights={A: float("nan")}), "the weight of"),
        (Routing(weights={A: 0}), "no release has a weight above 0"),
        (Routing(weights={}), "no release has a weight above 0"),
        (Routing(weights={A: 1, B: 0}, champion=B), "has no weight"),
        (Routing(weights={A: 1}, bandit=True), "between two releases"),
        (Routing(weights={A: 1, B: 1}, bandit=True, sticky="guest"), "sticky"),
    ],
)
def test_weights_that_cannot_be_followed_change_nothing(routing: Routing, told: str) -> None:
    made = router(Routing(weights={A: 1}))
    with pytest.raises(Misuse) as caught:
        made.follow(routing)
    assert any(told in fault for fault in caught.value.faults)
    assert made.choose().lane.model.about.digest == A


@given(st.dictionaries(st.sampled_from([A, B, C]), st.floats(0, 1e8), min_size=1), st.integers(0, 2**32))
def test_a_choice_is_always_a_release_with_a_weight(weights: dict[str, float], seed: int) -> None:
    if not sum(weights.values()) > 0:
        return
    made = router(Routing(weights=weights), seed=seed)
    for _ in range(5):
        assert weights[made.choose().lane.model.about.digest] > 0
        assert weights[made.choose("x").lane.model.about.digest] > 0


@pytest.mark.parametrize("same", [(7, 7.0, "7"), (0.5, "0.5"), ("é", "é".encode()), (None, "")])
def test_a_value_has_one_key_for_all_protocols(same: tuple[Any, ...]) -> None:
    assert len({key_of(value) for value in same}) == 1
