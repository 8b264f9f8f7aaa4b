"""Tree ensembles that end: every path leads from a root to a leaf, and every index points at something.

The runtime follows these indices without looking: a branch that leads back to its parent never ends, a feature or a
class beyond the last one is somebody else's memory.
"""

from collections.abc import Mapping
from math import prod

import numpy as np
from jaxtyping import Bool, Int64
from onnx import AttributeProto, ModelProto, NodeProto

from holdtrue.release.shapes import ROWS

MODES = frozenset({b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT", b"BRANCH_EQ", b"BRANCH_NEQ", b"LEAF"})


def faults_of(model: ModelProto, sizes: Mapping[str, int]) -> list[str]:
    """List the ensembles that are no trees; `sizes` holds the elements of each tensor for `shapes.ROWS` rows."""
    found: list[str] = []
    for node in model.graph.node:
        if node.op_type == "TreeEnsembleRegressor":
            width = sizes.get(node.input[0], 0) // ROWS
            fault = _fault(node, width)
            if fault:
                found.append(f"the tree ensemble {node.name[:100]!r} {fault}")
    return found[:20]


def _fault(node: NodeProto, width: int) -> str | None:
    held = {attribute.name: attribute for attribute in node.attribute}
    lists = {name: _whole(held.get(f"nodes_{name}")) for name in ("treeids", "nodeids", "featureids")}
    lists |= {name: _whole(held.get(f"nodes_{name}")) for name in ("truenodeids", "falsenodeids")}
    modes = list(held["nodes_modes"].strings) if "nodes_modes" in held else []
    ends = {name: _whole(held.get(f"target_{name}")) for name in ("treeids", "nodeids", "ids")}
    weights = _length(held, "target_weights")
    count = len(modes)
    if not count or {_length(held, "nodes_values"), *map(len, lists.values())} != {count}:
        return "has lists of different lengths, or none"
    spare = {_length(held, "nodes_hitrates"), len(_whole(held.get("nodes_missing_value_tracks_true")))}
    if not {0, count}.issuperset(spare) or {*map(len, ends.values())} != {weights}:
        return "has lists of different lengths"
    if not MODES.issuperset(modes):
        return "has a branch of an unknown kind"
    if lists["featureids"].min() < 0 or lists["featureids"].max() >= width:
        return f"asks for a feature outside its {width} columns"
    outputs = held["n_targets"].i if "n_targets" in held else 0
    if weights and (ends["ids"].min() < 0 or ends["ids"].max() >= outputs):
        return f"writes outside its {outputs} outputs"
    if _length(held, "base_values") not in (0, 1, outputs):
        return "has the wrong number of base values"
    leaf = np.array([mode == b"LEAF" for mode in modes])
    return _walk_fault(lists, leaf) or _end_fault(lists, ends, leaf)


def _whole(attribute: AttributeProto | None) -> Int64[np.ndarray, " items"]:
    return np.array(attribute.ints if attribute is not None else (), dtype=np.int64)


def _length(held: Mapping[str, AttributeProto], name: str) -> int:
    """Count the numbers of a list, which is floats or a tensor; -1 when it is both."""
    floats = len(held[name].floats) if name in held else 0
    tensor = prod(held[f"{name}_as_tensor"].t.dims) if f"{name}_as_tensor" in held else 0
    return -1 if floats and tensor else floats + tensor


def _places(
    trees: Int64[np.ndarray, " items"], nodes: Int64[np.ndarray, " items"], lists: Mapping[str, np.ndarray]
) -> Int64[np.ndarray, " items"]:
    """Find the position of nodes by their tree and number; -1 where there is none."""
    low, high = lists["nodeids"].min(), lists["nodeids"].max()
    span = int(high) - int(low) + 1
    inside = (nodes >= low) & (nodes <= high) & (trees >= lists["treeids"].min()) & (trees <= lists["treeids"].max())
    first = lists["treeids"].min()
    names = (lists["treeids"] - first) * span + (lists["nodeids"] - low)
    order = np.argsort(names, kind="stable")
    asked = np.where(inside, (trees - first) * span + (nodes - low), -1)
    place = np.minimum(np.searchsorted(names[order], asked), len(names) - 1)
    return np.where(names[order][place] == asked, order[place], -1)


def _walk_fault(lists: Mapping[str, np.ndarray], leaf: Bool[np.ndarray, " items"]) -> str | None:
    """Check that branches make trees: the first node of each is its root, every other is led to exactly once.

    Then a path from a root can never come back, for it would lead to some node a second time.
    """
    trees, nodes = lists["treeids"], lists["nodeids"]
    if min(trees.min(), nodes.min()) < 0 or max(trees.max(), nodes.max()) >= 1 << 30:
        return "numbers its nodes beyond any use"
    if len(np.unique((trees << 31) + nodes)) != len(nodes):
        return "has two nodes of the same number"
    led = np.zeros(len(nodes), dtype=np.int64)
    for side in ("truenodeids", "falsenodeids"):
        places = _places(trees[~leaf], lists[side][~leaf], lists)
        if (places < 0).any():
            return "has a branch that leads nowhere"
        led += np.bincount(places, minlength=len(nodes))
    root = np.zeros(len(nodes), dtype=bool)
    root[np.unique(trees, return_index=True)[1]] = True
    if not np.array_equal(led, np.where(root, 0, 1)):
        return "has branches that do not make trees: a path in it may never end"
    return None


def _end_fault(
    lists: Mapping[str, np.ndarray], ends: Mapping[str, np.ndarray], leaf: Bool[np.ndarray, " items"]
) -> str | None:
    places = _places(ends["treeids"], ends["nodeids"], lists)
    if (places < 0).any() or not leaf[places].all():
        return "has a weight that belongs to no leaf"
    return None
