"""Each end of each interval errs about as often as it may: simulated worlds whose truth is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from holdtrue.evaluation.comparisons import compare, compare_relative
from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.predictions import Predictions
from tests.evaluation.world import binary, numbers, paired, several

pytestmark = pytest.mark.slow
RUNS = 400
# One end may err in 5 %; the rest is what 400 runs add by chance in one of 400 ends (3.3 standard errors).
ALLOWED = 0.05 + 3.3 * math.sqrt(0.05 * 0.95 / RUNS)
LARGE = 1_000_000

World = Callable[[int, int], Predictions]
WORLDS: dict[str, World] = {
    "rare": lambda rows, seed: binary(rows, seed, positives=0.1, distance=1.5),
    "common": lambda rows, seed: binary(rows, seed, positives=0.4),
    "easy": lambda rows, seed: binary(rows, seed, distance=3.0),
    "several": several,
    "numbers": numbers,
}
SHARES = ["accuracy", "precision", "recall", "f1", "balanced_accuracy", "mcc"]
CASES = [
    *[
        (name, world)
        for world in ("rare", "common", "easy", "several")
        for name in ["roc_auc", "pr_auc", "log_loss", "brier", *SHARES]
    ],
    *[("false_positive_rate", world) for world in ("rare", "several")],
    *[(name, "numbers") for name in ("mae", "rmse", "r2", "pinball", "interval_coverage")],
]


@pytest.mark.parametrize("rows", [150, 800])
@pytest.mark.parametrize(("name", "world"), CASES)
def test_neither_end_errs_more_often_than_it_may(name: str, world: str, rows: int) -> None:
    metric, drawn = METRICS.get(name), WORLDS[world]
    truth = metric.value(drawn(LARGE, 1_000_003))
    found = [metric.estimate(drawn(rows, seed), 0.9, seed) for seed in range(RUNS)]
    assert np.mean([estimate.low > truth for estimate in found]) <= ALLOWED
    assert np.mean([estimate.high < truth for estimate in found]) <= ALLOWED


@pytest.mark.parametrize("rows", [150, 800])
@pytest.mark.parametrize("name", ["roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "recall", "f1", "mcc"])
def test_neither_end_of_a_difference_errs_more_often_than_it_may(name: str, rows: int) -> None:
    metric = METRICS.get(name)
    sign = 1 if metric.higher_is_better else -1
    large, other = paired(LARGE, 1_000_003, noise=(0.3, 0.6))
    gain = sign * (metric.value(large) - metric.value(other))
    share = gain / metric.value(other)
    pairs = [paired(rows, seed, noise=(0.3, 0.6)) for seed in range(RUNS)]
    plain = [compare(metric, *pair, 0.9, 0) for pair in pairs]
    relative = [compare_relative(metric, *pair, 0.9, 0) for pair in pairs]
    for found, truth in ((plain, gain), (relative, share)):
        assert np.mean([estimate.low > truth for estimate in found]) <= ALLOWED
        assert np.mean([estimate.high < truth for estimate in found]) <= ALLOWED


def test_clusters_are_honoured_by_every_kind_of_interval() -> None:
    """Ten rows of a person are alike: intervals that take them for ten persons err far more often."""

    def drawn(seed: int) -> Predictions:
        generator = np.random.default_rng(seed)
        person = np.repeat(np.arange(60), 10)
        lean = generator.normal(0.0, 1.5, 60)[person]
        truth = generator.random(600) < 1 / (1 + np.exp(-lean))
        score = 1 / (1 + np.exp(-0.5 * lean - generator.normal(0.0, 0.3, 600)))
        return Predictions(
            truth=truth.astype(np.float64),
            classes=("no", "yes"),
            probabilities=np.column_stack([1 - score, score]),
            decisions=(score > 0.5).astype(np.int64),
            clusters=person,
        )

    many = [drawn(seed) for seed in range(RUNS)]
    for name in ("roc_auc", "log_loss", "accuracy", "recall", "f1", "mcc"):
        metric = METRICS.get(name)
        truth = np.mean([metric.value(drawn(10_000 + seed)) for seed in range(2000)]) if name == "accuracy" else None
        found = [metric.estimate(rows, 0.9, 0) for rows in many]
        truth = truth if truth is not None else np.mean([estimate.value for estimate in found])
        assert np.mean([estimate.low > truth for estimate in found]) <= ALLOWED + 0.01
        assert np.mean([estimate.high < truth for estimate in found]) <= ALLOWED + 0.01
