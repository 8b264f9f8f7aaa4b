"""No row judges that was learnt from: not by time, not by group, not by a copy, whatever the order of the file."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.splits import By, Parts, Split, Table, split

DAY = 86_400.0


def frame(rows: int, *, seed: int = 0, classes: int = 2) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": [f"r{row}" for row in range(rows)],
            "x": chance.normal(size=rows),
            "word": chance.choice(["a", "b", "c"], rows),
            "day": np.sort(chance.integers(0, rows, rows)) * DAY,
            "group": chance.integers(0, max(rows // 5, 1), rows).astype(np.float64),
            "y": [f"c{code}" for code in np.arange(rows) % classes],
        }
    )


def table(made: pl.DataFrame, **given_: Any) -> Table:
    settings_: dict[str, Any] = {"target": "y", "labelled": True, "key": ("id",)} | given_
    return Table(frame=made, **settings_)


def whole(parts: Parts, rows: int) -> None:
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert np.array_equal(np.sort(together), np.arange(rows))


@settings(max_examples=25, deadline=None)
@given(st.integers(40, 300), st.sampled_from(["stratified", "random", "time", "group"]), st.integers(0, 5))
def test_every_row_is_in_one_part_whatever_the_order_of_the_file(rows: int, by: By, seed: int) -> None:
    made = frame(rows, seed=seed)
    wanted = Split(by=by, group="group" if by == "group" else None, seed=seed, validation=0.2, test=0.25)
    labelled = by == "stratified"  # in few rows a class may be missing from a part, which is refused
    parts = split(table(made, time=("day",), labelled=labelled), wanted)
    whole(parts, rows)
    order = np.random.default_rng(seed).permutation(rows)
    shuffled = split(table(made[order], time=("day",), labelled=labelled), wanted)
    for first, second in ((parts.train, shuffled.train), (parts.test, shuffled.test)):
        assert set(made["id"].gather(first)) == set(made[order]["id"].gather(second))


@pytest.mark.parametrize("by", ["stratified", "random"])
def test_shares_are_kept_and_a_seed_decides(by: By) -> None:
    made = frame(1000, classes=4)
    parts = split(table(made), Split(by=by, validation=0.1, test=0.3))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (600, 100, 300)
    again = split(table(made), Split(by=by, validation=0.1, test=0.3))
    other = split(table(made), Split(by=by, validation=0.1, test=0.3, seed=8))
    assert np.array_equal(parts.test, again.test)
    assert len(np.intersect1d(parts.test, other.test)) < 150


def test_each_class_gets_its_share() -> None:
    made = frame(500).with_columns(y=pl.Series(["rare"] * 25 + ["often"] * 475))
    parts = split(table(made), Split(by="stratified", validation=0.2, test=0.2))
    for rows, expected in ((parts.train, 15), (parts.validation, 5), (parts.test, 5)):
        assert (made["y"].gather(rows) == "rare").sum() == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 200), st.floats(0.1, 0.4), st.floats(0.0, 0.4), st.integers(2, 60), st.integers(0, 9))
def test_in_time_nothing_to_learn_from_is_later_than_what_is_judged(
    rows: int, test: float, validation: float, days: int, seed: int
) -> None:
    moments = np.random.default_rng(seed).integers(0, days, rows) * DAY
    made = pl.DataFrame({"y": np.arange(rows) * 1.0, "x": np.arange(rows) * 2.0, "day": moments})
    source = table(made, time=("day",), key=(), labelled=False)
    if len(np.unique(moments)) < (3 if validation else 2):
        with pytest.raises(DataFault, match="too few different moments"):
            split(source, Split(by="time", validation=validation, test=test))
        return
    parts = split(source, Split(by="time", validation=validation, test=test))
    whole(parts, rows)
    learnt = np.concatenate([parts.train, parts.validation])
    assert moments[learnt].max() < moments[parts.test].min()
    assert parts.cuts is not None
    assert parts.cuts[1] == moments[parts.test].min()
    if len(parts.validation):
        assert moments[parts.train].max() < moments[parts.validation].min() == parts.cuts[0]
    assert np.all(np.diff(moments[parts.train]) >= 0)
    largest = np.unique(moments, return_counts=True)[1].max()
    assert abs(len(parts.test) - test * rows) <= 2 * largest


def test_the_parts_of_a_date_order_the_rows() -> None:
    months = ["July", "August", "September", "October"] * 5
    made = pl.DataFrame({"year": [2015.0] * 20, "month": months, "day": [1.0] * 20, "y": np.arange(20.0)})
    parts = split(table(made, time=("year", "month", "day"), labelled=False, key=()), Split(by="time", test=0.25))
    assert set(made["month"].gather(parts.test)) == {"October"}
    assert parts.cuts is not None
    assert parts.cuts[1] == datetime(2015, 10, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("groups", [3, 8, 60, 400])
def test_a_group_is_on_one_side_and_stays_there_when_rows_are_added(groups: int) -> None:
    chance = np.random.default_rng(groups)
    wanted = Split(by="group", group="group", validation=0.2, test=0.25)

    def made(rows: int) -> pl.DataFrame:
        group = np.concatenate([np.arange(groups), chance.integers(0, groups, rows)]).astype(np.float64)
        return pl.DataFrame({"group": group, "x": chance.normal(size=len(group)), "y": chance.normal(size=len(group))})

    sides: list[dict[float, int]] = []
    for rows in (groups * 5, groups * 9):
        rows_ = made(rows)
        parts = split(table(rows_, labelled=False, key=()), wanted)
        side = {
            group: number
            for number, part in enumerate((parts.train, parts.validation, parts.test))
            for group in rows_["group"].gather(part).unique()
        }
        assert (
            sum(rows_["group"].gather(part).n_unique() for part in (parts.train, parts.validation, parts.test))
            == groups
        )
        sides.append(side)
    assert sides[0] == sides[1]


def test_identical_rows_are_kept_on_one_side() -> None:
    made = frame(400)
    copied = pl.concat([made, made.head(150), made.head(50)]).with_columns(id=pl.int_range(pl.len()).cast(pl.String))
    for by in ("stratified", "random"):
        for key in ((), ("id",)):
            source = table(copied, key=key, features=("x", "word"))
            parts = split(source, Split(by=by))
            assert (parts.repeated, parts.across) == (200, 0)
            assert parts.notes == ("200 rows repeat another row; they were kept on one side.",)
            whole(parts, 600)
            assert 80 <= len(parts.test) <= 160


def test_rows_that_are_hardly_different_are_dealt_one_by_one() -> None:
    made = pl.DataFrame({"flag": [0.0, 1.0] * 100, "y": ["a", "b"] * 100})
    parts = split(table(made, key=()), Split(by="stratified", test=0.2))
    assert len(parts.test) == 40
    assert parts.across > 0
    assert "not kept on one side" in parts.notes[0]


def test_copies_across_time_are_counted() -> None:
    made = pl.DataFrame({"x": [1.0, 2.0] * 20, "y": [3.0, 4.0] * 20, "day": np.arange(40) * DAY})
    source = table(made, time=("day",), labelled=False, key=(), features=("x",))
    parts = split(source, Split(by="time", validation=0.1, test=0.2))
    assert (parts.repeated, parts.across) == (38, 12)
    assert len(parts.notes) == 2


def test_a_given_test_stays_as_it_is() -> None:
    made = frame(200)
    given_ = np.arange(200) >= 150
    parts = split(table(made, given=given_), Split(by="given", validation=0.2))
    assert parts.test.tolist() == list(range(150, 200))
    assert len(parts.validation) == 30
    whole(parts, 200)
    parts = split(table(made, given=given_, time=("day",)), Split(by="given", validation=0.2))
    assert made["day"].gather(parts.train).max() < made["day"].gather(parts.validation).min()  # pyright: ignore


def test_time_travel_is_refused() -> None:
    made = frame(200)
    with pytest.raises(DataFault, match="rows to learn from lie after the first test row, 1970-01-0"):
        split(table(made, given=np.arange(200) < 50, time=("day",)), Split(by="given"))


def test_rows_without_a_date_or_from_the_future_are_refused_together() -> None:
    made = frame(50).with_columns(day=pl.Series([None] * 2 + [1e9] * 45 + [2e9] * 3))
    with pytest.raises(DataFault) as caught:
        split(table(made, time=("day",)), Split(by="time"), now=datetime(2020, 1, 1, tzinfo=UTC))
    assert "day is missing in 2 of 50 rows; the first is row 1" in caught.value.faults[0]
    assert "day lies in the future in 3 of 50 rows; the first is row 48, 2033-05-18" in caught.value.faults[1]


@pytest.mark.parametrize(
    ("made", "wanted", "reasons"),
    [
        (frame(9), Split(by="random"), ["the table has 9 rows; at least 10 are needed"]),
        (
            frame(9).with_columns(y=pl.Series(["a"] * 8 + [None])),
            Split(by="random"),
            ["at least 10 are needed", "is empty in 1 of 9 rows; the first is row 9", "is 'a' in every row"],
        ),
        (frame(50).with_columns(y=pl.lit(1.0)), Split(by="stratified"), ["is 1.0 in every row"]),
        (frame(50).with_columns(group=pl.lit(1.0)), Split(by="group", group="group"), ["has 1 groups"]),
        (frame(50).with_columns(group=None), Split(by="group", group="group"), ["is missing in 50 rows"]),
        (frame(50).with_columns(day=pl.lit(0.0)), Split(by="time"), ["too few different moments"]),
        (
            frame(50).with_columns(y=pl.Series(["early"] * 25 + ["late"] * 25)),
            Split(by="time"),
            ["no row of class 'early' falls into validation", "no row of class 'early' falls into test"],
        ),
        (
            frame(50).with_columns(y=pl.Series(["rare"] * 2 + ["often"] * 48)),
            Split(by="stratified"),
            ["class 'rare' has too few different rows (2 in all) for 3 parts"],
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_with_every_reason(
    made: pl.DataFrame, wanted: Split, reasons: list[str]
) -> None:
    with pytest.raises(DataFault) as caught:
        split(table(made, time=("day",)), wanted)
    for reason in reasons:
        assert reason in str(caught.value)


def test_twenty_rows_are_enough_to_divide() -> None:
    made = frame(20).with_columns(y=pl.Series(["a"] * 14 + ["b"] * 6))
    parts = split(table(made), Split(by="stratified"))
    whole(parts, 20)
    for rows in (parts.train, parts.validation, parts.test):
        assert made["y"].gather(rows).n_unique() == 2


@pytest.mark.parametrize(
    ("validation", "test"), [(0.5, 0.5), (0.1, 0.0), (-0.1, 0.2), (0.1, float("nan")), (float("nan"), 0.1)]
)
def test_impossible_shares_are_misuse(validation: float, test: float) -> None:
    with pytest.raises(Misuse):
        Split(by="random", validation=validation, test=test)


def test_impossible_ways_are_misuse() -> None:
    with pytest.raises(Misuse):
        Split(by="group")
    cases: list[tuple[By, dict[str, Any]]] = [
        ("stratified", {"labelled": False}),
        ("time", {}),
        ("given", {}),
        ("time", {"time": ("dya",)}),
    ]
    for by, given_ in cases:
        with pytest.raises(Misuse):
            split(table(frame(50), **given_), Split(by=by))


def test_the_split_of_last_year_is_that_of_today() -> None:
    """Golden: another hash would move rows between what was learnt from and what judges."""
    made = pl.DataFrame(
        {"x": [float(n) for n in range(20)], "w": [f"w{n % 7}" for n in range(20)], "y": ["a", "b"] * 10}
    )
    parts = split(table(made, key=()), Split(by="stratified", validation=0.2, test=0.2))
    assert (parts.validation.tolist(), parts.test.tolist()) == GOLDEN


GOLDEN = ([0, 8, 13, 15], [4, 7, 9, 12])
