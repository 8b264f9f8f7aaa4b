"""The project that a simulation lives in: a folder and a store of its own, with the rows before the start.

Nothing of it reaches the store of the project, nor whoever listens to its alarms.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from holdtrue.core.errors import Misuse, nearest
from holdtrue.core.files import write_whole
from holdtrue.pipeline.simulation.rows import TAKEN, Rows
from holdtrue.pipeline.workspace import CONTRACT, Workspace, open_workspace
from holdtrue.spec.load import FILE, Loaded, load
from holdtrue.spec.tree import read

ROWS = "rows.parquet"
OF_POLICY = ("retrain", "serve", "watch")
# Of the source alone; the rows are written anew.
OF_SOURCE = ("query", "test", "delimiter", "encoding", "header", "columns")
PRIVATE = ("HOLDTRUE_", "MLFLOW_", "OTEL_")


def environment(environ: Mapping[str, str], *, actor: str) -> dict[str, str]:
    """Leave out what names the store of the project, and who hears of its runs."""
    return {name: value for name, value in environ.items() if not name.startswith(PRIVATE)} | {"HOLDTRUE_ACTOR": actor}


def with_policy(loaded: Loaded, policy: tuple[str, str] | None, *, environ: Mapping[str, str]) -> dict[str, Any]:
    """Give the settings of a project as a tree; a policy (name and text) replaces the sections that it has.

    Raises `Misuse` with what is wrong in the policy.
    """
    tree: dict[str, Any] = loaded.project.model_dump(mode="json", exclude_unset=True) | {"name": loaded.project.name}
    if policy is None:
        return tree
    name, text = policy
    said = read(text, file=name, environ=environ)
    sections = said.value if isinstance(said.value, dict) else {}
    strange = [str(key) for key in sections if key not in OF_POLICY]
    if strange or not sections:
        faults = [f"{name}: unknown section {key!r}{nearest(key, OF_POLICY)}" for key in strange]
        faults = faults or [*said.faults, f"{name}: it has none of the sections {', '.join(OF_POLICY)}"]
        raise Misuse("A policy has the sections retrain, serve and watch alone:", faults=faults)
    kept = {key: value for key, value in tree.items() if key not in sections}
    project = load([(FILE, json.dumps(kept)), (name, text)], environ=environ).project
    return project.model_dump(mode="json", exclude_unset=True)


def scratch(
    workspace: Workspace, past: Rows, tree: Mapping[str, Any], folder: Path, *, environ: Mapping[str, str]
) -> Workspace:
    """Put the project with its past rows into a folder; `tree` holds its settings."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(past.raw.to_arrow(compat_level=pl.CompatLevel.oldest()), folder / ROWS)
    data = {name: value for name, value in tree["data"].items() if name not in OF_SOURCE} | {"source": ROWS}
    if TAKEN in past.raw.columns and TAKEN not in data.get("time", ()):  # taken as they stand: that is their time now
        data |= {"time": [TAKEN], "drop": [*data.get("drop", ()), TAKEN]}
    split = dict(tree.get("split", {}))
    if split.get("by") == "given":
        del split["by"]
    watch = {name: value for name, value in tree.get("watch", {}).items() if name != "tell"}
    made = {**tree, "data": data, "split": split, "watch": watch}
    write_whole(folder / FILE, json.dumps(made, indent=1, ensure_ascii=False).encode())
    if workspace.contract_file.is_file():
        shutil.copy(workspace.contract_file, folder / CONTRACT)
    return open_workspace(folder, environ=environ)
