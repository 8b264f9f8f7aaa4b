"""Simulated worlds whose truth is known: models that score rows, decide, and predict numbers."""

from dataclasses import replace

import numpy as np

from holdtrue.evaluation.predictions import Predictions


def binary(
    rows: int, seed: int, *, positives: float = 0.3, distance: float = 1.0, threshold: float = 0.5
) -> Predictions:
    """Two normal classes, and a model that is a little too sure of itself."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(rows) < positives).astype(np.float64)
    score = generator.normal(truth * distance, 1.0)
    odds = 1.3 * (np.log(positives / (1 - positives)) + distance * score - distance**2 / 2)
    return from_probability(truth, 1 / (1 + np.exp(-odds)), threshold=threshold)


def from_probability(truth: "np.ndarray", probability: "np.ndarray", *, threshold: float = 0.5) -> Predictions:
    return Predictions(
        truth=truth.astype(np.float64),
        classes=("no", "yes"),
        probabilities=np.column_stack([1 - probability, probability]),
        decisions=(probability >= threshold).astype(np.int64),
    )


def several(rows: int, seed: int, *, distance: float = 1.5) -> Predictions:
    """Four classes of which one is rare, and a calibrated model."""
    generator = np.random.default_rng(seed)
    share = np.array([0.5, 0.3, 0.15, 0.05])
    truth = generator.choice(4, rows, p=share)
    scores = generator.normal(size=(rows, 4))
    scores[np.arange(rows), truth] += distance
    weight = share * np.exp(distance * scores)
    probabilities = weight / weight.sum(axis=1, keepdims=True)
    return Predictions(
        truth=truth.astype(np.float64),
        classes=("a", "b", "c", "d"),
        probabilities=probabilities,
        decisions=probabilities.argmax(axis=1).astype(np.int64),
    )


def numbers(rows: int, seed: int, *, reach: float = 1.5) -> Predictions:
    """Skewed numbers predicted with errors that have heavy tails, and intervals."""
    generator = np.random.default_rng(seed)
    values = generator.gamma(2.0, 2.0, rows)
    truth = values + generator.laplace(0.0, 0.7, rows)
    return Predictions(truth=truth, values=values, low=values - reach, high=values + reach, coverage=0.9)


def paired(rows: int, seed: int, *, noise: tuple[float, float]) -> tuple[Predictions, Predictions]:
    """Two models that see the same rows through noise of their own."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(rows) < 0.3).astype(np.float64)
    odds = np.log(0.3 / 0.7) + generator.normal(truth, 1.0) - 0.5
    one, two = (1 / (1 + np.exp(-odds - generator.normal(0.0, size, rows))) for size in noise)
    return from_probability(truth, one), from_probability(truth, two)


def in_clusters(predictions: Predictions, size: int) -> Predictions:
    """Repeat every row `size` times: the copies say nothing new."""
    rows = np.repeat(np.arange(predictions.rows), size)
    return replace(predictions.take(rows), clusters=rows.astype(np.int64))
