"""Plan to fitted model: search, out-of-fold predictions, the decision threshold, and resuming after a kill.

The path through this package:
    examples.py     typed rows and their truth become matrices, once an encoding
    fit.py          one learner, one choice of settings: a candidate
    objective.py    what a trial is worth
    search.py       trials until the budget is spent (space.py, grid.py: what may be tried; journal.py: what was)
    out_of_fold.py  predictions for rows the model never saw
    calibrate.py    probabilities made right
    intervals.py    limits around numbers, made wide enough
    decision.py     probabilities become decisions, at the threshold that costs least
"""

from holdtrue.training.calibrate import calibrate
from holdtrue.training.decision import choose_threshold
from holdtrue.training.examples import Examples, Terms
from holdtrue.training.fit import Candidate, encode_and_fit
from holdtrue.training.intervals import limits
from holdtrue.training.journal import Journal
from holdtrue.training.out_of_fold import out_of_fold
from holdtrue.training.search import Plan, search

__all__ = [
    "Candidate",
    "Examples",
    "Journal",
    "Plan",
    "Terms",
    "calibrate",
    "choose_threshold",
    "encode_and_fit",
    "limits",
    "out_of_fold",
    "search",
]
