"""Running a graph over a table."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from onnx import TensorProto

from holdtrue.core.errors import DataFault
from holdtrue.features import session as module
from holdtrue.features.graph import NUMBER, TEXT, Graph
from holdtrue.features.runtime import session
from holdtrue.features.session import columns, run


def sum_of(*names: str) -> bytes:
    graph = Graph()
    total = graph.node("Sum", *[graph.input(name, NUMBER) for name in names])
    graph.output("total", total, TensorProto.DOUBLE, [None, 1])
    return graph.model().SerializeToString()


def test_missing_is_nan_for_numbers_and_empty_for_text() -> None:
    made = columns(pl.DataFrame({"a": [1, None], "b": ["x", None]}))
    assert made["a"].dtype == np.float64
    assert np.isnan(made["a"][1, 0])
    assert made["b"].tolist() == [["x"], [""]]


def test_columns_the_graph_does_not_take_are_left_alone() -> None:
    frame = pl.DataFrame({"extra": [[1]], "b": [2.0], "a": [1]})
    assert run(session(sum_of("a", "b")), frame)["total"].tolist() == [[3.0]]


def test_absent_columns_are_all_named() -> None:
    with pytest.raises(DataFault) as caught:
        run(session(sum_of("a", "b", "c")), pl.DataFrame({"b": [1.0]}))
    assert caught.value.faults == ("'a'", "'c'")


def test_chunks_give_the_same_bits_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"a": np.random.default_rng(0).normal(size=(1001))})
    whole = run(session(sum_of("a")), frame)["total"]
    monkeypatch.setattr(module, "CHUNK_ROWS", 100)
    assert run(session(sum_of("a")), frame)["total"].tobytes() == whole.tobytes()


def test_no_rows_give_no_answers() -> None:
    assert run(session(sum_of("a")), pl.DataFrame({"a": []}, schema={"a": pl.Float64}))["total"].shape == (0, 1)


def test_a_graph_that_takes_float32_is_given_float32() -> None:
    graph = Graph()
    graph.output("same", graph.input("a", TensorProto.FLOAT), TensorProto.FLOAT, [None, 1])
    assert run(session(graph.model().SerializeToString()), pl.DataFrame({"a": [0.1]}))["same"][0, 0] == np.float32(0.1)


def test_text_goes_through_as_it_is() -> None:
    graph = Graph()
    graph.output("same", graph.input("a", TEXT), TensorProto.STRING, [None, 1])
    words = ["é中😀", " ", "a\nb", ""]
    answered = run(session(graph.model().SerializeToString()), pl.DataFrame({"a": words}))
    assert answered["same"][:, 0].tolist() == words


def test_the_runtime_reports_to_nobody(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = "from holdtrue.features.runtime import session"
    subprocess.run([sys.executable, "-c", code], env=environ | {"HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.rglob("*deviceid*"))
