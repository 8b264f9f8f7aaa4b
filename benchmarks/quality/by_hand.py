"""The script people write without Holdtrue: pandas, an encoder of scikit-learn, LightGBM with early stopping."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import lightgbm
import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from sklearn.preprocessing import OrdinalEncoder

from holdtrue.models.learners.lightgbm import PATIENCE_TREES

Encoding = Literal["codes", "native"]
Places = Int64[np.ndarray, " places"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Positions of the rows that teach, that choose the number of trees, and that judge."""

    train: Places
    validation: Places
    test: Places


def by_hand(
    features: pd.DataFrame,
    truth: Float64[np.ndarray, " rows"],
    parts: Parts,
    *,
    classes: int,
    settings: Mapping[str, Any],
    encoding: Encoding,
    seed: int,
) -> tuple[Float64[np.ndarray, " held"], int]:
    """Stop early on the validation rows, fit that many trees on both, and answer the test rows.

    "codes": an `OrdinalEncoder`, as Holdtrue's trees see them; "native": LightGBM's own splits of categories.
    """
    first = encoded(features, parts.train, encoding)
    trees = _boost(first, truth, parts.train, settings, classes, encoding, seed, held=parts.validation).best_iteration
    both = np.concatenate([parts.train, parts.validation])
    table = encoded(features, both, encoding)
    booster = _boost(table, truth, both, {**settings, "trees": trees}, classes, encoding, seed)
    return np.asarray(booster.predict(table.iloc[parts.test], num_iteration=trees)), trees


def encoded(features: pd.DataFrame, known: Places, encoding: Encoding) -> pd.DataFrame:
    """Turn text into codes learnt from the known rows; a name not among them is -1, or missing where native."""
    words = [name for name in features.columns if not pd.api.types.is_numeric_dtype(features[name])]
    made = features.copy()
    if not words:
        return made
    if encoding == "native":
        for name in words:
            values = features[name].iloc[known].dropna().unique()
            made[name] = pd.Categorical(features[name], categories=sorted(values))
        return made
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=np.nan)
    encoder.fit(features[words].iloc[known].astype(object))
    made[words] = encoder.transform(features[words].astype(object))
    return made.astype("float32")


def _boost(
    table: pd.DataFrame,
    truth: Float64[np.ndarray, " rows"],
    rows: Places,
    settings: Mapping[str, Any],
    classes: int,
    encoding: Encoding,
    seed: int,
    held: Places | None = None,
) -> lightgbm.Booster:
    plan: dict[str, Any] = {
        "objective": "binary" if classes else "regression",
        "learning_rate": settings["learning_rate"],
        "num_leaves": settings["leaves"],
        "min_data_in_leaf": settings["rows_per_leaf"],
        "feature_fraction": settings["columns"],
        "bagging_fraction": settings["rows"],
        "bagging_freq": 1,
        "lambda_l2": settings["l2"],
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    train = lightgbm.Dataset(table.iloc[rows], truth[rows], params=plan)
    if held is None:
        return lightgbm.train(plan, train, settings["trees"])
    watched = lightgbm.Dataset(table.iloc[held], truth[held], reference=train, params=plan)
    stop = lightgbm.early_stopping(PATIENCE_TREES, verbose=False)
    return lightgbm.train(plan, train, settings["trees"], valid_sets=[watched], callbacks=[stop])
