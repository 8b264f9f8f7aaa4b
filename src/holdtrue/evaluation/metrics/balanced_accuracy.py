"""Balanced accuracy: the mean, over the classes that occur, of the share of their rows that are decided rightly."""

import numpy as np

from holdtrue.evaluation.class_shares import mean_class_metric
from holdtrue.evaluation.counts import true_codes
from holdtrue.evaluation.predictions import Predictions


def true_classes(predictions: Predictions) -> tuple[int, ...]:
    return tuple(int(code) for code in np.unique(true_codes(predictions)))


PLUGIN = mean_class_metric("recall", true_classes, title="Balanced accuracy")
