"""AdaBoost: small trees, each looking harder at the rows the ones before got wrong, vote by their merit."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from onnx import TensorProto
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.constant import Constant
from holdtrue.models.blocks.forest import arrays
from holdtrue.models.blocks.holding import held_back
from holdtrue.models.blocks.links import answer, emit_answer
from holdtrue.models.blocks.trees import Tree, emit_sum
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number, whole

MOST_SURE = 1000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Voters:
    """A fitted ensemble; `classes` is 0 for regression.

    Attributes:
        missing: what a missing value of each column is read as, a number below all others: scikit-learn's AdaBoost
            takes no NaN, and there one question still tells them apart.
        sureness: by how much the votes' average is multiplied before the softmax; 1 is what scikit-learn does, which
            leaves every probability near the middle.
    """

    model: Any
    classes: int
    missing: Float32[np.ndarray, " features"]
    sureness: float = 1.0

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        if self.classes:
            return answer("softmax", self.votes(x) * self.sureness)
        with np.errstate(all="ignore"):
            return np.asarray(self.model.predict(self._filled(x)), dtype=np.float64).reshape(-1, 1)

    def votes(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows classes"]:
        """The weighted average vote for each class, divided by the number of other classes, as in SAMME."""
        with np.errstate(all="ignore"):  # scikit-learn looks for infinities by a float32 sum
            decision = np.asarray(self.model.decision_function(self._filled(x)), dtype=np.float64)
        if self.classes == 2:  # scikit-learn gives the difference of the two
            return np.stack([-decision, decision], axis=1) / 2
        return decision / (self.classes - 1)

    def emit(self, graph: Graph, features: str) -> str:
        filled = graph.node("Where", graph.node("IsNaN", features), graph.constant(self.missing), features)
        return self._emit_votes(graph, filled) if self.classes else self._emit_median(graph, filled)

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> None:
        """None: scikit-learn gives no exact attribution."""

    def _filled(self, x: Float32[np.ndarray, "rows features"]) -> Float32[np.ndarray, "rows features"]:
        return np.where(np.isnan(x), self.missing, x)

    def _emit_votes(self, graph: Graph, features: str) -> str:
        """Add the weight of each tree to the class it names and take its share from the others; then softmax."""
        weights = self.model.estimator_weights_[: len(self.model.estimators_)]
        others = -1.0 / (self.classes - 1)
        trees: list[Tree] = []
        for tree, weight in zip(self.model.estimators_, weights, strict=True):
            grown = arrays(tree)
            named = np.eye(self.classes)[grown.value.argmax(axis=1)]
            trees.append(_with_value(grown, np.where(named > 0, weight, others * weight)))
        total = emit_sum(graph, features, trees, self.classes, np.zeros(self.classes))
        scale = graph.constant(np.float64(self.sureness / (weights.sum() * (self.classes - 1))))
        return emit_answer(graph, "softmax", graph.node("Mul", total, scale))

    def _emit_median(self, graph: Graph, features: str) -> str:
        """Give the median of the trees' values, each counted by its weight (AdaBoost.R2)."""
        count = len(self.model.estimators_)
        trees = [_with_value(arrays(tree), None, first=place) for place, tree in enumerate(self.model.estimators_)]
        values = graph.cast(emit_sum(graph, features, trees, count, np.zeros(count)), TensorProto.FLOAT)
        all_ = graph.constant(np.array([count], dtype=np.int64))
        ranked, order = graph.split("TopK", values, all_, outputs=2, axis=1, largest=0, sorted=1)
        weights = graph.constant(self.model.estimator_weights_[:count].astype(np.float64))
        heap = graph.node("CumSum", graph.node("Gather", weights, order, axis=0), graph.constant(np.int64(1)))
        half = graph.node("Mul", graph.take(heap, [count - 1]), graph.constant(np.float64(0.5)))
        reached = graph.cast(graph.node("GreaterOrEqual", heap, half), TensorProto.FLOAT)
        return graph.node("GatherElements", ranked, graph.node("ArgMax", reached, axis=1, keepdims=1), axis=1)


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    if rows.classes:
        return fit_present(rows, validation, lambda present, held: _classes(present, settings, seed, held))
    return _values(rows, settings, seed)


def _classes(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    rows, held = held_back(rows, validation, seed)
    filled, missing = _fill(rows.x)
    tree = DecisionTreeClassifier(max_depth=whole(settings, "depth"))
    try:
        model = AdaBoostClassifier(tree, **_plan(settings, seed)).fit(filled, rows.y, sample_weight=rows.weight)
    except ValueError as fault:
        if "worse than random" not in str(fault):
            raise
        # No column says anything: what is left are the shares of the classes.
        shares = np.bincount(rows.y.astype(np.int64), rows.weight, minlength=rows.classes)
        return Constant(answer=(shares / shares.sum()).reshape(1, -1), features=rows.x.shape[1])
    made = Voters(model=model, classes=rows.classes, missing=missing)
    return made if held is None else replace(made, sureness=_sureness(made.votes(held.x), held))


def _sureness(votes: Float64[np.ndarray, "rows classes"], held: Rows) -> float:
    """Find the multiple of the votes that gives held rows the least log loss.

    The truth is softened as Platt did, to (n + 1) / (n + 2) for a class of n rows: few rows, all answered rightly,
    are no reason to be certain.
    """
    codes, classes = held.y.astype(np.int64), votes.shape[1]
    doubt = 1.0 / (np.bincount(codes, minlength=classes)[codes] + 2.0)
    truth = np.repeat(doubt[:, None] / (classes - 1), classes, axis=1)
    truth[np.arange(len(codes)), codes] = 1.0 - doubt

    def loss(logarithm: float) -> float:
        surprise = -(truth * log_softmax(votes * np.exp(logarithm), axis=1)).sum(axis=1)
        return float(np.average(surprise, weights=held.weight))

    return float(np.exp(minimize_scalar(loss, bounds=(0.0, np.log(MOST_SURE)), method="bounded").x))


def _values(rows: Rows, settings: Settings, seed: int) -> Fitted:
    from sklearn.ensemble import AdaBoostRegressor
    from sklearn.tree import DecisionTreeRegressor

    filled, missing = _fill(rows.x)
    # Values need finer trees than a vote: R2 gives up on a tree once its mean error passes half of its largest.
    tree = DecisionTreeRegressor(max_depth=whole(settings, "depth") + 3)
    model = AdaBoostRegressor(tree, **_plan(settings, seed)).fit(filled, rows.y, sample_weight=rows.weight)
    return Voters(model=model, classes=0, missing=missing)


def _plan(settings: Settings, seed: int) -> dict[str, Any]:
    return {
        "n_estimators": whole(settings, "trees"),
        "learning_rate": number(settings, "learning_rate"),
        "random_state": seed,
    }


def _fill(
    x: Float32[np.ndarray, "rows features"],
) -> tuple[Float32[np.ndarray, "rows features"], Float32[np.ndarray, " features"]]:
    """Put a number below all others in place of NaN."""
    low = np.where(np.isnan(x), np.float32(np.inf), x).min(axis=0)
    low = np.where(np.isfinite(low), low, np.float32(0.0))
    missing = np.maximum(low - np.maximum(np.abs(low), np.float32(1.0)), np.finfo(np.float32).min)
    return np.where(np.isnan(x), missing, x), missing


def _with_value(tree: Tree, value: "np.ndarray | None", first: int = 0) -> Tree:
    return replace(tree, value=tree.value if value is None else value, first=first)


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="tree",
    space={
        "trees": Dimension(default=100, low=20, high=400, integer=True, log=True),
        "learning_rate": Dimension(default=0.5, low=0.05, high=2.0, log=True),
        "depth": Dimension(default=2, low=1, high=6, integer=True),
    },
    fit=fit,
    paper="Freund & Schapire 1997, doi:10.1006/jcss.1997.1504; SAMME: Zhu et al. 2009; R2: Drucker 1997",
)
