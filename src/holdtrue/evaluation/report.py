"""Everything that is known about a model on held-out rows, as one plain dictionary with an interval on each number.

The keys are those of the schema `holdtrue/report/1`; what only the walk knows (promises, lineage, search, timings,
most of `data`) is added by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from holdtrue.evaluation.calibration import calibration_error
from holdtrue.evaluation.class_shares import class_estimate
from holdtrue.evaluation.comparisons import compare
from holdtrue.evaluation.counts import confusion
from holdtrue.evaluation.curves import curves
from holdtrue.evaluation.explain import Predict, contribution_summary, permutation_importance
from holdtrue.evaluation.fairness import Fairness, fairness
from holdtrue.evaluation.grouping import group
from holdtrue.evaluation.learning_curve import learning_curve
from holdtrue.evaluation.metric import metric_named, offers
from holdtrue.evaluation.plain import estimate_json, plain
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.robustness import PERTURBATIONS
from holdtrue.evaluation.slices import slice_metric, slices
from holdtrue.evaluation.timeline import Timeline, target_over_time
from holdtrue.spec.project import Cost
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.mean import mean_estimate

EQUAL = 1e-9  # two fits of the same learner may differ in the last bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model that is reported: the champion, a baseline, or a candidate that was not chosen."""

    name: str
    role: str
    learner: str
    settings: Mapping[str, Any]
    predictions: Predictions | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """All that the report is made from.

    Attributes:
        models: one has the role "champion"; those with predictions are measured and compared, on the same rows.
        metrics: what is reported, in order; those that the predictions do not offer are left out.
        metric: the one that matters most.
        rows: typed columns of the held-out rows without the target, in the order of the predictions.
        features: the columns the model sees; only these are shuffled.
        predict: answers typed rows of the features; the truth in its answer is not read.
        dates: the columns that hold seconds since 1970.
        slice_columns: None for all features.
        fair: pairs of a column and a metric or definition of fairness.
        disturbances, disturbed: names, and the champion's predictions of the same rows under each.
        cost, threshold: of the decisions, in a task with two classes.
        contributions: exact contributions, one column a feature, and the source column of each feature.
        learning: fits on the training rows with these numbers and scores on the held-out ones; with their count.
    """

    models: tuple[Model, ...]
    metrics: tuple[str, ...]
    metric: str
    rows: pl.DataFrame
    features: tuple[str, ...]
    predict: Predict
    confidence: float
    seed: int
    dates: frozenset[str] = frozenset()
    slice_columns: tuple[str, ...] | None = None
    fair: tuple[tuple[str, str], ...] = ()
    disturbances: tuple[str, ...] = ()
    disturbed: Callable[[str], Predictions] | None = None
    cost: Cost | None = None
    threshold: float | None = None
    timeline: Timeline | None = None
    contributions: tuple[Float64[np.ndarray, "rows features"], tuple[str, ...]] | None = None
    learning: tuple[Callable[[Int64[np.ndarray, " rows"]], Estimate], int] | None = None

    @property
    def champion(self) -> Predictions:
        found = next(model.predictions for model in self.models if model.role == "champion")
        assert found is not None
        return found


def evaluate(inputs: Inputs) -> dict[str, Any]:
    """Measure everything; the same inputs give the same dictionary, and JSON can hold it."""
    champion = inputs.champion
    offered = offers(champion)
    names = [name for name in dict.fromkeys((inputs.metric, *inputs.metrics)) if metric_named(name).needs in offered]
    compared = _comparisons(inputs, names)
    measured = {
        model.name: {name: estimate_json(_estimate(name, model.predictions, inputs)) for name in names}
        for model in inputs.models
        if model.predictions is not None
    }
    own = next(model.name for model in inputs.models if model.role == "champion")
    report: dict[str, Any] = {
        "headline_metric": inputs.metric,
        "metrics": {name: {**measured[own][name], **_described(name)} for name in names},
        "models": [_model(model, measured.get(model.name, {}), compared, inputs.metric) for model in inputs.models],
        "comparisons": compared,
        "per_class": _per_class(champion, inputs.confidence),
        "confusion": confusion(champion) if champion.decisions is not None else None,
        "curves": curves(champion, inputs.confidence, inputs.seed, cost=inputs.cost),
        "decision": _decision(inputs),
        **_slices(inputs),
        "fairness": [_fairness(inputs, column, metric) for column, metric in inputs.fair],
        "calibration": _calibration(champion, inputs),
        "robustness": [_robustness(inputs, name) for name in inputs.disturbances],
        "importance": _importance(inputs),
        "contributions": _contributions(inputs),
        "learning_curve": learning_curve(*inputs.learning, inputs.seed) if inputs.learning else [],
        "data": {"target_over_time": _over_time(inputs)},
    }
    made = plain(report)
    assert isinstance(made, dict)
    return made


def _estimate(metric: str, predictions: Predictions, inputs: Inputs) -> Estimate:
    return metric_named(metric).estimate(predictions, inputs.confidence, inputs.seed)


def _described(name: str) -> dict[str, Any]:
    metric = metric_named(name)
    return {"title": metric.title, "higher_is_better": metric.higher_is_better}


def _comparisons(inputs: Inputs, names: list[str]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for model in inputs.models:
        if model.role != "baseline" or model.predictions is None:
            continue
        for name in names:
            gain = compare(metric_named(name), inputs.champion, model.predictions, inputs.confidence, inputs.seed)
            favours = "model" if gain.low > 0 else "baseline" if gain.high < 0 else "neither"
            made.append({"against": model.name, "metric": name, "difference": gain, "favours": favours})
    return made


def _model(model: Model, metrics: Mapping[str, Any], compared: list[dict[str, Any]], headline: str) -> dict[str, Any]:
    """Describe one model; the champion is beaten when a baseline's value is better, proven or not."""
    beaten = model.role == "champion" and any(
        entry["metric"] == headline and entry["difference"].value < -EQUAL for entry in compared
    )
    return {
        "name": model.name,
        "role": model.role,
        "learner": model.learner,
        "settings": dict(model.settings),
        "metrics": metrics,
        "beaten_by_baseline": beaten,
    }


def _per_class(predictions: Predictions, confidence: float) -> list[dict[str, Any]]:
    if predictions.decisions is None:
        return []
    made: list[dict[str, Any]] = []
    for code, name in enumerate(predictions.classes):
        shares = {
            "precision": class_estimate(predictions, "precision", code, confidence),
            "recall": class_estimate(predictions, "recall", code, confidence),
            "f1": class_estimate(predictions, "f1", code, confidence),
        }
        made.append({"class": name, **shares, "rows": int((predictions.truth == code).sum())})
    return made


def _decision(inputs: Inputs) -> dict[str, Any] | None:
    """Say what the decisions are worth per 1000 rows, beside those at a half and the best without a model."""
    champion, cost = inputs.champion, inputs.cost
    if cost is None or champion.probabilities is None or champion.decisions is None or len(champion.classes) != 2:
        return None
    from holdtrue.training.decision import row_values, value_without_model

    def worth(positive: "np.ndarray") -> Estimate:
        values = 1000.0 * row_values(champion.truth, positive, cost)
        return mean_estimate(values, inputs.confidence, inputs.seed, champion.clusters)

    return {
        "threshold": inputs.threshold,
        "cost": cost.model_dump(),
        "value_per_1000": worth(champion.decisions == 1),
        "value_per_1000_at_half": worth(champion.probabilities[:, 1] >= 0.5),
        "value_per_1000_without_model": value_without_model(champion.truth, cost),
    }


def _slices(inputs: Inputs) -> dict[str, Any]:
    metric = slice_metric(inputs.metric, inputs.champion)
    columns = inputs.features if inputs.slice_columns is None else inputs.slice_columns
    kept = [name for name in columns if name in inputs.rows.columns]
    found = slices(
        inputs.champion, inputs.rows.select(kept), metric, inputs.confidence, inputs.seed, dates=inputs.dates
    )
    return {
        "slice_metric": metric,
        "slices": [
            {
                "column": each.column,
                "name": each.name,
                "rows": each.value.rows,
                "value": each.value,
                "rest": each.rest,
                "p_adjusted": each.p_adjusted,
                "weak": each.weak,
                "found": each.found,
            }
            for each in found
        ],
    }


def _fairness(inputs: Inputs, column: str, metric: str) -> dict[str, Any]:
    grouping = group(inputs.rows.get_column(column), is_date=column in inputs.dates)
    found: Fairness = fairness(inputs.champion, grouping, metric, inputs.confidence, inputs.seed)
    return {
        "across": column,
        "metric": metric,
        "gap": found.gap,
        "ratio": found.ratio,
        "groups": [
            {"name": each.name, "rows": each.rows, "value": each.value, "enough": each.enough} for each in found.groups
        ],
        "verdict_note": found.note,
    }


def _calibration(champion: Predictions, inputs: Inputs) -> dict[str, Any] | None:
    if champion.probabilities is None and champion.low is None:
        return None
    error = calibration_error(champion, inputs.confidence, inputs.seed)
    return {"error": error, "method": error.method}


def _robustness(inputs: Inputs, name: str) -> dict[str, Any]:
    assert inputs.disturbed is not None
    metric, disturbed = metric_named(inputs.metric), inputs.disturbed(name)
    return {
        "perturbation": name,
        "strength": PERTURBATIONS[name].strength,
        "metric": inputs.metric,
        "before": metric.value(inputs.champion),
        "after": metric.value(disturbed),
        "drop": compare(metric, inputs.champion, disturbed, inputs.confidence, inputs.seed),
    }


def _importance(inputs: Inputs) -> dict[str, Any]:
    found = permutation_importance(
        inputs.predict,
        inputs.rows.select(inputs.features),
        inputs.champion,
        inputs.metric,
        inputs.confidence,
        inputs.seed,
    )
    return {
        "method": "loss when the column is shuffled, on held-out rows",
        "metric": inputs.metric,
        "features": [
            {"feature": each.feature, "value": each.value, "low": each.low, "high": each.high} for each in found
        ],
    }


def _contributions(inputs: Inputs) -> dict[str, Any] | None:
    if inputs.contributions is None:
        return None
    return {
        "method": "exact contributions of the trees or weights, summed by column",
        "features": [
            {"feature": name, "mean_absolute": size} for name, size in contribution_summary(*inputs.contributions)
        ],
    }


def _over_time(inputs: Inputs) -> list[dict[str, Any]]:
    return target_over_time(inputs.timeline, inputs.confidence, inputs.seed) if inputs.timeline else []
