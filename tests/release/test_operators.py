"""What our encoders and learners write is admitted, and the list of operators holds little else."""

import ast
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_release import graph as small_graph
from onnx import ModelProto, TensorProto, defs

import holdtrue
from holdtrue.features.encoder import fit, transform
from holdtrue.features.graph import ML_OPSET, OPSET, Graph
from holdtrue.models.learner import LEARNERS, Rows
from holdtrue.models.settings import defaults
from holdtrue.release import shapes, structure, trees
from holdtrue.release.interface import interface_of
from holdtrue.release.operators import OPERATORS

ROWS = 160


def table(seed: int = 11) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    number = chance.normal(size=ROWS)
    number[::9] = np.nan
    return pl.DataFrame(
        {
            "amount": pl.Series(number).fill_nan(None),
            "skewed": np.exp(3 * chance.normal(size=ROWS)),
            "day": chance.integers(0, 10**9, ROWS).astype(np.float64),
            "city": [["Oslo", "Lyon", None][code] for code in chance.integers(0, 3, ROWS)],
        }
    )


KINDS = {"amount": "number", "skewed": "number", "day": "date", "city": "category"}


def faults_of(data: bytes) -> list[str]:
    model, faults = structure.parse(data)
    if model is None:
        return faults
    faults = structure.faults_of(model, interface_of(data))
    sizes, more = shapes.measure(model)
    return [*faults, *more, *trees.faults_of(model, sizes)]


def exported(name: str, classes: int) -> bytes:
    """Fit a learner on encoded rows and write encoder and learner as one graph."""
    learner = LEARNERS.get(name)
    frame = table()
    encoder = fit(frame, KINDS, learner.flavour)
    chance = np.random.default_rng(3)
    y = chance.integers(0, classes, ROWS).astype(np.float64) if classes else chance.normal(size=ROWS)
    rows = Rows(x=transform(encoder, frame), y=y, classes=classes)
    fitted = learner.fit(rows, defaults(learner.space), 7, rows)
    made = Graph()
    inputs = {column: made.input(column, kind) for column, kind in encoder.columns.items()}
    answer = fitted.emit(made, encoder.emit(made, inputs))
    made.output("probabilities" if classes else "value", answer, TensorProto.FLOAT, [None, classes or 1])
    return made.model().SerializeToString(deterministic=True)


FITS = [
    (name, classes)
    for name in LEARNERS.names()
    for classes in (2, 3, 0)
    if ("classification" if classes else "regression") in LEARNERS.get(name).tasks
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes"), FITS)
def test_the_graph_of_every_learner_is_admitted(name: str, classes: int) -> None:
    assert faults_of(exported(name, classes)) == []


def test_the_graph_of_the_tests_is_admitted() -> None:
    assert faults_of(small_graph().model().SerializeToString(deterministic=True)) == []


def emitted() -> set[str]:
    """Find the operators that our code names in a call of `node` or `split`."""
    root = Path(holdtrue.__file__).parent
    found: set[str] = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("node", "split")
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
                and node.args[0].value[:1].isupper()
            ):
                found.add(node.args[0].value)
    return found


@pytest.mark.slow
def test_every_operator_our_code_names_is_on_the_list() -> None:
    assert emitted() >= {"Concat", "Cast", "LabelEncoder", "TreeEnsembleRegressor"}
    assert emitted() <= OPERATORS[""] | OPERATORS["ai.onnx.ml"]


def test_every_name_on_the_list_is_an_operator_of_onnx() -> None:
    for domain, names in OPERATORS.items():
        version = ML_OPSET if domain else OPSET
        assert all(defs.has(name, version, domain) for name in names)


def test_no_operator_holds_a_subgraph_reads_a_file_or_draws_at_random() -> None:
    dangerous = {"If", "Loop", "Scan", "SequenceMap", "RandomNormal", "RandomUniform", "Bernoulli", "ImageDecoder"}
    amplifying = {"ConstantOfShape", "Tile", "Range", "Resize", "Pad", "NonZero", "Compress", "OneHot", "Constant"}
    assert not (dangerous | amplifying) & (OPERATORS[""] | OPERATORS["ai.onnx.ml"])


def test_models_keep_their_bytes_through_the_parser() -> None:
    data = exported("logistic", 2)
    assert ModelProto.FromString(data).SerializeToString(deterministic=True) == data
