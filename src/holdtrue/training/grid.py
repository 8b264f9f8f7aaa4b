"""A grid over the settings of several learners: as fine as the budget pays for, walked in an order drawn by seed."""

from collections.abc import Mapping
from itertools import product
from math import exp, log

import numpy as np

from holdtrue.models.learner import Dimension, Learner, Settings, Value

FINEST = 9  # points a dimension


def grid(learners: Mapping[str, Learner], budget: int, seed: int) -> list[tuple[str, Settings]]:
    """Lay the coarsest grid that holds the budget, and give at most `budget` of its points."""
    points: list[tuple[str, Settings]] = []
    for fineness in range(2, FINEST + 1):
        points = [(name, settings) for name, learner in learners.items() for settings in _points(learner, fineness)]
        if len(points) >= budget:
            break
    walk = np.random.default_rng(seed).permutation(len(points))
    return [points[place] for place in walk[:budget]]


def _points(learner: Learner, fineness: int) -> list[Settings]:
    values = [levels(dimension, fineness) for dimension in learner.space.values()]
    return [dict(zip(learner.space, chosen, strict=True)) for chosen in product(*values)]


def levels(dimension: Dimension, fineness: int) -> tuple[Value, ...]:
    """Give values in the middle of equal parts of the range, or all choices.

    >>> levels(Dimension(default=1.0, low=0.01, high=100.0, log=True), 2)
    (0.1, 10.0)
    >>> levels(Dimension(default=1, low=1, high=4, integer=True), 9)
    (1, 2, 3, 4)
    """
    if dimension.choices:
        return dimension.choices
    assert dimension.low is not None
    assert dimension.high is not None
    low, high = (log(end) if dimension.log else end for end in (dimension.low, dimension.high))
    middles = [low + (high - low) * (place + 0.5) / fineness for place in range(fineness)]
    # Twelve digits, so that a logarithm's last bit does not make an ugly number.
    values = [float(f"{exp(middle) if dimension.log else middle:.12g}") for middle in middles]
    return tuple(dict.fromkeys(round(value) for value in values)) if dimension.integer else tuple(values)
