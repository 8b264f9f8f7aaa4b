"""Makes small releases for the tests of this folder, with graphs built by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from onnx import TensorProto

from holdtrue.features.graph import NUMBER, TEXT, Graph
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.release.bundle import Core, Release, hashes, write_release
from holdtrue.release.interface import interface_of
from holdtrue.release.lineage import Lineage
from holdtrue.release.rows import golden_rows, parquet, reference_rows
from holdtrue.release.signing import Key, signing_key

LOCK = "python==3.11.7\nnumpy==2.4.6\nonnxruntime==1.31.1\n"
TREE = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_values": [30.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "nodes_missing_value_tracks_true": [1, 0, 0],
}


def graph(extra: Callable[[Graph], str] | None = None) -> Graph:
    """A tree over `age` and the code of `city`: probabilities, decision and label.

    `extra` adds operators and names a float32 tensor, which is then computed too and changes nothing.
    """
    made = Graph()
    age = made.cast(made.input("age", NUMBER), TensorProto.FLOAT)
    city = made.node(
        "LabelEncoder",
        made.input("city", TEXT),
        domain="ai.onnx.ml",
        keys_strings=["Lyon", "Oslo"],
        values_floats=[0.0, 1.0],
        default_float=-1.0,
    )
    features = made.node("Concat", age, city, axis=1)
    score = made.node(
        "TreeEnsembleRegressor",
        features,
        domain="ai.onnx.ml",
        n_targets=1,
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[-1.25, 0.75],
        **TREE,
    )
    positive = made.node("Sigmoid", score)
    negative = made.node("Sub", made.constant(np.array([[1.0]], dtype=np.float32)), positive)
    both = made.node("Concat", negative, positive, axis=1)
    if extra:
        total = made.node("ReduceSum", extra(made), keepdims=0)
        both = made.node("Add", both, made.node("Mul", total, made.constant(np.float32(0))))
    over = made.node("Greater", positive, made.constant(np.array([[0.5]], dtype=np.float32)))
    code = made.cast(over, TensorProto.INT64)
    label = made.node(
        "LabelEncoder",
        code,
        domain="ai.onnx.ml",
        keys_int64s=[0, 1],
        values_strings=["stays", "leaves"],
    )
    made.output("probabilities", both, TensorProto.FLOAT, [None, 2])
    made.output("decision", code, TensorProto.INT64, [None, 1])
    made.output("label", label, TensorProto.STRING, [None, 1])
    return made


def rows(count: int = 200, seed: int = 7) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    ages = np.where(chance.random(count) < 0.1, np.nan, chance.integers(18, 80, count).astype(np.float64))
    cities = chance.choice(np.array(["Oslo", "Lyon", "Turin"]), count)
    return pl.DataFrame({"age": pl.Series(ages).fill_nan(None), "city": pl.Series(cities.tolist())})


CONTRACT = b'{"columns":[]}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a release is written from."""

    core: Core
    files: Mapping[str, bytes]

    def changed(self, name: str, data: bytes) -> "Parts":
        """Give the same parts with other bytes in one file, consistently named."""
        files = {**self.files, name: data}
        return Parts(core=replace(self.core, files=hashes(files)), files=files)


def lineage() -> Lineage:
    return Lineage(
        snapshot="a" * 64,
        project="b" * 64,
        sources={"prepare.py": "c" * 64},
        package="d" * 64,
        environment=LOCK,
        seed=7,
        learner="lightgbm",
        settings={"leaves": 31, "rate": 0.1},
        split={"by": "time", "test": 0.2},
    )


def parts(contract: bytes = CONTRACT, frame: pl.DataFrame | None = None, made: Graph | None = None) -> Parts:
    """Put together everything a release holds, without signing it."""
    frame = rows() if frame is None else frame
    model = (made or graph()).model().SerializeToString(deterministic=True)
    ready = session(model)
    golden = golden_rows(frame, personal=["city"], seed=7, predict=lambda typed: run(ready, typed))
    interface = interface_of(model)
    files = {
        "model.onnx": model,
        "signature.json": interface.to_json(),
        "contract.json": contract,
        "reference.parquet": parquet(reference_rows(frame, personal=["city"], seed=7)),
        "golden.parquet": parquet(golden),
        "report.json": b'{"schema":"holdtrue/report/1"}',
        "report.html": b"<!doctype html><title>Report</title>",
        "card.md": b"---\nlicense: unknown\n---\n",
        "bom.cdx.json": b"{}",
        "environment.lock": LOCK.encode(),
    }
    core = Core(
        name="leavers",
        task="classification",
        classes=("stays", "leaves"),
        inputs=tuple(port.to_dict() for port in interface.inputs),
        outputs=tuple(port.to_dict() for port in interface.outputs),
        files=hashes(files),
        lineage=lineage(),
    )
    return Parts(core=core, files=files)


def key(place: Path) -> Key:
    return signing_key(place / "keys")


def written(place: Path, what: Parts | None = None) -> Release:
    """Write a release below `place`, signed by the key in `place/keys`."""
    what = what or parts()
    return write_release(what.core, what.files, releases=place / "releases", scratch=place / "tmp", key=key(place))
