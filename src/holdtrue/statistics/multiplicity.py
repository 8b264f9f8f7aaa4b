"""Many tests at once: p-values adjusted so that they can be compared with the level of a single test."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike


def holm(p_values: ArrayLike) -> Float64[np.ndarray, " tests"]:
    """Adjust so that the chance of any false rejection stays below the level, whatever the dependence.

    The i-th smallest p-value is multiplied by (tests - i + 1); none may fall below the one before it (Holm 1979,
    Scand. J. Statist. 6, 65-70).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order, ranked = _ranked(p_values)
    factors = np.arange(len(ranked), 0, -1)
    return _back(order, np.maximum.accumulate(ranked * factors))


def benjamini_hochberg(p_values: ArrayLike) -> Float64[np.ndarray, " tests"]:
    """Adjust so that, of what is rejected, the expected share that is false stays below the level.

    The i-th smallest p-value is multiplied by tests / i; none may exceed the one after it. Holds for independent and
    positively dependent tests (Benjamini & Hochberg 1995, J. R. Statist. Soc. B 57, 289-300).

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    order, ranked = _ranked(p_values)
    scaled = ranked * len(ranked) / np.arange(1, len(ranked) + 1)
    return _back(order, np.minimum.accumulate(scaled[::-1])[::-1])


def _ranked(p_values: ArrayLike) -> "tuple[np.ndarray, Float64[np.ndarray, ' tests']]":
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values lie in [0, 1], got {values.tolist()}.")
    order = np.argsort(values, kind="stable")
    return order, values[order]


def _back(order: "np.ndarray", adjusted: "np.ndarray") -> Float64[np.ndarray, " tests"]:
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1.0)
    return result
