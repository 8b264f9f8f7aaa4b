import numpy as np
import pytest
from scipy.stats import binom

from holdtrue.monitoring.drift import Drift, drifts
from holdtrue.monitoring.ruler import Gauge, gauge_of

COLUMNS = 20
LEVEL = 1 / 30


def rows(chance: np.random.Generator, count: int) -> dict[str, "np.ndarray"]:
    """Columns that hang together, as those of a business do."""
    shared = chance.normal(size=count)
    return {f"x{place}": shared + chance.normal(size=count) for place in range(COLUMNS)}


def judged(gauge: Gauge, past: dict[str, "np.ndarray"], windows: list[dict[str, "np.ndarray"]]) -> dict[str, Drift]:
    found = drifts(gauge.rulers, past, [gauge.count(window) for window in windows], level=LEVEL)
    assert [one.evidence for one in found] == sorted((one.evidence for one in found), reverse=True)
    return {one.column: one for one in found}


@pytest.mark.slow
@pytest.mark.parametrize("count", [20, 400])
def test_without_change_alarms_are_as_rare_as_the_budget_says(count: int) -> None:
    chance = np.random.default_rng(count)
    alarms = 0
    for _ in range(30):  # releases, each watched for ten windows: what their reference holds by chance stays
        gauge, past = gauge_of(rows(chance, 600))
        windows = [rows(chance, count) for _ in range(10)]
        for last in range(1, 11):
            alarms += any(one.real for one in judged(gauge, past, windows[:last]).values())
    assert alarms <= binom.ppf(0.999, 300, LEVEL)


def test_a_column_that_moved_is_found_and_named_first() -> None:
    chance = np.random.default_rng(3)
    gauge, past = gauge_of(rows(chance, 2_000))
    moved = rows(chance, 500)
    moved["x3"] = moved["x3"] + 1.0
    found = judged(gauge, past, [moved])
    assert next(iter(found)) == "x3"
    assert [name for name, one in found.items() if one.alarm] == ["x3"]
    assert found["x3"].windows == 1
    label, before, after = found["x3"].changed[0]
    assert after > before
    assert label.endswith("and more")


def test_a_small_change_shows_over_many_windows_and_is_no_alarm_when_it_does_not_matter() -> None:
    chance = np.random.default_rng(4)
    gauge, past = gauge_of(rows(chance, 4_000))
    windows = [rows(chance, 150) for _ in range(28)]
    for window in windows:
        window["x5"] = window["x5"] + 0.35
    alone, together = judged(gauge, past, windows[-1:])["x5"], judged(gauge, past, windows)["x5"]
    assert not alone.real
    assert together.real
    assert together.windows == 28
    assert not together.alarm
    assert 0.02 < together.size < 0.1


def test_missing_values_are_a_change() -> None:
    chance = np.random.default_rng(5)
    gauge, past = gauge_of(rows(chance, 2_000))
    moved = rows(chance, 200)
    moved["x1"][:60] = np.nan
    found = judged(gauge, past, [moved])["x1"]
    assert found.alarm
    assert found.changed[0][0] == "missing"


def test_a_change_of_few_rows_is_not_believed_however_large_it_looks() -> None:
    chance = np.random.default_rng(6)
    gauge, past = gauge_of(rows(chance, 2_000))
    found = judged(gauge, past, [rows(chance, 3)])
    assert not any(one.real for one in found.values())


def test_nothing_to_judge_gives_nothing() -> None:
    gauge, past = gauge_of(rows(np.random.default_rng(7), 100))
    assert drifts(gauge.rulers, past, [], level=LEVEL) == []
    assert drifts([], {}, [{}], level=LEVEL) == []
