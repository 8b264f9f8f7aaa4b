"""A report made up for the page: every section is filled, and its words are hostile."""

import math
from typing import Any

HOSTILE = '<script>document.title="owned"</script>"\'&'


def estimate(value: float, half: float = 0.01, rows: int = 2400, method: str = "made up") -> dict[str, Any]:
    return {
        "value": value,
        "low": value - half,
        "high": value + half,
        "rows": rows,
        "method": method,
        "confidence": 0.95,
    }


def promise(text: str, verdict: str, at: float, bound: float, **more: Any) -> dict[str, Any]:
    return {
        "kind": "quality",
        "scope": "all rows",
        "text": text,
        "required": True,
        "verdict": verdict,
        **estimate(at),
        "bound": bound,
        "direction": "at_least",
        "rows_needed": None,
        "reason": "Made up for the page.",
        **more,
    }


def sample(project: str = "hotel-cancellations") -> dict[str, Any]:
    curve = [[x / 50, math.sqrt(x / 50)] for x in range(51)]
    months = [f"{2015 + m // 12}-{m % 12 + 1:02d}-01" for m in range(6, 32)]
    parts = ["train"] * 17 + ["validation"] * 3 + ["test"] * 6
    return {
        "schema": "holdtrue/report/1",
        "project": project,
        "task": "classification",
        "created": "2026-05-01T10:00:00+00:00",
        "release": None,
        "verdict": "refuted",
        "confidence": 0.95,
        "holdout": {"uses": 3, "alpha": 0.05, "alpha_spent_now": 0.0034},
        "headline_metric": "log_loss",
        "data": {
            "snapshot": "ab" * 32,
            "source": HOSTILE,
            "rows": 119390,
            "columns": 31,
            "target": "is_canceled",
            "classes": ["0", HOSTILE],
            "positive": HOSTILE,
            "split": {
                "by": "time",
                "train": {"rows": 80000, "from": "2015-07-01", "to": "2016-11-30"},
                "validation": {"rows": 15000, "from": "2016-12-01", "to": "2017-02-28"},
                "test": {"rows": 24390, "from": None, "to": None},
            },
            "missing": [{"column": "company", "share": 0.94}, {"column": HOSTILE, "share": 0.004}],
            "target_over_time": [
                {"from": month, "to": month, "part": part, **estimate(0.37 + 0.05 * math.sin(i), 0.02, 4000)}
                for i, (month, part) in enumerate(zip(months, parts, strict=True))
            ],
            "breaches": [f"column {HOSTILE}: 3 values lie outside"],
        },
        "promises": [
            promise("roc_auc at least 0.82", "proven", 0.87, 0.82),
            promise("log_loss at most 0.4", "refuted", 0.43, 0.4, direction="at_most"),
            promise(HOSTILE, "unproven", 0.5, 0.5, rows_needed=31000, required=False),
            promise("nothing measured", "unproven", 0.5, 0.6, value=None, low=None, high=None, rows=0),
        ],
        "models": [
            {
                "name": "lightgbm",
                "role": "champion",
                "learner": "lightgbm",
                "settings": {"leaves": 31, "note": HOSTILE},
                "metrics": {"log_loss": estimate(0.43)},
                "beaten_by_baseline": True,
            },
            {
                "name": "logistic",
                "role": "baseline",
                "learner": "logistic",
                "settings": {},
                "metrics": {"log_loss": estimate(0.42)},
                "beaten_by_baseline": False,
            },
            {
                "name": "constant",
                "role": "baseline",
                "learner": "constant",
                "settings": {},
                "metrics": {"log_loss": estimate(0.66)},
                "beaten_by_baseline": False,
            },
        ],
        "comparisons": [
            {"against": "logistic", "metric": "log_loss", "difference": estimate(-0.01), "favours": "baseline"}
        ],
        "metrics": {
            "roc_auc": {**estimate(0.87), "title": "ROC AUC", "higher_is_better": True},
            "log_loss": {**estimate(0.43), "title": "Log loss", "higher_is_better": False},
        },
        "per_class": [
            {"class": name, "precision": estimate(0.8), "recall": estimate(0.7), "f1": estimate(0.74), "rows": 1000}
            for name in ("0", HOSTILE)
        ],
        "confusion": [[14000, 1200], [2600, 6590]],
        "curves": {
            "roc": curve,
            "pr": [[x / 50, 1 - 0.5 * (x / 50) ** 2] for x in range(51)],
            "calibration": [
                {
                    "predicted": p / 10,
                    "observed": p / 10 + 0.02,
                    "low": p / 10 - 0.02,
                    "high": p / 10 + 0.06,
                    "rows": 900,
                }
                for p in range(10)
            ],
            "residuals": {
                "predicted_vs_true": [[x / 10, x / 10 + math.sin(x)] for x in range(120)],
                "histogram": {"edges": [-2, -1, 0, 1, 2], "counts": [5, 40, 42, 7]},
            },
            "decision": [[t / 40, -400 + 900 * t / 40 - 1100 * (t / 40) ** 2] for t in range(41)],
        },
        "decision": {
            "threshold": 0.2,
            "cost": {"false_positive": 1.0, "false_negative": 4.0},
            "value_per_1000": estimate(-290, 12),
            "value_per_1000_at_half": estimate(-410, 12),
            "value_per_1000_without_model": -620.0,
        },
        "slices": [
            {
                "column": "country",
                "name": f"country = {name}",
                "rows": 900,
                "value": estimate(0.5 + i / 40, 0.05),
                "rest": 0.43,
                "p_adjusted": 0.01,
                "weak": i > 3,
                "found": "category",
            }
            for i, name in enumerate(
                ["PRT", "GBR", "FRA", HOSTILE, "ESP", "a very long category name that does not fit"]
            )
        ],
        "slice_metric": "log_loss",
        "fairness": [
            {
                "across": "country",
                "metric": "true_positive_rate",
                "gap": estimate(0.21, 0.07),
                "ratio": None,
                "groups": [
                    {"name": name, "rows": 400, "value": estimate(0.7, 0.05), "enough": name != HOSTILE}
                    for name in ("PRT", "GBR", HOSTILE)
                ],
                "verdict_note": f"{HOSTILE} has too few rows.",
            }
        ],
        "calibration": {"error": estimate(0.02), "method": "made up"},
        "robustness": [
            {
                "perturbation": name,
                "strength": 0.1,
                "metric": "roc_auc",
                "before": 0.87,
                "after": 0.85,
                "drop": estimate(0.02, 0.005),
            }
            for name in ("noise", "missing", "shift")
        ],
        "importance": {
            "method": "Permutation on the held-out rows.",
            "metric": "log_loss",
            "features": [
                {"feature": f"column_{i}", "value": 0.1 / (i + 1), "low": 0.08 / (i + 1), "high": 0.12 / (i + 1)}
                for i in range(12)
            ],
        },
        "contributions": {"method": "Exact.", "features": [{"feature": HOSTILE, "mean_absolute": 0.4}]},
        "learning_curve": [{"rows": rows, "value": estimate(0.5 - rows / 1e6)} for rows in (5000, 20000, 40000, 80000)],
        "search": [
            {"trial": i, "learner": "lightgbm", "settings": {}, "score": 0.45 - 0.01 * math.sin(i), "state": "complete"}
            for i in range(20)
        ],
        "lineage": {"snapshot": "ab" * 32, "source_tree": "cd" * 32, "seed": 7, "nested": {"left": "out"}},
        "timings": {"fit": 3.2},
    }
