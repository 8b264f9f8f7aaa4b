"""What the controller is told: looks at the traffic, the passing of time, outcomes of deeds, and words of persons.

Each event says when it was made, by a clock that need not be right. Events may come late, twice and in any order.
"""

from typing import Literal

from msgspec import Struct

PromiseState = Literal["kept", "at risk", "broken", "open", "no data", "cannot tell"]
Basis = Literal["labels", "estimate"]
Harm = Literal["harmful", "harmless", "cannot tell"]
Found = Literal["not worse", "worse", "inconclusive"]
Signal = Literal["errors", "latency", "scores", "labels"]
Sign = Literal["not worse", "worse", "undecided"]


class PromiseSeen(Struct, frozen=True, kw_only=True):
    """How a promise stands; an estimate says so without labels."""

    promise: str
    state: PromiseState
    basis: Basis = "labels"


class DriftSeen(Struct, frozen=True, kw_only=True):
    """An alarm of drift in a column, and whether it harms a promise."""

    column: str
    harm: Harm


class LabelSource(Struct, frozen=True, kw_only=True):
    """Where labels come from, and the share of them that look wrong."""

    name: str
    issue_rate: float


class _Event(Struct, frozen=True, kw_only=True, tag_field="kind"):
    at_us: int


class Looked(_Event, frozen=True, kw_only=True, tag="looked"):
    """What the watcher saw of a release.

    Args:
        release: the one that all of this is about.
        new_rows: since the last training; so are `new_labels`.
        steered: whether what the model decides for a row decides whether the row gets a label.
        unlabelled: the decisions whose rows get hardly any.
        exploration: the share of the labelled rows that have their label in spite of that, or by chance.
    """

    release: str
    promises: tuple[PromiseSeen, ...] = ()
    drifts: tuple[DriftSeen, ...] = ()
    new_rows: int = 0
    new_labels: int = 0
    sources: tuple[LabelSource, ...] = ()
    steered: bool = False
    unlabelled: tuple[str, ...] = ()
    exploration: float = 0.0


class CanaryLooked(_Event, frozen=True, kw_only=True, tag="canary looked"):
    """How a release does beside the one it shall replace, or has replaced.

    Args:
        share: the share of the requests it had while it was looked at; 0 for a shadow.
        requests: how many of them it answered.
    """

    release: str
    share: float
    signals: dict[Signal, Sign]
    requests: int


class Ticked(_Event, frozen=True, kw_only=True, tag="ticked"):
    """Time has passed."""


class Trained(_Event, frozen=True, kw_only=True, tag="trained"):
    """A training ended: the release it made, the verdict on it, and the promises it was judged by."""

    action: int
    release: str
    verdict: Literal["proven", "unproven", "refuted"]
    promises: tuple[str, ...]
    cost: float


class Compared(_Event, frozen=True, kw_only=True, tag="compared"):
    """A comparison ended, with a finding for each promise."""

    action: int
    findings: dict[str, Found]


class Done(_Event, frozen=True, kw_only=True, tag="done"):
    """Any other deed is done."""

    action: int


class Failed(_Event, frozen=True, kw_only=True, tag="failed"):
    """A deed was not done, or nobody knows whether it was."""

    action: int
    why: str
    cost: float = 0.0


class Requested(_Event, frozen=True, kw_only=True, tag="requested"):
    """A person asks for a training; `force` passes the brakes that a hand alone does not."""

    by: str
    why: str = ""
    force: bool = False


class Stopped(_Event, frozen=True, kw_only=True, tag="stopped"):
    """A person gives up what is under way: all goes back to the champion of before."""

    by: str
    why: str = ""


class Approved(_Event, frozen=True, kw_only=True, tag="approved"):
    """A person agrees that this challenger meets traffic."""

    by: str
    release: str


class Refused(_Event, frozen=True, kw_only=True, tag="refused"):
    """A person does not agree."""

    by: str
    release: str
    why: str = ""


class Resumed(_Event, frozen=True, kw_only=True, tag="resumed"):
    """A person has looked at why the loop paused.

    Args:
        go_on: whether what was under way goes on; else it is given up.
        trust_clock: whether this event's time is right though earlier events came from later ones.
    """

    by: str
    go_on: bool = False
    trust_clock: bool = False


class ChampionMoved(_Event, frozen=True, kw_only=True, tag="champion moved"):
    """A person gave the name to another release, which answers all by now."""

    by: str
    release: str


Outcome = Trained | Compared | Done | Failed
Look = Looked | CanaryLooked
Word = Requested | Stopped | Approved | Refused | Resumed | ChampionMoved
Event = Outcome | Look | Word | Ticked
