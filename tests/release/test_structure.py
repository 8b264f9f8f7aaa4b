"""A graph that breaks a rule is refused in words that name the rule, and a good one is not."""

import numpy as np
import pytest
from hostile import BYTES, GOOD, HARMS, harmed, model

from holdtrue.release import shapes, structure, trees
from holdtrue.release.interface import interface_of

INTERFACE = interface_of(GOOD)


def faults_of(data: bytes) -> list[str]:
    made, faults = structure.parse(data)
    return structure.faults_of(made, INTERFACE) if made is not None else faults


def test_a_good_model_has_no_fault() -> None:
    assert faults_of(GOOD) == []


SLOW = {"an If in an If, fifteen deep", "too many operators"}  # to build, not to refuse


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in HARMS]
)
def test_a_broken_rule_is_named(name: str) -> None:
    words, harm = HARMS[name]
    told = faults_of(harmed(harm))
    assert any(words in fault for fault in told), told


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_not_only_a_model_are_refused(name: str) -> None:
    words, data = BYTES[name]
    told = faults_of(data)
    assert any(words in fault for fault in told), told


def test_there_are_sixty_hostile_models() -> None:
    assert len(HARMS) + len(BYTES) >= 60


def test_only_the_first_twenty_faults_are_told() -> None:
    made = model()
    for index in range(1000):
        made.graph.node.add(op_type=f"Evil{index}", output=[f"e{index}"])
    assert len(structure.faults_of(made, INTERFACE)) == 20


def test_a_hostile_name_does_not_fill_the_message() -> None:
    made = model()
    made.graph.node.add(op_type="\x1b[31m" * 200_000)
    assert all(len(fault) < 500 and "\x1b" not in fault for fault in structure.faults_of(made, INTERFACE))


@pytest.mark.slow
def test_mutants_never_raise_anything_unexpected() -> None:
    """Random bytes changed, taken out and put in: the rules give faults or none, and no exception."""
    chance = np.random.default_rng(2024)
    accepted = 0
    for _ in range(2_000):
        mutant = bytearray(GOOD)
        for _ in range(int(chance.integers(1, 4))):
            place = int(chance.integers(len(mutant)))
            kind = chance.integers(3)
            if kind == 0:
                mutant[place] = int(chance.integers(256))
            elif kind == 1:
                del mutant[place]
            else:
                mutant.insert(place, int(chance.integers(256)))
        made, faults = structure.parse(bytes(mutant))
        if made is None:
            assert faults
            continue
        if structure.faults_of(made, INTERFACE):
            continue
        sizes, faults = shapes.measure(made)
        if not faults and not trees.faults_of(made, sizes):
            accepted += 1  # another number in a constant is a good model too: the signature is there for that
    assert accepted < 500
