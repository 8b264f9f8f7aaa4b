"""The area under the ROC curve, and the difference of two on the same rows.

The area is the chance that a positive row scores above a negative one (a tie counts half). The placement of a row is
the share of the other class that it beats, or that it is beaten by. The variance of the area is the sum of those of the
mean placement of each class (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837-845), and placements are ranks,
so one sort is enough (Sun & Xu 2014, IEEE Signal Process. Lett. 21, 1389-1393).

DeLong's interval as it stands errs on the dangerous side: with 100 positives, 300 negatives and an area of 0.99 its
lower limit lies above the truth in 15 % of samples where it may in 5 %. Four changes, each simulated, mend that:

1. Student's quantile with Welch's degrees of freedom (as Brunner & Munzel 2000).
2. The logit scale, which keeps the limits inside [0, 1].
3. The Edgeworth correction of `skewness.py` with the interaction of both samples; the outer of 2 and 3 is taken.
4. When the shortfall of either class rests on fewer than 10 rows (Kish's effective number), the moments are not to be
   trusted: the limit is then Clopper-Pearson's for as many pairs as the smaller class has rows. The area is a mean over
   all ways to pair rows of that many disjoint pairs, so its variance is at most that of their hit rate (Hoeffding 1963,
   section 5; Birnbaum & Klose 1957). It is exact when no pair is in the wrong order, and wide.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import expit, logit, stdtrit

from holdtrue.statistics.binomial import clopper_pearson
from holdtrue.statistics.estimate import Estimate, tail_of, unlimited
from holdtrue.statistics.skewness import skewed_limits

LEAST_INFORMATIVE = 10.0
LEAST_DIFFERING = 12.0
METHOD = "DeLong, corrected for skewness"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ranked:
    """One model's scores by class, and what share of the other class each row beats or is beaten by."""

    positive: Float64[np.ndarray, " positives"]
    negative: Float64[np.ndarray, " negatives"]
    wins: Float64[np.ndarray, " positives"]
    losses: Float64[np.ndarray, " negatives"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Moments:
    """What an area, or a difference of areas, says about its own error."""

    value: float
    error: float
    freedom: float
    skewness: float
    interaction: float


def delong(truth: Bool[np.ndarray, " rows"], score: Float64[np.ndarray, " rows"], confidence: float) -> Estimate:
    """Estimate the area under the ROC curve.

    >>> generator = np.random.default_rng(1)
    >>> truth = generator.random(1000) < 0.3
    >>> area = delong(truth, generator.normal(1.5 * truth), 0.9)
    >>> f"{area.value:.3f} ({area.low:.3f} to {area.high:.3f})"
    '0.833 (0.810 to 0.854)'
    """
    rows, pairs = len(truth), min(int(truth.sum()), int((~truth).sum()))
    if pairs == 0:
        return unlimited(math.nan, rows, METHOD, confidence)
    ranked = _ranked(truth, score)
    area = float(ranked.wins.mean())
    tail, few = tail_of(confidence), clopper_pearson(area * pairs, pairs, confidence)
    fair_low = min(_effective(1 - ranked.wins), _effective(1 - ranked.losses)) >= LEAST_INFORMATIVE
    fair_high = min(_effective(ranked.wins), _effective(ranked.losses)) >= LEAST_INFORMATIVE
    low, high = few.low, few.high
    known = _moments([ranked], [1.0]) if (fair_low or fair_high) and 0 < area < 1 else None
    if known is not None:
        quantile = float(stdtrit(known.freedom, 1 - tail))
        bent = _skewed(known, quantile, caution=1.0)
        scaled = quantile * known.error / (area * (1 - area))
        low = min(bent[0], float(expit(logit(area) - scaled)), math.inf if fair_low else few.low)
        high = max(bent[1], float(expit(logit(area) + scaled)), -math.inf if fair_high else few.high)
    return Estimate(
        value=area,
        low=max(0.0, low),
        high=min(1.0, high),
        rows=rows,
        method=METHOD if known is not None and fair_low and fair_high else f"{pairs} disjoint pairs, Clopper-Pearson",
        confidence=confidence,
    )


def delong_paired(
    truth: Bool[np.ndarray, " rows"],
    score_one: Float64[np.ndarray, " rows"],
    score_two: Float64[np.ndarray, " rows"],
    confidence: float,
) -> Estimate:
    """Estimate area one minus area two on the same rows; not for two fits of nested models on the rows judged.

    Steps 1 and 3 as for one area, with the differences of the placements; step 4 with two shares, of pairs that only
    the first model and only the second puts in order. In simulations with 60 positives or more each limit errs at most
    in 5.6 % where 5 % is allowed.

    >>> generator = np.random.default_rng(1)
    >>> truth = generator.random(1000) < 0.3
    >>> score = generator.normal(1.5 * truth)
    >>> gain = delong_paired(truth, score, score + generator.normal(size=1000), 0.9)
    >>> f"{gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})"
    '0.073 (0.052 to 0.094)'
    """
    rows, pairs = len(truth), min(int(truth.sum()), int((~truth).sum()))
    method = f"{METHOD}, paired"
    if pairs == 0:
        return unlimited(math.nan, rows, method, confidence)
    one, two = _ranked(truth, score_one), _ranked(truth, score_two)
    gap = float(one.wins.mean() - two.wins.mean())
    informative = min(_effective(np.abs(one.wins - two.wins)), _effective(np.abs(one.losses - two.losses)))
    known = _moments([one, two], [1.0, -1.0]) if informative >= LEAST_DIFFERING else None
    if known is None:
        low, high = _few_differ(one, two, gap, pairs, confidence)
        method = f"{pairs} disjoint pairs of which few differ, Clopper-Pearson"
    else:
        quantile = float(stdtrit(known.freedom, 1 - tail_of(confidence)))
        bent = _skewed(known, quantile, caution=2.0)
        low, high = min(bent[0], gap - quantile * known.error), max(bent[1], gap + quantile * known.error)
    return Estimate(value=gap, low=max(-1.0, low), high=min(1.0, high), rows=rows, method=method, confidence=confidence)


def _few_differ(one: _Ranked, two: _Ranked, gap: float, pairs: int, confidence: float) -> tuple[float, float]:
    """Combine the exact limits of the two shares of disjoint pairs as `newcombe` does."""
    everywhere = _disagreement(
        np.concatenate([one.positive, one.negative]), np.concatenate([two.positive, two.negative])
    )
    within = _disagreement(one.positive, two.positive) + _disagreement(one.negative, two.negative)
    differing = (everywhere - within) / (len(one.positive) * len(one.negative))
    gained, lost = (
        clopper_pearson(min(max((differing + sign * gap) / 2, 0.0), 1.0) * pairs, pairs, confidence) for sign in (1, -1)
    )
    low = gap - math.hypot(gained.value - gained.low, lost.high - lost.value)
    return low, gap + math.hypot(gained.high - gained.value, lost.value - lost.low)


def _disagreement(one: "np.ndarray", two: "np.ndarray") -> float:
    """Count the pairs of rows that two scores order differently; a pair that one of them ties counts half.

    Kendall's tau is (concordant - discordant) / √((pairs - ties of one) (pairs - ties of two)), in one sort.
    """
    from scipy.stats import kendalltau

    pairs = len(one) * (len(one) - 1) / 2
    ties_one, ties_two, ties_both = _ties(one), _ties(two), _ties(np.stack([one, two], axis=1))
    if pairs in (ties_one, ties_two):
        net = 0.0
    elif len(one) == 2:  # SciPy divides by zero for its p-value, which nobody asks for
        net = float(np.sign((one[1] - one[0]) * (two[1] - two[0])))
    else:
        tau = float(kendalltau(one, two, method="asymptotic").statistic)
        net = tau * math.sqrt((pairs - ties_one) * (pairs - ties_two))
    discordant = (pairs - ties_one - ties_two + ties_both - net) / 2
    return discordant + (ties_one + ties_two - 2 * ties_both) / 2


def _ties(scores: "np.ndarray") -> float:
    _, counts = np.unique(scores, axis=0, return_counts=True)
    return float((counts * (counts - 1.0)).sum()) / 2


def _ranked(truth: "np.ndarray", score: "np.ndarray") -> _Ranked:
    from scipy.stats import rankdata

    positive, negative = score[truth], score[~truth]
    ranks = rankdata(np.concatenate([positive, negative]))
    split = len(positive)
    return _Ranked(
        positive=positive,
        negative=negative,
        wins=(ranks[:split] - rankdata(positive)) / len(negative),
        losses=1 - (ranks[split:] - rankdata(negative)) / len(positive),
    )


def _effective(weights: "np.ndarray") -> float:
    """Kish's effective number of rows: how many equal ones would carry as much."""
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _moments(areas: list[_Ranked], signs: list[float]) -> _Moments | None:
    """Give the moments of a signed sum of areas; None when nothing varies, as for a score that is constant."""
    wins = sum(sign * area.wins for area, sign in zip(areas, signs, strict=True))
    losses = sum(sign * area.losses for area, sign in zip(areas, signs, strict=True))
    assert isinstance(wins, np.ndarray)
    assert isinstance(losses, np.ndarray)
    positives, negatives = len(wins), len(losses)
    value = float(wins.mean())
    up, down = wins - value, losses - value
    parts = float(up @ up) / (positives - 1) / positives, float(down @ down) / (negatives - 1) / negatives
    variance = sum(parts)
    if variance < 1e-20:
        return None
    third = float(np.mean(up**3)) / positives**2 + float(np.mean(down**3)) / negatives**2
    crossed = sum(sign * _crossed(area, up, down) for area, sign in zip(areas, signs, strict=True))
    return _Moments(
        value=value,
        error=math.sqrt(variance),
        freedom=variance**2 / (parts[0] ** 2 / (positives - 1) + parts[1] ** 2 / (negatives - 1)),
        skewness=third / variance**1.5,
        interaction=6 * crossed / (positives * negatives) / variance**1.5,
    )


def _crossed(area: _Ranked, up: "np.ndarray", down: "np.ndarray") -> float:
    """Average up · down · [positive above negative] over all pairs, by one sort."""
    order = np.argsort(area.negative, kind="stable")
    ordered = area.negative[order]
    below = np.concatenate([[0.0], np.cumsum(down[order])])
    left, right = np.searchsorted(ordered, area.positive, "left"), np.searchsorted(ordered, area.positive, "right")
    return float(up @ (below[left] + below[right])) / 2 / (len(up) * len(down))


def _skewed(known: _Moments, quantile: float, *, caution: float) -> tuple[float, float]:
    return skewed_limits(
        known.value,
        known.error,
        quantile,
        skewness=known.skewness,
        interaction=known.interaction,
        caution=caution,
    )
