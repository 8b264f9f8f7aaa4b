"""What scikit-learn's trees share: their arrays, and the average of many."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.links import emit_answer
from holdtrue.models.blocks.trees import Tree, emit_sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Forest:
    """The average of some trees; `classes` is 0 for regression."""

    model: Any
    trees: tuple[Any, ...]
    classes: int

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        with np.errstate(all="ignore"):  # scikit-learn looks for infinities by a float32 sum
            made = self.model.predict_proba(x) if self.classes else self.model.predict(x)
        return np.asarray(made, dtype=np.float64).reshape(len(x), -1)

    def emit(self, graph: Graph, features: str) -> str:
        outputs = max(self.classes, 1)
        total = emit_sum(graph, features, [arrays(tree) for tree in self.trees], outputs, np.zeros(outputs))
        average = graph.node("Div", total, graph.constant(np.float64(len(self.trees))))
        # The average of shares needs no further link; a large mean is held within float32.
        return emit_answer(graph, "value", average)

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> None:
        """None: scikit-learn gives no exact attribution, and walking the path is no Shapley value."""


def arrays(model: Any) -> Tree:
    """Read a fitted scikit-learn tree; a leaf's value is the share of each class, or the mean."""
    tree = model.tree_
    leaf = tree.children_left < 0
    return Tree(
        feature=np.where(leaf, -1, tree.feature).astype(np.int64),
        threshold=tree.threshold.astype(np.float64),
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        missing_left=tree.missing_go_to_left.astype(bool),
        value=tree.value[:, 0, :].astype(np.float64),
    )
