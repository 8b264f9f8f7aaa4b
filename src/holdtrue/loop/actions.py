"""What the controller asks for: deeds, whose outcome is awaited, and alarms and decisions, which only need be written.

A deed says what shall be true when it is done, not what to change: doing it twice is the same as doing it once. The
numbers only grow, over all actions of a loop, so whoever does deeds can refuse one that comes after a later one.
"""

from msgspec import Struct


class _Deed(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """A deed; its number and its decision are given as it is asked for.

    Args:
        decision: the number of the decision that it carries out.
        reason: why, for whoever looks at the endpoint afterwards.
    """

    id: int = 0
    decision: int = 0
    reason: str = ""


class Train(_Deed, frozen=True, kw_only=True, tag="train"):
    """Train a challenger on the rows there are; `budget` is the most that it may cost, None for no limit."""

    budget: float | None = None
    asked_by: str = ""


class Compare(_Deed, frozen=True, kw_only=True, tag="compare"):
    """Hold two releases against each other on each promise, all together at level `alpha`."""

    champion: str
    challenger: str
    promises: tuple[str, ...]
    alpha: float


class StartShadow(_Deed, frozen=True, kw_only=True, tag="start shadow"):
    """The champion answers all; the challenger is asked too, and its answers are only kept."""

    champion: str
    challenger: str


class SetShare(_Deed, frozen=True, kw_only=True, tag="set share"):
    """The challenger answers this share of the requests, the champion all others."""

    champion: str
    challenger: str
    share: float


class Promote(_Deed, frozen=True, kw_only=True, tag="promote"):
    """`champion` has the name and answers all; `before` had it until now."""

    champion: str
    before: str


class RollBack(_Deed, frozen=True, kw_only=True, tag="roll back"):
    """`champion` has the name again and answers all; whatever else served or was shadowed is gone."""

    champion: str


class EndCanary(_Deed, frozen=True, kw_only=True, tag="end canary"):
    """The champion answers all; the challenger is neither canary nor shadow any more."""

    champion: str
    challenger: str


class RaiseAlarm(Struct, frozen=True, kw_only=True, tag_field="kind", tag="raise alarm"):
    """Tell a person what is wrong, and what to do."""

    id: int
    at_us: int
    what: str
    do: str


class RecordDecision(Struct, frozen=True, kw_only=True, tag_field="kind", tag="record decision"):
    """What was decided, for the ledger.

    Args:
        event: the kind of event that it answers.
        causes: the numbers of the decisions that led here, the first of them first.
    """

    id: int
    at_us: int
    what: str
    why: str
    event: str
    causes: tuple[int, ...]


Deed = Train | Compare | StartShadow | SetShare | Promote | RollBack | EndCanary
Action = Deed | RaiseAlarm | RecordDecision
# They end with the champion alone, which is safe whatever happened before: they are never given up.
Withdrawal = RollBack | EndCanary
