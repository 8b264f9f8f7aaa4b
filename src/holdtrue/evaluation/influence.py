"""Intervals from influence: how far each row pulls a metric tells how far another sample would have moved it.

A metric that is a smooth function of the rows' weights has, for every row, a derivative (its influence, scaled so that
its mean is 0 and the metric's error is close to the mean influence of the sample). Its variance gives the standard
error (the infinitesimal jackknife; for the area under the ROC curve this is DeLong's), its third moment the skewness
that a plain interval ignores, and its sum over a cluster what a cluster does as a whole. Two metrics on the same rows
are compared by the difference of their influences.
"""

import math

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.optimize import brentq
from scipy.special import expit, logit, stdtrit

from holdtrue.statistics.skewness import skewed_limits

# With fewer independent units than this no moment of the sample can be trusted, and the limits are infinite.
LEAST_UNITS = 30
LEAST_INFORMATIVE = 5
# Rows that were not seen, added to the variance of a share as if each were a coin: a few rows that all agree say
# little about the rows that do not. Chosen by simulation, so that areas near 1 with 10 positives keep their level.
UNSEEN = 5.0
# Two models that differ in fewer rows than this (Kish) are compared as if some more had differed, both ways.
ENOUGH_DIFFERING = 10.0


def share_influence(scores: "np.ndarray", among: Bool[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """Give the influence on the mean of the scores (or share of the hits) of the rows `among` all rows."""
    rows = int(among.sum())
    if rows == 0:
        return np.zeros(len(among))
    return np.where(among, scores - scores[among].mean(), 0.0) * (len(among) / rows)


def units_of(
    influence: Float64[np.ndarray, " rows"], clusters: Int64[np.ndarray, " rows"] | None
) -> Float64[np.ndarray, " units"]:
    """Add up what belongs together; the metric's error stays the mean over the units."""
    if clusters is None:
        return influence
    _, code = np.unique(clusters, return_inverse=True)
    sums = np.bincount(code, weights=influence)
    return sums * (len(sums) / len(influence))


def count_units(among: Bool[np.ndarray, " rows"], clusters: Int64[np.ndarray, " rows"] | None) -> int:
    """Count the rows of a mask, or the clusters that have one."""
    return int(among.sum()) if clusters is None else len(np.unique(clusters[among]))


def standard_error(units: Float64[np.ndarray, " units"]) -> float:
    count = len(units)
    return math.sqrt(float(units @ units) / (count - 1) / count) if count > 1 else math.inf


def mean_limits(value: float, units: Float64[np.ndarray, " units"], confidence: float) -> tuple[float, float]:
    """Give Hall's limits for a value whose error is the mean of the units; infinite when they are too few or equal."""
    count, error = len(units), standard_error(units)
    if count < LEAST_UNITS or not math.isfinite(error) or error <= 1e-12 * max(1.0, abs(value)):
        return -math.inf, math.inf
    quantile = float(stdtrit(count - 1, (1 + confidence) / 2))
    return skewed_limits(value, error, quantile, skewness=_skewness(units))


def share_limits(
    value: float, units: Float64[np.ndarray, " units"], confidence: float, informative: int
) -> tuple[float, float]:
    """Give limits for a metric between 0 and 1 that behaves like a share of `informative` units.

    The further one of an interval on the logit scale, whose variance is drawn a little towards that of a coin thrown
    `informative` times, and of Hall's interval with the same variance. When all informative units agree the limit is
    that of a share with no failure.
    """
    tail = (1 - confidence) / 2
    if informative < LEAST_INFORMATIVE or math.isnan(value):
        return -math.inf, math.inf
    if value >= 1.0:
        return tail ** (1 / informative), 1.0
    if value <= 0.0:
        return 0.0, 1 - tail ** (1 / informative)
    coin = value * (1 - value)
    weight = UNSEEN / (informative - 1 + UNSEEN)
    error = math.sqrt(weight * coin / informative + (1 - weight) * standard_error(units) ** 2)
    quantile = float(stdtrit(informative - 1, (1 + confidence) / 2))
    centre, reach = float(logit(value)), quantile * error / coin
    low, high = skewed_limits(value, error, quantile, skewness=_skewness(units))
    return max(0.0, min(low, float(expit(centre - reach)))), min(1.0, max(high, float(expit(centre + reach))))


def quotient_limits(
    top: float,
    bottom: float,
    top_units: Float64[np.ndarray, " units"],
    bottom_units: Float64[np.ndarray, " units"],
    confidence: float,
) -> tuple[float, float]:
    """Give the limits of top / bottom for a bottom above 0, by Fieller's argument.

    A quotient m lies within them as long as top - m * bottom may be 0, so the error of the bottom counts too.
    """

    def end(side: int) -> float:
        def limit(quotient: float) -> float:
            units = with_unseen(top_units - quotient * bottom_units)
            return mean_limits(top - quotient * bottom, units, confidence)[side]

        inside, direction = top / bottom, -1.0 if side == 0 else 1.0
        step = max(abs(limit(inside)) / bottom, 1e-9)
        for _ in range(40 if math.isfinite(step) else 0):
            outside = inside + direction * step
            if limit(outside) * direction < 0:
                return float(brentq(limit, min(inside, outside), max(inside, outside), xtol=1e-10))
            step *= 2
        return direction * math.inf

    return end(0), end(1)


def with_unseen(units: Float64[np.ndarray, " units"]) -> Float64[np.ndarray, " padded"]:
    """Add a row that pulls each way as strongly as any that was seen (Bonett and Price 2012 do so for shares).

    Two models that answer nearly every row alike differ in a handful of rows, which say little about the next ones: for
    log losses of two noisy models with 10 positive rows in 100, each end of the interval without these two rows errs
    in 8 to 10 % of cases where it may in 5 %, with them in 2 to 3 %. The fewer rows differ, the more are added.
    """
    strongest, differing = float(np.abs(units).max()), effective_units(units)
    pairs = math.ceil(min(max(ENOUGH_DIFFERING / differing, 1.0), 5.0)) if differing > 0 else 1
    padded = np.concatenate([units, np.repeat([strongest, -strongest], pairs)])
    return padded * (len(units) / len(padded)) ** 0.5


def effective_units(units: Float64[np.ndarray, " units"]) -> float:
    """Count the units that differ, as many as would say as much if all were equal (Kish 1965)."""
    squares = float(units @ units)
    return float(np.abs(units).sum()) ** 2 / squares if squares > 0 else 0.0


def _skewness(units: Float64[np.ndarray, " units"]) -> float:
    """Third moment of the mean over the third power of its standard error."""
    error = standard_error(units)
    return float((units**3).sum()) / (len(units) * error) ** 3 if error > 0 else 0.0
