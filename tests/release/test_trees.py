"""Every path in an ensemble ends, and every index points at something; a good ensemble is left alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_release import graph
from onnx import AttributeProto, NodeProto, helper, numpy_helper

from holdtrue.features.graph import NUMBER, Graph
from holdtrue.release import shapes, trees


def faults_of(harm: Callable[[NodeProto], object]) -> list[str]:
    model = graph().model()
    (node,) = (entry for entry in model.graph.node if entry.op_type == "TreeEnsembleRegressor")
    harm(node)
    sizes, _ = shapes.measure(graph().model())
    return trees.faults_of(model, sizes)


def held(node: NodeProto, name: str) -> AttributeProto:
    return next(attribute for attribute in node.attribute if attribute.name == name)


def put(name: str, *values: int) -> Callable[[NodeProto], object]:
    def harm(node: NodeProto) -> None:
        del held(node, name).ints[:]
        held(node, name).ints.extend(values)

    return harm


def drop(name: str) -> Callable[[NodeProto], object]:
    return lambda node: node.attribute.remove(held(node, name))


def more(node: NodeProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(3), "v")
    node.attribute.append(helper.make_attribute("nodes_values_as_tensor", tensor))


HARMS: dict[str, tuple[str, Callable[[NodeProto], object]]] = {
    "a branch back to its root": ("never end", put("nodes_truenodeids", 0, 0, 0)),
    "two branches to one leaf": ("never end", put("nodes_falsenodeids", 1, 0, 0)),
    "a branch that leads nowhere": ("leads nowhere", put("nodes_truenodeids", 9, 0, 0)),
    "a branch to a number below zero": ("leads nowhere", put("nodes_truenodeids", -1, 0, 0)),
    "a branch to an enormous number": ("leads nowhere", put("nodes_truenodeids", 2**62, 0, 0)),
    "a feature beyond the last": ("feature outside", put("nodes_featureids", 2, 0, 0)),
    "a feature beyond the last at a leaf": ("feature outside", put("nodes_featureids", 0, 0, 10**9)),
    "a feature below zero": ("feature outside", put("nodes_featureids", -1, 0, 0)),
    "an output beyond the last": ("outputs", put("target_ids", 1, 0)),
    "an output below zero": ("outputs", put("target_ids", -1, 0)),
    "no outputs": ("outputs", lambda node: setattr(held(node, "n_targets"), "i", 0)),
    "a weight of a branch": ("no leaf", put("target_nodeids", 0, 2)),
    "a weight of no node": ("no leaf", put("target_nodeids", 1, 9)),
    "a weight of another tree": ("no leaf", put("target_treeids", 0, 7)),
    "one number twice": ("same number", put("nodes_nodeids", 0, 1, 1)),
    "numbers beyond any use": ("beyond any use", put("nodes_nodeids", 0, 1, 2**62)),
    "trees below zero": ("beyond any use", put("nodes_treeids", -5, -5, -5)),
    "a list that is too short": ("different lengths", put("nodes_nodeids", 0, 1)),
    "a list that is not there": ("different lengths", drop("nodes_truenodeids")),
    "no thresholds": ("different lengths", drop("nodes_values")),
    "thresholds in two forms": ("different lengths", more),
    "no weights": ("different lengths", drop("target_weights")),
    "too few missing directions": ("different lengths", put("nodes_missing_value_tracks_true", 1)),
    "no nodes": ("different lengths", drop("nodes_modes")),
    "a branch of an unknown kind": (
        "unknown kind",
        lambda node: held(node, "nodes_modes").strings.__setitem__(0, b"BRANCH_RANDOM"),
    ),
    "base values for outputs that are not there": (
        "base values",
        lambda node: node.attribute.append(helper.make_attribute("base_values", [0.0, 0.0, 0.0])),
    ),
}


@pytest.mark.parametrize("name", HARMS)
def test_an_ensemble_that_is_none_is_refused(name: str) -> None:
    words, harm = HARMS[name]
    (told,) = faults_of(harm)
    assert words in told


def test_a_good_ensemble_is_left_alone() -> None:
    assert faults_of(lambda node: None) == []


def grown(chance: np.random.Generator, count: int) -> dict[str, list[Any]]:
    """Grow random trees, and number their nodes at random."""
    made: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    for tree in range(count):
        splits = int(chance.integers(0, 6))
        number = chance.permutation(100)[: 2 * splits + 1].tolist()
        children: dict[int, tuple[int, int]] = {}
        leaves = [0]
        for split in range(splits):
            leaf = leaves.pop(int(chance.integers(len(leaves))))
            children[leaf] = (2 * split + 1, 2 * split + 2)
            leaves += children[leaf]
        for node in range(2 * splits + 1):
            true, false = children.get(node, (0, 0))
            made["treeids"].append(tree)
            made["nodeids"].append(number[node])
            made["featureids"].append(0)
            made["modes"].append("BRANCH_LEQ" if node in children else "LEAF")
            made["values"].append(float(node))
            made["truenodeids"].append(number[true] if node in children else 0)
            made["falsenodeids"].append(number[false] if node in children else 0)
    return made


def ensemble(nodes: dict[str, list[Any]]) -> list[str]:
    builder = Graph()
    leaf = [place for place, mode in enumerate(nodes["modes"]) if mode == "LEAF"]
    builder.node(
        "TreeEnsembleRegressor",
        builder.input("age", NUMBER),
        domain="ai.onnx.ml",
        n_targets=1,
        target_treeids=[nodes["treeids"][place] for place in leaf],
        target_nodeids=[nodes["nodeids"][place] for place in leaf],
        target_ids=[0] * len(leaf),
        target_weights=[1.0] * len(leaf),
        **{f"nodes_{name}": values for name, values in nodes.items()},
    )
    model = builder.model()
    return trees.faults_of(model, shapes.measure(model)[0])


def ends(nodes: dict[str, list[Any]]) -> bool:
    """Walk every branch of every tree from its first node, as the runtime does."""
    place = {key: index for index, key in enumerate(zip(nodes["treeids"], nodes["nodeids"], strict=True))}
    for tree in set(nodes["treeids"]):
        waiting = [nodes["treeids"].index(tree)]
        seen: set[int] = set()
        while waiting:
            node = waiting.pop()
            if node in seen:
                return False
            seen.add(node)
            if nodes["modes"][node] != "LEAF":
                waiting += [place[tree, nodes[side][node]] for side in ("truenodeids", "falsenodeids")]
    return True


@given(seed=st.integers(0, 2**32))
def test_random_trees_are_admitted(seed: int) -> None:
    assert ensemble(grown(np.random.default_rng(seed), 5)) == []


@given(seed=st.integers(0, 2**32))
def test_whatever_is_admitted_ends_after_a_branch_was_bent(seed: int) -> None:
    chance = np.random.default_rng(seed)
    nodes = grown(chance, 3)
    branches = [place for place, mode in enumerate(nodes["modes"]) if mode != "LEAF"]
    if not branches:
        return
    bent = branches[int(chance.integers(len(branches)))]
    same = [place for place, tree in enumerate(nodes["treeids"]) if tree == nodes["treeids"][bent]]
    nodes["truenodeids"][bent] = nodes["nodeids"][same[int(chance.integers(len(same)))]]
    if not ensemble(nodes):
        assert ends(nodes)
