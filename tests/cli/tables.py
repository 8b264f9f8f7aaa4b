"""Tables with all that real ones have: dates, categories, gaps, numbers with thousands and with text in them."""

import random

from tests.cli.driver import Row


def shop(count: int, *, seed: int = 3) -> list[Row]:
    """Make orders: `kind` is one of three classes, `spend` a number; both can be learnt from the other columns."""
    chance = random.Random(seed)
    made: list[Row] = []
    for number in range(count):
        size, known = chance.choice(["S", "M", "L"]), chance.random() > 0.1
        age, income = chance.randint(18, 80), chance.lognormvariate(3, 0.5)
        price = f"See DN-{chance.randint(100, 999)}" if chance.random() < 0.05 else f'"{income * 30:,.1f}"'
        scores = [(age - 45) / 12 + income / 20 - 1, (45 - age) / 12, 1.0 if size == "L" else -0.5]
        drawn = [score + chance.gauss(0, 0.6) for score in scores]
        spend = 20 + age * 1.5 + income * 2 + (8 if size == "L" else 0) + chance.gauss(0, 5)
        made.append(
            {
                "order": f"o{number:05d}",
                "day": f"{chance.randint(1, 28):02d}/{chance.randint(1, 12):02d}/{chance.choice([2021, 2022])}",
                "size": size,
                "age": age if known else "",
                "price": price,
                "kind": ["gold", "blue", "red"][drawn.index(max(drawn))],
                "spend": round(spend, 2),
            }
        )
    return made


REGRESSION = """\
name: spend
data: {source: rows.csv, target: spend, time: day, key: order, drop: kind}
learn: {learners: [ridge], trials: 1, folds: 2}
report: {learning_curve: false}
promises:
  - quality: {metric: rmse, at_most: 25}
  - quality: {metric: interval_coverage, at_least: 0.6}
  - beats: {baseline: constant, metric: rmse, by: 10%}
  - complete: {breaches_at_most: 5%}
  - robust: {to: [noise, missing], drop_at_most: 30}
"""

CLASSES = """\
name: kinds
data: {source: rows.csv, target: kind, drop: [order, spend]}
learn: {learners: [logistic], trials: 1, folds: 2}
report: {learning_curve: false}
promises:
  - quality: {metric: balanced_accuracy, at_least: 0.5}
  - beats: {baseline: constant, by: 5%}
"""
