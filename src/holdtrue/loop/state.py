"""All that the controller knows, in one record that survives a round trip through JSON."""

from typing import Literal

from msgspec import Struct

from holdtrue.loop.actions import Deed
from holdtrue.loop.events import Found, Looked

Phase = Literal[
    "watching",
    "training",
    "comparing",
    "waiting for approval",
    "shadowing",
    "canary",
    "promoted",
    "rolling back",
    "paused",
]


class Awaited(Struct, frozen=True, kw_only=True):
    """The deed whose outcome is awaited.

    Args:
        asked_us: when it was last asked for, or failed, by the clock of that event.
        asks: how often it was asked for with this number.
        tries: how many numbers it has had.
        failed: it failed, and waits to be tried again.
    """

    deed: Deed
    asked_us: int
    asks: int = 1
    tries: int = 1
    failed: bool = False


class Challenger(Struct, frozen=True, kw_only=True):
    """A release that may become champion, and the evidence for it.

    Args:
        share: of the requests that it was last given.
        passed: the largest share at which it was found not worse.
    """

    release: str
    verdict: Literal["proven", "unproven", "refuted"]
    promises: tuple[str, ...]
    findings: dict[str, Found] = {}
    approved_by: tuple[str, ...] = ()
    share: float = 0.0
    passed: float = 0.0


class Training(Struct, frozen=True, kw_only=True):
    """A training that was asked for; `cost` is what was set aside for it until its outcome says what it took."""

    action: int
    at_us: int
    cost: float


class Pause(Struct, frozen=True, kw_only=True):
    """Why a person must look, and what to do; `back` is the phase that was left."""

    why: str
    do: str
    back: Phase


class State(Struct, frozen=True, kw_only=True):
    """A loop between two events.

    Args:
        champion: the release that has the name.
        before: the champion before this one, while the new one is under guard; else empty.
        clock_us: the latest time that any event came from. It never goes back, and all brakes go by it.
        skew_us: what is added to the time of events since a person trusted a clock that had gone back.
        behind: the last tick came from a clock that is far behind; `told_us` is when an alarm last said so.
        since_us: when this phase, or this stage of a canary, began.
        trained_us: when the last training began or ended.
        trainings: those within the window of the policy.
        useless: trainings in a row that gave no lasting champion.
        harmful: releases that did harm, the last of them; none of them is tried again until a person resumes.
        comparisons: how many were asked for, ever; each has a smaller part of alpha.
        asked_by: who asked for the training that led here; empty when nobody did.
        look: what the watcher last saw, until a training is made of it.
        held: the brakes that hold a training which is due; recorded when they change.
        told: the alarms of this phase that are not raised twice.
        chain: the numbers of the decisions that led here.
    """

    champion: str
    phase: Phase = "watching"
    before: str = ""
    challenger: Challenger | None = None
    awaited: Awaited | None = None
    pause: Pause | None = None
    next_id: int = 1
    clock_us: int = 0
    skew_us: int = 0
    behind: bool = False
    told_us: int | None = None
    since_us: int = 0
    trained_us: int = 0
    trainings: tuple[Training, ...] = ()
    useless: int = 0
    harmful: tuple[str, ...] = ()
    comparisons: int = 0
    asked_by: str = ""
    look: Looked | None = None
    held: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    chain: tuple[int, ...] = ()


def begin(champion: str, *, at_us: int) -> State:
    """Begin with a release that serves already.

    The cool-down begins now: what served before may have been trained a minute ago.

    >>> begin("sha256:1f", at_us=0).phase
    'watching'
    """
    if not champion:
        raise ValueError("A loop begins with the release that serves; promote one first.")
    return State(champion=champion, clock_us=at_us, since_us=at_us, trained_us=at_us)
