"""A grid is as fine as its budget pays for."""

from hypothesis import given
from hypothesis import strategies as st

from holdtrue.models.learner import LEARNERS, Dimension
from holdtrue.models.settings import fault_of, resolve
from holdtrue.training.grid import grid, levels

USED = {name: LEARNERS.get(name) for name in ("ridge", "elastic_net", "mlp")}


@given(st.integers(1, 300), st.integers(0, 9))
def test_points_are_allowed_distinct_and_within_the_budget(budget: int, seed: int) -> None:
    points = grid(USED, budget, seed)
    assert len(points) == budget
    assert len({str(point) for point in points}) == budget
    for name, settings in points:
        assert resolve(name, USED[name], settings) == settings


def test_the_seed_decides_the_order() -> None:
    assert grid(USED, 20, 1) == grid(USED, 20, 1)
    assert grid(USED, 20, 1) != grid(USED, 20, 2)


@given(st.integers(2, 9), st.booleans(), st.booleans())
def test_levels_lie_in_the_range(fineness: int, log: bool, integer: bool) -> None:
    dimension = Dimension(default=2, low=1, high=700, log=log, integer=integer)
    made = levels(dimension, fineness)
    assert len(made) == fineness
    assert not any(fault_of(dimension, value) for value in made)
