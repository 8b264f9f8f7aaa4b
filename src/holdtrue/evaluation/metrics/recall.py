"""Recall: the share of the positive class's rows that are found; several classes: the mean over them."""

from holdtrue.evaluation.class_shares import counted_classes, mean_class_metric

PLUGIN = mean_class_metric("recall", counted_classes, title="Recall")
