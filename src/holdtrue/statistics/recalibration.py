"""A map from a model's probabilities to those that rows with a known truth show: beta calibration, with weights.

The map is logit q = a ln p - b ln(1 - p) + c, fitted by weighted likelihood (Kull, Silva Filho & Flach 2017, AISTATS,
Proc. Mach. Learn. Res. 54, 623-631). It holds the identity (a = b = 1, c = 0) and Platt's map, and bends like most
learners do. A penalty of half a squared unit pulls it towards the identity: a handful of rows, or rows that all agree,
leave the probabilities nearly as they are, where a bare likelihood would run away.
"""

import numpy as np
from jaxtyping import Float64
from scipy.special import expit

LEAST = 1e-6  # probabilities nearer to 0 or 1 are taken for this: their logarithms would carry the whole fit
PENALTY = 1.0
MOST_STEPS = 50
CLOSE = 1e-8


def beta_map(
    probability: Float64[np.ndarray, " rows"],
    truth: Float64[np.ndarray, " rows"],
    weights: Float64[np.ndarray, " rows"],
    near: "np.ndarray | None" = None,
) -> Float64[np.ndarray, " 3"]:
    """Fit the map: a, b and c.

    `truth` is 0 or 1, `weights` count how many rows each one stands for. `near` is where the search begins: a fit on
    nearly the same rows saves most steps, and changes nothing else.

    >>> chance = np.random.default_rng(1)
    >>> said = chance.random(4_000)
    >>> came = (chance.random(4_000) < said**2).astype(float)
    >>> found = beta_map(said, came, np.ones(4_000))
    >>> bool((abs(remapped(np.array([0.25, 0.5, 0.75]), found) - np.array([0.25, 0.5, 0.75]) ** 2) < 0.03).all())
    True
    """
    design, start = _design(probability), np.array([1.0, 1.0, 0.0])
    found = start if near is None else near
    loss = _loss(found, design, truth, weights, start)
    for _ in range(MOST_STEPS):
        share = expit(design @ found)
        slope = design.T @ (weights * (share - truth)) + PENALTY * (found - start)
        bend = (design * (weights * share * (1 - share))[:, None]).T @ design + PENALTY * np.eye(3)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        # Newton's step may be too long far from the answer; the loss is convex, so a shorter one is always good.
        while (after := _loss(found - size * step, design, truth, weights, start)) > loss and size > CLOSE:
            size /= 2
        found, gained = found - size * step, loss - after
        loss = after
        if gained <= CLOSE * (1 + abs(loss)):
            break
    return found


def remapped(
    probability: Float64[np.ndarray, " rows"], found: Float64[np.ndarray, " 3"]
) -> Float64[np.ndarray, " rows"]:
    """Send probabilities through a map."""
    return np.asarray(expit(_design(probability) @ found))


def _design(probability: "np.ndarray") -> "np.ndarray":
    kept = np.clip(probability, LEAST, 1 - LEAST)
    return np.stack([np.log(kept), -np.log1p(-kept), np.ones(len(kept))], axis=1)


def _loss(
    found: "np.ndarray", design: "np.ndarray", truth: "np.ndarray", weights: "np.ndarray", start: "np.ndarray"
) -> float:
    score = design @ found
    pulled = found - start
    return float(weights @ (np.logaddexp(0.0, score) - truth * score)) + PENALTY * float(pulled @ pulled) / 2
