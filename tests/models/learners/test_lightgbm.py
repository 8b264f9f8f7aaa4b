"""LightGBM: parity with the library used by hand, bits that do not depend on threads, exact contributions."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from onnx import TensorProto, helper
from sklearn.metrics import roc_auc_score

from holdtrue.features.encoder import fit, transform
from holdtrue.features.graph import Graph
from holdtrue.features.runtime import session
from holdtrue.models.blocks.holding import held_back
from holdtrue.models.learner import Rows, Settings
from holdtrue.models.learners import lightgbm as lightgbm_learner
from holdtrue.models.learners.lightgbm import PLUGIN
from holdtrue.models.problems import problem
from holdtrue.models.settings import defaults

DATA = Path(os.environ.get("HOLDTRUE_TEST_DATA", ""))
QUICK: Settings = {**defaults(PLUGIN.space), "trees": 40}


def by_hand(rows: Rows, trees: int) -> lightgbm.Booster:
    plan: dict[str, Any] = {
        "objective": "binary",
        "learning_rate": 0.05,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.9,
        "bagging_freq": 1,
        "lambda_l2": 1e-3,
        "seed": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    return lightgbm.train({**plan, "num_threads": 1}, lightgbm.Dataset(rows.x, rows.y), trees)


def test_it_predicts_what_the_library_predicts() -> None:
    rows, held = problem("binary", "tree", rows=2000), problem("binary", "tree", rows=300, seed=1)
    fitted = PLUGIN.fit(rows, QUICK, 1, held)
    trees: int = fitted.iterations  # pyright: ignore[reportAttributeAccessIssue]
    expected = np.asarray(by_hand(rows, trees).predict(held.x))
    np.testing.assert_allclose(fitted.predict(held.x)[:, 1], expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "three", "regression"])
def test_threads_change_no_bit(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = problem(kind, "tree", rows=3000, features=12)
    rows = replace(rows, weight=np.random.default_rng(0).random(3000))
    written: list[bytes] = []
    for threads in (1, 2):
        monkeypatch.setattr(lightgbm_learner, "_threads", lambda x, count=threads: count)
        graph = Graph()
        PLUGIN.fit(rows, {**QUICK, "trees": 10}, 7, None).emit(graph, "x")
        written.append(b"".join(node.SerializeToString() for node in graph.nodes))
    assert written[0] == written[1]


def test_validation_rows_stop_it_at_the_best_number_of_trees() -> None:
    rows, held = problem("binary", "tree", rows=400), problem("binary", "tree", rows=400, seed=1)
    fitted: Any = PLUGIN.fit(rows, {**QUICK, "trees": 800}, 0, held)
    assert fitted.iterations < 800
    losses = [
        -np.log(
            np.clip(replace(fitted, iterations=count).predict(held.x)[np.arange(400), held.y.astype(int)], 1e-15, 1)
        ).mean()
        for count in range(1, fitted.iterations + 40)
    ]
    assert int(np.argmin(losses)) + 1 == fitted.iterations


def test_a_small_table_finds_its_number_of_trees_and_then_uses_every_row() -> None:
    rows = problem("binary", "tree", rows=400)
    part, held = held_back(rows, None, 3)
    stopped: Any = PLUGIN.fit(part, {**QUICK, "trees": 800}, 3, held)
    fitted: Any = PLUGIN.fit(rows, {**QUICK, "trees": 800}, 3, None)
    assert fitted.iterations == stopped.iterations < 800
    assert not np.array_equal(fitted.predict(rows.x), stopped.predict(rows.x))


def test_contributions_and_the_mean_score_sum_to_the_raw_score() -> None:
    rows = problem("three", "tree", rows=600)
    fitted: Any = PLUGIN.fit(rows, QUICK, 0, None)
    parts = fitted.contributions(rows.x)
    raw = np.asarray(fitted.booster.predict(rows.x, raw_score=True, num_iteration=fitted.iterations))[:, -1]
    rest = raw - parts.sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], atol=1e-9)


def test_numbers_that_the_library_reads_as_zero_are_zero_in_the_graph() -> None:
    """A column with zeros and negative numbers is split at -1e-35, and a row of just that is a zero to LightGBM."""
    tiny = np.float32(1e-35)
    x = np.tile(np.array([-1.0, 0.0, 1.0], dtype=np.float32), 200).reshape(-1, 1)
    fitted: Any = PLUGIN.fit(Rows(x=x, y=np.sin(3 * x[:, 0].astype(np.float64) + 1), classes=0), QUICK, 0, None)
    edges = [np.nextafter(sign * tiny, np.float32(way)) for sign in (-1, 1) for way in (-1, 0, 1)]
    held = np.array([-tiny, tiny, *edges, 0.0, 1e-40, -1e-40, 1e-30, -1e-30], dtype=np.float32).reshape(-1, 1)
    graph = Graph()
    graph.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1]))
    graph.output("value", fitted.emit(graph, "x"), TensorProto.FLOAT, [None, 1])
    answered = session(graph.model().SerializeToString()).run(["value"], {"x": held})[0]
    assert len(np.unique(fitted.predict(held))) == 3
    np.testing.assert_allclose(np.asarray(answered), fitted.predict(held), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.realdata
def test_it_reaches_the_known_quality_on_adult() -> None:
    """By hand, LightGBM reaches an AUC of 0.927 to 0.929 on the split that ships with Adult."""
    names = [f"c{place}" for place in range(14)]
    numbers = ("c0", "c2", "c4", "c10", "c11", "c12")

    def read(part: str) -> tuple[pl.DataFrame, np.ndarray]:
        raw = pl.read_csv(DATA / "adult" / f"adult-{part}.csv.gz", has_header=False, infer_schema=False)
        raw = raw.rename(dict(zip(raw.columns, [*names, "income"], strict=True))).drop_nulls("income")
        raw = raw.with_columns(pl.all().str.strip_chars().replace("?", None))
        truth = raw["income"].str.starts_with(">50K").cast(pl.Float64).to_numpy()
        return raw.select(names).with_columns(pl.col(numbers).cast(pl.Float64)), truth

    train, truth = read("train")
    test, test_truth = read("test")
    encoder = fit(train, {name: "number" if name in numbers else "category" for name in names}, "tree")
    rows = Rows(x=transform(encoder, train), y=truth, classes=2)
    held = np.random.default_rng(0).random(len(truth)) < 0.1
    parts = [replace(rows, x=rows.x[mask], y=rows.y[mask]) for mask in (~held, held)]
    fitted = PLUGIN.fit(parts[0], defaults(PLUGIN.space), 0, parts[1])
    assert roc_auc_score(test_truth, fitted.predict(transform(encoder, test))[:, 1]) >= 0.927
