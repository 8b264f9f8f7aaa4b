"""Tells MLflow of a run: its settings, its metrics with their limits, its verdict, and the release."""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from holdtrue.core.errors import HoldtrueError, Misuse

LONGEST_TAG = 5000  # MLflow refuses a whole batch for one longer text
LONGEST_PARAMETER = 500


def require_mlflow() -> None:
    """Raise `Misuse` before a long run rather than after it."""
    if find_spec("mlflow") is None:
        raise Misuse(
            "MLFLOW_TRACKING_URI is set, but MLflow is not installed.",
            do="Install it (pip install 'holdtrue[mlflow]'), or unset MLFLOW_TRACKING_URI.",
        )


def track(report: dict[str, Any], release_folder: Path | None, *, page: Path, uri: str, now: datetime) -> str:
    """Log one run and give its id in MLflow; `page` is the report, `release_folder` goes along when there is one.

    The experiment has the name of the project. Nothing that MLflow keeps for the whole process is touched: a caller
    may have a run of its own open.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # By default a server that is down is asked for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]  # an extra
    from mlflow.entities import Metric, Param, RunTag  # pyright: ignore[reportMissingImports]
    from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]

    moment_ms = int(now.timestamp() * 1000)
    try:
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(report["project"])
        experiment = known.experiment_id if known else client.create_experiment(report["project"])
        name = f"{now:%Y-%m-%d %H:%M} {champion_of(report)['name']}"
        run = client.create_run(experiment, start_time=moment_ms, run_name=name).info.run_id
        client.log_batch(
            run,
            metrics=[Metric(key, value, moment_ms, 0) for key, value in metrics_of(report).items()],
            params=[Param(key, value) for key, value in parameters_of(report).items()],
            tags=[RunTag(key, value) for key, value in tags_of(report).items()],
        )
        client.log_artifact(run, str(page))
        client.log_artifact(run, str(page.with_name("report.json")))
        if release_folder is not None:
            client.log_artifacts(run, str(release_folder), "release")
        client.set_terminated(run)
    except (MlflowException, OSError) as error:
        raise HoldtrueError(
            f"The run is finished and kept, but MLflow could not be told: {without_password(str(error))}",
            do="Check MLFLOW_TRACKING_URI and the server; nothing has to be run again for the release.",
        ) from None
    return str(run)


def without_password(words: str) -> str:
    """Take out what stands before the host of an address; MLflow repeats it in its messages.

    >>> without_password("no answer from http://ann:s3cret@host:5000/api")
    'no answer from http://host:5000/api'
    """
    return re.sub(r"//[^/@\s]*@", "//", words)


def champion_of(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(model for model in report["models"] if model["role"] == "champion")


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Give each metric and its two limits, under names MLflow allows.

    >>> metrics_of({"metrics": {"roc_auc": {"value": 0.9, "low": 0.88, "high": None}}})
    {'roc_auc': 0.9, 'roc_auc_low': 0.88}
    """
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"{name}{suffix}": float(found[key])
        for name, found in report["metrics"].items()
        for suffix, key in ends.items()
        if found.get(key) is not None
    }


def parameters_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Give what was chosen: the learner with its settings, the task, the split."""
    champion = champion_of(report)
    chosen = {
        "learner": champion["learner"],
        **{f"setting.{name}": value for name, value in champion["settings"].items()},
        "task": report["task"],
        "target": report["data"]["target"],
        "split": report["data"]["split"]["by"],
        "seed": report.get("lineage", {}).get("seed"),
    }
    return {name: str(value)[:LONGEST_PARAMETER] for name, value in chosen.items() if value is not None}


def tags_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Say how the run ended, and by what names it is known."""
    tags = {
        "holdtrue.verdict": report["verdict"],
        "holdtrue.release": report["release"] or "",
        "holdtrue.snapshot": report["data"]["snapshot"],
        "holdtrue.beaten_by_baseline": str(champion_of(report)["beaten_by_baseline"]).lower(),
    }
    for index, promise in enumerate(report["promises"][:50]):
        tags[f"holdtrue.promise.{index}"] = f"{promise['verdict']}: {promise['text']}"
    return {name: value[:LONGEST_TAG] for name, value in tags.items()}
