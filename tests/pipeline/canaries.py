"""A store with two releases, receipts and labels of both as an endpoint writes them, and what it says of itself."""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, Scalar, pack_label
from holdtrue.data.traffic.receipt import Ids, Receipt
from holdtrue.features.graph import NUMBER, TEXT, Graph
from holdtrue.loop.events import CanaryLooked
from holdtrue.pipeline.canary import CanaryState, look
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.replay import Again, Ready, ready_model
from holdtrue.serving.metrics import DURATION, Cause, Metrics, latency
from holdtrue.spec.loop import Canary
from tests.pipeline.recorded import NOW_US, PROJECT, Recorder, Request, store, write

MINUTE_US = 60_000_000
WIDE = 1_500


def odds(*, slope: float = 0.05, start: float = -2.0, fails_at: float | None = None, detours: int = 0) -> Graph:
    """A graph with two classes: who is older says yes more often; the town does nothing.

    Within half a year of an age it has no answer, when one is given: far from that age nobody notices. Each detour
    takes a fifth of a millisecond to two, as the machine is, and changes nothing.
    """
    made = Graph()
    age = made.input("age", NUMBER)
    whole = made.node("Where", made.node("IsNaN", age), made.constant(np.array([[40.0]])), age)
    made.input("city", TEXT)
    bent = made.node("Mul", whole, made.constant(np.array([[slope]])))
    bent = made.node("Add", bent, made.constant(np.array([[start]])))
    if fails_at is not None:
        off = made.node("Abs", made.node("Sub", whole, made.constant(np.array([[fails_at]]))))
        near = made.cast(made.node("Less", off, made.constant(np.array([[0.5]]))), TensorProto.INT64)
        bent = made.node("Add", bent, made.node("Gather", made.constant(np.array([0.0])), near))  # there is no place 1
    if detours:
        bent = made.node("Add", bent, _detour(made, whole, detours))
    yes = made.node("Sigmoid", bent)
    shares = made.node("Concat", made.node("Sub", made.constant(np.array([[1.0]])), yes), yes, axis=1)
    made.output("probabilities", made.cast(shares, TensorProto.FLOAT), TensorProto.FLOAT, [None, 2])
    made.output("decision", made.node("ArgMax", shares, axis=1, keepdims=1), TensorProto.INT64, [None, 1])
    return made


def _detour(made: Graph, age: str, times: int) -> str:
    """Multiply by a matrix that no cache holds, again and again, and keep nothing of it."""
    wide = made.node("MatMul", made.cast(age, TensorProto.FLOAT), made.constant(np.full((1, WIDE), 1e-3, np.float32)))
    matrix = made.constant(np.full((WIDE, WIDE), 1e-3, np.float32))
    for _ in range(times):
        wide = made.node("Tanh", made.node("MatMul", wide, matrix))
    last = made.node("MatMul", wide, made.constant(np.full((WIDE, 1), 1e-30, np.float32)))
    return made.cast(last, TensorProto.DOUBLE)


@dataclass(kw_only=True)
class Pair:
    """A champion and a challenger, and the endpoint that they are in."""

    folder: Path
    keeper: Keeper
    champion: str
    challenger: str
    metrics: Metrics = field(default_factory=Metrics)
    pid: int = 100
    now_us: int = NOW_US
    streams: int = 1
    state: CanaryState | None = None
    readied: dict[str, Ready] = field(default_factory=dict[str, Ready])

    def __post_init__(self) -> None:
        self.again = Again(self.keeper, ready=self._ready)
        self.recorders = {
            digest: Recorder(keeper=self.keeper, ready=self._ready(self.keeper, digest), stream=self.streams + at)
            for at, digest in enumerate((self.champion, self.challenger))
        }
        self.recorders[self.challenger].subjects = self.recorders[self.champion].subjects  # of one endpoint
        self.chance = random.Random(5)

    def _ready(self, keeper: Keeper, digest: str) -> Ready:
        """Make a release ready; all pairs of one store share what was made."""
        if digest not in self.readied:
            self.readied[digest] = ready_model(keeper, digest)
        return self.readied[digest]

    def copied(self, to: Path) -> "Pair":
        """Give the same releases in a store without traffic."""
        shutil.copytree(self.folder, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("traffic"))
        home = replace(self.keeper.home, path=to, database=f"sqlite:///{to / 'holdtrue.db'}")
        keeper = replace(self.keeper, home=home)
        return Pair(folder=to, keeper=keeper, champion=self.champion, challenger=self.challenger, readied=self.readied)

    # What the endpoint counts.

    def answered(self, digest: str, route: str, count: int, *, seconds: float = 0.002) -> None:
        if route == "shadow":
            self.metrics.count("holdtrue_shadow_answers_total", (PROJECT, digest[:12]), count)
            return
        one = Metrics()
        one.observe(DURATION, (PROJECT, digest[:12], route), seconds)
        for name, labels, value in one.snapshot():
            assert isinstance(value, list)
            self.metrics.join(name, tuple(labels), [count * each for each in value])

    def failed(self, digest: str, route: str, count: int, cause: Cause = "graph") -> None:
        for _ in range(count):
            self.metrics.lose(PROJECT, digest[:12], route, cause)

    def both(self, share: float, requests: int, *, slow: float = 0.0) -> None:
        """Answer so many requests, by chance; of the challenger's this share is slow."""
        mine = sum(self.chance.random() < share for _ in range(requests))
        late = sum(self.chance.random() < slow for _ in range(mine))
        self.answered(self.challenger, "canary", mine - late)
        self.answered(self.challenger, "canary", late, seconds=0.4)
        self.answered(self.champion, "champion", requests - mine)

    def restarted(self) -> None:
        self.metrics, self.pid = Metrics(), self.pid + 1

    def status(self, share: float) -> dict[str, Any]:
        """Say what `GET /status` says, of what `look` reads."""
        weights = {self.champion: 1 - share, self.challenger: share}
        counted = self.metrics.snapshot()
        said = {
            "pid": self.pid,
            "models": {
                PROJECT: {
                    "weights": {digest: weight for digest, weight in weights.items() if weight},
                    "shadow": [] if share else [self.challenger],
                }
            },
            "counters": {
                f"{name}{{{','.join(labels)}}}": value for name, labels, value in counted if not isinstance(value, list)
            },
            "latency": latency(counted),
        }
        return json.loads(json.dumps(said))

    # What it writes.

    def ask(self, share: float, ages: Sequence[float], *, rows: int = 1, person: str = "") -> list[Receipt]:
        """Have requests answered by chance, or by both for a shadow, and write the receipts."""
        asked = [
            Request(wire="rows", body=json.dumps([{"age": age, "city": "Oslo"}] * rows).encode(), person=person)
            for age in ages
        ]
        mine = [share == 1 or (share > 0 and self.chance.random() < share) for _ in asked]
        route = "canary" if share < 1 else "champion"
        of_both = [[each for each, one in zip(asked, mine, strict=True) if one == wanted] for wanted in (True, False)]
        parts = [(self.challenger, route, share, of_both[0]), (self.champion, "champion", 1 - share, of_both[1])]
        if share == 0:
            parts.append((self.challenger, "shadow", 1.0, asked))
        made: list[Receipt] = []
        for digest, route, weight, requests in parts:
            recorder = self.recorders[digest]
            self.now_us += 1_000
            recorder.now_us = self.now_us - 1_000_000
            answers = recorder.answer(requests) if requests else []
            written = [msgspec.structs.replace(one, route=route, weight=weight) for one in answers]
            write(self.keeper, written, stream=recorder.stream, now_us=self.now_us)
            recorder.stream += 2
            recorder.ids = Ids(recorder.stream)
            made += written
        return made

    def label(self, truths: Sequence[tuple[Receipt, Scalar]]) -> None:
        """Tell what turned out true, now."""
        self._tell([Label(value=value, time_us=0, received_us=self.now_us, prediction=one.id) for one, value in truths])

    def label_keys(self, truths: Sequence[tuple[dict[str, Scalar], Scalar]]) -> None:
        """Tell what turned out true of business keys, now."""
        self._tell([Label(value=value, time_us=0, received_us=self.now_us, key=key) for key, value in truths])

    def _tell(self, labels: Sequence[Label]) -> None:
        self.streams += 2
        folder = self.keeper.home.path / "traffic"
        journal = Journal(folder, endpoint=PROJECT, stream=10_000 + self.streams, now=lambda: self.now_us)
        journal.add_all([pack_label(label) for label in labels])
        journal.write()
        journal.close()

    # And a look at it.

    def look(self, share: float, *, status: bool = True, since_us: int = NOW_US, **settings: Any) -> CanaryLooked:
        """Look ten minutes later; what is remembered goes through JSON, as it does between two lives of a worker."""
        self.now_us += 10 * MINUTE_US
        kept = None if self.state is None else msgspec.json.decode(msgspec.json.encode(self.state), type=CanaryState)
        found, self.state = look(
            self.keeper,
            self.status(share) if status else None,
            kept,
            champion=self.champion,
            challenger=self.challenger,
            share=share,
            since_us=since_us,
            now_us=self.now_us,
            settings=Canary(),
            again=self.again,
            **settings,
        )
        return found


def times(factor: float) -> Graph:
    """A graph that answers with a number: so many times the age."""
    made = Graph()
    age = made.input("age", NUMBER)
    made.input("city", TEXT)
    whole = made.node("Where", made.node("IsNaN", age), made.constant(np.array([[40.0]])), age)
    made.output("value", made.node("Mul", whole, made.constant(np.array([[factor]]))), TensorProto.DOUBLE, [None, 1])
    return made


def pair(
    folder: Path, first: Graph | None = None, second: Graph | None = None, *, classes: tuple[str, ...] = ("no", "yes")
) -> Pair:
    """Make two releases in one store; the second one is a little different, unless another graph is given."""
    one = store(folder, first or odds(), classes=classes)
    known = {row.digest for row in one.releases()[0].rows}
    two = store(folder, second or odds(slope=0.0501), classes=classes)
    (other,) = {row.digest for row in two.releases()[0].rows} - known
    return Pair(folder=folder, keeper=two, champion=known.pop(), challenger=other)
