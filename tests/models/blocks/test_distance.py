"""Squared distances agree with the plain sum of squares."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from scipy.spatial.distance import cdist

from holdtrue.features.graph import Graph
from holdtrue.features.runtime import session
from holdtrue.models.blocks.distance import Kept


@pytest.mark.parametrize("away", [0.0, 1e5])
def test_distances_keep_their_digits_far_from_the_origin(away: float) -> None:
    chance = np.random.default_rng(0)
    kept = Kept.around_mean((chance.normal(size=(30, 4)) + away).astype(np.float32))
    x = (chance.normal(size=(7, 4)) + away).astype(np.float32)
    expected = cdist(x.astype(np.float64), kept.rows.astype(np.float64), "sqeuclidean")
    np.testing.assert_allclose(kept.squared(x), expected, rtol=1e-9, atol=1e-12)

    graph = Graph()
    graph.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4]))
    graph.output("squared", kept.emit_squared(graph, "x"), TensorProto.DOUBLE, [None, 30])
    told = session(graph.model().SerializeToString()).run(["squared"], {"x": x})[0]
    np.testing.assert_allclose(np.asarray(told), expected, rtol=1e-9, atol=1e-12)


def test_no_distance_is_negative() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    assert Kept.around_mean(rows).squared(rows).min() >= 0
