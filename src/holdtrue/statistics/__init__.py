"""Bounds, tests and power: numbers in, numbers out. Chance comes in as a seed; nothing is read or written.

The path through this package:
    estimate.py             a value between two limits, and what it means
    binomial.py             shares: exact limits, differences on different rows and on the same rows
    skewness.py             the correction that makes one limit of a skewed mean hold
    mean.py                 the mean of one score a row
    paired.py               two models on the same rows
    auc.py                  the area under the ROC curve, and the difference of two
    quantile.py             quantiles, free of distribution
    resample.py             drawing rows again, by cluster and within strata
    bootstrap.py            any other statistic
    multiplicity.py         many tests at once
    two_samples.py          exact evidence that two samples of counts differ, and how much
    confidence_sequence.py  the mean of bounded scores, with limits that hold at every look
    running_mean.py         the same where the mean moves
    two_arms.py             a canary beside the stable release: worse, or surely not, at every look
    random_gap.py           the same for any score, where chance says who is asked, though all moves
    score_shift.py          two models beside each other: do their scores lie elsewhere, and by much?
    power.py                how many rows would settle it
    wear.py                 what it costs to use the same held-out rows again

Every limit here is simulated or enumerated at the truth where it is most likely to err: `benchmarks/false_proof`.
scipy.stats takes a second to be imported, so it is imported where it is called.
"""

from holdtrue.statistics.auc import delong, delong_paired
from holdtrue.statistics.binomial import clopper_pearson, newcombe
from holdtrue.statistics.bootstrap import bootstrap, bootstrap_many
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.mean import mean_estimate
from holdtrue.statistics.multiplicity import holm
from holdtrue.statistics.paired import mean_difference
from holdtrue.statistics.power import rows_needed
from holdtrue.statistics.quantile import quantile_bound

__all__ = [
    "Estimate",
    "bootstrap",
    "bootstrap_many",
    "clopper_pearson",
    "delong",
    "delong_paired",
    "holm",
    "mean_difference",
    "mean_estimate",
    "newcombe",
    "quantile_bound",
    "rows_needed",
]
