"""Of many retrains that change nothing, none makes the champion worse by more than the margin; swapping does."""

import numpy as np
import pytest

from tests.evaluation.sequences import World, live, loss

pytestmark = pytest.mark.slow


def test_retrains_that_change_nothing_do_no_harm_and_swapping_does() -> None:
    """`benchmarks/retrains` does it with a hundred retrains, and more rows."""
    world = World(learn_rows=150, judge_rows=2_000, truth_rows=40_000)
    years = [live(world, seed, retrains=20) for seed in range(5)]
    ours, swapped = ([year[name] for year in years] for name in ("not worse", "swap if better"))
    assert sum(year.broken for year in ours) == 0  # may happen in 5 % of years
    assert sum(year.promotions for year in ours) > 0
    assert sum(year.broken for year in swapped) > 0
    assert sum(year.promotions for year in swapped) > sum(year.promotions for year in ours)


def test_equal_challengers_differ_by_luck_alone() -> None:
    world = World(learn_rows=150, judge_rows=500, truth_rows=40_000)
    generator = np.random.default_rng(3)
    models = [world.learn(generator) for _ in range(40)]
    losses = [loss(one, other) for one, other in zip(models[::2], models[1::2], strict=True)]
    assert min(losses) < -0.01 < 0.01 < max(losses)
