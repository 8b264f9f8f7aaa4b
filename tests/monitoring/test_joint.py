"""All columns together: silent without a change, and heard where only the way they hang together has changed."""

import numpy as np
import pytest

from holdtrue.monitoring.apart import density_ratio
from holdtrue.monitoring.drift import Drift, drifts
from holdtrue.monitoring.joint import JOINT, Joint, joint
from holdtrue.monitoring.ruler import gauge_of

NAMES = tuple(f"x{place}" for place in range(6))
LEVEL = 0.03


def rows(chance: np.random.Generator, count: int, *, together: float = 0.7, moved: float = 0.0) -> "np.ndarray":
    """Draw rows whose first two columns hang together, and whose last one may move."""
    made = chance.normal(size=(count, len(NAMES)))
    made[:, 1] = together * made[:, 0] + np.sqrt(1 - together**2) * made[:, 1]
    made[:, 3] = made[:, 3].round()
    made[chance.random(count) < 0.1, 4] = np.nan
    made[:, 5] += moved
    return made.astype(np.float32)


def judged(reference: "np.ndarray", now: "np.ndarray") -> list[Drift]:
    """Judge one window as watch does."""
    past, here = (
        {name: column.astype(np.float64) for name, column in zip(NAMES, part.T, strict=True)}
        for part in (reference, now)
    )
    gauge, counts = gauge_of(past)
    return drifts(gauge.rulers, counts, [gauge.count(here)], level=LEVEL, joint=joint(reference, now, NAMES))


def test_a_correlation_that_turns_round_is_found_where_no_column_has_changed() -> None:
    chance = np.random.default_rng(1)
    found = judged(rows(chance, 2_000), rows(chance, 400, together=-0.7))
    (alarm,) = [one for one in found if one.alarm]
    assert (alarm.column, set(alarm.by)) == (JOINT, {"x0", "x1"})
    assert alarm.evidence > 10
    assert not any(one.real for one in found if one.column != JOINT)


def test_a_column_that_moves_is_told_as_that_column_alone() -> None:
    chance = np.random.default_rng(2)
    found = judged(rows(chance, 2_000), rows(chance, 1_000, moved=1.0))
    assert [one.column for one in found if one.alarm] == ["x5"]
    (together,) = [one for one in found if one.column == JOINT]
    assert together.real
    assert together.by[0] == "x5"


def test_it_says_the_same_each_time() -> None:
    chance = np.random.default_rng(3)
    past, now = rows(chance, 600), rows(chance, 300, together=0.0)
    assert joint(past, now, NAMES) == joint(past, now, NAMES)


@pytest.mark.parametrize(("past", "now", "columns"), [(99, 200, 6), (200, 99, 6), (200, 200, 1)])
def test_too_little_to_learn_from_says_nothing(past: int, now: int, columns: int) -> None:
    chance = np.random.default_rng(4)
    parts = [rows(chance, count)[:, :columns] for count in (past, now)]
    assert joint(parts[0], parts[1], NAMES[:columns]) is None


def test_columns_without_values_with_one_alone_or_with_infinite_ones_are_borne() -> None:
    chance = np.random.default_rng(6)
    past, now = rows(chance, 600), rows(chance, 300, together=-0.7)
    for part in (past, now):
        part[:, 2], part[:, 3] = np.nan, 7.0
        part[:3, 4] = np.inf
    found = joint(past, now, NAMES)
    assert found is not None
    assert set(found.by) == {"x0", "x1"}
    past[:], now[:] = 1.0, 1.0
    same = joint(past, now, NAMES)
    assert same is not None
    assert (same.log_evidence, same.size, same.by) == (0.0, 0.0, ())
    before, after = density_ratio(past, now, 0)
    assert set(before.tolist()) == set(after.tolist()) == {1.0}


def test_it_is_one_more_test_for_which_the_others_pay() -> None:
    chance = np.random.default_rng(5)
    past, now = (
        {name: column.astype(np.float64) for name, column in zip(NAMES, rows(chance, count).T, strict=True)}
        for count in (2_000, 500)
    )
    gauge, counts = gauge_of(past)

    def alone(evidence: float) -> bool:
        said = Joint(log_evidence=np.log(evidence), size=1.0, by=("x0",))
        return drifts(gauge.rulers, counts, [gauge.count(now)], level=LEVEL, joint=said)[0].alarm

    needed = (len(NAMES) + 1) / LEVEL
    assert alone(1.01 * needed)
    assert not alone(0.99 * needed)


@pytest.mark.slow
def test_without_a_change_its_evidence_is_an_e_value() -> None:
    found = []
    for seed in range(60):
        chance = np.random.default_rng(100 + seed)
        made = joint(rows(chance, 1_000), rows(chance, 300), NAMES)
        assert made is not None
        found.append(made.log_evidence)
    assert np.exp(found).mean() < 2  # expected to be 1 at most; above 2 by few large ones alone
    assert max(found) < np.log(20 * len(found))  # Markov: any of them with a chance of 5 % at most
