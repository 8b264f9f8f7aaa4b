"""The script people write without Holdtrue: the same fits on the same rows, and the usual metrics; nothing else.

    python bare.py plan.json > metrics.json

The plan says which settings to try, which to keep, and how many folds and points of the learning curve to fit.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from sklearn import metrics
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Places = Int64[np.ndarray, " places"]
Answers = Float64[np.ndarray, " rows"]
MONTHS = pd.date_range("2015-01-01", periods=12, freq="MS").month_name().tolist()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The columns a model may see and the truth, in the order of time."""

    features: pd.DataFrame
    truth: Float64[np.ndarray, " rows"]

    @property
    def words(self) -> list[str]:
        return [str(name) for name in self.features if not pd.api.types.is_numeric_dtype(self.features[name])]


def read(source: str, unseen: list[str]) -> Rows:
    frame = pd.read_csv(source)
    day = frame["arrival_date_year"] * 10_000 + (frame["arrival_date_month"].map(MONTHS.index) + 1) * 100
    frame = frame.iloc[np.argsort(day + frame["arrival_date_day_of_month"], kind="stable")].reset_index(drop=True)
    return Rows(features=frame.drop(columns=unseen), truth=frame["is_canceled"].to_numpy(dtype=np.float64))


def codes(rows: Rows, known: Places, *others: Places) -> list[np.ndarray]:
    """Encode text by its rank among the known rows; a matrix for them and one for each of the others.

    Numbers come first, a name that came once is like one that never came. That is the order and the rule of Holdtrue's
    encoder: with another one early stopping would stop elsewhere, and the fits would not be the same.
    """
    words = rows.words
    numbers = [str(name) for name in rows.features if name not in words]
    ranks: dict[str, dict[str, int]] = {}
    for name in words:
        counts = sorted(
            rows.features[name].iloc[known].value_counts().items(), key=lambda pair: (-pair[1], str(pair[0]))
        )
        ranks[name] = {str(value): place for place, (value, count) in enumerate(counts) if count > 1}
    made: list[np.ndarray] = []
    for places in (known, *others):
        part = rows.features.iloc[places]
        table = part[numbers].astype("float32")
        for name in words:
            code = part[name].map(ranks[name])
            table[name] = code.where(code.notna() | part[name].isna(), len(ranks[name])).astype("float32")
        made.append(table.to_numpy())
    return made


def boost(
    x: np.ndarray, y: Answers, settings: Mapping[str, Any], held: tuple[np.ndarray, Answers] | None, patience: int
) -> lightgbm.Booster:
    plan: dict[str, Any] = {
        "objective": "binary",
        "learning_rate": settings["learning_rate"],
        "num_leaves": settings["leaves"],
        "min_data_in_leaf": settings["rows_per_leaf"],
        "feature_fraction": settings["columns"],
        "bagging_fraction": settings["rows"],
        "bagging_freq": 1,
        "lambda_l2": settings["l2"],
        "seed": 7,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    train = lightgbm.Dataset(x, y, params=plan)
    if held is None:
        return lightgbm.train(plan, train, settings["trees"])
    watched = lightgbm.Dataset(held[0], held[1], reference=train, params=plan)
    stop = [lightgbm.early_stopping(patience, verbose=False)]
    return lightgbm.train(plan, train, settings["trees"], valid_sets=[watched], callbacks=stop)


def logistic(rows: Rows, known: Places, c: float) -> Any:
    """A pipeline as in scikit-learn's guide; columns one-hot, filled and scaled."""
    words = rows.words
    numbers = [name for name in rows.features if name not in words]
    spread = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, max_categories=50)
    columns = ColumnTransformer(
        [
            ("words", make_pipeline(SimpleImputer(strategy="constant", fill_value=""), spread), words),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ],
        sparse_threshold=0.0,
    )
    model = make_pipeline(columns, LogisticRegression(C=c, max_iter=2_000, tol=1e-5))
    features = rows.features.astype(dict.fromkeys(words, object))
    return model.fit(features.iloc[known], rows.truth[known])


def measured(truth: Answers, answers: Answers) -> dict[str, float]:
    decided = answers >= 0.5
    return {
        "roc_auc": float(metrics.roc_auc_score(truth, answers)),
        "pr_auc": float(metrics.average_precision_score(truth, answers)),
        "log_loss": float(metrics.log_loss(truth, answers)),
        "brier": float(metrics.brier_score_loss(truth, answers)),
        "accuracy": float(metrics.accuracy_score(truth, decided)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(truth, decided)),
        "precision": float(metrics.precision_score(truth, decided)),
        "recall": float(metrics.recall_score(truth, decided)),
        "f1": float(metrics.f1_score(truth, decided)),
        "mcc": float(metrics.matthews_corrcoef(truth, decided)),
    }


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    rows = read(plan["source"], plan["unseen"])
    count = len(rows.truth)
    every = np.arange(count)
    cuts = [round(count * (1 - plan["test"] - plan["validation"])), round(count * (1 - plan["test"]))]
    train, validation, test = np.split(every, cuts)
    known = every[: cuts[1]]
    patience, y = plan["patience"], rows.truth
    features = rows.features.astype(dict.fromkeys(rows.words, object))

    x, held = codes(rows, train, validation)
    tried: list[float] = []
    for trial in plan["trials"]:
        if trial["learner"] == "logistic":
            answers = logistic(rows, train, trial["settings"]["c"]).predict_proba(features.iloc[validation])[:, 1]
        else:
            booster = boost(x, y[train], trial["settings"], (held, y[validation]), patience)
            answers = np.asarray(booster.predict(held, num_iteration=booster.best_iteration))
        tried.append(float(metrics.log_loss(y[validation], answers)))

    x, held = codes(rows, known, test)
    champion = np.asarray(boost(x, y[known], plan["kept"], None, patience).predict(held))
    simple = logistic(rows, known, 1.0).predict_proba(features.iloc[test])[:, 1]
    trivial = np.full(len(test), y[known].mean())

    unseen = np.full(len(known), np.nan)
    ends = [round(len(known) * (number + 1) / (plan["folds"] + 1)) for number in range(plan["folds"] + 1)]
    for begin, end in pairwise(ends):
        x, held = codes(rows, known[:begin], known[begin:end])
        unseen[begin:end] = np.asarray(boost(x, y[:begin], plan["kept"], None, patience).predict(held))

    curve: list[float] = []
    order = np.random.default_rng(7).permutation(len(train))
    for share in plan["curve"]:
        part = train[np.sort(order[: round(share * len(train))])]
        x, held = codes(rows, part, validation)
        answers = np.asarray(boost(x, y[part], plan["kept"], None, patience).predict(held))
        curve.append(float(metrics.log_loss(y[validation], answers)))
    found = {
        "tried": tried,
        "champion": measured(y[test], champion),
        "logistic": measured(y[test], simple),
        "constant": measured(y[test], trivial),
        "out_of_fold": measured(y[ends[0] : ends[-1]], unseen[ends[0] : ends[-1]]),
        "curve": curve,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
