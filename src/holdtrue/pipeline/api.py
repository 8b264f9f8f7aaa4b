"""The Python API: a project folder, opened, that does what the command line does."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.progress import Tell, silent

if TYPE_CHECKING:
    import pandas as pd

    from holdtrue.pipeline.outcome import Outcome
    from holdtrue.pipeline.prepare import Taken
    from holdtrue.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenProject:
    """A project folder whose file was read and checked; `keeper` holds its releases."""

    workspace: "Workspace"
    keeper: Keeper

    def run(
        self, rows: "pl.DataFrame | pl.LazyFrame | pd.DataFrame | None" = None, *, tell: Tell = silent
    ) -> "Outcome":
        """Walk from the data to a release, as `holdtrue run` does; `rows` take the place of `data.source`."""
        from holdtrue.pipeline.run import run

        return run(
            self.workspace,
            now=datetime.now(UTC),
            clock=time.perf_counter,
            tell=tell,
            actor=self.keeper.actor,
            environ=os.environ,
            taken=None if rows is None else lambda: self._taken(rows),
        )

    def predict(self, release: str, rows: "pl.DataFrame | pd.DataFrame") -> pl.DataFrame:
        """Answer raw rows with a verified release, named by its digest, the beginning of it, or an alias."""
        frame = rows if isinstance(rows, pl.DataFrame) else pl.from_pandas(rows)
        return self.keeper.predictor(release).predict(frame)

    def promote(self, release: str, alias: str = "champion", *, reason: str = "") -> str:
        """Give a release a name; says its digest."""
        return self.keeper.promote(release, alias, reason=reason, now=datetime.now(UTC))[0]

    def _taken(self, rows: "pl.DataFrame | pl.LazyFrame | pd.DataFrame") -> "Taken":
        from holdtrue.data.readers.frames import frame_batches
        from holdtrue.data.snapshot import snapshot
        from holdtrue.pipeline.prepare import Taken

        return Taken(snapshot=snapshot(frame_batches(rows), store=self.workspace.home.store), held_out_rows=None)


def open_project(
    folder: str | Path = ".", *, profile: str | None = None, environ: Mapping[str, str] | None = None
) -> OpenProject:
    """Open the project of a folder; raises `Misuse` with every fault of its file."""
    from holdtrue.pipeline.workspace import open_workspace

    known = os.environ if environ is None else environ
    workspace = open_workspace(Path(folder), environ=known, profile=profile)
    actor = known.get("HOLDTRUE_ACTOR") or known.get("USER") or "python"
    return OpenProject(
        workspace=workspace, keeper=Keeper(home=workspace.home, project=workspace.project.name, actor=actor)
    )
