"""A tree ensemble as one operator: it takes the branch that the library takes, on every float32."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float32, Float64
from onnx import TensorProto, helper

from holdtrue.features.graph import Graph
from holdtrue.features.runtime import session
from holdtrue.models.blocks.trees import Tree, emit_sum


def sums(trees: list[Tree], x: Float32[np.ndarray, "_ _"], outputs: int = 1) -> Float64[np.ndarray, "_ _"]:
    graph = Graph()
    graph.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, x.shape[1]]))
    base = np.arange(outputs, dtype=np.float64)
    graph.output("sum", emit_sum(graph, "x", trees, outputs, base), TensorProto.DOUBLE, [None, outputs])
    return np.asarray(session(graph.model().SerializeToString()).run(["sum"], {"x": x})[0])


def stump(
    threshold: float, *, missing_left: bool = False, feature: int = 0, first: int = 0, scale: float = 1.0
) -> Tree:
    """Answers 1 on the left and 2 on the right, times `scale`."""
    return Tree(
        feature=np.array([feature, -1, -1]),
        threshold=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, 0, 0]),
        right=np.array([2, 0, 0]),
        missing_left=np.array([missing_left, False, False]),
        value=np.array([[0.0], [1.0], [2.0]]) * scale,
        first=first,
    )


@settings(deadline=None)
@given(threshold=st.floats(-1e6, 1e6), others=st.lists(st.floats(-1e6, 1e6, width=32), max_size=5))
def test_a_row_goes_left_exactly_when_its_value_is_at_most_the_threshold(threshold: float, others: list[float]) -> None:
    near = np.float32(threshold)
    beside = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    x = np.array([*beside, *others], dtype=np.float32).reshape(-1, 1)
    assert (sums([stump(threshold)], x)[:, 0] == np.where(x[:, 0].astype(np.float64) <= threshold, 1.0, 2.0)).all()


def test_a_double_threshold_between_two_floats_parts_them() -> None:
    """As a float32 this threshold would be 0.1's neighbour above, and the row would change sides."""
    x = np.array([[0.1]], dtype=np.float32)
    threshold = float(x[0, 0]) - 1e-12
    assert np.float32(threshold) == x[0, 0]
    assert sums([stump(threshold)], x)[0, 0] == 2.0


def test_missing_values_go_where_the_tree_says() -> None:
    x = np.full((1, 1), np.nan, dtype=np.float32)
    assert sums([stump(0.0, missing_left=True)], x)[0, 0] == 1.0
    assert sums([stump(0.0, missing_left=False)], x)[0, 0] == 2.0


def test_infinite_thresholds_part_missing_from_known() -> None:
    x = np.array([[np.nan], [3.4e38]], dtype=np.float32)
    assert sums([stump(np.inf, missing_left=False)], x)[:, 0].tolist() == [2.0, 1.0]


def test_every_tree_adds_to_its_own_output() -> None:
    x = np.array([[-1.0, 1.0], [1.0, -1.0]], dtype=np.float32)
    made = sums([stump(0.0), stump(0.0, feature=1, first=2), stump(0.0, first=2)], x, outputs=3)
    assert made.tolist() == [[1.0, 1.0, 5.0], [2.0, 1.0, 5.0]]


def test_a_root_without_a_question_adds_to_every_row() -> None:
    leaf = Tree(
        feature=np.array([-1]),
        threshold=np.zeros(1),
        left=np.zeros(1, dtype=np.int64),
        right=np.zeros(1, dtype=np.int64),
        missing_left=np.zeros(1, dtype=bool),
        value=np.array([[10.0, 20.0]]),
    )
    x = np.array([[-1.0], [np.nan]], dtype=np.float32)
    assert sums([leaf], x, outputs=2).tolist() == [[10.0, 21.0], [10.0, 21.0]]
    assert sums([leaf, stump(0.0)], x, outputs=2).tolist() == [[11.0, 21.0], [12.0, 21.0]]
    assert sums([], x[:0], outputs=2).shape == (0, 2)


def test_a_thousand_trees_add_up_in_float64() -> None:
    """In float32 the sum of a million and a thousand hundredths has an error near 1."""
    trees = [stump(0.0, scale=1e6), *[stump(0.0, scale=0.01)] * 1000, stump(0.0, scale=-1e6)]
    x = np.array([[-1.0]], dtype=np.float32)
    np.testing.assert_allclose(sums(trees, x), [[10.0]], rtol=1e-6)
