"""A run appears in MLflow with its settings, its metrics and their limits, its verdict and its release."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from holdtrue.core.errors import Misuse
from holdtrue.registry.mlflow_track import metrics_of, parameters_of, require_mlflow, tags_of

REPORT: dict[str, Any] = {
    "project": "hotels",
    "task": "classification",
    "verdict": "proven",
    "release": "a" * 64,
    "data": {"snapshot": "b" * 64, "target": "canceled", "split": {"by": "time"}},
    "lineage": {"seed": 7},
    "metrics": {
        "roc_auc": {"value": 0.9, "low": 0.88, "high": 0.92},
        "mape": {"value": 0.3, "low": 0.2, "high": None},
        "mcc": {"value": None, "low": None, "high": None},
    },
    "promises": [{"verdict": "proven", "text": "ROC AUC is at least 0.8"}, {"verdict": "unproven", "text": "x" * 9000}],
    "models": [
        {"name": "constant", "role": "baseline", "learner": "constant", "settings": {}, "beaten_by_baseline": False},
        {
            "name": "lightgbm",
            "role": "champion",
            "learner": "lightgbm",
            "settings": {"leaves": 31, "rate": 0.1},
            "beaten_by_baseline": False,
        },
    ],
}
# Runs in the environment that has MLflow: tells it of a run while the caller has one of its own open, and reads back.
THERE = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
import mlflow
from holdtrue.core.errors import HoldtrueError
from holdtrue.registry.mlflow_track import track
report, page, release, uri = json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
mlflow.set_tracking_uri(uri)
with mlflow.start_run() as own:
    made = track(report, release, page=page, uri=uri, now=datetime(2026, 3, 1, tzinfo=UTC))
    assert mlflow.active_run().info.run_id == own.info.run_id
client = mlflow.MlflowClient(tracking_uri=uri)
run = client.get_run(made)
try:
    track(report, None, page=page, uri="http://ann:s3cret@127.0.0.1:9", now=datetime.now(UTC))
except HoldtrueError as error:
    assert "The run is finished and kept" in str(error) and "s3cret" not in str(error), str(error)
else:
    raise AssertionError("a server that is down was not noticed")
print(json.dumps({
    "metrics": run.data.metrics, "params": run.data.params, "status": run.info.status, "started": run.info.start_time,
    "tags": {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")},
    "experiment": client.get_experiment(run.info.experiment_id).name,
    "files": sorted(item.path for where in (None, "release") for item in client.list_artifacts(made, where)),
}))
"""


def test_a_metric_has_its_limits_beside_it_and_what_is_not_defined_is_left_out() -> None:
    assert metrics_of(REPORT) == {
        "roc_auc": 0.9,
        "roc_auc_low": 0.88,
        "roc_auc_high": 0.92,
        "mape": 0.3,
        "mape_low": 0.2,
    }


def test_what_was_chosen_is_a_parameter() -> None:
    assert parameters_of(REPORT) == {
        "learner": "lightgbm",
        "setting.leaves": "31",
        "setting.rate": "0.1",
        "task": "classification",
        "target": "canceled",
        "split": "time",
        "seed": "7",
    }


def test_how_it_ended_is_a_tag_no_longer_than_mlflow_takes() -> None:
    tags = tags_of(REPORT)
    assert tags["holdtrue.verdict"] == "proven"
    assert tags["holdtrue.release"] == "a" * 64
    assert tags["holdtrue.promise.0"] == "proven: ROC AUC is at least 0.8"
    assert max(map(len, tags.values())) == 5000


@pytest.mark.slow
def test_mlflow_shows_the_run(tmp_path: Path) -> None:
    """With HOLDTRUE_MLFLOW_PYTHON in MLflow itself; else what it would be given is all that can be looked at."""
    python = os.environ.get("HOLDTRUE_MLFLOW_PYTHON")
    if not python:
        names = [*metrics_of(REPORT), *parameters_of(REPORT), *tags_of(REPORT)]
        assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.") for name in names)
        return
    release = tmp_path / "release"
    release.mkdir()
    for path in (tmp_path / "report.html", tmp_path / "report.json", release / "model.onnx"):
        path.write_text("x")
    words = [json.dumps(REPORT), str(tmp_path / "report.html"), str(release), f"sqlite:///{tmp_path / 'mlflow.db'}"]
    done = subprocess.run([python, "-c", THERE, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "metrics": metrics_of(REPORT),
        "params": parameters_of(REPORT),
        "tags": tags_of(REPORT),
        "status": "FINISHED",
        "started": int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000),
        "experiment": "hotels",
        "files": ["release", "release/model.onnx", "report.html", "report.json"],
    }


def test_a_missing_mlflow_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed
    with pytest.raises(Misuse, match="MLflow is not installed"):
        require_mlflow()
