"""Simulations of what the product measures: metrics, comparisons, calibration, gaps between groups, robustness.

A truth that has no formula is the metric's value on two million rows, whose own error is 1.4 % of that of 400 rows.
To add a kind of promise, write a function that returns its cases and name it in `product_cases`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from world import Ask, Case

from holdtrue.evaluation.calibration import calibration_error
from holdtrue.evaluation.comparisons import compare, compare_relative
from holdtrue.evaluation.fairness import fairness
from holdtrue.evaluation.grouping import Grouping
from holdtrue.evaluation.metric import METRICS, Metric, offers
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.robustness import drop

ROWS = 400

# Two models on the same rows; the first is as good as the second but for `better`.
World = Callable[[np.random.Generator, int, float], tuple[Predictions, Predictions]]


def product_cases(many: int) -> list[Case]:
    """Give all cases; truths without a formula are measured on `many` rows."""
    return [*_quality(many), *_beats(many), *_calibrated(), *_fair(), *_robust(many)]


def _two_classes(generator: np.random.Generator, rows: int, better: float) -> tuple[Predictions, Predictions]:
    odds = generator.normal(-1.2, 1.5, rows)
    truth = (generator.random(rows) < _sigmoid(odds)).astype(np.float64)
    common = generator.normal(0, 0.4, rows)

    def model(noise: float) -> Predictions:
        positive = _sigmoid(0.95 * odds + common + generator.normal(0, noise, rows))
        return Predictions(
            truth=truth,
            classes=("no", "yes"),
            probabilities=np.stack([1 - positive, positive], axis=1),
            decisions=(positive >= 0.35).astype(np.int64),
        )

    return model(0.5 - better), model(0.5)


def _three_classes(generator: np.random.Generator, rows: int, better: float) -> tuple[Predictions, Predictions]:
    scores = generator.normal(0, 1.5, (rows, 3)) + np.array([1.0, 0.0, -0.5])
    truth = (scores + generator.gumbel(size=(rows, 3))).argmax(axis=1).astype(np.float64)

    def model(noise: float) -> Predictions:
        seen = np.exp(scores + generator.normal(0, noise, (rows, 3)))
        probabilities = seen / seen.sum(axis=1, keepdims=True)
        return Predictions(
            truth=truth, classes=("a", "b", "c"), probabilities=probabilities, decisions=probabilities.argmax(axis=1)
        )

    return model(0.6 - better), model(0.6)


def _numbers(generator: np.random.Generator, rows: int, better: float) -> tuple[Predictions, Predictions]:
    base = generator.normal(10, 1.0, rows)
    truth = base + generator.laplace(0, 0.5, rows)

    def model(noise: float) -> Predictions:
        values = base + generator.normal(0, noise, rows)
        return Predictions(truth=truth, values=values, low=values - 1.2, high=values + 1.2, coverage=0.9)

    return model(0.4 - better), model(0.4)


WORLDS: dict[str, World] = {"2 classes": _two_classes, "3 classes": _three_classes, "numbers": _numbers}


def _sigmoid(odds: "np.ndarray") -> "np.ndarray":
    return 1 / (1 + np.exp(-odds))


def _quality(many: int) -> list[Case]:
    cases: list[Case] = []
    for title, world in WORLDS.items():
        population, _ = world(np.random.default_rng(1), many, 0.0)
        held = offers(population)
        for name in METRICS.names():
            metric = METRICS.get(name)
            if metric.needs not in held or math.isnan(metric.value(population)):
                continue

            def simulate(generator: np.random.Generator, world: World = world, metric: Metric = metric) -> Ask:
                seen, _ = world(generator, ROWS, 0.0)
                return lambda confidence: metric.estimate(seen, confidence, 0)

            cases.append(
                Case(
                    kind="quality",
                    name=f"{metric.title}, {title}, {ROWS} rows",
                    direction="at_least" if metric.higher_is_better else "at_most",
                    truth=metric.value(population),
                    simulate=simulate,
                )
            )
    return cases


def _beats(many: int) -> list[Case]:
    def simulate(generator: np.random.Generator, world: World, metric: Metric, better: float, relative: bool) -> Ask:
        model, other = world(generator, ROWS, better)
        how = compare_relative if relative else compare
        return lambda confidence: how(metric, model, other, confidence, 0)

    cases: list[Case] = []
    wanted = [("2 classes", "log_loss"), ("2 classes", "roc_auc"), ("2 classes", "f1"), ("2 classes", "accuracy")]
    wanted += [("2 classes", "pr_auc"), ("3 classes", "log_loss"), ("numbers", "mae"), ("numbers", "rmse")]
    for title, name in wanted:
        metric, world = METRICS.get(name), WORLDS[title]
        cases.append(
            Case(
                kind="beats",
                name=f"{metric.title} of two equal models, {title}, {ROWS} rows",
                direction="at_least",
                truth=0.0,
                simulate=partial(simulate, world=world, metric=metric, better=0.0, relative=False),
            )
        )
        if metric.higher_is_better:
            continue
        model, other = world(np.random.default_rng(2), many, 0.3)
        cases.append(
            Case(
                kind="beats",
                name=f"{metric.title} lower by a share, {title}, {ROWS} rows",
                direction="at_least",
                truth=1 - metric.value(model) / metric.value(other),
                simulate=partial(simulate, world=world, metric=metric, better=0.3, relative=True),
            )
        )
    return cases


def _calibrated() -> list[Case]:
    """The error is 0.05: everywhere, or only in the upper third of the probabilities."""

    def simulate(generator: np.random.Generator, rows: int, share: float) -> Ask:
        predicted = generator.uniform(0.15, 0.85, rows)
        gap = np.where(predicted > 0.15 + 0.7 * (1 - share), 0.05 / math.sqrt(share), 0.0)
        truth = (generator.random(rows) < predicted - gap).astype(np.float64)
        seen = Predictions(
            truth=truth, classes=("no", "yes"), probabilities=np.stack([1 - predicted, predicted], axis=1)
        )
        return lambda confidence: calibration_error(seen, confidence, 0)

    return [
        Case(
            kind="calibrated",
            name=f"calibration error 0.05 {where}, {rows} rows",
            direction="at_most",
            truth=0.05,
            simulate=partial(simulate, rows=rows, share=share),
        )
        for rows in (400, 2000)
        for where, share in (("everywhere", 1.0), ("in the upper third", 1 / 3))
    ]


def _fair() -> list[Case]:
    """Three groups of fixed size; the largest difference is 0.1."""

    def simulate(generator: np.random.Generator, rates: tuple[float, ...], sizes: tuple[int, ...], metric: str) -> Ask:
        codes = np.repeat(np.arange(len(sizes)), sizes)
        hit = generator.random(len(codes)) < np.array(rates)[codes]
        grouping = Grouping(column="group", names=tuple("abc"[: len(sizes)]), codes=codes)
        # All rows are positives, so the hit rate is the recall, the accuracy and the selection rate at once.
        seen = Predictions(truth=np.ones(len(codes)), classes=("no", "yes"), decisions=hit.astype(np.int64))
        return lambda confidence: fairness(seen, grouping, metric, confidence, 0).gap

    worlds = [((0.85, 0.75), (150, 250)), ((0.9, 0.85, 0.8), (100, 150, 250)), ((0.9, 0.9, 0.8), (200, 200, 200))]
    return [
        Case(
            kind="fair",
            name=f"{METRICS.get('true_positive_rate').title} gap of groups at "
            f"{', '.join(f'{rate:g}' for rate in rates)} ({', '.join(map(str, sizes))} rows)",
            direction="at_most",
            truth=0.1,
            simulate=partial(simulate, rates=rates, sizes=sizes, metric="true_positive_rate"),
        )
        for rates, sizes in worlds
    ]


def _robust(many: int) -> list[Case]:
    """Some rows lose part of what the model knew of them."""

    def worlds(generator: np.random.Generator, rows: int, share: float) -> tuple[Predictions, Predictions]:
        clean, _ = _two_classes(generator, rows, 0.0)
        assert clean.probabilities is not None
        odds = np.log(clean.probabilities[:, 1] / clean.probabilities[:, 0])
        struck = np.where(generator.random(rows) < share, 0.3 * odds + generator.normal(-0.8, 0.5, rows), odds)
        positive = _sigmoid(struck)
        probabilities = np.stack([1 - positive, positive], axis=1)
        return clean, replace(clean, probabilities=probabilities, decisions=(positive >= 0.35).astype(np.int64))

    def simulate(generator: np.random.Generator, share: float, metric: str) -> Ask:
        clean, disturbed = worlds(generator, ROWS, share)
        return lambda confidence: drop(metric, clean, disturbed, confidence, 0)

    cases: list[Case] = []
    for share in (0.3, 0.02):
        clean, disturbed = worlds(np.random.default_rng(3), many, share)
        for name in ("roc_auc", "log_loss", "accuracy", "f1"):
            metric = METRICS.get(name)
            sign = 1.0 if metric.higher_is_better else -1.0
            cases.append(
                Case(
                    kind="robust",
                    name=f"drop of {metric.title} when {share:.0%} of {ROWS} rows are disturbed",
                    direction="at_most",
                    truth=sign * (metric.value(clean) - metric.value(disturbed)),
                    simulate=partial(simulate, share=share, metric=name),
                )
            )
    return cases
