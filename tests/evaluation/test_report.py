import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from holdtrue.evaluation import PERTURBATIONS, Inputs, Model, Predictions, Timeline, evaluate, perturb
from holdtrue.evaluation.explain import answered
from holdtrue.evaluation.plain import plain
from holdtrue.evaluation.robustness import reference_of
from holdtrue.spec.project import Cost
from holdtrue.statistics.estimate import Estimate
from holdtrue.tasks import TASKS
from tests.evaluation.world import from_probability

PARTS = {
    "headline_metric", "metrics", "models", "comparisons", "per_class", "confusion", "curves", "decision", "slices",
    "slice_metric", "fairness", "calibration", "robustness", "importance", "contributions", "learning_curve", "data",
}  # fmt: skip


def rows(count: int, seed: int) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "size": generator.normal(size=count),
            "when": generator.uniform(0, 1e9, count),
            "kind": generator.choice(["a", "b"], count),
        }
    )


def classes(frame: pl.DataFrame) -> Predictions:
    odds = (frame["size"].fill_null(0.0) + (frame["kind"] == "b").fill_null(False).cast(pl.Float64)).to_numpy()
    return from_probability(np.zeros(frame.height), 1 / (1 + np.exp(-odds)))


def values(frame: pl.DataFrame) -> Predictions:
    made = frame["size"].fill_null(0.0).to_numpy()
    return Predictions(truth=np.zeros(frame.height), values=made, low=made - 1.6, high=made + 1.6, coverage=0.9)


def inputs(task: str, count: int = 1500) -> Inputs:
    held, predict = rows(count, 1), classes if task == "classification" else values
    answer = predict(held)
    generator = np.random.default_rng(2)
    if answer.probabilities is None:
        truth = held["size"].to_numpy() + generator.normal(size=count)
        weak = replace(answer, truth=truth, values=np.zeros(count))
    else:
        truth = (generator.random(count) < answer.probabilities[:, 1]).astype(np.float64)
        weak = from_probability(truth, np.full(count, float(truth.mean())))
    champion = replace(answer, truth=truth)
    return Inputs(
        models=(
            Model(name="good", role="champion", learner="lightgbm", settings={"trees": 5}, predictions=champion),
            Model(name="constant", role="baseline", learner="constant", settings={}, predictions=weak),
            Model(name="other", role="candidate", learner="ridge", settings={}),
        ),
        metrics=TASKS.get(task).metrics,
        metric=TASKS.get(task).metric,
        rows=held,
        features=("size", "when", "kind"),
        predict=predict,
        confidence=0.95,
        seed=0,
        dates=frozenset({"when"}),
        fair=(("kind", "accuracy"),) if task == "classification" else (("kind", "mae"),),
        disturbances=tuple(PERTURBATIONS),
        disturbed=lambda name: answered(predict, perturb(name, held, reference_of(rows(2000, 3)), 0), champion),
        cost=Cost(false_positive=1, false_negative=4),
        threshold=0.5,
        timeline=Timeline(time=held["when"].to_numpy(), target=truth, part=["test"] * count, is_share=False),
        contributions=(np.ones((10, 2)), ("size", "kind")),
        learning=(
            lambda index: Estimate(value=len(index), low=0, high=np.inf, rows=1, method="counted", confidence=0.95),
            400,
        ),
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_report_has_every_part_and_json_can_hold_it(task: str) -> None:
    made = evaluate(inputs(task))
    assert set(made) == PARTS
    assert json.loads(json.dumps(made, allow_nan=False)) == made


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_same_inputs_give_the_same_report(task: str) -> None:
    assert evaluate(inputs(task, 600)) == evaluate(inputs(task, 600))


def test_the_report_says_what_was_compared_and_who_won() -> None:
    made = evaluate(inputs("classification"))
    against = {entry["metric"]: entry["favours"] for entry in made["comparisons"]}
    assert against["log_loss"] == "model"
    assert against["mcc"] == "neither"  # the constant decides one class only, so its correlation is not defined
    assert [model["beaten_by_baseline"] for model in made["models"]] == [False, False, False]
    assert made["models"][2]["metrics"] == {}
    assert made["metrics"]["roc_auc"]["title"] == "ROC AUC"


def test_a_champion_that_loses_to_a_baseline_says_so() -> None:
    given = inputs("classification")
    champion, baseline, _ = given.models
    swapped = (
        replace(champion, predictions=baseline.predictions),
        replace(baseline, predictions=champion.predictions),
    )
    made = evaluate(replace(given, models=swapped, disturbances=()))
    assert made["models"][0]["beaten_by_baseline"] is True
    assert made["comparisons"][0]["favours"] == "baseline"


def test_decisions_are_worth_what_their_mistakes_cost() -> None:
    given = inputs("classification")
    made = evaluate(replace(given, disturbances=()))
    (right, alarms), (missed, found) = made["confusion"]
    assert right + alarms + missed + found == 1500
    assert made["decision"]["value_per_1000"]["value"] == pytest.approx(-1000 * (alarms + 4 * missed) / 1500)
    # Without a model the cheaper way is to decide for the positive class always.
    assert made["decision"]["value_per_1000_without_model"] == pytest.approx(-1000 * (right + alarms) / 1500)


def test_each_class_has_its_own_shares() -> None:
    made = evaluate(replace(inputs("classification"), disturbances=()))
    assert [entry["class"] for entry in made["per_class"]] == ["no", "yes"]
    assert made["per_class"][1]["recall"]["value"] == pytest.approx(made["metrics"]["recall"]["value"])
    assert sum(entry["rows"] for entry in made["per_class"]) == 1500


def test_a_learning_curve_grows_to_all_rows() -> None:
    made = evaluate(replace(inputs("regression"), disturbances=()))["learning_curve"]
    assert [point["rows"] for point in made] == [50, 100, 200, 400]
    assert made[-1]["value"]["high"] is None


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="not fit for JSON"):
        plain({"place": object()})
