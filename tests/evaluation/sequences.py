"""A year of retrains in a world that does not change: challengers as good as the champion on average, and who is taken.

Champion and challengers learn from rows of one distribution, each from its own, so they differ by luck alone; each
challenger is held against the champion on fresh rows. What both are worth in truth is known from very many rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression

from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.noninferiority import contest
from holdtrue.evaluation.predictions import Predictions

COLUMNS = 10
PROMISED = ("roc_auc", "log_loss")
ALPHA, MARGIN = 0.05, 0.01

Rows = tuple[np.ndarray, np.ndarray]
# (challenger's and champion's answers, the number of the comparison) -> whether the challenger takes over
Rule = Callable[[Predictions, Predictions, int], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A fitted model, and what its metrics are in truth."""

    weights: np.ndarray
    start: float
    truth: dict[str, float]


@dataclass(kw_only=True, slots=True)
class Year:
    """What became of the champion under a rule.

    Attributes:
        promotions: `worse` of them were worse than the champion in truth, `broken` by more than the margin.
        held_back: challengers that were not taken, of which `good` were better in truth by all metrics.
        first, last, lowest: the metrics of the first champion, of the last, and the worst that any champion had.
    """

    promotions: int = 0
    worse: int = 0
    broken: int = 0
    held_back: int = 0
    good: int = 0
    first: dict[str, float] = field(default_factory=dict[str, float])
    last: dict[str, float] = field(default_factory=dict[str, float])
    lowest: dict[str, float] = field(default_factory=dict[str, float])


class World:
    """Rows of one distribution, two classes of which one has three in ten rows."""

    def __init__(self, *, learn_rows: int, judge_rows: int, truth_rows: int, seed: int = 1) -> None:
        self._learn_rows, self._judge_rows = learn_rows, judge_rows
        generator = np.random.default_rng([seed, 0])
        self._pull = generator.normal(size=COLUMNS) * 0.7
        self._all = self._rows(np.random.default_rng([seed, 1]), truth_rows)

    def _rows(self, generator: np.random.Generator, count: int) -> Rows:
        columns = generator.normal(size=(count, COLUMNS))
        chance = 1 / (1 + np.exp(1.1 - columns @ self._pull))
        return columns, (generator.random(count) < chance).astype(np.float64)

    def learn(self, generator: np.random.Generator) -> Model:
        columns, truth = self._rows(generator, self._learn_rows)
        fitted = LogisticRegression().fit(columns, truth)
        weights, start = fitted.coef_[0], float(fitted.intercept_[0])
        answers = self.answer(weights, start, self._all)
        return Model(weights=weights, start=start, truth={name: METRICS.get(name).value(answers) for name in PROMISED})

    def judge(self, generator: np.random.Generator, *models: Model) -> list[Predictions]:
        rows = self._rows(generator, self._judge_rows)
        return [self.answer(model.weights, model.start, rows) for model in models]

    def answer(self, weights: np.ndarray, start: float, rows: Rows) -> Predictions:
        chance = 1 / (1 + np.exp(-rows[0] @ weights - start))
        return Predictions(truth=rows[1], classes=("no", "yes"), probabilities=np.column_stack([1 - chance, chance]))


def not_worse(challenger: Predictions, champion: Predictions, number: int) -> bool:
    """Take a challenger that is not worse by any promise, at the level that is left for this comparison."""
    alpha = ALPHA * 6 / (math.pi * number) ** 2 / len(PROMISED)
    return all(
        contest(METRICS.get(name), challenger, champion, alpha=alpha, margin=MARGIN, seed=0).finding == "not worse"
        for name in PROMISED
    )


def looks_better(challenger: Predictions, champion: Predictions, number: int) -> bool:
    """Take a challenger whose value on the same rows is better: what most loops do."""
    metric = METRICS.get(PROMISED[0])
    return metric.value(challenger) > metric.value(champion)


RULES: dict[str, Rule] = {"not worse": not_worse, "swap if better": looks_better}


def loss(challenger: Model, champion: Model) -> float:
    """By which part of the champion's value the challenger is worse in truth, by its worst metric; below 0: by none."""
    losses: list[float] = []
    for name in PROMISED:
        sign = 1 if METRICS.get(name).higher_is_better else -1
        losses.append(sign * (champion.truth[name] - challenger.truth[name]) / champion.truth[name])
    return max(losses)


def live(world: World, seed: int, *, retrains: int = 100) -> dict[str, Year]:
    """Let every rule decide about the same challengers, each on its own."""
    generator = np.random.default_rng([seed, 2])
    first = world.learn(generator)
    champions = dict.fromkeys(RULES, first)
    years = {name: Year(first=first.truth, lowest=dict(first.truth)) for name in RULES}
    for number in range(1, retrains + 1):
        challenger = world.learn(generator)
        answers = world.judge(generator, challenger, *champions.values())
        for (name, champion), theirs in zip(champions.items(), answers[1:], strict=True):
            year, lost = years[name], loss(challenger, champion)
            if not RULES[name](answers[0], theirs, number):
                year.held_back += 1
                year.good += lost < 0
                continue
            year.promotions += 1
            year.worse += lost > 0
            year.broken += lost > MARGIN
            champions = {**champions, name: challenger}
            for metric in PROMISED:
                worst = min if METRICS.get(metric).higher_is_better else max
                year.lowest[metric] = worst(year.lowest[metric], challenger.truth[metric])
    for name, champion in champions.items():
        years[name].last = champion.truth
    return years
