"""Columns within parts of the rows: counted once each, found where only a part changes, and within one budget."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from holdtrue.core.errors import Misuse
from holdtrue.monitoring.drift import Drift, drifts
from holdtrue.monitoring.ruler import gauge_of
from holdtrue.monitoring.slices import LEAST_ROWS, MOST_SLICES, slices_of

LEVEL = 1 / 30
Rows = dict[str, "np.ndarray | list[str]"]


def rows(chance: np.random.Generator, count: int, *, apart: float = 0.0, both: float = 0.0) -> Rows:
    """Numbers of two hotels; `apart` moves one up and the other down, `both` moves both."""
    hotel = chance.choice(["city", "resort"], count)
    price = chance.normal(size=count) + np.where(hotel == "city", apart, -apart) + both
    return {"price": price, "nights": chance.normal(size=count), "hotel": hotel.tolist()}


def judged(past: Rows, windows: list[Rows]) -> dict[str, Drift]:
    gauge, reference = gauge_of(past)
    slices, within = slices_of(["hotel"], gauge, past)
    counts = [gauge.count(window) | slices.count(window) for window in windows]
    rulers = gauge.rulers + slices.rulers
    found = drifts(rulers, reference | within, counts, level=LEVEL, parts=slices.whole)
    return {one.column: one for one in found}


def alarms(found: dict[str, Drift]) -> set[str]:
    return {name for name, one in found.items() if one.alarm}


def test_each_row_is_counted_in_its_slice() -> None:
    past = rows(np.random.default_rng(1), 1_000)
    gauge, reference = gauge_of(past)
    slices, within = slices_of(["hotel"], gauge, past)
    names = [f"{column} where hotel is {hotel}" for hotel in ("city", "resort") for column in ("price", "nights")]
    assert sorted(within) == sorted(names)
    assert {ruler.name for ruler in slices.rulers} == set(names)
    for column in ("price", "nights"):
        parts = [within[f"{column} where hotel is {hotel}"] for hotel in ("city", "resort")]
        assert np.sum(parts, axis=0).tolist() == reference[column].tolist()
    frame = {"price": past["price"], "nights": past["nights"], "hotel": pl.Series(past["hotel"])}
    assert {name: part.tolist() for name, part in slices.count(frame).items()} == {
        name: part.tolist() for name, part in slices.count(past).items()
    }


def test_what_changes_among_some_shows_there_and_not_in_the_whole() -> None:
    chance = np.random.default_rng(2)
    found = judged(rows(chance, 4_000), [rows(chance, 800, apart=0.6)])
    assert alarms(found) == {"price where hotel is city", "price where hotel is resort"}
    assert found["price where hotel is city"].whole == "price"
    assert not found["price"].alarm


def test_what_changes_among_all_is_told_once() -> None:
    chance = np.random.default_rng(3)
    found = judged(rows(chance, 4_000), [rows(chance, 800, both=0.8)])
    assert alarms(found) == {"price"}
    assert found["price where hotel is city"].real


@pytest.mark.slow
def test_all_slices_and_columns_share_one_budget() -> None:
    chance = np.random.default_rng(4)
    false = 0
    for _ in range(60):  # releases, each watched for five windows
        past = rows(chance, 600)
        windows = [rows(chance, 200) for _ in range(5)]
        for last in range(1, 6):
            false += any(one.real for one in judged(past, windows[:last]).values())
    assert false <= binom.ppf(0.999, 300, LEVEL)


def test_slices_are_the_frequent_values_and_not_too_many() -> None:
    chance = np.random.default_rng(5)
    shop = chance.choice([f"s{place}" for place in range(15)], 6_000).tolist()
    past: Rows = {"price": chance.normal(size=6_000), "shop": shop}
    gauge, _ = gauge_of(past)
    slices, _ = slices_of(["shop"], gauge, past)
    assert len(slices.slices) == MOST_SLICES
    few: Rows = {"price": np.zeros(400), "shop": ["a"] * 360 + ["b"] * 40}
    gauge, _ = gauge_of(few)
    slices, _ = slices_of(["shop"], gauge, few)
    assert [one.value for one in slices.slices] == ["a"]
    assert LEAST_ROWS * 2 > 40


@pytest.mark.parametrize(("name", "told"), [("price", "known: hotel"), ("hotl", "did you mean 'hotel'")])
def test_only_columns_of_texts_make_slices(name: str, told: str) -> None:
    past = rows(np.random.default_rng(6), 200)
    gauge, _ = gauge_of(past)
    with pytest.raises(Misuse, match=told):
        slices_of([name], gauge, past)


def test_without_slices_nothing_is_added() -> None:
    past = rows(np.random.default_rng(7), 200)
    gauge, _ = gauge_of(past)
    slices, within = slices_of([], gauge, past)
    assert (slices.rulers, within, slices.count(past)) == ((), {}, {})
