"""Train a release again from nothing but its lineage: the same digest, or the first difference."""

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.data.snapshot import load as load_snapshot
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.make import Made, make
from holdtrue.pipeline.prepare import Taken
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.workspace import Home, Workspace
from holdtrue.release.bundle import Core
from holdtrue.release.lineage import Lineage, difference
from holdtrue.spec import Loaded, Project


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """What came of training again; `made` is None when the present software cannot even fit it."""

    release: str
    made: str | None
    difference: str | None

    @property
    def same(self) -> bool:
        return self.made == self.release


def reproduce(keeper: Keeper, name: str, *, now: datetime, tell: Tell) -> Reproduction:
    """Fetch snapshot, project file and sources by the digests of the lineage, and walk up to the digest again.

    Nothing that the first run computed is used: no journal, no trial, no encoded row.
    """
    core = keeper.predictor(name).release.core
    with tempfile.TemporaryDirectory() as scratch:
        workspace = restored(core.lineage, keeper.home, Path(scratch))
        taken = taken_of(core.lineage, keeper.home)
        try:
            made = make(workspace, taken, journal=Path(scratch) / "trials.jsonl", now=now, tell=tell)
        except HoldtrueError as error:
            return Reproduction(release=core.digest, made=None, difference=str(error))
    told = None if made.core.digest == core.digest else first_difference(core, made)
    return Reproduction(release=core.digest, made=made.core.digest, difference=told)


def taken_of(lineage: Lineage, home: Home) -> Taken:
    """Find the rows that a release was made from."""
    given, absent = lineage.split.get("given_rows"), lineage.split.get("absent")
    return Taken(
        snapshot=load_snapshot(lineage.snapshot, store=home.store),
        held_out_rows=given if isinstance(given, int) else None,
        absent=tuple(map(str, absent)) if isinstance(absent, list | tuple) else (),
    )


def restored(lineage: Lineage, home: Home, folder: Path) -> Workspace:
    """Lay out the project folder as it was; raises `Refused` when its files are no longer in the store."""
    missing = [path for path, digest in lineage.sources.items() if not home.store.has(digest)]
    if not home.store.has(lineage.project):
        missing.append("the project file")
    if missing:
        raise Misuse(
            "This store does not hold what the release was made from:",
            faults=missing,
            do="Run `holdtrue run` in a copy of the project folder instead, and compare the digests.",
        )
    for path, digest in lineage.sources.items():
        place = (folder / path).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise Refused(f"The lineage names a file outside the project: {path}.")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(home.store.get(digest))
    project = Project.model_validate(json.loads(home.store.get(lineage.project)))
    return Workspace(folder=folder, home=home, loaded=Loaded(project=project, where={}))


def first_difference(was: Core, made: Made) -> str:
    """Name the first thing that differs, in the order in which things are made."""
    told = difference(was.lineage, made.core.lineage)
    if told is not None:
        return told
    for name in ("contract.json", "signature.json", "model.onnx", "reference.parquet", "golden.parquet"):
        if was.files[name] != made.core.files[name]:
            return (
                f"{name} has other bytes, although everything it was made from is the same: "
                "another kind of processor rounds differently"
            )
    return "the name, the task or the classes of the release"
