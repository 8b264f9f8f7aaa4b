"""F1: the harmonic mean of precision and recall of the positive class; several classes: the mean over them."""

from holdtrue.evaluation.class_shares import counted_classes, mean_class_metric

PLUGIN = mean_class_metric("f1", counted_classes, title="F1")
