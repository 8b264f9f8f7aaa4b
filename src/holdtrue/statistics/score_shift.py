"""Do two models that answer requests drawn by chance give scores that lie elsewhere, and by how much? At every look.

Evidence that there is any difference is the product of exact e-values (`two_samples.py`), one for each block of rows. A
block is over when it has as many rows of the canary as all before it: when that is depends on who was asked, and not on
the scores, so the product is not expected to exceed 1, ever, where the arms do not differ.

Another model differs somewhat, and that alone is no harm; it is large where the stability index Σ (p - q) ln(p / q) of
what both answer in general is above 0.25 (the convention of credit scoring; Yurdakul & Naranjo 2020). Times nm/(n + m)
the index of n and m rows has nearly a noncentral χ² distribution, with one degree less than bins and the index in
general times the same number as its noncentrality. Simulated at an index of 0.25 that is a shift, a wider or a narrower
spread, or one bin alone, with 10 bins, limits that should err in 1 % and 5 % err in 0.2 to 2.2 % and in 1.1 to 9.6 %
where 50 rows are of the canary, and from 400 rows on in 0.7 to 1.4 % and in 4.4 to 6.6 % (`benchmarks/canary`). The
closings share the chance to err: the i-th has 1 / i (i + 1) of it.
"""

import math
from typing import Literal, TypedDict, final

import numpy as np
from jaxtyping import Int64

from holdtrue.statistics.two_samples import log_evidence

LARGE = 0.25
FIRST_ROWS = 200  # of each arm in the first block

Found = Literal["not worse", "worse", "undecided"]


class ShiftState(TypedDict):
    """A comparison at rest, as JSON can hold it: its size does not grow with the rows."""

    canary: list[int]
    stable: list[int]
    waiting_canary: list[int]
    waiting_stable: list[int]
    evidence: float
    closings: int
    stage_closings: int
    found: Found


@final
class ScoreShift:
    """Compares how many scores of each arm fall into each bin; the bins are chosen before and stay as they are.

    `worse` needs evidence of 1/alpha, and an index that is surely large; `not worse` one that surely is not.

    >>> shift = ScoreShift(bins=4, alpha=0.01)
    >>> shift.update(np.array([60, 60, 60, 60]), np.array([600, 600, 600, 600]))
    >>> shift.found
    'not worse'
    >>> shift.update(np.array([900, 300, 200, 100]), np.array([3600, 3600, 3600, 3600]))
    >>> shift.found
    'worse'
    """

    def __init__(self, *, bins: int, alpha: float, alpha_pass: float = 0.05) -> None:
        if bins < 2:
            raise ValueError(f"scores in {bins} bin cannot be told apart; at least 2 are needed.")
        self._alpha, self._alpha_pass = alpha, alpha_pass
        self._seen = np.zeros((2, bins), dtype=np.int64)
        self._waiting = np.zeros((2, bins), dtype=np.int64)
        self._evidence, self._closings, self._stage_closings = 0.0, 0, 0
        self.found: Found = "undecided"

    def update(self, canary: Int64[np.ndarray, " bins"], stable: Int64[np.ndarray, " bins"]) -> None:
        """Count the scores since the last update."""
        self._waiting = self._waiting + np.stack([canary, stable])
        rows = self._waiting.sum(axis=1)
        seen = self._seen.sum(axis=1)
        if rows[0] >= max(FIRST_ROWS, seen[0]) and seen[1] + rows[1] >= FIRST_ROWS and rows[1] > 0:
            self._close()
            self._seen = self._seen + self._waiting
            self._waiting = np.zeros_like(self._waiting)
            self._judge()

    def begin_stage(self) -> None:
        """Forget the sizes, which hold for one share of the requests, and keep the evidence."""
        if self._waiting.sum(axis=1).min() > 0:
            self._close()
        self._seen, self._waiting = np.zeros_like(self._seen), np.zeros_like(self._waiting)
        self._stage_closings = 0
        self.found = "undecided"

    def _close(self) -> None:
        self._evidence += float(log_evidence(self._waiting[:1], self._waiting[1:])[0])

    def _judge(self) -> None:
        self._closings += 1
        self._stage_closings += 1
        not_large, large = sizes(
            self._seen[0],
            self._seen[1],
            alpha_pass=_part(self._alpha_pass, self._stage_closings),
            alpha=_part(self._alpha, self._closings),
        )
        is_there = self._evidence >= -math.log(self._alpha)
        self.found = "worse" if large and is_there else "not worse" if not_large else "undecided"

    def state(self) -> ShiftState:
        """Give all there is to know, to go on later."""
        return ShiftState(
            canary=self._seen[0].tolist(),
            stable=self._seen[1].tolist(),
            waiting_canary=self._waiting[0].tolist(),
            waiting_stable=self._waiting[1].tolist(),
            evidence=self._evidence,
            closings=self._closings,
            stage_closings=self._stage_closings,
            found=self.found,
        )

    @classmethod
    def from_state(cls, state: ShiftState, *, alpha: float, alpha_pass: float = 0.05) -> "ScoreShift":
        """Go on from a state."""
        shift = cls(bins=len(state["canary"]), alpha=alpha, alpha_pass=alpha_pass)
        shift._seen = np.array([state["canary"], state["stable"]], dtype=np.int64)
        shift._waiting = np.array([state["waiting_canary"], state["waiting_stable"]], dtype=np.int64)
        if shift._waiting.shape != shift._seen.shape or not math.isfinite(state["evidence"]):
            raise ValueError("the state must hold four counts for each bin, and finite evidence.")
        shift._evidence, shift.found = state["evidence"], state["found"]
        shift._closings, shift._stage_closings = state["closings"], state["stage_closings"]
        return shift


def sizes(
    one: Int64[np.ndarray, " bins"], other: Int64[np.ndarray, " bins"], *, alpha_pass: float, alpha: float
) -> tuple[bool, bool]:
    """Say whether the index of two samples in general is surely not large, and whether it surely is."""
    from scipy.stats import ncx2

    used = (one + other) > 0
    bins = int(used.sum())
    rows = np.array([one.sum(), other.sum()], dtype=np.float64)
    p, q = ((counts[used] + 0.5) / (total + 0.5 * bins) for counts, total in zip((one, other), rows, strict=True))
    effective = float(rows.prod() / rows.sum())
    index = float(((p - q) * np.log(p / q)).sum()) * effective
    law = ncx2(max(bins - 1, 1), LARGE * effective)
    return bool(index <= law.ppf(alpha_pass)), bool(index >= law.isf(alpha))


def _part(alpha: float, closing: int) -> float:
    """Give the chance to err that the i-th of any number of looks may have: all together have alpha."""
    return alpha / (closing * (closing + 1))
