"""True positive rate: recall by the name it has in fairness; equal opportunity compares it between groups."""

from holdtrue.evaluation.class_shares import counted_classes, mean_class_metric

PLUGIN = mean_class_metric("recall", counted_classes, title="True positive rate")
