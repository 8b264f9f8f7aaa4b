"""A column that knows the target is found by its values, with its evidence; honest ones are left alone."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from holdtrue.data.profile import Suspicion, profile
from holdtrue.data.scores import Target, auc, score

ROWS = 900
CHANCE = np.random.default_rng(1)
NOISE = CHANCE.normal(size=ROWS)
BITS = CHANCE.integers(0, 2, ROWS)
Y = ["yes" if bit else "no" for bit in BITS]


def leaks(columns: dict[str, Any], target: str = "y") -> dict[str, Suspicion]:
    made = profile(pl.DataFrame({"y": Y, "noise": NOISE, **columns}, strict=False), target)
    return {suspicion.column: suspicion for suspicion in made.suspicions if suspicion.what == "leak"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5).map(float)), min_size=1, max_size=40))
def test_the_area_is_that_of_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    positive = np.array([row[0] for row in rows])
    told = np.array([row[1] for row in rows])
    if positive.all() or not positive.any():
        assert auc(positive, told) == 0.5
    else:
        assert auc(positive, told) == pytest.approx(roc_auc_score(positive, told))


def test_noise_tells_nothing_and_a_copy_tells_all() -> None:
    target = Target(name="y", values=BITS.astype(np.float64), classes=("no", "yes"))
    assert abs(score(NOISE, target) - 0.5) < 0.08
    assert score(BITS.astype(np.float64), target) == 1.0
    assert abs(score(pl.Series([f"k{n}" for n in range(ROWS)]), target) - 0.5) < 0.08
    number = Target(name="y", values=NOISE)
    assert score(NOISE, number) > 0.95
    assert score(CHANCE.normal(size=ROWS), number) < 0.1


@pytest.mark.parametrize(
    "column",
    [
        Y,
        ["Canceled" if bit else ["Out", "Away"][n % 2] for n, bit in enumerate(BITS)],
        BITS.tolist(),
        (BITS * 100 + CHANCE.integers(0, 50, ROWS)).tolist(),
        [None if bit else 1.0 for bit in BITS],
    ],
)
def test_a_column_that_tells_the_class_alone_is_found(column: list[Any]) -> None:
    found = leaks({"told": column})
    assert list(found) == ["told"]
    assert found["told"].drop
    assert "ROC AUC 1.0000" in found["told"].reason


def test_being_missing_is_named_as_the_reason() -> None:
    values = [None if bit else float(value) for bit, value in zip(BITS, NOISE, strict=True)]
    found = leaks({"reason_of_return": values})
    assert "whether it is missing tells 'y'" in found["reason_of_return"].reason
    assert "its name fits something known only afterwards" in found["reason_of_return"].reason


def test_a_name_alone_is_no_suspicion() -> None:
    assert leaks({"final_status": CHANCE.choice(["a", "b"], ROWS).tolist(), "outcome_date": NOISE.tolist()}) == {}


def test_a_good_column_among_good_columns_is_no_suspicion() -> None:
    signal = BITS * 2.5 + NOISE
    assert leaks({"a": signal.tolist(), "b": (BITS * 2.5 + CHANCE.normal(size=ROWS)).tolist()}) == {}


def test_a_column_far_above_all_others_is_suspected_but_not_dropped() -> None:
    found = leaks({"told": (BITS * 3.6 + CHANCE.normal(size=ROWS)).tolist()})
    assert "far better than any other column" in found["told"].reason
    assert not found["told"].drop


def test_a_date_that_lies_after_the_event_only_for_one_class_is_found() -> None:
    arrival = CHANCE.integers(16_000, 17_000, ROWS)
    status = arrival + np.where(BITS == 1, CHANCE.integers(1, 9, ROWS), -CHANCE.integers(0, 9, ROWS))
    asked = arrival - CHANCE.integers(0, 90, ROWS)
    columns = {name: pl.Series(days).cast(pl.Date) for name, days in (("asked", asked), ("arrival", arrival))}
    found = leaks({**columns, "status_date": pl.Series(status).cast(pl.Date)})
    assert list(found) == ["status_date"]
    assert "its distance from arrival tells 'y'" in found["status_date"].reason
    assert "known only afterwards" in found["status_date"].reason
    unnamed = leaks({**columns, "other": pl.Series(status).cast(pl.Date)})
    assert list(unnamed) == ["arrival", "other"]  # nothing says which of the two came later


def test_numbers_that_add_up_to_the_target_are_found_and_others_are_not() -> None:
    chance = np.random.default_rng(2)
    parts = {name: chance.poisson(30, ROWS).astype(float) for name in ("casual", "registered", "other")}
    total = parts["casual"] + 2 * parts["registered"] + 5
    found = leaks({**{name: each.tolist() for name, each in parts.items()}, "total": total.tolist()}, "total")
    assert list(found) == ["casual", "registered"]
    assert "'total' is 1·casual +2·registered up to a constant" in found["casual"].reason
    assert found["casual"].drop
    noisy = total + chance.normal(size=ROWS) * 3
    assert leaks({**{name: each.tolist() for name, each in parts.items()}, "total": noisy.tolist()}, "total") == {}


def test_more_columns_than_rows_do_not_add_up_by_chance() -> None:
    wide = {f"x{n}": CHANCE.normal(size=30).tolist() for n in range(60)}
    made = profile(pl.DataFrame({"y": CHANCE.normal(size=30), **wide}), "y")
    assert [each for each in made.suspicions if each.what == "leak"] == []


def test_flags_that_make_up_a_rare_class_are_found_together() -> None:
    chance = np.random.default_rng(3)
    flags = {name: (chance.random(4000) < 0.02).astype(int) for name in ("heat", "wear", "load")}
    failure = np.maximum.reduce(list(flags.values()))
    table = pl.DataFrame({"failure": failure, **flags, "noise": chance.integers(0, 3, 4000)})
    found = {each.column: each for each in profile(table, "failure").suspicions}
    assert list(found) == ["heat", "wear", "load"]
    assert "together heat, wear, load tell 100% of 'failure' = 1" in found["heat"].reason


def test_small_groups_of_one_class_are_no_flags() -> None:
    groups = [f"g{n % 100}" for n in range(ROWS)]
    y = ["rare" if n % 100 < 12 else "often" for n in range(ROWS)]
    made = profile(pl.DataFrame({"y": y, "a": NOISE, "agent": groups}), "y")
    assert [each.column for each in made.suspicions if each.what == "leak"] == ["agent"]
    few = ["rare" if n < 4 else "often" for n in range(ROWS)]
    assert leaks({"y": few, "flag": [1 if n < 4 else 0 for n in range(ROWS)]}) == {}


def test_many_classes_are_told_by_a_copy_too() -> None:
    codes = CHANCE.integers(0, 6, ROWS)
    y = [f"c{code}" for code in codes]
    found = leaks({"y": y, "copy": (codes * 3).tolist(), "part": (codes % 2).tolist()})
    assert list(found) == ["copy"]
