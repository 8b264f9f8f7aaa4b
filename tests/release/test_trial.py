"""A graph is run before it serves: it must give the stored answers, and bear any row."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from made_release import graph, parts
from onnx import TensorProto

from holdtrue.features.graph import Graph
from holdtrue.release.interface import read_interface
from holdtrue.release.rows import parquet
from holdtrue.release.trial import faults_of

PARTS = parts().files
INTERFACE = read_interface(PARTS["signature.json"])
GOLDEN = pl.read_parquet(io.BytesIO(PARTS["golden.parquet"]))


def tried(golden: pl.DataFrame, tolerance: float = 1e-5) -> tuple[list[str], list[str]]:
    return faults_of(PARTS["model.onnx"], parquet(golden), replace(INTERFACE, tolerance=tolerance))


def test_the_same_machine_gives_the_same_bits() -> None:
    faults, statements = tried(GOLDEN)
    assert faults == []
    assert statements == ["53 golden rows give the stored answers bit for bit"]


def nudged(by: float) -> pl.DataFrame:
    return GOLDEN.with_columns(pl.col("output.probabilities.0") + pl.lit(by, pl.Float32))


def test_an_answer_within_the_tolerance_is_admitted_and_said() -> None:
    faults, statements = tried(nudged(1e-6))
    assert faults == []
    assert len(statements) == 1
    assert "not bit for bit" in statements[0]


def test_an_answer_outside_the_tolerance_is_refused() -> None:
    assert any("off by" in fault for fault in tried(nudged(1e-3))[0])
    assert any("off by" in fault for fault in tried(nudged(1e-6), tolerance=0.0)[0])


WRONG: dict[str, tuple[str, Callable[[pl.DataFrame], pl.DataFrame]]] = {
    "another label": (
        "'label' of 53 golden rows",
        lambda golden: golden.with_columns(pl.lit("other").alias("output.label.0")),
    ),
    "another decision": (
        "'decision' of 53 golden rows",
        lambda golden: golden.with_columns((1 - pl.col("output.decision.0")).alias("output.decision.0")),
    ),
    "missing answers": (
        "off by inf",
        lambda golden: golden.with_columns(pl.lit(float("nan"), pl.Float32).alias("output.probabilities.1")),
    ),
    "answers of another type": (
        "off by inf",
        lambda golden: golden.with_columns(pl.col("^output.probabilities.*$").cast(pl.Float64)),
    ),
    "no answers": ("cannot be replayed", lambda golden: golden.drop("output.label.0")),
    "no rows to ask": ("cannot be replayed", lambda golden: golden.drop("input.age")),
    "rows of another type": (
        "cannot be replayed",
        lambda golden: golden.with_columns(pl.lit("text").alias("input.age")),
    ),
    "too few rows": ("fewer than 32", lambda golden: golden.head(31)),
}


@pytest.mark.parametrize("name", WRONG)
def test_golden_rows_that_do_not_fit_are_refused(name: str) -> None:
    words, change = WRONG[name]
    faults, _ = tried(change(GOLDEN))
    assert any(words in fault for fault in faults), faults


def test_golden_rows_that_are_no_table_are_refused() -> None:
    faults, _ = faults_of(PARTS["model.onnx"], b"PAR1 no table", INTERFACE)
    assert any("cannot be replayed" in fault for fault in faults)


def test_a_model_the_runtime_cannot_load_is_refused() -> None:
    faults, _ = faults_of(b"nothing", PARTS["golden.parquet"], INTERFACE)
    assert any("cannot load" in fault for fault in faults)


def test_a_model_that_breaks_on_extreme_rows_is_refused() -> None:
    """It looks up the age in a table of a hundred; a lookup outside of it is an error of the runtime."""

    def looked_up(made: Graph) -> str:
        table = made.constant(np.zeros((100, 1), dtype=np.float32))
        code = made.cast(made.node("Max", "age", made.constant(np.zeros((1, 1)))), TensorProto.INT64)
        return made.node("Gather", table, made.node("Squeeze", code, made.constant(np.array([1]))))

    known = GOLDEN.with_columns(pl.col("input.age").fill_null(30.0))
    faults, _ = faults_of(graph(looked_up).model().SerializeToString(), parquet(known), INTERFACE)
    assert any("extreme rows break the model" in fault for fault in faults), faults
