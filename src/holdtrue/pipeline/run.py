"""The whole walk: rows, candidate, verdicts, report, release, registry; each step whole or not at all."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from holdtrue.core.digest import digest_of
from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.core.files import folder_whole, sweep
from holdtrue.data.hashes import row_hashes
from holdtrue.data.units import LEAST_DIFFERENT
from holdtrue.evaluation.page import render
from holdtrue.pipeline.held_out import keep_held_out
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.known import check_names, check_rival
from holdtrue.pipeline.make import Made, make
from holdtrue.pipeline.outcome import Outcome
from holdtrue.pipeline.prepare import Taken, take
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.reporting import Judgement, examine
from holdtrue.pipeline.workspace import Home, Workspace, alone
from holdtrue.registry.aliases import aliases_of, promote
from holdtrue.registry.catalog import Release, Run, State, add_release, record_run
from holdtrue.registry.wear import use_number
from holdtrue.release.bom import bill_of_materials
from holdtrue.release.bundle import write_release
from holdtrue.release.card import card
from holdtrue.release.held import GOLDEN, INTERFACE, LOCK, MODEL
from holdtrue.release.quarantine import Limits
from holdtrue.release.quarantine import examine as examine_graph
from holdtrue.release.signing import signing_key, trusted_keys, verify
from holdtrue.statistics.wear import alpha_for_use

KNOWN_ROWS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """One run under way, and what it may touch: the store, the clock, the listener."""

    workspace: Workspace
    keeper: Keeper
    now: datetime
    clock: Callable[[], float]
    tell: Tell
    run_id: str
    overlapping: bool = False

    def record(self, **known: Any) -> None:
        run = Run(id=self.run_id, project=self.keeper.project, started=self.now, **known)
        self.keeper.database().write(
            lambda connection: record_run(connection, run, actor=self.keeper.actor, now=self.now)
        )

    def ended(self, *, state: State, why: str) -> None:
        """Record a bad end; where even that cannot be written, what ended the run matters more."""
        with suppress(HoldtrueError, OSError):
            self.record(state=state, metrics={"error": why[:4000]})


def run(
    workspace: Workspace,
    *,
    now: datetime,
    clock: Callable[[], float],
    tell: Tell,
    actor: str,
    environ: Mapping[str, str],
    taken: Callable[[], Taken] | None = None,
    overlapping: bool = False,
) -> Outcome:
    """Walk from the data to a release, or to a candidate with a report that says what is missing.

    `taken` gives the rows when they do not come from `data.source`; `overlapping` says that such runs follow on each
    other, on rows that are mostly the same. A run that was killed leaves its journal; the next one goes on from it.
    """
    check_names(workspace.loaded, workspace.project.task)
    if environ.get("MLFLOW_TRACKING_URI"):
        from holdtrue.registry.mlflow_track import require_mlflow

        require_mlflow()
    keeper = Keeper(home=workspace.home, project=workspace.project.name, actor=actor)
    with alone(workspace.home):
        _sweep_store(workspace.home)
        check_rival(workspace.loaded, [alias.name for alias in keeper.releases(limit=1)[1]])
        run_id = f"{now:%Y%m%dT%H%M%S}-{digest_of([workspace.project.model_dump(mode='json'), now.isoformat()])[:8]}"
        walk = Walk(
            workspace=workspace,
            keeper=keeper,
            now=now,
            clock=clock,
            tell=tell,
            run_id=run_id,
            overlapping=overlapping,
        )
        walk.record(state="running")
        try:
            outcome = _walked(walk, taken)
        except KeyboardInterrupt:
            walk.ended(state="stopped", why="It was stopped by hand.")
            raise
        except Exception as error:
            walk.ended(state="failed", why=str(error) or type(error).__name__)
            raise
        keeper.seal()
    _track(outcome, workspace, environ, now)
    return outcome


def _sweep_store(home: Home) -> None:
    """Remove what a run that was killed left half-written; only who holds the store may empty its scratch folder."""
    for folder in ("objects/*", "snapshots", "runs/*", "keys", "keys/*"):
        for place in home.path.glob(folder):
            sweep(place)
    for left in home.scratch.glob("*"):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _walked(walk: Walk, taken: Callable[[], Taken] | None) -> Outcome:
    workspace, keeper = walk.workspace, walk.keeper
    began = walk.clock()
    rows = taken() if taken else take(workspace, tell=walk.tell)
    journal = workspace.home.run_folder(rows.snapshot.digest[:16]) / "trials.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    made = make(workspace, rows, journal=journal, now=walk.now, tell=walk.tell, has_rival=walk.overlapping)
    uses = _uses(walk, made)
    alpha = alpha_for_use(uses, 1 - workspace.project.confidence)
    judgement = examine(
        made, workspace.project, keeper, uses=uses, alpha=alpha, now=walk.now, clock=walk.clock, tell=walk.tell
    )
    contents = {**judgement.report, "timings": {"total_s": round(walk.clock() - began, 3)}}
    return _kept(walk, made, judgement, contents)


def _uses(walk: Walk, made: Made) -> int:
    """Count this look at the held-out rows.

    Rows are known by what they say, and by the snapshot they are from: to divide the same rows anew with another seed
    until a lucky part judges is no fresh start. Where runs follow on each other, some rows are also known one by one:
    each look is then paid for as often as the most worn of them was looked at, so for every one of these rows the
    levels of all candidates that it helped to judge add up to no more than one level.
    """
    keeper = walk.keeper
    known = (made.held_out_digest, made.prepared.snapshot.digest, *(_some_rows(made) if walk.overlapping else ()))

    def counted(connection: Any) -> int:
        numbers = [
            use_number(connection, rows, made.core.digest, project=keeper.project, actor=keeper.actor, now=walk.now)
            for rows in known
        ]
        return max(numbers)

    return keeper.database().write(counted)


def _some_rows(made: Made) -> tuple[str, ...]:
    """Name the few held-out rows whose hashes are the smallest: two sets that have most rows in common share some.

    The chance that two sets share none of the four is about the share of rows that differ, to the fourth power. Where
    rows are hardly different, equal ones need not be the same ones, and none is named.
    """
    hashes = row_hashes(made.prepared.table.frame[made.prepared.parts.test].select(made.prepared.table.content))
    distinct = np.unique(hashes)
    if len(distinct) < LEAST_DIFFERENT * len(hashes):
        return ()
    return tuple(digest_of(["held-out row", int(each)]) for each in distinct[:KNOWN_ROWS])


def _kept(walk: Walk, made: Made, judgement: Judgement, contents: dict[str, Any]) -> Outcome:
    """Write report, and release if proven; then say so in the catalog and the ledger in one transaction."""
    home = walk.workspace.home
    walk.tell("release" if judgement.verdict == "proven" else "report")
    released = judgement.verdict == "proven"
    contents["release"] = made.core.digest if released else None
    evidence = {
        "report.json": json.dumps(contents, ensure_ascii=False, allow_nan=False, indent=1).encode(),
        "report.html": render(contents).encode(),
        "card.md": card(contents, made.core).encode(),
    }
    candidate = home.candidates / walk.run_id
    with folder_whole(candidate, scratch=home.scratch) as building:
        for name, data in evidence.items():
            (building / name).write_bytes(data)
    if released:
        files = {
            **made.files,
            **evidence,
            "bom.cdx.json": bill_of_materials(contents, made.core),
            LOCK: made.core.lineage.environment.encode(),
        }
        # Nothing is signed that would be refused when it is loaded.
        examine_graph(made.files[MODEL], golden=made.files[GOLDEN], interface=made.files[INTERFACE], limits=Limits())
        _clear_harmed(home, made.core.digest)
        write_release(made.core, files, releases=home.releases, scratch=home.scratch, key=signing_key(home.keys))
        project = walk.workspace.project
        keep_held_out(home, made, coverage=project.decide.coverage, seed=project.learn.seed)
    aliases = _registered(walk, made, judgement, contents, candidate / "report.html")
    return Outcome(
        run=walk.run_id,
        candidate=made.core.digest,
        release=made.core.digest if released else None,
        verdict=judgement.verdict,
        report=candidate / "report.html",
        contents=contents,
        aliases=aliases,
    )


def _clear_harmed(home: Home, digest: str) -> None:
    """Put away a folder of this name that nobody could load: changed bytes, or a key that is gone."""
    folder = home.releases / digest
    if not folder.is_dir():
        return
    try:
        verify(folder, trusted_keys(home.keys))
    except Refused:
        home.scratch.mkdir(parents=True, exist_ok=True)
        away = Path(tempfile.mkdtemp(dir=home.scratch))
        folder.replace(away)
        shutil.rmtree(away)


def _registered(
    walk: Walk, made: Made, judgement: Judgement, contents: Mapping[str, Any], page: Path
) -> tuple[str, ...]:
    """Record run and release; the first release of a project is its champion, later ones are challengers."""
    keeper, now, digest = walk.keeper, walk.now, made.core.digest
    released = judgement.verdict == "proven"
    metric = contents["headline_metric"]
    summary = {"model": made.learnt.champion.learner, metric: contents["metrics"][metric]["value"]}
    finished = Run(
        id=walk.run_id,
        project=keeper.project,
        started=now,
        finished=now,
        state="finished",
        snapshot=made.prepared.snapshot.digest,
        verdict=judgement.verdict,
        release=digest if released else None,
        metrics=summary,
        report=str(page),
    )
    release = Release(
        digest=digest,
        project=keeper.project,
        created=now,
        path=str(keeper.home.releases / digest),
        verdict={"verdict": judgement.verdict, **summary},
    )

    def written(connection: Any) -> tuple[str, ...]:
        if released:
            add_release(connection, release, actor=keeper.actor, now=now)
        record_run(connection, finished, actor=keeper.actor, now=now)
        if not released:
            return ()
        held = {alias.name: alias.digest for alias in aliases_of(connection, keeper.project)}
        name = "champion" if "champion" not in held else "challenger"
        if digest not in held.values():
            promote(
                connection, keeper.project, digest, name, actor=keeper.actor, reason="every promise is proven", now=now
            )
        return tuple(alias.name for alias in aliases_of(connection, keeper.project) if alias.digest == digest)

    return keeper.database().write(written)


def _track(outcome: Outcome, workspace: Workspace, environ: Mapping[str, str], now: datetime) -> None:
    """Tell MLflow of the run, where the environment names one."""
    uri = environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return
    from holdtrue.registry.mlflow_track import track

    folder = workspace.home.releases / outcome.release if outcome.release else None
    track(dict(outcome.contents), folder, page=outcome.report, uri=uri, now=now)
