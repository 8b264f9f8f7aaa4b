"""Numbers are filled, bent, scaled and clipped as scikit-learn and numpy would, without losing digits."""

import numpy as np
import polars as pl
import pytest
from jaxtyping import Float32, Float64
from onnx import TensorProto
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from holdtrue.features.graph import NUMBER, Graph
from holdtrue.features.runtime import session
from holdtrue.features.scaling import MOST_DEVIATIONS, Scaling, emit_scaled, fit_scaling
from holdtrue.features.session import run

NAN = float("nan")


def written(scaling: Scaling, wide: Float64[np.ndarray, "_ _"]) -> Float32[np.ndarray, "_ _"]:
    graph = Graph()
    names = [f"x{place}" for place in range(wide.shape[1])]
    beside = graph.node("Concat", *[graph.input(name, NUMBER) for name in names], axis=1)
    parts = emit_scaled(graph, beside, scaling)
    width = len(scaling.values) + len(scaling.indicators)
    graph.output("features", graph.node("Concat", *parts, axis=1), TensorProto.FLOAT, [None, width])
    return run(session(graph.model().SerializeToString()), pl.DataFrame(wide, schema=names))["features"]


def test_it_is_median_and_standard_scaler() -> None:
    chance = np.random.default_rng(0)
    wide = chance.normal(size=(200, 3)) * [1.0, 1e-3, 1e4] + [0.0, 5.0, 1e6]
    wide[chance.random(wide.shape) < 0.2] = NAN
    wide[:, 2] = np.nan_to_num(wide[:, 2], nan=1e6)
    expected = StandardScaler().fit_transform(SimpleImputer(strategy="median").fit_transform(wide))
    made = written(fit_scaling(wide, bendable=3), wide)
    np.testing.assert_allclose(made[:, :3], expected, rtol=1e-6, atol=1e-7)
    assert (made[:, 3:] == np.isnan(wide[:, :2])).all()


def test_a_large_offset_costs_no_digits() -> None:
    """In float32, 1e9 + 1 is 1e9: the difference has to be taken before the cast."""
    wide = np.array([[1e9 + step] for step in range(10)])
    made = written(fit_scaling(wide, bendable=1), wide)
    np.testing.assert_allclose(np.diff(made[:, 0]), 1 / np.arange(10.0).std(), rtol=1e-6)


def test_no_value_counts_further_out_than_the_limit() -> None:
    scaling = fit_scaling(np.arange(100.0).reshape(-1, 1), bendable=1)
    far = np.array([[1e300], [-1e300], [float("inf")], [-float("inf")], [NAN]])
    assert written(scaling, far)[:, 0].tolist() == [
        MOST_DEVIATIONS,
        -MOST_DEVIATIONS,
        MOST_DEVIATIONS,
        -MOST_DEVIATIONS,
        0,
    ]


def test_a_heavy_tail_is_bent_and_keeps_its_order() -> None:
    column = np.exp(np.random.default_rng(0).normal(size=500) * 2).reshape(-1, 1)
    scaling = fit_scaling(column, bendable=1)
    assert scaling.unit[0] == pytest.approx(column.std())
    made = written(scaling, column)[:, 0]
    bent = np.log1p(column[:, 0] / column.std())
    np.testing.assert_allclose(made, (bent - bent.mean()) / bent.std(), rtol=1e-5, atol=1e-6)
    assert (np.diff(made[np.argsort(column[:, 0])]) >= 0).all()


def test_bending_takes_the_sign_along() -> None:
    column = np.concatenate([np.zeros(400), [1e3, 1e6, 2e6]]).reshape(-1, 1)
    scaling = fit_scaling(column, bendable=1)
    assert scaling.unit[0] > 0
    up, down = written(scaling, np.array([[1e5], [-1e5]]))[:, 0] + scaling.centre[0] / scaling.spread[0]
    assert up == pytest.approx(-down, rel=1e-5)


@pytest.mark.parametrize(("column", "bendable"), [([0.0] * 99 + [1.0], 1), (np.exp(np.arange(50.0)).tolist(), 0)])
def test_two_values_and_date_parts_are_not_bent(column: list[float], bendable: int) -> None:
    assert fit_scaling(np.array(column).reshape(-1, 1), bendable=bendable).unit == (0.0,)


def test_what_never_changes_is_dropped_but_its_gaps_are_not() -> None:
    wide = np.array([[3.0, 1.0, NAN], [NAN, 1.0, NAN], [3.0, 1.0, NAN]])
    scaling = fit_scaling(wide, bendable=3)
    assert (scaling.values, scaling.indicators) == ((), (0,))
    assert written(scaling, wide).tolist() == [[0], [1], [0]]
