"""From a snapshot to a candidate with a name: learnt, exported, proven equal, and digested."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from holdtrue.core.digest import Json, canonical_json
from holdtrue.data.content import content_of
from holdtrue.data.contract_json import to_dict
from holdtrue.data.readers.columns import Column
from holdtrue.evaluation.predictions import Predictions
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.models.answers import Correction, Decision
from holdtrue.models.boundary import edges_of, proving_rows
from holdtrue.models.export import Deployed, assemble, reference
from holdtrue.models.proof import Proof, prove
from holdtrue.pipeline.known import check_names, check_rows
from holdtrue.pipeline.learn import Learnt, learn
from holdtrue.pipeline.prepare import Prepared, Taken, prepare
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.workspace import Workspace
from holdtrue.release.bundle import Core, hashes
from holdtrue.release.held import CONTRACT, GOLDEN, INTERFACE, MODEL, REFERENCE
from holdtrue.release.interface import interface_of
from holdtrue.release.lineage import Lineage, environment_lock, package_tree, source_tree
from holdtrue.release.rows import golden_rows, parquet, reference_rows
from holdtrue.spec import Project
from holdtrue.training.fit import Candidate

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MOST_PROVING_ROWS = 20_000
IN_SERVICE = {"serve", "watch", "retrain"}  # parts of a project that make no difference to what is learnt


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A candidate: its graph, its name, and everything that was learnt on the way.

    Attributes:
        files: the bytes of the files that decide predictions.
        ready: the graph, as it will answer in production; whatever is judged is judged through it.
    """

    prepared: Prepared
    learnt: Learnt
    core: Core
    files: Mapping[str, bytes]
    proof: Proof
    ready: "InferenceSession"

    @property
    def held_out_digest(self) -> str:
        """Name the rows that judge by their content, so that they are known again in another snapshot."""
        rows = self.prepared.table.frame[self.prepared.parts.test].select(self.prepared.table.content)
        kinds = {name: "String" if kind == pl.String else "Float64" for name, kind in rows.schema.items()}
        columns = [Column(name=name, type=kind) for name, kind in kinds.items()]
        return content_of(rows.to_arrow(compat_level=pl.CompatLevel.oldest()), columns)

    def predict(self, frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
        """Answer typed rows by the graph."""
        return run(self.ready, frame)


def make(
    workspace: Workspace, taken: Taken, *, journal: Path, now: datetime, tell: Tell, has_rival: bool = False
) -> Made:
    """Walk from a snapshot to a named candidate; the same lineage gives the same digest.

    What is held against a champion anyway (`has_rival`) needs no simple baseline, unless a promise names it.
    """
    project = workspace.project
    prepared = prepare(workspace, taken, now=now, tell=tell)
    check_names(workspace.loaded, prepared.task_name)
    check_rows(workspace.loaded, prepared)
    promised = [entry.beats.baseline for entry in project.promises if entry.beats]
    usual = [prepared.task.trivial, *([] if has_rival else [prepared.task.simple])]
    baselines = [*usual, *(name for name in promised if name != "champion")]
    learnt = learn(prepared, project, journal=journal, baselines=baselines, tell=tell)
    tell("export")
    deployed = deployed_of(prepared, project, learnt)
    model = assemble(deployed, learnt.champion.fitted)
    tell("prove the graph")
    proof = prove(model, reference(deployed, learnt.champion.fitted), _proving(prepared, project, model, deployed))
    ready = session(model)
    files = _core_files(prepared, project, model, ready)
    core = Core(
        name=project.name,
        task=prepared.task_name,
        classes=prepared.classes,
        inputs=_ports(model, "inputs"),
        outputs=_ports(model, "outputs"),
        files=hashes(files),
        lineage=_lineage(workspace, prepared, learnt, taken),
    )
    return Made(prepared=prepared, learnt=learnt, core=core, files=files, proof=proof, ready=ready)


def deployed_of(prepared: Prepared, project: Project, learnt: Learnt) -> Deployed:
    """Say what the graph does around what the champion learnt."""
    if learnt.limits is not None:
        return Deployed(encoder=learnt.champion.encoder, interval=learnt.limits.interval)
    return Deployed(
        encoder=learnt.champion.encoder,
        classes=prepared.classes,
        correction=learnt.calibration.correction if learnt.calibration else Correction(),
        decision=Decision(threshold=learnt.threshold.value if learnt.threshold else None),
    )


def answers_of(
    answered: Mapping[str, np.ndarray], prepared: Prepared, rows: Int64[np.ndarray, " rows"], coverage: float
) -> Predictions:
    """Put the outputs of a graph beside the truth of the rows they answer."""
    truth = prepared.truth[rows]
    clusters = None if prepared.clusters is None else prepared.clusters[rows]
    if prepared.classes:
        return Predictions(
            truth=truth,
            classes=prepared.classes,
            probabilities=answered["probabilities"].astype(np.float64),
            decisions=answered["decision"][:, 0].astype(np.int64),
            clusters=clusters,
        )
    value, low, high = (answered[name][:, 0].astype(np.float64) for name in ("value", "low", "high"))
    return Predictions(truth=truth, values=value, low=low, high=high, coverage=coverage, clusters=clusters)


def as_answers(
    candidate: Candidate, prepared: Prepared, rows: Int64[np.ndarray, " rows"], coverage: float
) -> Predictions:
    """Answer rows by a fitted baseline; its interval, where one is due, is that of its own training errors."""
    given = candidate.predict(prepared.frame[rows])
    truth = prepared.truth[rows]
    clusters = None if prepared.clusters is None else prepared.clusters[rows]
    if prepared.classes:
        decisions = np.argmax(given, axis=1).astype(np.int64)
        return Predictions(
            truth=truth, classes=prepared.classes, probabilities=given, decisions=decisions, clusters=clusters
        )
    known = np.concatenate([prepared.parts.train, prepared.parts.validation])[-MOST_PROVING_ROWS:]
    errors = np.abs(prepared.truth[known] - candidate.predict(prepared.frame[known])[:, 0])
    width = float(np.quantile(errors, coverage))
    value = given[:, 0]
    return Predictions(
        truth=truth, values=value, low=value - width, high=value + width, coverage=coverage, clusters=clusters
    )


def _proving(prepared: Prepared, project: Project, model: bytes, deployed: Deployed) -> dict[str, pl.DataFrame]:
    """Rows to compare graph and model on: real ones, the edges of what was learnt, and drawn ones."""
    rest = np.sort(np.concatenate([prepared.parts.validation, prepared.parts.test]))
    edges = edges_of(model, deployed.encoder)
    train = prepared.frame[prepared.parts.train]
    return proving_rows(train, prepared.frame[rest], prepared.kinds, edges, project.learn.seed)


def _core_files(prepared: Prepared, project: Project, model: bytes, ready: "InferenceSession") -> dict[str, bytes]:
    train = prepared.frame[prepared.parts.train]
    personal = [field.name for field in prepared.served.fields if field.personal]
    seed = project.learn.seed
    golden = golden_rows(train, personal=personal, seed=seed, predict=lambda frame: run(ready, frame))
    return {
        MODEL: model,
        INTERFACE: interface_of(model).to_json(),
        CONTRACT: json.dumps(to_dict(prepared.served), indent=1, ensure_ascii=False).encode(),
        REFERENCE: parquet(reference_rows(train, personal=personal, seed=seed)),
        GOLDEN: parquet(golden),
    }


def _ports(model: bytes, side: str) -> tuple[Mapping[str, Json], ...]:
    return tuple(port.to_dict() for port in getattr(interface_of(model), side))


def _lineage(workspace: Workspace, prepared: Prepared, learnt: Learnt, taken: Taken) -> Lineage:
    """Write down what went in, and keep the texts of it in the store so that it can be walked again."""
    store = workspace.home.store
    sources = source_tree(workspace.folder, exclude=[workspace.home.path])
    for path in sources:
        store.put((workspace.folder / path).read_bytes())
    settings: dict[str, Any] = dict(learnt.champion.settings)
    split = prepared.split
    return Lineage(
        snapshot=prepared.snapshot.digest,
        project=store.put(
            canonical_json(workspace.project.model_dump(mode="json", exclude_none=True, exclude=IN_SERVICE))
        ),
        sources=sources,
        package=package_tree(),
        environment=environment_lock(),
        seed=workspace.project.learn.seed,
        learner=learnt.champion.learner,
        settings=settings,
        split={
            "by": split.by,
            "validation": split.validation,
            "test": split.test,
            "group": split.group,
            "seed": split.seed,
            "given_rows": taken.held_out_rows,
            **({"absent": list(taken.absent)} if taken.absent else {}),
        },
    )
