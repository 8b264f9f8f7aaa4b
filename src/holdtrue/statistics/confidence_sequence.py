"""Limits for the mean of bounded scores that hold at every moment, however often one looks.

An interval for a fixed number of rows errs in 5 % of looks, so who looks often enough sees it err. Here all limits ever
given are right together, with the confidence asked for. Somebody bets against each candidate m for the mean, one score
X in [0, 1] after the other; a stake L turns a capital K into

    K (1 + L (X - m))   to win when the mean is above m,   K (1 - L (X - m))   to win when it is below.

If the scores so far leave the next a mean of m, no stake that was chosen before the score gains on average, so the
capital, which starts at 1, reaches 2/α with a chance of at most α/2, ever (Ville 1939). The candidates not yet refuted
in this way are the confidence sequence (Waudby-Smith & Ramdas 2024, J. R. Statist. Soc. B 86, 1-27: hedged capital).

The stakes are theirs for limits at all times but for the 100, chosen from the scores before:

    L_t = √(2 ln(2/α) / (v (t + 100) ln(t + 101))),
    v = (1/4 + Σ (X_i - μ_i)²) / t, the sum over i < t,   μ_i = (1/2 + X_1 + … + X_i) / (i + 1),

and at most c/m (c/(1 - m) in the other direction), so that no score takes more than the part c of a capital. Any stakes
chosen beforehand are valid. Those of the paper, with 0 for 100, are so high in the first rows that they lose for good
what is missing later: after 10,000 rows with a share of 0.5 their limits are 3.2 times as wide as Clopper-Pearson's for
one look, these 1.8 times. Simulated at 95 %, for shares from 0.01 to 0.99, the ratio is 1.4 to 2.0 after 100 rows, 1.5
to 1.7 after 1,000, 1.8 after 10,000 and 2.2 after 100,000. With 60 looks at 3,000 rows and confidence 90 %, each limit
misses in 0 to 2.0 % of streams where 5 % may.

With such a stake 1 + L (X - m) falls in m: it has the derivative -L where L is not cut, and is 1 - c + cX/m where it
is. So if m is refuted from above, all lower ones are; the limits need no candidate between the ones that are held, and
a capital between two is at least that of the worse one.

That is also why the candidates may be laid anew. Half of them stay; when the limits have closed in, the other half
moves between them and each newcomer takes over the capital of the worse neighbour, which is less than its own would be.
They are evenly spaced in arcsin √m, because the error of a share is about as large everywhere on that scale.

All of this holds for scores with one mean. When the mean moves, the candidates are refuted one after the other until
none is left; the sequence then says so (`moved`) instead of giving limits, and a new one must be started.
"""

import math
from typing import TypedDict, final

import numpy as np
from jaxtyping import Bool, Float64

from holdtrue.statistics.estimate import Estimate, tail_of, unlimited

METHOD = "betting confidence sequence"
# Waudby-Smith & Ramdas advise 1/2 or 3/4; the latter gives limits a quarter closer for a share of 0.001 in 1,000 rows.
MOST_STAKED = 0.75
# Simulated with 0, 30, 100 and 300: 100 is nearly best from 1,000 to 30,000 rows and for shares from 0.001 to 0.5.
LATER_BY = 100
# Rows times candidates: 256 kB, which stays in a processor's cache and is twice as fast as 1 MB.
NUMBERS_AT_ONCE = 32_768
# The candidates are laid anew when the limits hold this part of the range in which they lie.
CLOSED_IN = 0.25
# e^700 is about the largest number that a float can hold.
LARGEST_LOGARITHM = 700.0


class MeanState(TypedDict):
    """A sequence at rest, as JSON can hold it: its size does not grow with the rows."""

    confidence: float
    cells: int
    rows: int
    total: float
    spread: float
    low: float
    high: float
    finest: float
    candidates: list[float]
    above: list[float]
    below: list[float]


@final
class MeanSequence:
    """Watches the mean of scores in [0, 1], with limits that hold together at all times.

    A limit only ever moves inwards. Each end alone errs, ever, with half of the chance that both together may.

    >>> hits = np.random.default_rng(1).random(2000) < 0.9
    >>> sequence = MeanSequence(0.95)
    >>> sequence.update(hits[:1000].astype(float))
    >>> sequence.update(hits[1000:].astype(float))
    >>> share = sequence.limits()
    >>> f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})"
    '0.897 (0.875 to 0.919)'
    >>> sequence.evidence_below(0.95) > 20
    True
    """

    def __init__(self, confidence: float, *, cells: int = 1000) -> None:
        # The logarithm of 2/α, at which a candidate is given up.
        self._price = -math.log(tail_of(confidence))
        if cells < 20 or cells % 2:
            raise ValueError(f"cells must be an even number, 20 or more, got {cells}; 1000 is usual.")
        self._confidence, self._cells = confidence, cells
        self._rows, self._total, self._spread = 0, 0.0, 0.0
        self._low, self._high, self._finest = 0.0, 1.0, _angle(1.0)
        self._candidates = _candidates(cells, 0.0, 1.0)
        self._above, self._below = np.zeros(cells + 1), np.zeros(cells + 1)

    @property
    def moved(self) -> bool:
        """Whether no mean can be behind all scores; if there is one, that has a chance of at most 1 - confidence."""
        return self._low >= self._high

    def update(self, scores: Float64[np.ndarray, " rows"]) -> None:
        """Take in the next scores, in the order in which they came."""
        check_within(scores, 0.0, 1.0, "scores")
        at_once = max(1, NUMBERS_AT_ONCE // self._cells)
        for start in range(0, len(scores), at_once):
            self._advance(scores[start : start + at_once])
            self._tighten()

    def limits(self) -> Estimate:
        """Give the mean so far between its limits; they are infinite when there are no rows or the mean has moved."""
        if self._rows == 0:
            return unlimited(math.nan, 0, METHOD, self._confidence)
        value = self._total / self._rows
        if self.moved:
            return unlimited(value, self._rows, f"{METHOD}, but the mean has moved", self._confidence)
        return Estimate(
            value=value,
            low=self._low,
            high=self._high,
            rows=self._rows,
            method=METHOD,
            confidence=self._confidence,
        )

    def evidence_below(self, limit: float) -> float:
        """Give the e-value against "the mean is `limit` or more": 1/α is reached, ever, with a chance of at most α.

        It is the capital of the next candidate that is not above the limit, so never too much.
        """
        place = np.searchsorted(self._candidates, _share(limit), side="right") - 1
        return math.exp(min(float(self._below[place]), LARGEST_LOGARITHM))

    def evidence_above(self, limit: float) -> float:
        """Give the e-value against "the mean is `limit` or less", as `evidence_below`."""
        place = np.searchsorted(self._candidates, _share(limit), side="left")
        return math.exp(min(float(self._above[place]), LARGEST_LOGARITHM))

    def state(self) -> MeanState:
        """Give all there is to know, to go on later or elsewhere."""
        return MeanState(
            confidence=self._confidence,
            cells=self._cells,
            rows=self._rows,
            total=self._total,
            spread=self._spread,
            low=self._low,
            high=self._high,
            finest=self._finest,
            candidates=self._candidates.tolist(),
            above=self._above.tolist(),
            below=self._below.tolist(),
        )

    @classmethod
    def from_state(cls, state: MeanState) -> "MeanSequence":
        """Go on from a state."""
        sequence = cls(state["confidence"], cells=state["cells"])
        held = np.array([state["candidates"], state["above"], state["below"]], dtype=np.float64)
        if held.shape != (3, sequence._cells + 1) or not np.isfinite(held).all():
            raise ValueError(f"the state must hold {sequence._cells + 1} finite candidates and their capitals.")
        sequence._candidates, sequence._above, sequence._below = held
        sequence._rows, sequence._total, sequence._spread = state["rows"], state["total"], state["spread"]
        sequence._low, sequence._high, sequence._finest = state["low"], state["high"], state["finest"]
        return sequence

    def _advance(self, scores: Float64[np.ndarray, " rows"]) -> None:
        stakes = self._stakes(scores)[:, None]
        if stakes.max() <= MOST_STAKED:
            # No stake is cut for any candidate: what one bet wins the other loses.
            above = (1 + stakes * scores[:, None]) - stakes * self._candidates
            below = 2 - above
        else:
            gaps = scores[:, None] - self._candidates
            # The bound is infinite where nothing can be lost: betting on more than 0, or on less than 1.
            above = 1 + np.minimum(stakes, MOST_STAKED / np.maximum(self._candidates, 1e-300)) * gaps
            below = 1 - np.minimum(stakes, MOST_STAKED / np.maximum(1 - self._candidates, 1e-300)) * gaps
        self._above = self._above + _log_growth(above)
        self._below = self._below + _log_growth(below)

    def _stakes(self, scores: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
        """Choose each stake from the scores before it, and remember the scores."""
        times = np.arange(self._rows + 1, self._rows + len(scores) + 1)
        totals = np.cumsum(np.append(self._total, scores))[1:]
        spreads = np.cumsum(np.append(self._spread, (scores - (0.5 + totals) / (times + 1)) ** 2))
        self._rows, self._total, self._spread = int(times[-1]), float(totals[-1]), float(spreads[-1])
        variances = (0.25 + spreads[:-1]) / times
        return np.sqrt(2 * self._price / (variances * (times + LATER_BY) * np.log(times + LATER_BY + 1)))

    def _tighten(self) -> None:
        """Move the limits in to what is refuted now; lay the candidates anew where there is little left to tell."""
        too_low = np.flatnonzero(self._above >= self._price)
        too_high = np.flatnonzero(self._below >= self._price)
        if len(too_low):
            self._low = max(self._low, float(self._candidates[too_low[-1]]))
        if len(too_high):
            self._high = min(self._high, float(self._candidates[too_high[0]]))
        reach = _angle(self._high) - _angle(self._low)
        if self.moved or reach > CLOSED_IN * self._finest:
            return
        candidates = _candidates(self._cells, self._low, self._high)
        # A candidate that stays finds itself, exactly; a newcomer the neighbour on its worse side.
        self._above = self._above[np.searchsorted(self._candidates, candidates, side="left")]
        self._below = self._below[np.searchsorted(self._candidates, candidates, side="right") - 1]
        self._candidates, self._finest = candidates, reach


def scores_of_difference(
    one: Float64[np.ndarray, " rows"], two: Float64[np.ndarray, " rows"]
) -> Float64[np.ndarray, " rows"]:
    """Turn two scores in [0, 1] of the same row into one, (one - two + 1) / 2, whose mean a `MeanSequence` can watch.

    >>> scores_of_difference(np.array([1.0, 0.0, 0.7]), np.array([1.0, 1.0, 0.2])).tolist()
    [0.5, 0.0, 0.75]
    """
    check_within(one, 0.0, 1.0, "scores of one")
    check_within(two, 0.0, 1.0, "scores of two")
    return (one - two + 1) / 2


def difference_of(halved: Estimate) -> Estimate:
    """Turn limits for the mean of `scores_of_difference` into those of one minus two, in [-1, 1]."""
    return Estimate(
        value=2 * halved.value - 1,
        low=2 * halved.low - 1,
        high=2 * halved.high - 1,
        rows=halved.rows,
        method=f"{halved.method} of the difference on the same rows",
        confidence=halved.confidence,
    )


class PairState(TypedDict):
    """What waits for a partner, as JSON can hold it."""

    most_waiting: int
    positive: bool
    waiting: list[float]
    left_out: int


@final
class PairedWins:
    """Pairs each positive row with one negative as they arrive, so that an area under the ROC curve can be watched.

    The area is the chance that a positive scores above a negative, a tie counts half. Each row is used once, so the
    wins (1, 1/2 or 0) are independent when the rows are, and a `MeanSequence` of them has the area as its mean. There
    are as many as rows of the rarer class; DeLong's interval gets more out of the same rows, but for one look.

    Rows of one class wait when the other falls behind. Above `most_waiting` the oldest are left out, and counted.

    >>> pairs = PairedWins()
    >>> pairs.update(np.array([0.9, 0.2, 0.3]), np.array([True, False, False])).tolist()
    [1.0]
    >>> pairs.update(np.array([0.3, 0.4]), np.array([True, True])).tolist()
    [0.5]
    """

    def __init__(self, *, most_waiting: int = 10_000) -> None:
        if most_waiting < 1:
            raise ValueError(f"most_waiting must be 1 or more, got {most_waiting}; 10000 is usual.")
        self._most_waiting = most_waiting
        self._positive, self._waiting, self._left_out = False, np.zeros(0), 0

    @property
    def waiting(self) -> int:
        """How many rows wait for one of the other class."""
        return len(self._waiting)

    @property
    def left_out(self) -> int:
        """How many rows were given up because too many waited."""
        return self._left_out

    def update(
        self, scores: Float64[np.ndarray, " rows"], labels: Bool[np.ndarray, " rows"]
    ) -> Float64[np.ndarray, " pairs"]:
        """Take in the next rows and give the wins of the pairs that they complete."""
        check_within(scores, -math.inf, math.inf, "scores")
        none = np.zeros(0)
        positives = np.append(self._waiting if self._positive else none, scores[labels])
        negatives = np.append(none if self._positive else self._waiting, scores[~labels])
        pairs = min(len(positives), len(negatives))
        self._positive = len(positives) > pairs
        rest = positives[pairs:] if self._positive else negatives[pairs:]
        self._waiting = rest[-self._most_waiting :]
        self._left_out += len(rest) - len(self._waiting)
        return (1 + np.sign(positives[:pairs] - negatives[:pairs])) / 2

    def state(self) -> PairState:
        """Give all there is to know, to go on later or elsewhere."""
        return PairState(
            most_waiting=self._most_waiting,
            positive=self._positive,
            waiting=self._waiting.tolist(),
            left_out=self._left_out,
        )

    @classmethod
    def from_state(cls, state: PairState) -> "PairedWins":
        """Go on from a state."""
        pairs = cls(most_waiting=state["most_waiting"])
        waiting = np.array(state["waiting"], dtype=np.float64)
        check_within(waiting, -math.inf, math.inf, "waiting scores")
        pairs._positive, pairs._waiting, pairs._left_out = state["positive"], waiting, state["left_out"]
        return pairs


def _angle(share: float) -> float:
    return math.asin(math.sqrt(share))


def _candidates(cells: int, low: float, high: float) -> Float64[np.ndarray, " candidates"]:
    """Lay every other candidate over [0, 1], where it always is, and the rest from limit to limit, both included."""
    everywhere = np.sin(np.linspace(0.0, math.pi / 2, cells // 2 + 1)) ** 2
    between = np.sin(np.linspace(_angle(low), _angle(high), cells // 2)) ** 2
    between[0], between[-1] = low, high
    return np.sort(np.concatenate([everywhere, between]))


def _log_growth(factors: Float64[np.ndarray, "rows candidates"]) -> Float64[np.ndarray, " candidates"]:
    """Multiply rows in twos, a few times, before the logarithms: at most 31 factors, each within 0.25 and 20, meet."""
    for _ in range(4):
        half = len(factors) // 2
        if half == 0:
            break
        folded = factors[:half] * factors[half : 2 * half]
        if len(factors) % 2:
            folded[0] *= factors[-1]
        factors = folded
    return np.log(factors).sum(axis=0)


def _share(limit: float) -> float:
    if not 0 <= limit <= 1:
        raise ValueError(f"a limit for a mean of scores in [0, 1] must lie there too, got {limit}.")
    return limit


def check_within(scores: Float64[np.ndarray, " rows"], least: float, most: float, name: str) -> None:
    """Refuse scores that are not numbers within the bounds, and say which."""
    wrong = np.flatnonzero(~((scores >= least) & (scores <= most) & np.isfinite(scores)))
    if len(wrong):
        allowed = f"numbers in [{least:g}, {most:g}]" if math.isfinite(most) else "finite numbers"
        raise ValueError(
            f"{name} must be {allowed}; {len(wrong)} of {len(scores)} are not, the first is {scores[wrong[0]]} in row "
            f"{wrong[0] + 1}. Scale them, or leave out rows without a score."
        )
