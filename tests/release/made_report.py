"""A report with every part filled, as evaluation and pipeline give it."""

from typing import Any


def estimate(value: float | None, low: float | None, high: float | None, rows: int = 500) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "rows": rows, "method": "DeLong", "confidence": 0.9}


REPORT: dict[str, Any] = {
    "schema": "holdtrue/report/1",
    "project": "leavers",
    "task": "classification",
    "created": "2026-11-21T10:00:00Z",
    "release": None,
    "verdict": "proven",
    "confidence": 0.95,
    "data": {
        "snapshot": "a" * 64,
        "source": "data/hotel bookings.csv.gz",
        "rows": 2500,
        "columns": 12,
        "target": "left|stayed",
        "classes": ["stays", "leaves"],
        "split": {
            "by": "time",
            "train": {"rows": 1500, "from": "2015-07-01", "to": "2016-12-31"},
            "validation": {"rows": 500, "from": "2017-01-01", "to": "2017-03-31"},
            "test": {"rows": 500, "from": "2017-04-01", "to": "2017-08-31"},
        },
    },
    "promises": [
        {
            "kind": "quality",
            "text": "ROC AUC at least 0.82",
            "verdict": "proven",
            "value": 0.91,
            "low": 0.8901,
            "high": None,
            "rows": 500,
            "method": "DeLong",
        },
        {"kind": "fair", "text": "gap at most 0.1", "verdict": "unproven", "value": 0.08, "required": False},
    ],
    "models": [
        {"name": "lightgbm", "role": "champion", "metrics": {"roc_auc": estimate(0.91, 0.89, 0.93)}},
        {
            "name": "logistic",
            "role": "baseline",
            "metrics": {"roc_auc": estimate(0.85, 0.82, 0.88)},
            "beaten_by_baseline": False,
        },
    ],
    "metrics": {
        "roc_auc": {**estimate(0.9123, 0.8901, 0.9345), "title": "ROC AUC", "higher_is_better": True},
        "log_loss": {**estimate(0.31, 0.28, None), "title": "Log loss", "higher_is_better": False},
        "mcc": {**estimate(None, None, None), "title": "MCC", "higher_is_better": True},
    },
    "slice_metric": "roc_auc",
    "slices": [
        {
            "column": "city",
            "name": "city = Oslo",
            "rows": 60,
            "value": estimate(0.7, 0.6, 0.8, 60),
            "rest": 0.92,
            "weak": True,
        },
        {
            "column": "city",
            "name": "city = Lyon",
            "rows": 90,
            "value": estimate(0.9, 0.8, 1.0, 90),
            "rest": 0.91,
            "weak": False,
        },
    ],
    "fairness": [
        {
            "across": "country",
            "metric": "true_positive_rate",
            "gap": estimate(0.08, 0.02, 0.15),
            "verdict_note": "few rows",
        }
    ],
    "calibration": {"error": estimate(0.021, 0.01, 0.04), "method": "bias-corrected"},
    "robustness": [
        {
            "perturbation": "noise",
            "strength": 0.1,
            "metric": "roc_auc",
            "before": 0.91,
            "after": 0.9,
            "drop": estimate(0.01, 0, 0.02),
        }
    ],
    "importance": {
        "method": "permutation",
        "metric": "roc_auc",
        "features": [{"feature": "age<b>", "value": 0.2, "low": 0.18, "high": 0.22}],
    },
}
