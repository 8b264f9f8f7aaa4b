"""Small problems on which a learner shows that it keeps the contract, and its graph run beside it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64
from onnx import TensorProto, helper

from holdtrue.features.graph import Graph
from holdtrue.features.runtime import session
from holdtrue.models.learner import Fitted, Learner, Rows
from holdtrue.models.settings import defaults

Kind = Literal["binary", "three", "regression"]

CLASSES: dict[Kind, int] = {"binary": 2, "three": 3, "regression": 0}
SEED = 20_240_501


def kinds(learner: Learner) -> Iterator[Kind]:
    """Name the kinds of problem that a learner's tasks ask of it."""
    if "classification" in learner.tasks:
        yield "binary"
        yield "three"
    if "regression" in learner.tasks:
        yield "regression"


def problem(kind: Kind, flavour: str, *, rows: int = 240, features: int = 5, seed: int = SEED) -> Rows:
    """Draw rows whose target follows the first two features, the second one bent.

    The last column holds zeros and ones, as a category does. Trees also get codes and missing values.
    """
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(rows, features)).astype(np.float32)
    if features > 1:
        x[:, -1] = chance.integers(0, 2, rows)
    bent = np.abs(x[:, 1]) if features > 2 else 0.0
    score = 2.0 * x[:, 0].astype(np.float64) + bent + 0.4 * chance.normal(size=rows)
    if flavour == "tree" and features > 2:
        x[:, 2] = chance.integers(-1, 6, rows)
        x[chance.random(rows) < 0.15, 1] = np.nan
    if not CLASSES[kind]:
        return Rows(x=x, y=50.0 + 10.0 * score, classes=0)
    cuts = np.quantile(score, np.arange(1, CLASSES[kind]) / CLASSES[kind])
    return Rows(x=x, y=np.searchsorted(cuts, score).astype(np.float64), classes=CLASSES[kind])


def extreme(rows: Rows) -> Float32[np.ndarray, "rows features"]:
    """Rows at and beyond the edge of what was seen: ends, zeros, the next float on either side, huge values."""
    low, high = np.nanmin(rows.x, axis=0), np.nanmax(rows.x, axis=0)
    beside = [np.nextafter(rows.x[:20], np.float32(end)) for end in (-np.inf, np.inf)]
    # The magnitudes differ by feature: equal ones could cancel by luck.
    huge = [np.arange(1, len(low) + 1) * np.float32(size) for size in (1e3, -1e3, 1e6, 1e30, -1e30, 3e37, -3e37)]
    return np.concatenate([np.stack([low, high, np.zeros_like(low), *huge]), *beside]).astype(np.float32)


def fit(learner: Learner, rows: Rows, *, seed: int = 7, validation: Rows | None = None) -> Fitted:
    return learner.fit(rows, defaults(learner.space), seed, validation)


def ready(learner: Learner, kind: Kind) -> Fitted:
    """Fit the default settings to the standard problem, once a process."""
    return _ready(learner.fit, tuple(defaults(learner.space).items()), kind, learner.flavour)


@cache
def _ready(function, items, kind: Kind, flavour: str) -> Fitted:  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]
    return function(problem(kind, flavour), dict(items), 7, None)


def written(fitted: Fitted, features: int) -> bytes:
    """Write a fitted model as a graph of one float32 input."""
    graph = Graph()
    graph.inputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, features]))
    graph.output("answer", fitted.emit(graph, "features"), TensorProto.FLOAT, [None, None])
    return graph.model().SerializeToString(deterministic=True)


def graph_answers(fitted: Fitted, *batches: Float32[np.ndarray, "_rows features"]) -> list[Float32[np.ndarray, "_ _"]]:
    made = session(written(fitted, batches[0].shape[1]))
    return [np.asarray(made.run(["answer"], {"features": batch})[0]) for batch in batches]


def worst_difference(
    fitted: Fitted, rows: Rows, *batches: Float32[np.ndarray, "_rows features"]
) -> tuple[float, Float64[np.ndarray, "_ _"]]:
    """Give the largest difference between model and graph, and the model's answers.

    Probabilities are compared as they are; values in their own size or the spread of the target, the larger.
    """
    told = [fitted.predict(batch) for batch in batches]
    wrote = graph_answers(fitted, *batches)
    worst = 0.0
    for model, graph in zip(told, wrote, strict=True):
        assert graph.dtype == np.float32, f"the graph answers in {graph.dtype}, not in float32"
        assert graph.shape == model.shape, f"the graph answers {graph.shape}, the model {model.shape}"
        size = 1.0 if rows.classes else np.maximum(np.abs(model), float(rows.y.std()) or 1.0)
        worst = max(worst, float(np.max(np.abs(model - graph) / size, initial=0.0)))
    return worst, np.concatenate(told)


def weighted(rows: Rows, *, heavy: "np.ndarray", by: float) -> Rows:
    return replace(rows, weight=np.where(heavy, by, 1.0))
