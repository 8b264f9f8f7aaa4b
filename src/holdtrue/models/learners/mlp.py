"""A small neural network: one or two hidden layers, trained with Adam until held-out rows stop gaining."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64
from onnx import TensorProto
from scipy.special import logsumexp

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.classes import fit_present, taken
from holdtrue.models.blocks.links import Link, answer, emit_answer, emit_bounded, two_columns
from holdtrue.models.blocks.platt import stratified
from holdtrue.models.blocks.solver import calm
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number, whole

MOST_EPOCHS = 200
PATIENCE_EPOCHS = 10
HELD_SHARE = 10  # one row in ten decides when to stop, where the caller gives no validation rows
FEWEST_TO_HOLD = 50
BLIND_EPOCHS = 60  # with too few rows to hold any back, nothing says when to stop


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Layers of weighted sums with rectifiers between; features are held within the range of the training rows."""

    low: Float32[np.ndarray, " features"]
    high: Float32[np.ndarray, " features"]
    weights: tuple[Float64[np.ndarray, "_ _"], ...]
    offsets: tuple[Float64[np.ndarray, " _"], ...]
    link: Link

    def scores(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        signal = np.clip(x, self.low, self.high).astype(np.float64)
        for weights, offset in zip(self.weights[:-1], self.offsets[:-1], strict=True):
            signal = np.maximum(signal @ weights + offset, 0.0)
        return signal @ self.weights[-1] + self.offsets[-1]

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        return answer(self.link, self.scores(x))

    def emit(self, graph: Graph, features: str) -> str:
        held = emit_bounded(graph, features, self.low, self.high)
        signal = graph.cast(held, TensorProto.DOUBLE)
        for number_, (weights, offset) in enumerate(zip(self.weights, self.offsets, strict=True)):
            signal = graph.node("Relu", signal) if number_ else signal
            signal = graph.node("Add", graph.node("MatMul", signal, graph.constant(weights)), graph.constant(offset))
        return emit_answer(graph, self.link, signal)

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> None:
        return None


@runtime_checkable
class Net(Protocol):
    """What is used of scikit-learn's networks."""

    @property
    def coefs_(self) -> Sequence[np.ndarray]: ...
    @property
    def intercepts_(self) -> Sequence[np.ndarray]: ...


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    if rows.classes:
        return fit_present(rows, validation, lambda present, held: _classes(present, settings, seed, held))
    return _values(rows, settings, seed, validation)


def _classes(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Network:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(**_plan(settings, seed, len(rows.y)))
    codes = np.arange(rows.classes, dtype=np.float64)

    def epoch(part: Rows) -> Network:
        model.partial_fit(part.x.astype(np.float64), part.y, sample_weight=part.weight, classes=codes)
        return _read(model, rows, "softmax")

    return _train(rows, seed, validation, epoch)


def _values(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Network:
    from sklearn.neural_network import MLPRegressor

    middle, spread = float(rows.y.mean()), float(rows.y.std()) or 1.0
    model = MLPRegressor(**_plan(settings, seed, len(rows.y)))

    def epoch(part: Rows) -> Network:
        model.partial_fit(part.x.astype(np.float64), part.y, sample_weight=part.weight)
        return _read(model, rows, "value")

    scaled = replace(rows, y=(rows.y - middle) / spread)
    held = None if validation is None else replace(validation, y=(validation.y - middle) / spread)
    made = _train(scaled, seed, held, epoch)
    weights, offsets = made.weights[-1] * spread, made.offsets[-1] * spread + middle
    return replace(made, weights=(*made.weights[:-1], weights), offsets=(*made.offsets[:-1], offsets))


def _plan(settings: Settings, seed: int, rows: int) -> dict[str, Any]:
    return {
        "hidden_layer_sizes": (whole(settings, "units"),) * whole(settings, "layers"),
        "alpha": number(settings, "alpha"),
        "learning_rate_init": number(settings, "learning_rate"),
        "batch_size": min(max(rows // 50, 32), 256, max(rows * 9 // 10, 1)),
        "random_state": seed,
    }


def _read(model: Net, rows: Rows, link: Link) -> Network:
    """Copy the weights: the optimizer goes on changing them in place."""
    weights = [np.array(part, dtype=np.float64) for part in model.coefs_]
    offsets = [np.array(part, dtype=np.float64) for part in model.intercepts_]
    if rows.classes == 2:
        weights[-1], offsets[-1] = two_columns(weights[-1]), two_columns(offsets[-1])
    return Network(
        low=rows.x.min(axis=0), high=rows.x.max(axis=0), weights=tuple(weights), offsets=tuple(offsets), link=link
    )


def _train(rows: Rows, seed: int, validation: Rows | None, epoch: Callable[[Rows], Network]) -> Network:
    """Go over the rows until the held rows have not gained for some epochs; give the best state."""
    part, held = rows, validation
    if held is None and len(rows.y) >= FEWEST_TO_HOLD:
        groups = rows.y if rows.classes else np.zeros(len(rows.y))
        out = stratified(groups, HELD_SHARE, seed) == 0
        part, held = taken(rows, ~out), taken(rows, out)
    with calm():
        best = epoch(part)
        least, waited = _loss(best, held), 0
        for _ in range((BLIND_EPOCHS if held is None else MOST_EPOCHS) - 1):
            made = epoch(part)
            loss = _loss(made, held)
            if held is None or loss < least:
                best, least, waited = made, loss, 0
                continue
            waited += 1
            if waited == PATIENCE_EPOCHS:
                break
    return best


def _loss(network: Network, held: Rows | None) -> float:
    if held is None:
        return 0.0
    scores = network.scores(held.x)
    if held.classes:
        each = logsumexp(scores, axis=1) - scores[np.arange(len(scores)), held.y.astype(np.int64)]
    else:
        each = (scores[:, 0] - held.y) ** 2
    return float(np.average(each, weights=held.weight))


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="linear",
    space={
        "units": Dimension(default=32, low=4, high=256, log=True, integer=True),
        "layers": Dimension(default=1, choices=(1, 2)),
        "alpha": Dimension(default=1e-4, low=1e-6, high=1.0, log=True),
        "learning_rate": Dimension(default=3e-3, low=1e-4, high=3e-2, log=True),
    },
    fit=fit,
    paper="Rumelhart, Hinton & Williams 1986, doi:10.1038/323533a0; Adam: Kingma & Ba 2015, arXiv:1412.6980",
    most_rows=100_000,
)
