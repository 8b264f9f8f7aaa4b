"""Platt scaling: a sigmoid from decision scores to probabilities, fitted on scores of rows the model never saw."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import expit, log_expit

from holdtrue.models.blocks.classes import taken
from holdtrue.models.learner import Rows

FOLDS = 3
ROUNDS = 100  # Newton needs about ten; the limit is for scores that say nothing

Decide = Callable[["np.ndarray"], "np.ndarray"]


def fit_sigmoid(
    scores: Float64[np.ndarray, " rows"],
    truth: Float64[np.ndarray, " rows"],
    weight: Float64[np.ndarray, " rows"] | None = None,
) -> tuple[float, float]:
    """Find (a, b) so that sigmoid(a * score + b) is the chance that the truth is 1.

    Newton's method with backtracking, as Lin, Lin & Weng 2007 (doi:10.1007/s10994-007-5018-6) set Platt's fit
    right, with his targets: (n+ + 1) / (n+ + 2) and 1 / (n- + 2) keep it finite when the classes part cleanly.
    """
    weight = np.ones_like(truth) if weight is None else weight
    middle, spread = float(scores.mean()), float(scores.std()) or 1.0
    z = (scores - middle) / spread  # so that no unit of the scores upsets the solver
    positive, negative = float(weight @ truth), float(weight @ (1 - truth))
    target = np.where(truth > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(a: float, b: float) -> float:
        f = a * z + b
        return -float(weight @ (target * log_expit(f) + (1 - target) * log_expit(-f)))

    a, b = 0.0, float(np.log((positive + 1) / (negative + 1)))
    best = loss(a, b)
    for _ in range(ROUNDS):
        p = expit(a * z + b)
        slope, curve = weight * (p - target), weight * p * (1 - p)
        gradient = np.array([slope @ z, slope.sum()])
        cross = curve @ z
        # The small diagonal keeps the system solvable when every score is the same.
        hessian = np.array([[curve @ (z * z) + 1e-12, cross], [cross, curve.sum() + 1e-12]])
        down_a, down_b = np.linalg.solve(hessian, gradient)
        # Half of this is what the loss can still fall by; less than rounding can show is nothing.
        if gradient @ (down_a, down_b) < 1e-13 * weight.sum():
            break
        step = 1.0
        while step > 1e-10 and loss(a - step * down_a, b - step * down_b) > best:
            step /= 2
        if step <= 1e-10:
            break
        a, b = a - step * float(down_a), b - step * float(down_b)
        best = loss(a, b)
    return a / spread, b - a * middle / spread


def stratified(codes: Float64[np.ndarray, " rows"], folds: int, seed: int) -> Int64[np.ndarray, " rows"]:
    """Number the fold of each row; every class is spread over the folds as evenly as it goes."""
    chance = np.random.default_rng(seed)
    fold = np.empty(len(codes), dtype=np.int64)
    start = 0
    for code in np.unique(codes):
        places = chance.permutation(np.flatnonzero(codes == code))
        fold[places] = (start + np.arange(len(places))) % folds
        start += len(places)
    return fold


def fit_crossed(
    rows: Rows, seed: int, fit: Callable[[Rows], Decide]
) -> tuple[Float64[np.ndarray, " columns"], Float64[np.ndarray, " columns"]]:
    """Fit one sigmoid a score column (one for two classes, else one a class) on out-of-fold scores.

    A class with a single row leaves no fold to learn it from; then the scores of the training rows must do.
    """
    fewest = int(np.unique(rows.y, return_counts=True)[1].min())
    folds = min(FOLDS, fewest)
    if folds < 2:
        scores = fit(rows)(rows.x)
    else:
        fold = stratified(rows.y, folds, seed)
        scores = np.empty((len(rows.y), 1 if rows.classes == 2 else rows.classes))
        for number in range(folds):
            held = fold == number
            scores[held] = fit(taken(rows, ~held))(rows.x[held])
    wanted = [1] if rows.classes == 2 else range(rows.classes)
    pairs = [
        fit_sigmoid(scores[:, column], (rows.y == code).astype(np.float64), rows.weight)
        for column, code in enumerate(wanted)
    ]
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
