import numpy as np
import pytest
from sklearn import metrics as reference

from holdtrue.evaluation.curves import curves, precision_recall, roc, thinned
from holdtrue.evaluation.timeline import Timeline, followed, target_over_time
from holdtrue.spec.project import Cost
from tests.evaluation.world import binary, numbers, several


def positive(rows: int, seed: int) -> tuple["np.ndarray", "np.ndarray"]:
    made = binary(rows, seed)
    assert made.probabilities is not None
    return made.truth == 1, made.probabilities[:, 1]


@pytest.mark.parity
def test_the_roc_curve_is_that_of_scikit_learn() -> None:
    truth, score = positive(150, 1)
    false, true, _ = reference.roc_curve(truth, score, drop_intermediate=False)
    assert np.array(roc(truth, score)) == pytest.approx(np.column_stack([false, true]))


@pytest.mark.parity
def test_the_precision_recall_curve_is_that_of_scikit_learn() -> None:
    truth, score = positive(150, 2)
    precision, recall, _ = reference.precision_recall_curve(truth, score)
    expected = np.column_stack([recall, precision])[::-1][1:]
    assert np.array(precision_recall(truth, score)) == pytest.approx(expected)


def test_a_thinned_curve_keeps_its_ends_and_its_area() -> None:
    truth, score = positive(20_000, 3)
    points = np.array(roc(truth, score))
    assert len(points) <= 200
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(reference.roc_auc_score(truth, score), abs=0.002)


def test_thinning_leaves_short_curves_alone() -> None:
    assert thinned(np.array([[0.0, 0.0], [1.0, 1.0]])) == [[0.0, 0.0], [1.0, 1.0]]


def test_rows_of_one_class_have_no_curve() -> None:
    assert roc(np.ones(5, dtype=bool), np.linspace(0, 1, 5)) == []


def test_each_task_has_the_curves_that_mean_something_for_it() -> None:
    cost = Cost(false_positive=1, false_negative=4)
    assert set(curves(binary(500, 4), 0.9, 0, cost=cost)) == {"calibration", "roc", "pr", "decision"}
    assert set(curves(several(500, 4), 0.9, 0)) == {"calibration"}
    assert set(curves(numbers(500, 4), 0.9, 0)) == {"residuals"}


def test_every_residual_is_in_the_histogram() -> None:
    made = curves(numbers(5000, 5), 0.9, 0)["residuals"]
    assert sum(made["histogram"]["counts"]) == 5000
    assert len(made["histogram"]["edges"]) == len(made["histogram"]["counts"]) + 1
    assert len(made["predicted_vs_true"]) == 200


def test_the_target_over_time_counts_every_row_once_and_knows_its_part() -> None:
    time = np.arange(1000.0) * 86_400
    target = (np.arange(1000) % 4 == 0).astype(np.float64)
    part = ["train"] * 700 + ["test"] * 300
    found = target_over_time(Timeline(time=time, target=target, part=part, is_share=True), 0.95, 0)
    assert sum(entry["rows"] for entry in found) == 1000
    assert [entry["part"] for entry in found] == sorted((entry["part"] for entry in found), reverse=True)
    assert all(entry["low"] < 0.25 < entry["high"] for entry in found)
    assert found[0]["from"].startswith("1970-01-01")


def test_rows_without_a_time_are_left_out_of_the_timeline() -> None:
    time = np.array([np.nan] * 10 + [0.0] * 20)
    timeline = Timeline(time=time, target=np.arange(30.0), part=["train"] * 30, is_share=False)
    assert sum(entry["rows"] for entry in target_over_time(timeline, 0.95, 0)) == 20
    empty = Timeline(time=time[:10], target=np.arange(10.0), part=["train"] * 10, is_share=False)
    assert target_over_time(empty, 0.95, 0) == []


def test_what_is_followed_is_the_positive_class_or_the_most_common_one() -> None:
    assert followed(np.array([0.0, 1.0]), ("no", "yes")).tolist() == [0, 1]
    assert followed(np.array([0.0, 2.0, 2.0]), ("a", "b", "c")).tolist() == [0, 1, 1]
    assert followed(np.array([3.5]), ()).tolist() == [3.5]
