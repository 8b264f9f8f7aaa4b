"""Probabilities made right: a correction learnt from out-of-fold predictions, kept only where it helps."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from holdtrue.models.answers import LEAST, Correction
from holdtrue.models.blocks.platt import fit_sigmoid, stratified

FOLDS = 5
FEWEST_ROWS = 100
FLATTEST, STEEPEST = 0.1, 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What was found, and whether it was worth keeping.

    Attributes:
        correction: leaves probabilities as they are when the method is "none".
        before, after: log loss of the out-of-fold predictions as they are, and cross-fitted through the method.
    """

    correction: Correction
    method: Literal["none", "platt", "temperature"]
    before: float
    after: float


def calibrate(
    truth: Float64[np.ndarray, " rows"], probabilities: Float64[np.ndarray, "rows classes"], seed: int
) -> Calibration:
    """Fit Platt's sigmoid (two classes) or a temperature (more; Guo et al. 2017, arXiv:1706.04599).

    It is kept if it lowers log loss on rows that its fit left out: fitted on four fifths, applied to the last. Give
    out-of-fold predictions: those for training rows are too sure.
    """
    before = log_loss(truth, probabilities)
    none = Calibration(correction=Correction(), method="none", before=before, after=before)
    rarest = np.bincount(truth.astype(np.int64), minlength=probabilities.shape[1]).min()
    if len(truth) < FEWEST_ROWS or rarest < FOLDS:
        return none
    fold = stratified(truth, FOLDS, seed)
    crossed = np.empty_like(probabilities)
    for number in range(FOLDS):
        held = fold == number
        crossed[held] = _fitted(truth[~held], probabilities[~held]).apply(probabilities[held])
    after = log_loss(truth, crossed)
    correction = _fitted(truth, probabilities)
    # A slope of 0 or less would turn the order of the rows around: the scores say nothing to build on.
    if after >= before or correction.slope <= 0:
        return none
    method = "platt" if probabilities.shape[1] == 2 else "temperature"
    return Calibration(correction=correction, method=method, before=before, after=after)


def log_loss(truth: Float64[np.ndarray, " rows"], probabilities: Float64[np.ndarray, "rows classes"]) -> float:
    """Give the mean negative logarithm of the true class's probability, which counts as at least 1e-7."""
    chance = probabilities[np.arange(len(truth)), truth.astype(np.int64)]
    return -float(np.log(np.clip(chance, LEAST, 1.0)).mean())


def _fitted(truth: Float64[np.ndarray, " rows"], probabilities: Float64[np.ndarray, "rows classes"]) -> Correction:
    logs = np.log(np.clip(probabilities, LEAST, 1.0))
    if probabilities.shape[1] == 2:
        slope, offset = fit_sigmoid(logs[:, 1] - logs[:, 0], truth)
        return Correction(slope=slope, offset=offset)
    own = np.arange(len(truth)), truth.astype(np.int64)

    def loss(slope: float) -> float:
        return -float(log_softmax(logs * slope, axis=1)[own].mean())

    # The loss is convex in the slope, the inverse of the temperature.
    found = minimize_scalar(loss, bounds=(FLATTEST, STEEPEST), method="bounded", options={"xatol": 1e-8})
    return Correction(slope=float(found.x))
