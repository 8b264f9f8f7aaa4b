"""Does what the release says decide which rows get a label? Then a training learns from the release's own choices.

The loan that is refused is never repaid, so nobody learns whether it would have been. It shows in the log: rows of one
decision have labels, and rows of another have none although they were answered as well. If labels came regardless of
the decision, the labels of a decision's rows would be a hypergeometric draw, whatever the rows are like; so few that
such a draw has a chance below `SURE`, and at a tenth of the rate of the others or less, is called steered.

It cannot see what lies within one decision: labels of the nearest cases alone, or the choice of one item of many.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# Windows are looked at for years: at one look a day this errs once in 2,700 years, before the rate is asked for.
SURE = 1e-6
FEWER = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """Which decisions keep their rows from having labels.

    Attributes:
        unlabelled: decisions whose rows have hardly any label; none where labels come regardless.
        exploration: the share of the labelled rows that have their label in spite of that: rows of those decisions,
            and rows that chance had sent to another release.
    """

    unlabelled: tuple[str, ...] = ()
    exploration: float = 1.0

    @property
    def steered(self) -> bool:
        return bool(self.unlabelled)


ANYWAY = Feedback()  # labels come whatever was decided


def feedback(answered: Mapping[str, int], labelled: Mapping[str, int], *, by_chance: int = 0) -> Feedback:
    """Judge by the rows of each decision, and those of them that have a label.

    `by_chance` are labelled rows that chance sent to another release than the one whose rows these are.

    >>> feedback({"yes": 400, "no": 600}, {"yes": 300, "no": 2})
    Feedback(unlabelled=('no',), exploration=0.006622516556291391)
    >>> feedback({"yes": 400, "no": 600}, {"yes": 100, "no": 140}).steered
    False
    """
    rows, labels = sum(answered.values()), sum(labelled.values())
    if not labels or len(answered) < 2:
        return ANYWAY
    rates = {decision: labelled.get(decision, 0) / count for decision, count in answered.items() if count}
    most = max(rates.values())
    few = tuple(
        decision
        for decision, rate in sorted(rates.items())
        if rate <= FEWER * most
        and _at_most(labelled.get(decision, 0), rows, answered[decision], labels) <= SURE / len(rates)
    )
    if not few:
        return ANYWAY
    spite = sum(labelled.get(decision, 0) for decision in few) + by_chance
    return Feedback(unlabelled=few, exploration=spite / (labels + by_chance))


def _at_most(found: int, rows: int, of_decision: int, labels: int) -> float:
    """Give the chance of at most so many labels for the rows of a decision, were they drawn from all rows."""
    from scipy.stats import hypergeom

    return float(hypergeom.cdf(found, rows, of_decision, labels))
