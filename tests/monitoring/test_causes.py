"""What befalls a column is named by undoing it, and of columns that did not change nothing is said."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from holdtrue.monitoring.causes import UNITS, Change, changes

Column = np.ndarray | Sequence[str]
ROWS = 800
DAY_S, HOUR_S = 86_400, 3_600


def world(seed: int, rows: int = ROWS) -> dict[str, Column]:
    chance = np.random.default_rng(seed)
    number = chance.lognormal(3, 0.6, rows)
    number[chance.random(rows) < 0.03] = math.nan
    return {
        "length": number,
        "degrees": chance.normal(15, 6, rows),
        "mass": chance.gamma(2, 1.5, rows),
        "way": chance.choice(["road", "rail", "sea", ""], rows, p=[0.5, 0.3, 0.15, 0.05]).tolist(),
        "fixed": np.full(rows, 7.0),
        "begun": chance.integers(0, 300, rows) * float(DAY_S) + chance.normal(13, 2.5, rows) % 24 * HOUR_S,
    }


def found(now: Mapping[str, Any], *, past: Mapping[str, Any] | None = None) -> list[Change]:
    return changes(past or world(1, 2_000), now, dates=["begun"])


def bent(seed: int, **columns: Callable[[Any, np.random.Generator], Column]) -> dict[str, Column]:
    made, chance = world(seed), np.random.default_rng(seed + 1)
    return {**made, **{name: change(made[name], chance) for name, change in columns.items()}}


@pytest.mark.parametrize("seeds", [range(100, 110), pytest.param(range(200, 500), marks=pytest.mark.slow)], ids=len)
def test_where_nothing_changed_no_cause_is_named(seeds: range) -> None:
    assert [one for seed in seeds for one in found(world(seed))] == []


def test_a_date_that_goes_on_is_no_change() -> None:
    assert found(bent(2, begun=lambda values, _: values + 40 * DAY_S)) == []


@pytest.mark.parametrize(
    ("name", "factor", "offset"), [one for one in UNITS if "sign" not in one[0]], ids=lambda value: str(value)[:30]
)
def test_a_change_of_unit_is_told_from_a_change_of_the_world(name: str, factor: float, offset: float) -> None:
    column = "degrees" if offset else "length"
    (one,) = found(bent(3, **{column: lambda values, _: (values - offset) / factor}))
    assert (one.kind, one.where) == ("unit changed", column)
    assert name in one.evidence


def test_a_factor_that_is_of_no_unit_is_a_change_of_the_population() -> None:
    (one,) = found(bent(4, length=lambda values, _: values * 1.9))
    assert (one.kind, one.where) == ("population changed", "length")


def test_two_columns_in_each_others_place_are_one_cause() -> None:
    made = world(5)
    (one,) = found({**made, "length": made["mass"], "mass": made["length"]})
    assert (one.kind, one.where) == ("columns swapped", "length, mass")


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize(("column", "gone"), [("length", math.nan), ("way", "")])
def test_values_that_are_gone(column: str, gone: object, share: float) -> None:
    def lose(values: Any, chance: np.random.Generator) -> Column:
        kept = [gone if chance.random() < share else value for value in values]
        return np.array(kept) if column == "length" else [str(value) for value in kept]

    (one,) = found(bent(6, **{column: lose}))
    assert (one.kind, one.where) == ("values missing", column)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_value_that_stands_for_many(share: float) -> None:
    (one,) = found(bent(7, degrees=lambda values, chance: np.where(chance.random(len(values)) < share, 11.0, values)))
    assert (one.kind, one.where) == ("value frozen", "degrees")
    assert "11" in one.evidence


def test_a_category_that_all_rows_have() -> None:
    (one,) = found(bent(8, way=lambda values, _: ["rail"] * len(values)))
    assert (one.kind, one.where) == ("value frozen", "way")


@pytest.mark.parametrize("name", ["motorway", "ROAD", "road "])
def test_a_category_with_another_name(name: str) -> None:
    (one,) = found(bent(9, way=lambda values, _: [name if text == "road" else text for text in values]))
    assert (one.kind, one.where) == ("category renamed", "way")
    assert repr(name) in one.evidence


def test_all_categories_with_other_spellings() -> None:
    (one,) = found(bent(10, way=lambda values, _: [text.upper() for text in values]))
    assert one.kind == "category renamed"


def test_a_category_that_nobody_saw_before() -> None:
    (one,) = found(bent(11, way=lambda values, chance: ["air" if chance.random() < 0.25 else text for text in values]))
    assert (one.kind, one.where) == ("new category", "way")
    assert "'air'" in one.evidence


def test_shares_that_moved_among_known_categories() -> None:
    (one,) = found(bent(12, way=lambda values, chance: ["sea" if chance.random() < 0.4 else text for text in values]))
    assert (one.kind, one.where) == ("population changed", "way")


@pytest.mark.parametrize("hours", [-7, 2, 11])
def test_another_time_zone(hours: int) -> None:
    (one,) = found(bent(13, begun=lambda values, _: values + hours * HOUR_S))
    assert (one.kind, one.where) == ("time shifted", "begun")
    assert f"{abs(hours)} {'later' if hours > 0 else 'earlier'}" in one.evidence


def test_rows_that_come_again_are_told_of_and_are_no_drift() -> None:
    made = world(14, 250)
    again = {
        name: np.tile(values, 4) if isinstance(values, np.ndarray) else list(values) * 4
        for name, values in made.items()
    }
    (one,) = found(again)
    assert (one.kind, one.where) == ("rows repeated", "traffic")
    assert "75.0%" in one.evidence


def test_rows_that_were_always_alike_are_no_news() -> None:
    past, now = ({"way": world(seed, 900)["way"]} for seed in (15, 16))
    assert found(now, past=past) == []


def test_what_can_be_undone_comes_before_what_cannot() -> None:
    made = bent(17, length=lambda values, _: values * 1000, mass=lambda values, _: values + 3)
    assert [one.kind for one in found(made)] == ["unit changed", "population changed"]


def test_of_few_rows_nothing_is_said() -> None:
    made = {name: values[:60] for name, values in bent(18, length=lambda values, _: values * 1000).items()}
    assert found(made) == []
    assert found({}) == []
