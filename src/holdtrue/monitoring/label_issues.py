"""How many labels of a source look wrong.

A label that is none of the classes is wrong for sure. Of the others, those of rows that the release was all but sure of
tell: on held-out rows such answers err in a known, small share. If a share q of a source's labels say the opposite of
what is true, the release seems to err in e + q (1 - 2e) of them; so q is read from how often it seems to err. Drift
makes releases err too, but seldom where they are sure; it is the lower limit that counts, so a few rows hold nothing.
"""

from dataclasses import dataclass

from holdtrue.evaluation.predictions import Predictions
from holdtrue.statistics.binomial import clopper_pearson

SURE = 0.95  # the least probability of an answer that counts as sure
CONFIDENCE = 0.99


@dataclass(kw_only=True, slots=True)
class Heard:
    """What came from one source: all labels, those that are no class, and those of sure answers, by what they say."""

    labels: int = 0
    odd: int = 0
    sure: int = 0
    against: int = 0


def sure_errors(predictions: Predictions) -> float:
    """Give the share of wrong answers among those a release is sure of, at most; 1 where nothing is known of it."""
    if predictions.probabilities is None:
        return 1.0
    sure = predictions.probabilities.max(axis=1) >= SURE
    wrong = predictions.probabilities.argmax(axis=1)[sure] != predictions.truth[sure]
    return clopper_pearson(int(wrong.sum()), len(wrong), CONFIDENCE).high if len(wrong) else 1.0


def issue_rate(heard: Heard, expected: float) -> float:
    """Give the share of the labels that look wrong, at least; `expected` is the release's own share of sure errors.

    >>> issue_rate(Heard(labels=1000, sure=400, against=8), 0.02)
    0.0
    >>> round(issue_rate(Heard(labels=1000, sure=400, against=120), 0.02), 2)
    0.23
    """
    if not heard.labels:
        return 0.0
    odd = heard.odd / heard.labels
    if not heard.sure or expected >= 0.4:  # a release that is wrong where it is sure knows nothing about labels
        return odd
    low = clopper_pearson(heard.against, heard.sure, CONFIDENCE).low
    flipped = max(0.0, (low - expected) / (1 - 2 * expected))
    return min(1.0, odd + (1 - odd) * flipped)
