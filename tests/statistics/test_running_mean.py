import numpy as np
import pytest
from scipy.stats import binom

from holdtrue.statistics.running_mean import running_mean

STREAMS, ROWS = 200, 2_000
LOOKS = np.unique(np.array([*range(1, 40), *np.geomspace(40, ROWS, 60).astype(int)]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stays", "jumps", "walks"])
def test_the_limits_hold_the_average_at_every_look(kind: str) -> None:
    chance = np.random.default_rng(5)
    missed = 0
    for _ in range(STREAMS):
        means = {
            "stays": np.full(ROWS, 0.5),
            "jumps": np.where((np.arange(ROWS) // chance.integers(20, 400)) % 2, 0.9, 0.1),
            "walks": np.clip(0.5 + np.cumsum(chance.normal(size=ROWS)) * 0.01, 0, 1),
        }[kind]
        total, truth = np.cumsum(chance.random(ROWS) < means), np.cumsum(means)
        found = [running_mean(float(total[rows - 1]), int(rows), 0.9) for rows in LOOKS]
        missed += any(not each.low <= truth[each.rows - 1] / each.rows <= each.high for each in found)
    assert missed <= binom.ppf(0.999, STREAMS, 0.1)


def test_more_rows_give_closer_limits_within_zero_and_one() -> None:
    widths = [(each := running_mean(0.7 * rows, rows, 0.95)).high - each.low for rows in (10, 100, 1_000, 10_000)]
    assert widths == sorted(widths, reverse=True)
    assert running_mean(0.0, 5, 0.95).low == 0.0
    assert running_mean(5.0, 5, 0.95).high == 1.0


def test_without_rows_there_are_no_limits() -> None:
    assert running_mean(0.0, 0, 0.95).high == float("inf")


@pytest.mark.parametrize(("total", "rows", "tuned"), [(-0.1, 5, 100), (5.1, 5, 100), (1.0, 5, 0)])
def test_what_cannot_be_is_refused(total: float, rows: int, tuned: int) -> None:
    with pytest.raises(ValueError, match=r"not|must"):
        running_mean(total, rows, 0.95, tuned=tuned)
