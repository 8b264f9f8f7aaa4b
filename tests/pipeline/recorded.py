"""Makes small stores with a release of a hand-built graph and a traffic log, without a server and without a run."""

import json
import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from onnx import TensorProto

from holdtrue.core.digest import canonical_json
from holdtrue.data.contract import Contract, Field, Rule
from holdtrue.data.contract_json import to_dict
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.receipt import Ids, Receipt, pack
from holdtrue.data.traffic.subjects import Subjects
from holdtrue.features.graph import NUMBER, TEXT, Graph
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.replay import Again, Ready, ready_model
from holdtrue.pipeline.workspace import Home
from holdtrue.registry.catalog import Release, add_release
from holdtrue.serving.forms import ask_of
from holdtrue.serving.host import host_file, this_host
from holdtrue.serving.lane import outputs_of
from holdtrue.serving.model import Model
from holdtrue.serving.sealing import FILE, alias
from tests.release.made_release import parts, rows, written

PROJECT = "waves"
NOW_US = 1_790_000_000_000_000
STREAM = 0x1234ABCD
NOW = datetime(2026, 11, 21, tzinfo=UTC)
CONTRACT = Contract(
    fields=(Field(name="age", kind="number", low=0.0, high=120.0), Field(name="city", kind="category", personal=True)),
    rules=(Rule(name="of age", text="age >= 1"),),
)


def _inputs(made: Graph) -> tuple[str, str]:
    age = made.input("age", NUMBER)
    whole = made.node("Where", made.node("IsNaN", age), made.constant(np.array([[40.0]])), age)
    town = made.node(
        "LabelEncoder",
        made.input("city", TEXT),
        domain="ai.onnx.ml",
        keys_strings=["Lyon", "Oslo"],
        values_floats=[0.25, 1.0],
        default_float=-1.0,
    )
    return made.node("Mul", whole, made.constant(np.array([[0.037]]))), made.cast(town, TensorProto.DOUBLE)


def waves() -> Graph:
    """A graph whose answer has other bits when a row goes alone: the runtime takes cosines by fours and eights."""
    made = Graph()
    age, town = _inputs(made)
    bent = made.node("Cos", made.node("Add", age, town))
    made.output("value", made.node("Add", bent, made.node("Tanh", age)), TensorProto.DOUBLE, [None, 1])
    return made


def three() -> Graph:
    """A graph with three classes."""
    made = Graph()
    age, town = _inputs(made)
    both = made.node("Concat", age, town, axis=1)
    pull = made.node("MatMul", both, made.constant(np.array([[1.0, -0.5, 0.2], [0.3, 0.9, -0.8]])))
    shares = made.node("Softmax", pull, axis=1)
    code = made.node("ArgMax", shares, axis=1, keepdims=1)
    label = made.node(
        "LabelEncoder", code, domain="ai.onnx.ml", keys_int64s=[0, 1, 2], values_strings=["bus", "car", "foot"]
    )
    made.output("probabilities", made.cast(shares, TensorProto.FLOAT), TensorProto.FLOAT, [None, 3])
    made.output("decision", code, TensorProto.INT64, [None, 1])
    made.output("label", label, TensorProto.STRING, [None, 1])
    return made


def store(place: Path, made: Graph | None = None, *, classes: tuple[str, ...] = ()) -> Keeper:
    """Make a store with one release; the waves, unless another graph is given."""
    contract = canonical_json(to_dict(CONTRACT))
    what = parts(contract, pl.concat([rows(200), rows(200, seed=8)]), made or waves())
    task = "classification" if classes else "regression"
    core = replace(what.core, name=PROJECT, task=task, classes=classes)
    home = Home(path=place, database=f"sqlite:///{place / 'holdtrue.db'}")
    release = written(place, replace(what, core=core))
    keeper = Keeper(home=home, project=PROJECT, actor="tester")
    entry = Release(digest=release.digest, project=PROJECT, created=NOW, path=f"releases/{release.digest}")
    keeper.database().write(lambda connection: add_release(connection, entry, actor="tester", now=NOW))
    return keeper


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request as it came, and whose it is."""

    wire: str
    body: bytes
    person: str = ""


def row(age: float | None, city: str | None = "Oslo", *, person: str = "") -> Request:
    return Request(wire="rows", body=json.dumps({"age": age, "city": city}).encode(), person=person)


def every_wire() -> list[Request]:
    """One request in each form that needs no further package; several rows where a form has them."""
    values = {"inputs": [_tensor("age", "FP64", [30.0, 41.5]), _tensor("city", "BYTES", ["Oslo", "Turin"])]}
    binary = [
        {"name": "age", "shape": [2, 1], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
        _tensor("city", "BYTES", ["Lyon", "Oslo"]),
    ]
    head = json.dumps({"inputs": binary}).encode()
    split = {"dataframe_split": {"columns": ["city", "age"], "data": [["Oslo", 22], ["Lyon", None]]}}
    return [
        Request(wire="v2", body=json.dumps(values).encode()),
        Request(wire=f"v2:{len(head)}", body=head + struct.pack("<2d", 50.0, 61.25)),
        Request(wire="rows", body=b'[{"age": 33, "city": "Oslo"}, {"age": null, "city": "Lyon"}]'),
        Request(wire="mlflow", body=json.dumps(split).encode()),
        Request(wire="csv", body=b"age,city\n44,Oslo\n,Lyon\n27.5,Bari\n"),
    ]


def _tensor(name: str, datatype: str, data: list[object]) -> dict[str, object]:
    return {"name": name, "shape": [len(data), 1], "datatype": datatype, "data": data}


@dataclass(kw_only=True)
class Recorder:
    """Answers requests as a worker does, batch by batch, and keeps the receipts until they are written."""

    keeper: Keeper
    ready: Ready
    stream: int = STREAM
    now_us: int = NOW_US
    receipts: list[Receipt] = field(default_factory=list[Receipt])
    batch: int = 0

    def __post_init__(self) -> None:
        self.model: Model = self.ready[1]
        self.subjects = Subjects(self.keeper.home.keys / FILE)
        self.ids = Ids(self.stream)

    def again(self) -> Again:
        """Give what makes predictions again, without verifying the release once more."""

        def ready(keeper: Keeper, digest: str) -> Ready:
            return self.ready if digest == self.model.about.digest else ready_model(keeper, digest)

        return Again(self.keeper, ready=ready)

    def answer(self, requests: Sequence[Request]) -> list[Receipt]:
        """Run one batch."""
        self.batch += 1
        self.now_us += 1_000_000
        asks = [ask_of(request.wire, request.body, self.model.about) for request in requests]
        typed = [self.model.reader.read(ask.columns, ask.rows) for ask in asks]
        arrays = self.model.run(typed)
        made: list[Receipt] = []
        start = 0
        for request, each in zip(requests, typed, strict=True):
            one = Receipt(
                id=self.ids.next(self.now_us // 1000),
                time_us=self.now_us,
                release=self.model.about.digest,
                route="champion",
                weight=1.0,
                batch=self.batch,
                place=start,
                rows=each.rows,
                wire=request.wire,
                body=request.body,
                outputs=outputs_of(arrays, start, start + each.rows),
                subject=alias(self.keeper.home.keys, request.person) if request.person else "",
            )
            made.append(self.subjects.conceal(one))
            start += each.rows
        self.receipts += made
        return made

    def write(self, *, host: bool = True, leave_out: Sequence[Receipt] = ()) -> None:
        """Write what was answered as the stream of one process; `leave_out` is not there afterwards."""
        write(
            self.keeper, [one for one in self.receipts if one not in leave_out], stream=self.stream, now_us=self.now_us
        )
        if host:
            path = host_file(self.keeper.home.path / "traffic" / PROJECT, self.stream)
            path.write_bytes(msgspec.json.encode(this_host()))


def write(keeper: Keeper, receipts: Sequence[Receipt], *, stream: int = STREAM, now_us: int = NOW_US) -> None:
    journal = Journal(keeper.home.path / "traffic", endpoint=PROJECT, stream=stream, now=lambda: now_us)
    with closing(journal):
        for one in receipts:
            journal.add(pack(one))
        journal.write()
