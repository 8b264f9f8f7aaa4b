"""Promises held against labels: proven either way only by limits that may be looked at every day."""

import json

import numpy as np
import pytest
from scipy.stats import binom

from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.quality import Held, Pledge, held

AUC = Pledge(text="ROC AUC is at least 0.8", metric="roc_auc", direction="at_least", bound=0.8)


def rows(seed: int, count: int, *, apart: float = 1.5) -> Predictions:
    """Scores of two classes that lie so far apart; 1.19 would be an area of 0.8."""
    chance = np.random.default_rng(seed)
    truth = (chance.random(count) < 0.4).astype(np.float64)
    share = 1 / (1 + np.exp(-(chance.normal(size=count) + apart * truth - apart / 2)))
    return Predictions(
        truth=truth,
        classes=("no", "yes"),
        probabilities=np.stack([1 - share, share], axis=1),
        decisions=(share > 0.5).astype(np.int64),
    )


def judged(pledge: Pledge, predictions: Predictions, *, looks: int = 1) -> Held:
    return held(pledge, predictions, confidence=0.95, looks=looks)


def test_the_area_is_kept_broken_or_undecided_as_the_rows_say() -> None:
    assert judged(AUC, rows(1, 8_000, apart=1.9)).state == "kept"
    assert judged(AUC, rows(2, 8_000, apart=0.7)).state == "broken"
    assert judged(AUC, rows(3, 150, apart=1.5)).state == "open"
    assert judged(AUC, rows(4, 300, apart=0.8)).state == "at risk"
    found = judged(AUC, rows(1, 8_000, apart=1.9)).estimate
    assert found is not None
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("metric", "direction", "bound", "state"),
    [
        ("accuracy", "at_least", 0.7, "kept"),
        ("accuracy", "at_least", 0.9, "broken"),
        ("brier", "at_most", 0.22, "kept"),
        ("brier", "at_most", 0.1, "broken"),
        ("f1", "at_least", 0.5, "kept"),
        ("log_loss", "at_most", 0.3, "broken"),
        ("rmse", "at_most", 1.0, "cannot tell"),
        ("something else", "at_most", 1.0, "cannot tell"),
    ],
)
def test_every_metric_has_a_verdict_or_says_why_not(metric: str, direction: str, bound: float, state: str) -> None:
    pledge = Pledge(text=metric, metric=metric, direction=direction, bound=bound)  # pyright: ignore[reportArgumentType]
    found = judged(pledge, rows(5, 4_000), looks=28)
    assert found.state == state
    assert bool(found.why) == (state == "cannot tell")
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["state"] == state


def test_a_mean_of_scores_is_given_in_its_own_unit() -> None:
    predictions = rows(6, 4_000)
    pledge = Pledge(text="", metric="brier", direction="at_most", bound=0.5)
    found = judged(pledge, predictions).estimate
    assert found is not None
    assert predictions.probabilities is not None
    assert found.value == pytest.approx(np.mean((predictions.probabilities[:, 1] - predictions.truth) ** 2))
    assert 0 < found.low < found.value < found.high < 0.5


def test_without_labels_nothing_is_said() -> None:
    assert judged(AUC, rows(7, 0)).state == "no data"
    one_class = Predictions(truth=np.ones(50), classes=("no", "yes"), probabilities=np.full((50, 2), 0.5))
    assert judged(AUC, one_class).state == "no data"


def test_where_the_quality_moves_the_limits_are_those_of_its_average() -> None:
    decisions = np.concatenate([np.zeros(1_500), np.ones(1_500)]).astype(np.int64)
    predictions = Predictions(truth=np.zeros(3_000), classes=("no", "yes"), decisions=decisions)
    pledge = Pledge(text="", metric="accuracy", direction="at_least", bound=0.9)
    found = judged(pledge, predictions)
    assert found.estimate is not None
    assert "moving mean" in found.estimate.method
    assert found.estimate.low < 0.5 < found.estimate.high < 0.6
    assert found.state == "broken"


@pytest.mark.slow
def test_a_promise_just_kept_is_called_broken_in_few_lives_however_often_one_looks() -> None:
    pledge = Pledge(text="", metric="accuracy", direction="at_least", bound=0.9)
    lives, wrong = 40, 0
    for life in range(lives):
        chance = np.random.default_rng(life)
        truth = np.zeros(1_000)
        decisions = (chance.random(1_000) >= 0.9).astype(np.int64)
        states = [
            judged(pledge, Predictions(truth=truth[:count], classes=("no", "yes"), decisions=decisions[:count])).state
            for count in range(100, 1_001, 100)
        ]
        wrong += "broken" in states
    assert wrong <= binom.ppf(0.999, lives, 0.05)
