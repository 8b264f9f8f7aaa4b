"""Rows on the edges: around every split, at the ends of types and of the calendar."""

import numpy as np
import polars as pl
import pytest

from holdtrue.features.encoder import fit, transform
from holdtrue.models.boundary import boundary_rows, edges_of, proving_rows, random_rows
from holdtrue.models.export import Deployed, assemble
from holdtrue.models.learner import LEARNERS, Rows
from holdtrue.models.settings import defaults

KINDS = {"size": "number", "day": "date", "colour": "category"}


def table(rows: int = 500, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    chance = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "size": chance.normal(size=rows).round(2),
            "day": chance.integers(0, 3000, rows) * 86_400.0,
            "colour": chance.choice(["red", "green", "blue"], rows),
        }
    )
    return frame, (frame["size"].to_numpy() + frame["day"].to_numpy() / 86_400 / 1500 > 1).astype(np.float64)


def test_edges_are_the_thresholds_in_the_unit_of_the_column() -> None:
    frame, truth = table()
    encoder = fit(frame, KINDS, "tree")
    learner = LEARNERS.get("decision_tree")
    fitted = learner.fit(Rows(x=transform(encoder, frame), y=truth, classes=2), defaults(learner.space), 0, None)
    edges = edges_of(assemble(Deployed(encoder=encoder, classes=("no", "yes")), fitted), encoder)
    tree = fitted.model.tree_  # pyright: ignore[reportAttributeAccessIssue]
    for name, column, unit in (("size", "size", 1.0), ("day (days)", "day", 86_400.0)):
        place = encoder.names.index(name)
        expected = np.unique(tree.threshold[tree.feature == place]) * unit
        assert len(expected)
        np.testing.assert_allclose(edges[column], expected + (encoder.references[0] if column == "day" else 0.0))


def test_a_model_without_trees_has_no_edges() -> None:
    frame, truth = table()
    encoder = fit(frame, KINDS, "linear")
    fitted = LEARNERS.get("logistic").fit(Rows(x=transform(encoder, frame), y=truth, classes=2), {"c": 1.0}, 0, None)
    assert edges_of(assemble(Deployed(encoder=encoder, classes=("no", "yes")), fitted), encoder) == {}


@pytest.mark.parametrize("edge", [0.1, -1e30, 16_777_216.5, 0.0])
def test_a_number_is_put_on_the_edge_and_beside_it_in_both_precisions(edge: float) -> None:
    cells = set(boundary_rows(table()[0], KINDS, {"size": [edge]}, 0)["size"].drop_nulls().to_list())
    near = np.float32(edge)
    assert {
        edge,
        float(np.nextafter(edge, np.inf)),
        float(np.nextafter(edge, -np.inf)),
        float(near),
        float(np.nextafter(near, np.float32(np.inf))),
        float(np.nextafter(near, np.float32(-np.inf))),
    } <= cells


def test_every_kind_of_odd_cell_is_there() -> None:
    frame = table()[0]
    made = boundary_rows(frame, KINDS, {}, 0)
    assert {"red", "green", "blue", "", "RED"} & set(made["colour"].drop_nulls().to_list()) >= {
        "red",
        "green",
        "blue",
        "",
    }
    assert "a name never seen" in made["colour"]
    assert float("inf") in made["size"]
    assert -1.0 in made["day"]  # the last second of 1969
    assert made.filter(pl.all_horizontal(pl.all().is_null())).height == 1
    assert made.schema == frame.schema


def test_drawn_rows_keep_each_column_and_mix_the_rows() -> None:
    frame = pl.DataFrame({"a": np.arange(100.0), "b": np.arange(100.0)})
    made = random_rows(frame, 1000, 0)
    assert set(made["a"].to_list()) <= set(range(100))
    assert (made["a"] != made["b"]).mean() > 0.9  # pyright: ignore[reportOperatorIssue]


def test_the_rows_of_a_proof_are_the_same_for_a_seed() -> None:
    frame = table()[0]
    first, again = (proving_rows(frame, frame, KINDS, {"size": [0.5]}, 3) for _ in range(2))
    assert list(first) == ["real", "boundary", "random"]
    assert all(first[kind].equals(again[kind]) for kind in first)


def test_columns_without_a_value_make_rows_as_well() -> None:
    frame = pl.DataFrame(
        {"size": [None, None], "colour": [None, None]}, schema={"size": pl.Float64, "colour": pl.String}
    )
    assert boundary_rows(frame, {"size": "number", "colour": "category"}, {}, 0).height > 20
