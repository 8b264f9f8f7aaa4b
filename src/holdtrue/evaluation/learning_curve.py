"""Would more rows help? The metric of models that learnt from growing shares of the training rows."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from holdtrue.evaluation.plain import estimate_json
from holdtrue.statistics.estimate import Estimate

FRACTIONS = (0.125, 0.25, 0.5, 1.0)
LEAST_ROWS = 50


def learning_curve(
    fit_and_score: Callable[[Int64[np.ndarray, " rows"]], Estimate],
    rows: int,
    seed: int,
    *,
    fractions: Sequence[float] = FRACTIONS,
) -> list[dict[str, Any]]:
    """Fit on nested random shares of the training rows; `fit_and_score` takes the numbers of the rows to learn from.

    >>> seen = lambda index: Estimate(value=float(len(index)), low=0, high=1, rows=1, method="", confidence=0.9)
    >>> [point["rows"] for point in learning_curve(seen, 1000, seed=0)]
    [125, 250, 500, 1000]
    """
    order = np.random.default_rng(seed).permutation(rows)
    sizes = sorted({max(min(LEAST_ROWS, rows), round(share * rows)) for share in fractions})
    return [{"rows": size, "value": estimate_json(fit_and_score(np.sort(order[:size])))} for size in sizes]
