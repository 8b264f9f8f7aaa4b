"""Labels that disagree with the answers are blamed on what they have in common, and honest ones on nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.label_causes import Complaint, Heard, complaint, heard, late

ROWS = 900


def drawn(seed: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, dict[str, object], list[str]]:
    """Draw rows whose probabilities are right: shares, truth, columns and sources."""
    chance = np.random.default_rng(seed)
    yes = chance.beta(0.6, 0.6, rows)
    truth = (chance.random(rows) < yes).astype(np.float64)
    columns: dict[str, object] = {
        "age": chance.uniform(18, 80, rows),
        "region": chance.choice(["north", "south", "isle"], rows, p=[0.6, 0.3, 0.1]).tolist(),
    }
    return np.stack([1 - yes, yes], axis=1), truth, columns, chance.choice(["desk", "robot"], rows).tolist()


def of(shares: np.ndarray, truth: np.ndarray) -> Predictions:
    return Predictions(truth=truth, classes=("no", "yes"), probabilities=shares, decisions=shares.argmax(axis=1))


def said(seed: int, wrong: Callable[[np.random.Generator, dict[str, object], list[str]], np.ndarray]) -> Heard:
    """Turn round the labels that `wrong` gives."""
    shares, truth, columns, sources = drawn(seed)
    turned = np.where(wrong(np.random.default_rng(seed + 1), columns, sources), 1 - truth, truth)
    past_shares, past_truth, _, _ = drawn(seed + 500)
    return heard(of(shares, turned), of(past_shares, past_truth), columns, sources)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seeds", [range(10), pytest.param(range(1_000, 1_300), marks=pytest.mark.slow)], ids=len)
def test_honest_labels_raise_no_complaint(seeds: range) -> None:
    found = [complaint(said(seed, lambda chance, _, __: np.zeros(ROWS, dtype=bool))) for seed in seeds]
    assert [one for one in found if one is not None] == []


def test_a_source_that_says_what_chance_says() -> None:
    found = complaint(said(1, lambda chance, _, sources: (np.array(sources) == "robot") & (chance.random(ROWS) < 0.5)))
    assert found is not None
    assert (found.kind, found.where) == ("labels wrong", "robot")


@pytest.mark.parametrize(
    ("column", "inside", "where"), [("region", "isle", "region is isle"), ("age", 70.0, "age is ")]
)
def test_a_part_of_the_rows_that_means_something_else(column: str, inside: object, where: str) -> None:
    def wrong(chance: np.random.Generator, columns: dict[str, object], sources: list[str]) -> np.ndarray:
        values = np.array(columns[column])
        return values == inside if isinstance(inside, str) else values > inside

    found = complaint(said(2, wrong))
    assert found is not None
    assert found.kind == "meaning changed"
    assert found.where.startswith(where)


def test_labels_that_all_say_the_opposite() -> None:
    found = complaint(said(3, lambda chance, _, __: np.ones(ROWS, dtype=bool)))
    assert found is not None
    assert (found.kind, found.where) == ("labels inverted", "labels")


def test_labels_that_are_wrong_everywhere_are_blamed_on_nobody() -> None:
    found = complaint(said(4, lambda chance, _, __: chance.random(ROWS) < 0.3))
    assert found is not None
    assert (found.kind, found.where) == ("meaning changed", "all rows")


def numbers(seed: int, off: float) -> Heard:
    chance = np.random.default_rng(seed)
    regions = chance.choice(["north", "isle"], ROWS, p=[0.8, 0.2]).tolist()
    values = chance.normal(100, 20, ROWS)
    errors = chance.normal(0, 5, ROWS)
    truth = values + errors + np.where(np.array(regions) == "isle", off, 0.0)
    past = Predictions(truth=values + chance.normal(0, 5, ROWS), values=values, low=values, high=values)
    return heard(
        Predictions(truth=truth, values=values, low=values, high=values), past, {"region": regions}, ["desk"] * ROWS
    )


def test_numbers_are_held_against_how_far_answers_were_off() -> None:
    assert complaint(numbers(5, 0.0)) is None
    found = complaint(numbers(6, 12.0))
    assert found is not None
    assert (found.kind, found.where) == ("meaning changed", "region is isle")


def test_few_labels_say_nothing() -> None:
    shares, _, columns, sources = drawn(7, 20)
    few = of(shares, 1.0 - shares.argmax(axis=1))
    assert complaint(heard(few, None, columns, sources)) is None  # pyright: ignore[reportArgumentType]


def hours(*days: int) -> dict[int, int]:
    """Spread so many over each of some days."""
    return {day * 24 + hour: count // 8 for day, count in enumerate(days) for hour in range(8, 16)}


def missed(*labels: int) -> Complaint | None:
    return late(hours(*[400] * len(labels)), hours(*labels))


def test_labels_that_come_as_before_are_not_late() -> None:
    assert missed(0, 120, *[320] * 12) is None
    assert missed(*[0] * 10) is None  # none ever came, so none is missed
    assert late({}, {}) is None


@pytest.mark.parametrize("days", [1, 3, 6])
def test_labels_that_come_no_more(days: int) -> None:
    found = missed(0, *[320] * 10, *[0] * days)
    assert found is not None
    assert (found.kind, found.where) == ("labels late", "labels")
