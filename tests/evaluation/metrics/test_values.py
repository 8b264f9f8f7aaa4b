"""The values of the metrics are those of scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as reference

from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.predictions import Predictions
from tests.evaluation.world import binary, numbers, several

BINARY: dict[str, Callable[[Predictions], float]] = {
    "roc_auc": lambda p: reference.roc_auc_score(p.truth, _positive(p)),
    "pr_auc": lambda p: reference.average_precision_score(p.truth, _positive(p)),
    "log_loss": lambda p: reference.log_loss(p.truth, p.probabilities),
    "brier": lambda p: reference.brier_score_loss(p.truth, _positive(p)),
    "accuracy": lambda p: reference.accuracy_score(p.truth, p.decisions),
    "balanced_accuracy": lambda p: reference.balanced_accuracy_score(p.truth, p.decisions),
    "precision": lambda p: reference.precision_score(p.truth, p.decisions),
    "recall": lambda p: reference.recall_score(p.truth, p.decisions),
    "true_positive_rate": lambda p: reference.recall_score(p.truth, p.decisions),
    "false_positive_rate": lambda p: 1 - reference.recall_score(p.truth, p.decisions, pos_label=0),
    "selection_rate": lambda p: float(np.mean(_decisions(p))),
    "f1": lambda p: reference.f1_score(p.truth, p.decisions),
    "mcc": lambda p: reference.matthews_corrcoef(p.truth, p.decisions),
}
SEVERAL: dict[str, Callable[[Predictions], float]] = {
    "roc_auc": lambda p: reference.roc_auc_score(p.truth, p.probabilities, multi_class="ovr"),
    "pr_auc": lambda p: reference.average_precision_score(np.eye(4)[p.truth.astype(int)], p.probabilities),
    "log_loss": lambda p: reference.log_loss(p.truth, p.probabilities),
    "brier": lambda p: reference.brier_score_loss(p.truth, p.probabilities),
    "accuracy": lambda p: reference.accuracy_score(p.truth, p.decisions),
    "balanced_accuracy": lambda p: reference.balanced_accuracy_score(p.truth, p.decisions),
    "precision": lambda p: reference.precision_score(p.truth, p.decisions, average="macro"),
    "recall": lambda p: reference.recall_score(p.truth, p.decisions, average="macro"),
    "f1": lambda p: reference.f1_score(p.truth, p.decisions, average="macro"),
    "mcc": lambda p: reference.matthews_corrcoef(p.truth, p.decisions),
}
NUMBERS: dict[str, Callable[[Predictions], float]] = {
    "mae": lambda p: reference.mean_absolute_error(p.truth, p.values),
    "rmse": lambda p: reference.root_mean_squared_error(p.truth, p.values),
    "mape": lambda p: reference.mean_absolute_percentage_error(p.truth, p.values),
    "r2": lambda p: reference.r2_score(p.truth, p.values),
    "pinball": lambda p: (
        (
            reference.mean_pinball_loss(p.truth, p.low, alpha=0.05)
            + reference.mean_pinball_loss(p.truth, p.high, alpha=0.95)
        )
        / 2
    ),
}


def _positive(predictions: Predictions) -> "np.ndarray":
    assert predictions.probabilities is not None
    return predictions.probabilities[:, 1]


def _decisions(predictions: Predictions) -> "np.ndarray":
    assert predictions.decisions is not None
    return predictions.decisions


@pytest.mark.parity
@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "tied"])
def test_two_classes_have_the_value_of_scikit_learn(name: str, rounded: bool) -> None:
    rows = binary(700, 1)
    if rounded:
        probability = _positive(rows).round(1).clip(0.05, 0.95)
        rows = binary(700, 1).take(np.arange(700))
        assert rows.probabilities is not None
        rows.probabilities[:, 1], rows.probabilities[:, 0] = probability, 1 - probability
    assert METRICS.get(name).value(rows) == pytest.approx(BINARY[name](rows), abs=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("name", SEVERAL)
def test_several_classes_have_the_macro_average_of_scikit_learn(name: str) -> None:
    rows = several(900, 2)
    assert METRICS.get(name).value(rows) == pytest.approx(SEVERAL[name](rows), abs=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_have_the_value_of_scikit_learn(name: str) -> None:
    rows = numbers(900, 3)
    assert METRICS.get(name).value(rows) == pytest.approx(NUMBERS[name](rows), rel=1e-12)


@pytest.mark.parity
def test_a_probability_of_0_for_what_came_true_costs_as_much_as_in_scikit_learn() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    rows = Predictions(truth=np.array([1.0, 1.0, 0.0]), classes=("no", "yes"), probabilities=certain)
    expected = reference.log_loss(rows.truth, certain.astype(np.float32))
    assert METRICS.get("log_loss").value(rows) == pytest.approx(expected, rel=1e-6)


def test_a_class_that_is_never_decided_counts_as_0_in_the_macro_average() -> None:
    rows = Predictions(truth=np.array([0.0, 1.0, 2.0, 0.0]), classes=("a", "b", "c"), decisions=np.array([0, 1, 1, 0]))
    assert METRICS.get("precision").value(rows) == pytest.approx((1 + 0.5 + 0) / 3)
    assert METRICS.get("f1").value(rows) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_mape_leaves_out_rows_whose_truth_is_0_and_says_so() -> None:
    truth = np.concatenate([np.zeros(10), np.linspace(1.0, 5.0, 90)])
    rows = Predictions(truth=truth, values=truth * 1.1 + np.sin(np.arange(100)) / 50)
    found = METRICS.get("mape").estimate(rows, 0.95, 0)
    assert found.value == pytest.approx(np.mean(np.abs(rows.values[10:] - truth[10:]) / truth[10:]))  # type: ignore[index]
    assert found.rows == 90
    assert "90 of 100 rows" in found.method


def test_coverage_is_the_share_of_rows_inside_the_interval() -> None:
    rows = Predictions(
        truth=np.array([1.0, 2.0, 3.0, 4.0]), low=np.array([1.0, 0, 4, 3]), high=np.array([1.0, 1, 5, 5]), coverage=0.9
    )
    assert METRICS.get("interval_coverage").value(rows) == 0.5
