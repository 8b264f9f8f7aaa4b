"""Histogram gradient boosting of scikit-learn: trees on binned columns, each correcting the sum of those before."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from threadpoolctl import threadpool_limits

from holdtrue.features.graph import Graph
from holdtrue.models.blocks.classes import fit_present
from holdtrue.models.blocks.holding import held_back
from holdtrue.models.blocks.links import Link, answer, emit_answer, two_columns
from holdtrue.models.blocks.trees import Tree, emit_sum
from holdtrue.models.learner import Dimension, Fitted, Learner, Rows, Settings
from holdtrue.models.settings import number, whole

PATIENCE_TREES = 50
FEWEST_ROWS_TAKEN_AT_THEIR_WORD = 20_000
FEWEST_CELLS_TO_SHARE = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Boosted:
    """A fitted model, cut at its best iteration; `columns` is how many raw scores it gives."""

    model: Any
    columns: int
    link: Link

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        with np.errstate(all="ignore"):  # scikit-learn looks for infinities by a sum
            raw = self.model._raw_predict(x, n_threads=_threads(x))  # the public ones apply the link
        scores = np.asarray(raw, dtype=np.float64)
        return answer(self.link, two_columns(scores) if self._is_binary else scores)

    def emit(self, graph: Graph, features: str) -> str:
        base = np.asarray(self.model._baseline_prediction, dtype=np.float64).reshape(-1)
        trees = [
            _tree(predictor.nodes, 1 if self._is_binary else place)
            for iteration in self.model._predictors
            for place, predictor in enumerate(iteration)
        ]
        base = two_columns(base) if self._is_binary else base
        return emit_answer(graph, self.link, emit_sum(graph, features, trees, len(base), base))

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> None:
        """None: scikit-learn gives no exact attribution."""

    @property
    def iterations(self) -> int:
        """How often a tree (or one a class) was added."""
        return len(self.model._predictors)

    @property
    def _is_binary(self) -> bool:
        return self.link == "softmax" and self.columns == 1


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    """Boost. With validation rows, stop once 50 further trees have not helped, and keep the best number.

    Without them a small table first finds that number on some of its own rows. A large one takes it as given: it
    overfits little, and the second fit costs as much as the first.

    Threads share out columns and rows, never a sum: their number changes no bit (there is a test).
    """
    if rows.classes:
        return fit_present(rows, validation, lambda present, held: _fit(present, settings, seed, held))
    return _fit(rows, settings, seed, validation)


def _fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Boosted:
    trees = whole(settings, "trees")
    if validation is None and len(rows.y) < FEWEST_ROWS_TAKEN_AT_THEIR_WORD:
        part, held = held_back(rows, None, seed)
        trees = trees if held is None else _boost(part, settings, seed, trees, held).iterations
    return _boost(rows, settings, seed, trees, validation)


def _boost(rows: Rows, settings: Settings, seed: int, trees: int, held: Rows | None) -> Boosted:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    plan: dict[str, Any] = {
        "max_iter": trees,
        "learning_rate": number(settings, "learning_rate"),
        "max_leaf_nodes": whole(settings, "leaves"),
        "min_samples_leaf": whole(settings, "rows_per_leaf"),
        "max_features": number(settings, "columns"),
        "l2_regularization": number(settings, "l2"),
        "early_stopping": held is not None,
        "n_iter_no_change": PATIENCE_TREES,
        "random_state": seed,
    }
    model: Any = HistGradientBoostingClassifier(**plan) if rows.classes else HistGradientBoostingRegressor(**plan)
    watched: dict[str, Any] = {}
    if held is not None:
        watched = {"X_val": held.x, "y_val": held.y, "sample_weight_val": held.weight}
    with threadpool_limits(limits=_threads(rows.x)):
        model.fit(rows.x, rows.y, sample_weight=rows.weight, **watched)
    if held is not None:
        # The first score is that of no tree at all; scikit-learn keeps the trees grown while it waited.
        del model._predictors[max(int(np.argmax(model.validation_score_)), 1) :]
    link: Link = "softmax" if rows.classes else "value"
    return Boosted(model=model, columns=model.n_trees_per_iteration_, link=link)


def _threads(x: Float32[np.ndarray, "rows features"]) -> int | None:
    """One for a small table: on a busy machine 300 trees on 8,000 rows took 16 s with two, for 0.6 s. Else all."""
    return 1 if x.size < FEWEST_CELLS_TO_SHARE else None


def _tree(nodes: "np.ndarray", first: int) -> Tree:
    """Read scikit-learn's record of a tree (no categories are split by set here: codes are numbers)."""
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=np.where(leaf, -1, nodes["feature_idx"]).astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"].astype(np.float64).reshape(-1, 1),
        first=first,
    )


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="tree",
    space={
        "trees": Dimension(default=300, low=20, high=2000, integer=True, log=True),
        "learning_rate": Dimension(default=0.06, low=0.01, high=0.3, log=True),
        "leaves": Dimension(default=31, low=4, high=255, integer=True, log=True),
        "rows_per_leaf": Dimension(default=20, low=1, high=200, integer=True, log=True),
        "columns": Dimension(default=0.8, low=0.3, high=1.0),
        "l2": Dimension(default=1e-3, low=1e-8, high=100.0, log=True),
    },
    fit=fit,
    paper="Friedman 2001, doi:10.1214/aos/1013203451; binning as in Ke et al. 2017",
)
