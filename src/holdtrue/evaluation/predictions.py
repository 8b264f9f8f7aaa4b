"""What a model said about rows whose truth is known."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """Predictions beside the truth; which fields are there depends on the task.

    Attributes:
        truth: the code of the true class as float64 (0, 1, ...), or the true number.
        classes: the names of the classes, in the order of the codes; empty for regression. In a binary task the
            second class is the positive one.
        probabilities: one column a class.
        decisions: the code of the decided class (the threshold is already applied).
        values: the predicted numbers.
        low, high: the ends of the predicted interval; `coverage` is its promised share.
        clusters: rows with the same number belong together (same person, same machine) and are resampled together.
    """

    truth: Float64[np.ndarray, " rows"]
    classes: tuple[str, ...] = ()
    probabilities: Float64[np.ndarray, "rows classes"] | None = None
    decisions: Int64[np.ndarray, " rows"] | None = None
    values: Float64[np.ndarray, " rows"] | None = None
    low: Float64[np.ndarray, " rows"] | None = None
    high: Float64[np.ndarray, " rows"] | None = None
    coverage: float | None = None
    clusters: Int64[np.ndarray, " rows"] | None = None

    @property
    def rows(self) -> int:
        return len(self.truth)

    def take(self, index: "np.ndarray") -> "Predictions":
        """Keep some rows (a mask, or positions, which may repeat)."""

        def kept(array: "np.ndarray | None") -> "np.ndarray | None":
            return None if array is None else array[index]

        return Predictions(
            truth=self.truth[index],
            classes=self.classes,
            probabilities=kept(self.probabilities),
            decisions=kept(self.decisions),
            values=kept(self.values),
            low=kept(self.low),
            high=kept(self.high),
            coverage=self.coverage,
            clusters=kept(self.clusters),
        )
