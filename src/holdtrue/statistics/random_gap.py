"""By how much do two arms differ, when chance decides which of them gets a request? Holds at every look.

A request goes to the canary with chance w, to the stable release otherwise, and gets a score s in [0, 1], where less is
better: 1 for an error, or for a slow answer, or the loss. Then

    Z = s / w   from the canary,        Z = -s / (1 - w)   from the stable release

has as its mean the canary's mean less the stable one's for this very request, whatever the requests of the hour are
like (Horvitz & Thompson 1952, J. Am. Stat. Assoc. 47, 663-685). So nothing need be assumed to stay the same: both arms
may be worse at night, and w may change from stage to stage, if it was set before the requests that it is used for.

Two bets (Waudby-Smith & Ramdas 2024, J. R. Statist. Soc. B 86, 1-27), each spread evenly over stakes f in (0, 1):

    against "worse by the margin d or more", the product of   1 + f w (d - Z);
    against "not worse by more than t",      the product of   1 + f (1 - w) (Z - t).

No factor is expected to exceed 1 where the claim that it bets against is true, so the capital, which begins at 1,
reaches 1/α with a chance of at most α, ever (Ville 1939). With the stake in units of w what a stable release that is
asked a hundred times as often adds is nearly nothing: rows of the canary decide. With a score that is 0 or 1 all is in
four counts, and the order within a look does not matter.

Where both arms get the same requests (a shadow), each counts as two with w = 1/2: an event of both multiplies a capital
by (1 + a)² - b² ≤ (1 + a)², so that the bets are only more careful.
"""

import math
from typing import final

import numpy as np
from jaxtyping import Float64

from holdtrue.statistics.confidence_sequence import LARGEST_LOGARITHM, check_within

# The best stake against a margin d is about d / (mean of s²), the best for a gap g about g w / (mean of s²).
STAKES = np.geomspace(1e-4, 0.9, 40)
MOST_ALLOWED = 0.1  # with the largest stake, one event of the stable release then leaves 1 % of the capital against


@final
class RandomGap:
    """Watches the canary's mean score less the stable one's; scores lie in [0, 1], and less is better.

    `margin` is what the canary may be worse by and still pass; only more than `allowed` speaks against it.

    >>> errors = RandomGap(margin=0.01)
    >>> errors.update_events(share=0.1, requests=10_000, canary_events=0, stable_events=0)
    >>> errors.surely_not_worse(0.05), errors.worse(0.05)
    (True, False)
    >>> errors.update_events(share=0.1, requests=1_000, canary_events=30, stable_events=2)
    >>> errors.worse(0.05)
    True
    """

    def __init__(self, *, margin: float, allowed: float = 0.0) -> None:
        if not 0 < margin < 1 or not 0 <= allowed <= MOST_ALLOWED:
            raise ValueError(f"margin lies in (0, 1) and allowed in [0, {MOST_ALLOWED}], got {margin} and {allowed}.")
        self._margin, self._allowed = margin, allowed
        self._good, self._bad = np.zeros(len(STAKES)), np.zeros(len(STAKES))

    def update_events(self, *, share: float, requests: int, canary_events: int, stable_events: int) -> None:
        """Count the requests to both arms since the last update, and those of them that were an event in each."""
        if canary_events < 0 or stable_events < 0 or canary_events + stable_events > requests:
            raise ValueError(f"{canary_events} and {stable_events} events of {requests} requests are impossible.")
        good, bad = growth(
            check_share(share), requests, canary_events, stable_events, margin=self._margin, allowed=self._allowed
        )
        self._good, self._bad = self._good + good, self._bad + bad

    def update_scores(
        self, *, share: float, canary: Float64[np.ndarray, " canary_rows"], stable: Float64[np.ndarray, " stable_rows"]
    ) -> None:
        """Take in scores of the requests since the last update; either arm may have none."""
        w = check_share(share)
        check_within(canary, 0.0, 1.0, "scores of the canary")
        check_within(stable, 0.0, 1.0, "scores of the stable release")
        for gaps in (canary / w, -stable / (1 - w)):
            self._good = self._good + np.log1p(STAKES * w * (self._margin - gaps[:, None])).sum(axis=0)
            self._bad = self._bad + np.log1p(STAKES * (1 - w) * (gaps[:, None] - self._allowed)).sum(axis=0)

    def surely_not_worse(self, alpha: float) -> bool:
        """Say that the canary is worse by less than the margin; to be wrong, ever, has a chance of at most alpha."""
        return evidence(self._good) >= 1 / alpha

    def worse(self, alpha: float) -> bool:
        """Say that the canary is worse by more than is allowed; to be wrong, ever, has a chance of at most alpha."""
        return evidence(self._bad) >= 1 / alpha

    def state(self) -> list[list[float]]:
        """Give the logarithms of all capitals, to go on later: for and against the canary."""
        return [self._good.tolist(), self._bad.tolist()]

    @classmethod
    def from_state(cls, state: list[list[float]], *, margin: float, allowed: float = 0.0) -> "RandomGap":
        """Go on from a state."""
        gap = cls(margin=margin, allowed=allowed)
        held = np.array(state, dtype=np.float64)
        if held.shape != (2, len(STAKES)) or not np.isfinite(held).all():
            raise ValueError(f"the state must hold two times {len(STAKES)} finite capitals.")
        gap._good, gap._bad = held
        return gap


def growth(
    share: "float | np.ndarray",
    requests: "int | np.ndarray",
    canary_events: "int | np.ndarray",
    stable_events: "int | np.ndarray",
    *,
    margin: float,
    allowed: float,
) -> "tuple[np.ndarray, np.ndarray]":
    """Give what the logarithms of the capitals for and against the canary grow by, for each stake (the last axis)."""
    given = (share, requests, canary_events, stable_events)
    w, every, k, m = (np.asarray(value, dtype=np.float64)[..., None] for value in given)
    quiet = every - k - m
    good = (
        quiet * np.log1p(STAKES * w * margin)
        + k * np.log1p(STAKES * (w * margin - 1))
        + m * np.log1p(STAKES * w * (margin + 1 / (1 - w)))
    )
    bad = (
        quiet * np.log1p(-STAKES * (1 - w) * allowed)
        + k * np.log1p(STAKES * (1 - w) * (1 / w - allowed))
        + m * np.log1p(-STAKES * (1 + (1 - w) * allowed))
    )
    return good, bad


def evidence(capitals: "np.ndarray") -> float:
    """Give the mean of capitals of which the logarithms are known."""
    most = float(capitals.max())
    return math.exp(min(most + math.log(float(np.exp(capitals - most).mean())), LARGEST_LOGARITHM))


def check_share(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, both excluded, got {share}; one arm alone has no gap.")
    return share
