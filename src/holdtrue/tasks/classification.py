"""Classification: which of a few classes a row belongs to, with a probability for each."""

from holdtrue.tasks import Task

PLUGIN = Task(
    trivial="constant",
    simple="logistic",
    metric="log_loss",
    metrics=(
        "roc_auc",
        "pr_auc",
        "log_loss",
        "brier",
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "mcc",
    ),
    learners=("lightgbm", "logistic"),
    labelled=True,
    splits=("stratified", "time", "group", "given"),
)
