"""From probabilities to decisions: the threshold that costs least, and what the decisions are worth."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from holdtrue.models.blocks.platt import stratified
from holdtrue.spec.project import Cost

FOLDS = 5
CONFIDENCE = 0.95
DIGITS = 6  # probabilities are float32: closer ones may trade places between the model and its graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """A row is decided positive when its probability is at least `value`."""

    value: float
    method: Literal["half", "theory", "empirical"]
    reason: str


def theory_threshold(cost: Cost) -> float:
    """Give the threshold that is best when the probabilities are right (Elkan 2001).

    Deciding positive costs p * true_positive + (1 - p) * false_positive, deciding negative
    p * false_negative + (1 - p) * true_negative; the two are equal at the threshold.

    >>> theory_threshold(Cost(false_positive=1, false_negative=4))
    0.2
    """
    wrong_alarm = cost.false_positive - cost.true_negative
    missed = cost.false_negative - cost.true_positive
    return wrong_alarm / (wrong_alarm + missed)


def best_threshold(truth: Float64[np.ndarray, " rows"], probability: Float64[np.ndarray, " rows"], cost: Cost) -> float:
    """Find the threshold that costs least on these rows; among equals the one nearest to theory."""
    theory = theory_threshold(cost)
    levels, place = np.unique(probability.round(DIGITS), return_inverse=True)
    positive = np.bincount(place, weights=truth, minlength=len(levels))
    negative = np.bincount(place, minlength=len(levels)) - positive
    missed, alarmed = cost.false_negative - cost.true_positive, cost.false_positive - cost.true_negative
    # Cut k leaves the k lowest levels negative: each level that turns adds its misses and takes its false alarms.
    change = positive * missed - negative * alarmed
    costs = np.concatenate([[0.0], np.cumsum(change)])
    ends = np.concatenate([[0.0], levels, [1.0]])
    low, high = ends[:-1], ends[1:]  # cut k is made by any threshold in (low, high]
    slack = 1e-9 * max(float(np.abs(change).sum()), 1.0)
    possible = high > low
    possible[0] = True  # a threshold of 0 decides every row positive, also one whose probability is 0
    cheapest = possible & (costs <= costs[possible].min() + slack)
    if (cheapest & (low < theory) & (theory <= high)).any():
        return theory
    middles = (low + high) / 2
    return float(middles[np.argmin(np.where(cheapest, np.abs(middles - theory), np.inf))])


def choose_threshold(
    truth: Float64[np.ndarray, " rows"],
    probability: Float64[np.ndarray, " rows"],
    cost: Cost | None,
    seed: int,
) -> Threshold:
    """Choose between theory and the rows; the rows must show that they know better.

    With calibrated probabilities theory cannot be beaten, and a threshold read off the rows fits their noise. So the
    empirical threshold is taken only when, chosen on four fifths of the rows and applied to the rest, it saves cost
    against theory with a one-sided confidence of 95 %. Give out-of-fold probabilities: those of training rows are
    too sure.
    """
    from scipy.stats import t as student

    if cost is None:
        return Threshold(value=0.5, method="half", reason="No costs are given, so both mistakes count the same.")
    theory = theory_threshold(cost)
    enough = min(truth.sum(), (1 - truth).sum()) >= FOLDS
    if enough:
        fold = stratified(truth, FOLDS, seed)
        saved = np.empty(len(truth))
        for number in range(FOLDS):
            held = fold == number
            found = best_threshold(truth[~held], probability[~held], cost)
            saved[held] = _saved(truth[held], probability[held], found, theory, cost)
        bound = saved.mean() - student.ppf(CONFIDENCE, len(saved) - 1) * saved.std(ddof=1) / np.sqrt(len(saved))
        if bound > 0:
            return Threshold(
                value=best_threshold(truth, probability, cost),
                method="empirical",
                reason=f"It saves {1000 * saved.mean():.4g} per 1000 rows against {theory:.4g} on rows left out.",
            )
    why = "No other threshold was better on rows left out." if enough else "There are too few rows to find another."
    return Threshold(value=theory, method="theory", reason=f"It is best when the probabilities are right. {why}")


def row_values(
    truth: Float64[np.ndarray, " rows"], positive: Bool[np.ndarray, " rows"], cost: Cost
) -> Float64[np.ndarray, " rows"]:
    """Say what each decision is worth: its cost, with the sign turned."""
    right, wrong = (cost.true_positive, cost.false_positive), (cost.false_negative, cost.true_negative)
    costs = np.where(positive, np.where(truth > 0, *right), np.where(truth > 0, *wrong))
    return -costs.astype(np.float64)


def value_per_1000(
    truth: Float64[np.ndarray, " rows"], probability: Float64[np.ndarray, " rows"], threshold: float, cost: Cost
) -> float:
    """Give the value of the decisions at a threshold, per 1000 rows."""
    return 1000.0 * float(row_values(truth, probability >= threshold, cost).mean())


def value_without_model(truth: Float64[np.ndarray, " rows"], cost: Cost) -> float:
    """Give the better of always and never deciding positive, per 1000 rows."""
    always = np.ones(len(truth), dtype=np.bool_)
    return 1000.0 * max(float(row_values(truth, decided, cost).mean()) for decided in (always, ~always))


def value_curve(
    truth: Float64[np.ndarray, " rows"], probability: Float64[np.ndarray, " rows"], cost: Cost, points: int = 101
) -> list[tuple[float, float]]:
    """Give the value per 1000 rows along the thresholds from 0 to 1."""
    return [
        (float(threshold), value_per_1000(truth, probability, float(threshold), cost))
        for threshold in np.linspace(0.0, 1.0, points)
    ]


def least_cost(
    probabilities: Float64[np.ndarray, "rows classes"], costs: Float64[np.ndarray, "classes classes"]
) -> Int64[np.ndarray, " rows"]:
    """Decide for the class of least expected cost; `costs[true, decided]`, of equals the first.

    >>> least_cost(np.array([[0.9, 0.1]]), np.array([[0.0, 1.0], [20.0, 0.0]])).tolist()
    [1]
    """
    return np.argmin(probabilities @ costs, axis=1)


def _saved(
    truth: Float64[np.ndarray, " rows"],
    probability: Float64[np.ndarray, " rows"],
    found: float,
    theory: float,
    cost: Cost,
) -> Float64[np.ndarray, " rows"]:
    return row_values(truth, probability >= found, cost) - row_values(truth, probability >= theory, cost)
