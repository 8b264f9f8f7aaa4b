"""Precision: the share of right decisions among those for the positive class; several classes: the mean over them."""

from holdtrue.evaluation.class_shares import counted_classes, mean_class_metric

PLUGIN = mean_class_metric("precision", counted_classes, title="Precision")
