"""Regression: a number, with an interval that covers the truth in a promised share of cases."""

from holdtrue.tasks import Task

PLUGIN = Task(
    trivial="constant",
    simple="ridge",
    metric="rmse",
    metrics=("mae", "rmse", "mape", "r2", "pinball", "interval_coverage"),
    learners=("lightgbm", "ridge"),
    labelled=False,
    splits=("random", "time", "group", "given"),
)
