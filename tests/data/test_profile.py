"""What a table may be for is guessed with reasons, and hostile tables get an answer too."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.profile import Profile, profile

CHANCE = np.random.default_rng(0)
ROWS = 400
Y = ["yes" if bit else "no" for bit in CHANCE.integers(0, 2, ROWS)]


def look(columns: dict[str, Any], target: str | None = "y") -> Profile:
    return profile(pl.DataFrame({"y": Y, **columns}, strict=False), target)


def found(made: Profile) -> dict[str, tuple[str, bool]]:
    return {suspicion.column: (suspicion.what, suspicion.drop) for suspicion in made.suspicions}


def test_a_column_is_told_in_numbers() -> None:
    made = look({"x": ["1", "2", "", "2"] * 100, "w": ["a", "b", "a", "NULL"] * 100, "d": [date(2015, 7, 1)] * ROWS})
    x, w, d = made.columns[1:]
    assert (x.kind, x.missing, x.distinct, x.low, x.high) == ("number", 0.25, 2, 1.0, 2.0)
    assert x.mean == pytest.approx(5 / 3)
    assert x.top == (("2", 0.5), ("1", 0.25))
    assert (w.kind, w.missing, w.distinct, w.top[0], w.mean) == ("category", 0.25, 2, ("a", 0.5), None)
    assert d.low == d.high == d.mean == 1435708800.0
    assert made.rows == ROWS


@pytest.mark.parametrize(
    ("column", "what", "drop"),
    [
        ([""] * ROWS, "all missing", True),
        (["same"] * ROWS, "constant", True),
        ([1.5, None] * (ROWS // 2), "constant", False),
        ([str(n) for n in range(ROWS)], "identifier", True),
        ([f"M{n}" for n in CHANCE.permutation(ROWS)], "identifier", True),
        ([f"someone{n}@example.org" for n in range(ROWS)], "personal", False),
        ([f"a text that nobody wrote twice, number {n}" for n in range(ROWS)], "text", False),
        ([f"k {n % 150}" for n in range(ROWS)], "high cardinality", False),
        ([str(2**60 + n % 300) for n in range(ROWS)], "high cardinality", False),
    ],
)
def test_odd_columns_are_named(column: list[Any], what: str, drop: bool) -> None:
    assert found(look({"x": column})) == {"x": (what, drop)}


def test_plain_columns_are_not_suspected() -> None:
    made = look(
        {
            "age": CHANCE.integers(18, 90, ROWS).tolist(),
            "pay": CHANCE.normal(size=ROWS).tolist(),
            "kind": CHANCE.choice(["a", "b", "c"], ROWS).tolist(),
            "population": (CHANCE.permutation(10**6)[:ROWS] * 977).tolist(),
            "gaps": [None if bit else 1.0 * n for n, bit in enumerate(CHANCE.integers(0, 2, ROWS))],
        }
    )
    assert made.suspicions == ()
    assert made.key.value == ()


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (["a", "b"] * 200, "classification"),
        ([0, 1] * 200, "classification"),
        ([1.5, 2.5] * 200, "classification"),
        (list(range(10)) * 40, "classification"),
        (list(range(100)) * 4, "regression"),
        (CHANCE.normal(size=ROWS).tolist(), "regression"),
    ],
)
def test_the_task_follows_from_the_target(target: list[Any], task: str) -> None:
    made = look({"y": target, "x": list(range(ROWS))})
    assert made.task is not None
    assert made.task.value == task
    assert made.split.value.by == ("stratified" if task == "classification" else "random")


def test_without_a_target_there_is_no_task_and_no_leak() -> None:
    made = look({"copy": Y}, target=None)
    assert made.task is None
    assert made.suspicions == ()
    assert made.split.value.by == "random"


def days(count: int) -> list[date]:
    return [date(2015, 1, 1) + timedelta(days=n * count // ROWS) for n in range(ROWS)]


def test_a_date_that_orders_the_rows_splits_them() -> None:
    shuffled = [days(ROWS)[n] for n in CHANCE.permutation(ROWS)]
    made = look({"other": shuffled, "day": days(ROWS), "birth_date": [date(1950, 1, 1)] * 390 + days(10)[:10]})
    assert made.time.value == ("day",)
    assert "the rows lie in its order" in made.time.reason
    assert "other dates: other" in made.time.reason
    assert made.split.value.by == "time"


def test_a_planned_date_comes_before_one_that_is_known_later() -> None:
    order = CHANCE.permutation(ROWS)
    planned = [days(ROWS)[n] for n in order]
    made = look({"delivered": [each - timedelta(days=3) for each in planned], "scheduled": planned})
    assert made.time.value == ("scheduled",)


def test_an_hour_beside_a_date_is_part_of_the_time() -> None:
    made = look({"day": days(20), "hr": [n % 24 for n in range(ROWS)]})
    assert made.time.value == ("day", "hr")


def test_year_month_and_day_make_a_date() -> None:
    made = look(
        {
            "arrival_year": [2015] * ROWS,
            "arrival_month": ["July", "August"] * 200,
            "arrival_day_of_month": [n % 28 + 1 for n in range(ROWS)],
            "booking_year": [2014] * ROWS,
            "day_of_week": ["mon", "tue"] * 200,
        }
    )
    assert made.time.value == ("arrival_year", "arrival_month", "arrival_day_of_month")


def test_a_date_that_is_sometimes_missing_orders_nothing() -> None:
    made = look({"day": [None, *days(ROWS)[1:]]})
    assert made.time.value == ()


def test_an_id_is_the_key_and_one_met_again_is_the_group() -> None:
    made = look(
        {"step": list(range(ROWS)), "order_id": list(range(7, ROWS + 7)), "customer_id": [n % 40 for n in range(ROWS)]}
    )
    assert made.key.value == ("order_id",)
    assert made.group.value == "customer_id"
    assert (made.split.value.by, made.split.value.group) == ("group", "customer_id")


@pytest.mark.parametrize("rows", [1, 2, 20])
def test_a_few_rows_get_a_profile(rows: int) -> None:
    made = profile(pl.DataFrame({"y": ["a", "b"] * 10, "x": [str(n) for n in range(20)]})[:rows], "y")
    assert made.rows == rows
    assert found(made).get("x", ("", False))[0] in ("", "constant")


def test_a_hostile_table_gets_a_profile() -> None:
    rows = 12_000
    table = pl.DataFrame(
        {
            "y": [str(n % 2) for n in range(rows)],
            "constant": ["1"] * rows,
            "nothing": [None] * rows,
            "crowd": [f"c{n % 10_000}" for n in range(rows)],
            "endless": ["inf", "-inf", "1", "nan"] * (rows // 4),
            "long": [str(2**62 + n) for n in range(rows)],
            "\u00a0 ü": ["x", "y"] * (rows // 2),
        },
        schema_overrides={"nothing": pl.String},
    )
    made = profile(table.lazy(), "y")
    told = found(made)
    assert told["constant"] == ("constant", True)
    assert told["nothing"] == ("all missing", True)
    assert told["crowd"] == ("high cardinality", False)
    assert told["long"] == ("identifier", True)
    assert told["\u00a0 ü"] == ("leak", True)


def test_an_eager_and_a_lazy_table_have_one_profile() -> None:
    table = pl.DataFrame({"y": Y * 60, "x": CHANCE.normal(size=ROWS * 60), "k": CHANCE.integers(0, 9, ROWS * 60)})
    assert profile(table, "y") == profile(table.lazy(), "y")


def test_no_rows_and_no_target_are_refused() -> None:
    with pytest.raises(DataFault, match="has no rows"):
        profile(pl.DataFrame({"y": []}), "y")
    with pytest.raises(Misuse, match="did you mean 'target'"):
        profile(pl.DataFrame({"target": [1]}), "tarket")
