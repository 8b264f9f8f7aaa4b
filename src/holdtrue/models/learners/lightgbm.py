"""LightGBM: gradient boosting that grows its trees leaf by leaf on binned columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

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
ZERO = float(np.float32(1e-35))  # kZeroThreshold of LightGBM


@dataclass(frozen=True, kw_only=True, slots=True)
class Boosted:
    """A fitted booster, cut at its best iteration; `columns` is how many raw scores it gives."""

    booster: Any
    iterations: int
    columns: int
    link: Link

    def predict(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows outputs"]:
        raw = self.booster.predict(x, raw_score=True, num_iteration=self.iterations, num_threads=_threads(x))
        scores = np.asarray(raw, dtype=np.float64).reshape(len(x), self.columns)
        return answer(self.link, two_columns(scores) if self._is_binary else scores)

    def emit(self, graph: Graph, features: str) -> str:
        dumped = self.booster.dump_model(num_iteration=self.iterations)["tree_info"]
        trees = [_tree(entry["tree_structure"], place % self.columns) for place, entry in enumerate(dumped)]
        if self._is_binary:
            # The first column stays zero: the softmax of (0, z) is the sigmoid of z.
            trees = [_tree(entry["tree_structure"], 1) for entry in dumped]
        outputs = 2 if self._is_binary else self.columns
        return emit_answer(graph, self.link, emit_sum(graph, features, trees, outputs, np.zeros(outputs)))

    def contributions(self, x: Float32[np.ndarray, "rows features"]) -> Float64[np.ndarray, "rows features"]:
        """Exact Shapley values of the trees (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9)."""
        asked: dict[str, Any] = {"num_iteration": self.iterations, "num_threads": _threads(x)}
        shares = np.asarray(self.booster.predict(x, pred_contrib=True, **asked))
        last_class = shares.reshape(len(x), self.columns, x.shape[1] + 1)[:, -1]
        return last_class[:, :-1].astype(np.float64)

    @property
    def _is_binary(self) -> bool:
        return self.link == "softmax" and self.columns == 1


def fit(rows: Rows, settings: Settings, seed: int, validation: Rows | None) -> Fitted:
    """Boost. With validation rows, stop once 50 further trees have not helped, and keep the best number.

    Without them a small table first finds that number on some of its own rows. A large one takes it as given: it
    overfits little, and the second fit costs as much as the first.

    `deterministic` with `force_row_wise` makes the bits independent of the number of threads (there is a test).
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
    import lightgbm

    kind = "regression" if rows.classes == 0 else "binary" if rows.classes == 2 else "multiclass"
    plan: dict[str, Any] = {
        "objective": kind,
        "num_class": rows.classes if kind == "multiclass" else 1,
        "learning_rate": number(settings, "learning_rate"),
        "num_leaves": whole(settings, "leaves"),
        "min_data_in_leaf": whole(settings, "rows_per_leaf"),
        "feature_fraction": number(settings, "columns"),
        "bagging_fraction": number(settings, "rows"),
        "bagging_freq": 1,
        "lambda_l2": number(settings, "l2"),
        "seed": seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": _threads(rows.x),
        "verbosity": -1,
    }
    train = lightgbm.Dataset(rows.x, rows.y, weight=rows.weight, params=plan)
    watched: list[Any] = []
    stop: list[Any] = []
    if held is not None:
        watched = [lightgbm.Dataset(held.x, held.y, weight=held.weight, reference=train, params=plan)]
        stop = [lightgbm.early_stopping(PATIENCE_TREES, verbose=False)]
    booster = lightgbm.train(plan, train, trees, valid_sets=watched, callbacks=stop)
    return Boosted(
        booster=booster,
        # 0 where LightGBM found nothing left to split before the callback had its last word.
        iterations=booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration(),
        columns=rows.classes if kind == "multiclass" else 1,
        link="softmax" if rows.classes else "value",
    )


def _threads(x: Float32[np.ndarray, "rows features"]) -> int:
    """One for a small table: on a busy machine threads wait for each other longer than they work. Else all (0)."""
    return 1 if x.size < FEWEST_CELLS_TO_SHARE else 0


def _tree(root: dict[str, Any], first: int) -> Tree:
    """Read a dumped tree; its nodes are numbered from the root downwards."""
    nodes = list(_walk(root))
    place = {id(node): number_ for number_, node in enumerate(nodes)}
    feature = np.full(len(nodes), -1, dtype=np.int64)
    left, right = np.zeros_like(feature), np.zeros_like(feature)
    threshold, value = np.zeros(len(nodes)), np.zeros((len(nodes), 1))
    missing_left = np.zeros(len(nodes), dtype=bool)
    for number_, node in enumerate(nodes):
        if "leaf_value" in node:
            value[number_, 0] = node["leaf_value"]
            continue
        feature[number_], threshold[number_] = node["split_feature"], _without_zeros(node["threshold"])
        left[number_], right[number_] = place[id(node["left_child"])], place[id(node["right_child"])]
        # Where training rows lacked no value, LightGBM reads NaN as zero.
        missing_left[number_] = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0.0
    return Tree(
        feature=feature,
        threshold=threshold,
        left=left,
        right=right,
        missing_left=missing_left,
        value=value,
        first=first,
    )


def _without_zeros(threshold: float) -> float:
    """Move a threshold out of the numbers that LightGBM reads as zero: its rows are sparse, and drop them.

    A row of exactly -1e-35 is not at most a threshold of -1e-35, as it is 0 by then.
    """
    if -ZERO <= threshold < 0.0:
        return float(np.nextafter(-ZERO, -np.inf))
    return ZERO if 0.0 <= threshold < ZERO else threshold


def _walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through a tree without recursion: leaf-wise trees can be deep."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if "leaf_value" not in node:
            waiting += [node["right_child"], node["left_child"]]


PLUGIN = Learner(
    tasks=frozenset({"classification", "regression"}),
    flavour="tree",
    space={
        "trees": Dimension(default=500, low=20, high=3000, integer=True, log=True),
        "learning_rate": Dimension(default=0.05, low=0.01, high=0.3, log=True),
        "leaves": Dimension(default=31, low=4, high=255, integer=True, log=True),
        "rows_per_leaf": Dimension(default=20, low=1, high=200, integer=True, log=True),
        "columns": Dimension(default=0.8, low=0.3, high=1.0),
        "rows": Dimension(default=0.9, low=0.4, high=1.0),
        "l2": Dimension(default=1e-3, low=1e-8, high=100.0, log=True),
    },
    fit=fit,
    paper="Ke et al. 2017, LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS",
)
