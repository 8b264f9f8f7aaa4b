"""Folds predict each row once, from rows that are earlier, of other groups, or at least no copies of it."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.folds import folds
from holdtrue.data.moments import time_values
from holdtrue.data.splits import By, Split, Table, split
from holdtrue.data.units import cut

DAY = 86_400.0


def table(rows: int, *, seed: int = 0, **given_: Any) -> Table:
    chance = np.random.default_rng(seed)
    made = pl.DataFrame(
        {
            "x": chance.normal(size=rows).round(2 if seed % 2 else 9),
            "day": chance.integers(0, rows, rows) * DAY,
            "group": chance.integers(0, 12, rows).astype(np.float64),
            "y": ["a", "b", "b", "a", "c"] * (rows // 5),
        }
    )
    settings_: dict[str, Any] = {"target": "y", "labelled": True, "features": ("x", "group")} | given_
    return Table(frame=made, **settings_)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(40, 60).map(lambda n: n * 5),
    st.sampled_from(["stratified", "random", "group"]),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_each_row_is_predicted_once_and_never_from_its_like(rows: int, by: By, count: int, seed: int) -> None:
    source = table(rows, seed=seed)
    wanted = Split(by=by, group="group" if by == "group" else None, seed=seed)
    train = split(source, wanted).train
    made = folds(source, wanted, rows=train, count=count)
    assert len(made) == count
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in made])), np.sort(train))
    like = ["group"] if by == "group" else ["x", "group", "y"]
    for fold in made:
        assert np.array_equal(np.sort(np.concatenate([fold.train, fold.validation])), np.sort(train))
        learnt = source.frame[fold.train].select(like).unique()
        assert source.frame[fold.validation].select(like).join(learnt, on=like, how="semi").height == 0
    again = folds(source, wanted, rows=train, count=count)
    assert all(np.array_equal(one.train, two.train) for one, two in zip(made, again, strict=True))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 9))
def test_in_time_a_fold_learns_only_from_what_came_before(count: int, seed: int) -> None:
    source = table(200, seed=seed, time=("day",))
    train = split(source, Split(by="time")).train
    made = folds(source, Split(by="time"), rows=train, count=count)
    day = source.frame["day"].to_numpy()
    for fold in made:
        assert day[fold.train].max() < day[fold.validation].min()
    for one, two in pairwise(made):
        assert np.array_equal(two.train, np.concatenate([one.train, one.validation]))
    predicted = np.concatenate([fold.validation for fold in made])
    assert len(np.unique(predicted)) == len(predicted) == len(train) - len(made[0].train)


def test_classes_are_in_each_fold_in_equal_shares() -> None:
    source = table(500)
    made = folds(source, Split(by="stratified"), rows=np.arange(500), count=5)
    for fold in made:
        assert dict(source.frame["y"].gather(fold.validation).value_counts().iter_rows()) == {"a": 40, "b": 40, "c": 20}


def test_a_class_with_fewer_rows_than_folds_is_still_learnt_from_in_each() -> None:
    source = table(100)
    source = Table(
        frame=source.frame.with_columns(y=pl.Series(["rare"] * 3 + ["often"] * 97)), target="y", labelled=True
    )
    for fold in folds(source, Split(by="stratified"), rows=np.arange(100), count=5):
        assert "rare" in source.frame["y"].gather(fold.train)


@pytest.mark.parametrize(
    ("labels", "wanted", "count", "reason"),
    [
        (["rare"] + ["often"] * 99, Split(by="stratified"), 5, "has no row of class 'rare' to learn from"),
        (["early"] * 50 + ["late"] * 50, Split(by="time"), 3, "has no row of class 'late' to learn from"),
        (["a", "b"] * 50, Split(by="group", group="group"), 13, "has 12 groups in the 100 rows to learn from"),
        (["a", "b"] * 50, Split(by="time"), 200, "too few different moments"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(labels: list[str], wanted: Split, count: int, reason: str) -> None:
    made = table(100).frame.with_columns(y=pl.Series(labels), day=pl.int_range(100) * DAY)
    source = Table(frame=made, target="y", labelled=True, time=("day",))
    with pytest.raises(DataFault, match=reason):
        folds(source, wanted, rows=np.arange(100), count=count)


def test_one_fold_is_misuse() -> None:
    with pytest.raises(Misuse):
        folds(table(100), Split(by="random"), rows=np.arange(100), count=1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60).map(sorted), st.integers(1, 4))
def test_a_cut_never_goes_through_a_unit(units: list[int], parts: int) -> None:
    arranged = np.array(units)
    cuts = cut(arranged, [(number + 1) / (parts + 1) for number in range(parts)])
    if cuts is None:
        assert len(set(units)) < parts + 1
        return
    assert len(cuts) == parts
    assert all(units[place - 1] != units[place] for place in cuts)
    assert cuts == sorted(set(cuts))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"y": [2015.0, 2016.0, None], "m": ["July", "feb", "May"], "d": [1.0, 29.0, 1.0]},
            [1435708800.0, 1456704000.0, None],
        ),
        ({"y": [2015.0], "m": [2.0], "d": [30.0]}, [None]),
        ({"y": [2015.0], "m": ["13"], "d": [1.0]}, [None]),
        ({"y": [1969.0], "m": ["DECEMBER"], "d": [31.0], "h": [23.0], "min": [30.0]}, [-1800.0]),
        ({"y": [2015.0, 2016.0], "m": [1.0, 1.0]}, [1420070400.0, 1451606400.0]),
        ({"date": [86_400.0, None], "hour": [5.0, 1.0]}, [104_400.0, None]),
        ({"step": [3.0, 1.0, None]}, [3.0, 1.0, None]),
    ],
)
def test_several_columns_say_when(columns: dict[str, list[Any]], expected: list[float | None]) -> None:
    assert time_values(pl.DataFrame(columns), list(columns)).to_list() == expected


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"y": [2015.0], "m": ["Smarch"]}, "'Smarch' is neither a number nor a month"),
        ({"date": [86_400.0], "hour": [30.0]}, "the hour 30 does not lie between 0 and 24"),
    ],
)
def test_what_is_no_time_is_refused(columns: dict[str, list[Any]], reason: str) -> None:
    with pytest.raises(DataFault, match=reason):
        time_values(pl.DataFrame(columns), list(columns))
