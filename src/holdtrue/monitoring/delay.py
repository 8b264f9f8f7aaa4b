"""How long labels take to come, and how many are still to come, from rows of which many are too young to tell.

A row without a label may get one tomorrow or never. Left out, it makes labels seem to come sooner than they do: of the
rows of yesterday only those are labelled whose label came within a day. So the share of rows that have a label by some
age is estimated by Kaplan & Meier's product (1958, J. Am. Stat. Assoc. 53, 457-481), where a row without one counts for
as long as it has been waited for. That is right when older rows and younger ones wait alike. What takes longer than
the longest wait so far nobody has seen.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True, kw_only=True, slots=True)
class Delay:
    """The wait for labels, in seconds.

    Attributes:
        half_s: by then half of the labels that come have come; `most_s`: nine tenths of them.
        to_come: so many of the rows that wait are expected to get a label yet.
    """

    half_s: float
    most_s: float
    to_come: float


def delay_of(
    waits: Float64[np.ndarray, " labelled"], ages: Float64[np.ndarray, " kinds"], rows: Float64[np.ndarray, " kinds"]
) -> Delay | None:
    """Estimate the delay from the waits of labelled rows, and the rows that wait still by how long they have; seconds.

    None without labels.

    >>> delay_of(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5]), np.array([4.0]))
    Delay(half_s=3.0, most_s=4.0, to_come=4.0)
    """
    if not len(waits):
        return None
    times, came = np.unique(np.maximum(waits, 0.0), return_counts=True)
    # Of the rows at a time: those whose label came then or later, and those that have been waited for at least so long.
    order = np.argsort(ages)
    older = np.concatenate([np.cumsum(rows[order][::-1])[::-1], [0.0]])[np.searchsorted(ages[order], times)]
    at_risk = np.cumsum(came[::-1])[::-1] + older
    waiting = np.cumprod(1 - came / at_risk)
    share = 1 - waiting
    half, most = (float(times[np.searchsorted(share, part * share[-1] * (1 - 1e-12))]) for part in (0.5, 0.9))
    now = np.concatenate([[1.0], waiting])[np.searchsorted(times, ages, side="right")]
    left = np.where(now > 0, 1 - waiting[-1] / np.where(now > 0, now, 1.0), 0.0)
    return Delay(half_s=half, most_s=most, to_come=float((left * rows).sum()))
