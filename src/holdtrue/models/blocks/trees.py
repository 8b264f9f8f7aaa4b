"""Ensembles of decision trees as one ONNX operator, whatever library grew them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from onnx import TensorProto, numpy_helper

from holdtrue.features.graph import Graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """One tree; node 0 is its root.

    Attributes:
        feature: the feature a node asks for, -1 at a leaf.
        threshold: rows whose value is at most this go left.
        missing_left: whether rows that lack the value go left.
        value: what a leaf adds to the outputs.
        first: the output that the first column of `value` belongs to.
    """

    feature: Int64[np.ndarray, " nodes"]
    threshold: Float64[np.ndarray, " nodes"]
    left: Int64[np.ndarray, " nodes"]
    right: Int64[np.ndarray, " nodes"]
    missing_left: Bool[np.ndarray, " nodes"]
    value: Float64[np.ndarray, "nodes columns"]
    first: int = 0


def emit_sum(
    graph: Graph, features: str, trees: Sequence[Tree], outputs: int, base: Float64[np.ndarray, " outputs"]
) -> str:
    """Write the sum over all trees, plus `base`; gives a float64 tensor (rows, outputs).

    The features are float32 and the thresholds float64. Every library here compares the two as float64, so the
    ensemble is written in float64 as well: thresholds keep their bits, and no row can take another branch. (In
    float32 they would have to be rounded down, since `x <= t` for a float32 x means `x <= the float32 below t`.)
    It also adds up in float64. Measured on 500 trees, against LightGBM: largest difference in probability 5e-7 in
    float32, 1e-8 in float64, at the same speed, and no longer a matter of how many threads add.
    """
    base = base.copy()
    grown: list[Tree] = []
    for tree in trees:
        if len(tree.feature) == 1:  # a root without a question answers every row alike
            base[tree.first : tree.first + tree.value.shape[1]] += tree.value[0]
        else:
            grown.append(tree)
    if not grown:
        rows = graph.node("Shape", features, start=0, end=1)
        shape = graph.node("Concat", rows, graph.constant(np.array([outputs], dtype=np.int64)), axis=0)
        return graph.node("Expand", graph.constant(base.reshape(1, -1)), shape)
    wide = graph.cast(features, TensorProto.DOUBLE)
    made = graph.node(
        "TreeEnsembleRegressor", wide, domain="ai.onnx.ml", n_targets=outputs, **_nodes(grown), **_leaves(grown)
    )
    return graph.node("Add", graph.cast(made, TensorProto.DOUBLE), graph.constant(base))


def _nodes(trees: Sequence[Tree]) -> dict[str, object]:
    feature = np.concatenate([tree.feature for tree in trees])
    inner = feature >= 0

    def joined(parts: Sequence["np.ndarray"]) -> list[int]:
        """Leaves ask nothing: their entries are zero."""
        return np.where(inner, np.concatenate(parts), 0).astype(np.int64).tolist()

    return {
        "nodes_treeids": np.repeat(np.arange(len(trees)), [len(tree.feature) for tree in trees]).tolist(),
        "nodes_nodeids": np.concatenate([np.arange(len(tree.feature)) for tree in trees]).tolist(),
        "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        "nodes_featureids": joined([tree.feature for tree in trees]),
        "nodes_values_as_tensor": _tensor(np.where(inner, np.concatenate([tree.threshold for tree in trees]), 0.0)),
        "nodes_truenodeids": joined([tree.left for tree in trees]),
        "nodes_falsenodeids": joined([tree.right for tree in trees]),
        "nodes_missing_value_tracks_true": joined([tree.missing_left for tree in trees]),
    }


def _leaves(trees: Sequence[Tree]) -> dict[str, object]:
    """List what leaves add; zeros are left out, but for one entry of a leaf that would have none."""
    places: list[tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]] = []
    for tree in trees:
        said = (tree.value != 0) & (tree.feature < 0)[:, None]
        said[:, 0] |= (tree.feature < 0) & ~said.any(axis=1)
        places.append((np.nonzero(said)[0], np.nonzero(said)[1]))
    counts = [len(node) for node, _ in places]
    weights = [tree.value[node, column] for tree, (node, column) in zip(trees, places, strict=True)]
    return {
        "target_treeids": np.repeat(np.arange(len(trees)), counts).tolist(),
        "target_nodeids": np.concatenate([node for node, _ in places]).tolist(),
        "target_ids": np.concatenate(
            [column + tree.first for tree, (_, column) in zip(trees, places, strict=True)]
        ).tolist(),
        "target_weights_as_tensor": _tensor(np.concatenate(weights)),
    }


def _tensor(values: Float64[np.ndarray, " _"]) -> TensorProto:
    return numpy_helper.from_array(values.astype(np.float64))
