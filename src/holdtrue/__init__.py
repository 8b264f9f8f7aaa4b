"""From a data file to a signed model whose promises are proven.

Read the packages in the order of the data: core, statistics, spec, data, features, tasks, models, training,
evaluation, promises, release, registry, pipeline, cli.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdtrue.pipeline.api import OpenProject

# ONNX Runtime reports to its maker and writes an id of the device into the home folder, from the moment it is imported.
# Only this variable, set before, keeps it from both; a user who sets it to 0 has asked for it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def open(folder: str = ".", *, profile: str | None = None) -> "OpenProject":  # as in `zipfile.open`
    """Open a project folder: `holdtrue.open(folder).run()` does what `holdtrue run` does there."""
    from holdtrue.pipeline.api import open_project

    return open_project(folder, profile=profile)
