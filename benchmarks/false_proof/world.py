"""What a simulation is: a truth that lies exactly on the bound, and a way to draw rows and estimate it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from holdtrue.statistics.estimate import Estimate

# An interval of the rows just drawn, at a confidence.
Ask = Callable[[float], Estimate]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One promise whose truth is exactly its bound.

    Attributes:
        kind: the kind of promise that rests on this interval.
        name: what is measured, and on what rows.
        simulate: draws rows and returns how to estimate the number from them.
        truth: the number in the population, which is also the bound.
        dear: whether one run is so dear that the interval is asked for once only.
        proves: whether promises rest on it; an interval for pictures is only checked for coverage.
    """

    kind: str
    name: str
    direction: Literal["at_least", "at_most"]
    truth: float
    simulate: Callable[[np.random.Generator], Ask]
    dear: bool = False
    proves: bool = True
