"""Predictions and truth become a report: every number with its interval and method.

The path through this package:
    predictions.py   what a model said about rows whose truth is known
    metric.py        what a metric is; metrics/ holds them, one a file
    influence.py     how far each row pulls a metric, and the intervals that follow
    means.py         metrics that are means of one score a row
    counts.py, class_shares.py, ranking.py, combine.py   shares, classes, areas, and sums of estimates
    comparisons.py   two models on the same rows
    calibration.py   are the probabilities right
    grouping.py      the groups of a column
    fairness.py      gaps between groups
    slices.py, segments.py   where the model is weak
    robustness.py    disturbed rows
    explain.py       what the model looks at
    curves.py, timeline.py, learning_curve.py   what is drawn
    measure.py       the evidence for one promise
    report.py        all of it as one dictionary; plain.py makes it fit for JSON
    page/            the report as a page to look at
"""

from holdtrue.evaluation.metric import METRICS, Metric
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.report import Inputs, Model, evaluate
from holdtrue.evaluation.robustness import PERTURBATIONS, perturb
from holdtrue.evaluation.timeline import Timeline, followed

__all__ = [
    "METRICS",
    "PERTURBATIONS",
    "Inputs",
    "Metric",
    "Model",
    "Predictions",
    "Timeline",
    "evaluate",
    "followed",
    "perturb",
]
