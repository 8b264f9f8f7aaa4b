"""Which release answers a request: by weight, by a header, or by its version in the path."""

from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import final

import msgspec

from holdtrue.core.errors import Misuse, nearest
from holdtrue.serving.lane import Lane


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """How the requests of one model are shared out.

    Attributes:
        weights: the share of each release, by digest; they need not sum to 1.
        shadow: releases that answer a copy of every request; their answers are recorded and go nowhere.
        sticky: a column whose value (in the first row) decides the release, so that the same one always meets the same
            release. "" draws anew for each request.
        champion: the release that others are tried against, whatever its share; the one with the largest share when
            left out. Its answers are told apart from those of the others, the canaries.
        bandit: the supervisor moves the weights towards the release that is right most often.
    """

    weights: dict[str, float]
    shadow: tuple[str, ...] = ()
    sticky: str = ""
    champion: str = ""
    bandit: bool = False

    def check(self, loaded: "list[str]") -> None:
        """Raise `Misuse` unless these weights can be followed with the releases that are loaded."""
        faults = [
            f"the release {digest[:12]} is not loaded{nearest(digest, loaded)}"
            for digest in (*self.weights, *self.shadow)
            if digest not in loaded
        ]
        faults += [
            f"the weight of {digest[:12]} is {weight}"
            for digest, weight in self.weights.items()
            if not 0 <= weight < 1e9
        ]
        if not sum(self.weights.values()) > 0:
            faults.append("no release has a weight above 0")
        if self.champion and not self.weights.get(self.champion):
            faults.append(f"the champion {self.champion[:12]} has no weight")
        if self.bandit and len(self.weights) < 2:
            faults.append("a bandit chooses between two releases or more")
        if self.bandit and self.sticky:
            faults.append("a bandit draws for each request, so nothing can be sticky")
        if faults:
            raise Misuse("The requests cannot be routed so:", faults=faults)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    lane: Lane
    route: str
    weight: float


@final
class Router:
    """Chooses among the releases of one model."""

    def __init__(self, name: str, random: Random) -> None:
        self.name = name
        self.lanes: dict[str, Lane] = {}
        self.shadows: tuple[Lane, ...] = ()
        self.routing = Routing(weights={})
        self._random = random
        self._steps: list[tuple[float, Choice]] = []
        self._only: Choice | None = None
        self._champion = ""

    def load(self, lane: Lane) -> None:
        self.lanes[lane.model.about.digest] = lane
        self._cast_shadows()

    def unload(self, digest: str) -> Lane:
        lane = self.lanes.pop(digest)
        self._cast_shadows()
        return lane

    def _cast_shadows(self) -> None:
        self.shadows = tuple(self.lanes[digest] for digest in self.routing.shadow if digest in self.lanes)

    def follow(self, routing: Routing) -> None:
        """Share requests out in a new way, from the next request on."""
        routing.check(list(self.lanes))
        self.routing = routing
        self._cast_shadows()
        total = sum(routing.weights.values())
        self._champion = champion_of(routing)
        steps: list[tuple[float, Choice]] = []
        reached = 0.0
        for digest, weight in routing.weights.items():
            if weight > 0:
                reached += weight / total
                route = "champion" if digest == self._champion else "canary"
                steps.append((reached, Choice(lane=self.lanes[digest], route=route, weight=weight / total)))
        self._steps = steps
        self._only = steps[0][1] if len(steps) == 1 else None

    def choose(self, key: str = "") -> Choice:
        """Draw a release; with a key, always the same one for the same weights."""
        if self._only is not None:
            return self._only
        drawn = _share(key) if key else self._random.random()
        for reached, choice in self._steps:
            if drawn < reached:
                return choice
        return self._steps[-1][1]

    def pinned(self, version: str) -> Choice | None:
        """Find a loaded release by its version: its digest, or at least six digits of its beginning."""
        found = [lane for digest, lane in self.lanes.items() if len(version) >= 6 and digest.startswith(version)]
        return Choice(lane=found[0], route="pinned", weight=1.0) if len(found) == 1 else None

    @property
    def champion(self) -> Lane:
        return self.lanes[self._champion]


def champion_of(routing: Routing) -> str:
    """Name the release that others are tried against."""
    return routing.champion or max(routing.weights, key=lambda digest: routing.weights[digest])


def key_of(value: object) -> str:
    """Write a value of a sticky column, the same for every protocol: JSON's 7, binary's 7.0 and the text "7" are one.

    >>> key_of(7) == key_of(7.0) == key_of("7"), key_of(None), key_of(True)
    (True, '', '1')
    """
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return value
    try:
        number = float(value)  # pyright: ignore[reportArgumentType] - what cannot be one says so
    except (TypeError, ValueError):
        return str(value)
    return f"{number:.17g}"


def _share(key: str) -> float:
    """Turn a key into a number from 0 below 1 that has nothing to do with its order."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogateescape"), digest_size=7).digest()) / (1 << 56)


@dataclass(kw_only=True, slots=True)
class Routers:
    """The models of an endpoint by name."""

    by_name: dict[str, Router] = field(default_factory=dict[str, Router])
