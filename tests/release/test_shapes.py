"""A tensor whose size follows the rows is admitted; one that depends on data or outgrows them is refused."""

from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto

from holdtrue.features.graph import NUMBER, TEXT, Graph
from holdtrue.release import shapes

Build = Callable[[Graph, str, str], object]


def whole(graph: Graph, *values: int) -> str:
    return graph.constant(np.array(values, dtype=np.int64))


def measured(build: Build) -> list[str]:
    graph = Graph()
    age, city = graph.input("age", NUMBER), graph.input("city", TEXT)
    matrix = graph.node("Concat", *[graph.cast(age, TensorProto.FLOAT)] * 2, axis=1)
    build(graph, matrix, city)
    return shapes.measure(graph.model())[1]


def doubled(graph: Graph, matrix: str, times: int) -> None:
    for _ in range(times):
        matrix = graph.node("Concat", matrix, matrix, axis=0)


def rows_of(graph: Graph, matrix: str) -> str:
    return graph.node("Shape", matrix, start=0, end=1)


def from_data(graph: Graph, matrix: str) -> str:
    largest = graph.node("ReduceMax", matrix, keepdims=0)
    return graph.cast(graph.node("Reshape", largest, whole(graph, 1)), TensorProto.INT64)


GOOD: dict[str, Build] = {
    "as many as rows": lambda graph, x, _: graph.node("Add", x, x),
    "a constant for each row": lambda graph, x, _: graph.node(
        "Expand",
        graph.constant(np.zeros((1, 3), dtype=np.float32)),
        graph.node("Concat", rows_of(graph, x), whole(graph, 3), axis=0),
    ),
    "rows found by Reshape": lambda graph, x, _: graph.node("Reshape", x, whole(graph, -1, 1)),
    "a thousand numbers a row": lambda graph, x, _: graph.node(
        "MatMul", x, graph.constant(np.zeros((2, 1000), dtype=np.float32))
    ),
    "doubled ten times": lambda graph, x, _: doubled(graph, x, 10),
    "a sum over all rows": lambda graph, x, _: graph.node("ReduceSum", x, keepdims=0),
    "texts": lambda graph, _, city: graph.node("Identity", city),
}

BAD: dict[str, tuple[str, Build]] = {
    "ten gigabytes of zeros": (
        "over the limit",
        lambda graph, *_: graph.node("ConstantOfShape", whole(graph, 2_684_354_560)),
    ),
    "zeros expanded to ten gigabytes": (
        "over the limit",
        lambda graph, *_: graph.node(
            "Expand", graph.constant(np.zeros(1, dtype=np.float32)), whole(graph, 50_000, 50_000)
        ),
    ),
    "a million columns broadcast by a million": (
        "over the limit",
        lambda graph, *_: graph.node(
            "Add",
            graph.constant(np.zeros((100_000, 1), dtype=np.float32)),
            graph.constant(np.zeros((1, 100_000), dtype=np.float32)),
        ),
    ),
    "two million numbers a row": (
        "over the limit",
        lambda graph, x, _: graph.node("MatMul", x, graph.constant(np.zeros((2, 1 << 21), dtype=np.float32))),
    ),
    "doubled forty times": ("over the limit", lambda graph, x, _: doubled(graph, x, 40)),
    "doubled until the count overflows": ("do not fit", lambda graph, x, _: doubled(graph, x, 70)),
    "every row with every row": (
        "faster than the rows",
        lambda graph, x, _: graph.node("MatMul", x, graph.node("Transpose", x, perm=[1, 0])),
    ),
    "every row with every row, by broadcast": (
        "faster than the rows",
        lambda graph, x, _: graph.node("Sub", x, graph.node("Unsqueeze", x, whole(graph, 1))),
    ),
    "as many as the data say": (
        "depends on data",
        lambda graph, x, _: graph.node("Expand", graph.constant(np.zeros(1, dtype=np.float32)), from_data(graph, x)),
    ),
    "a slice as long as the data say": (
        "depends on data",
        lambda graph, x, _: graph.node("Slice", x, whole(graph, 0), from_data(graph, x)),
    ),
    "the places that are not zero": ("depends on data", lambda graph, x, _: graph.node("NonZero", x)),
    "shapes that do not fit": (
        "do not fit",
        lambda graph, x, _: graph.node("MatMul", x, graph.constant(np.zeros((5, 5), dtype=np.float32))),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_grows_with_the_rows_is_admitted(name: str) -> None:
    assert measured(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_bound_is_refused(name: str) -> None:
    words, build = BAD[name]
    assert any(words in fault for fault in measured(build))


def test_what_the_file_says_of_its_own_shapes_is_not_believed() -> None:
    graph = Graph()
    x = graph.cast(graph.input("age", NUMBER), TensorProto.FLOAT)
    made = graph.node("NonZero", x)
    model = graph.model()
    lie = model.graph.value_info.add(name=made)
    lie.type.tensor_type.elem_type = TensorProto.INT64
    lie.type.tensor_type.shape.dim.add().dim_value = 1
    assert any("depends on data" in fault for fault in shapes.measure(model)[1])


def test_sizes_count_the_elements_for_the_given_rows() -> None:
    graph = Graph()
    x = graph.cast(graph.input("age", NUMBER), TensorProto.FLOAT)
    wide = graph.node("Concat", x, x, x, axis=1)
    sizes, faults = shapes.measure(graph.model())
    assert not faults
    assert sizes["age"] == shapes.ROWS
    assert sizes[wide] == 3 * shapes.ROWS
