"""What there is: the projects, their runs and their releases."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, select

from holdtrue.core.digest import canonical_json, digest_of
from holdtrue.core.errors import Misuse
from holdtrue.registry.ledger import Deed, append, plain, printable
from holdtrue.registry.moment import microseconds, moment
from holdtrue.registry.page import Page, newest_first
from holdtrue.registry.schema import ALIASES, PROJECTS, RELEASES, RUNS

State = Literal["running", "finished", "failed", "stopped"]
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
DIGEST = r"[0-9a-f]{64}"
SHORTEST_PREFIX = 4
CHUNK = 500  # values of one statement: both databases limit how many a query may carry


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One execution. `metrics` is a short summary for lists; the report holds every number."""

    id: str
    project: str
    started: datetime
    state: State
    finished: datetime | None = None
    snapshot: str | None = None
    verdict: str | None = None
    release: str | None = None
    metrics: Mapping[str, object] = field(default_factory=dict[str, object])
    report: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.id, "run")
        _check_name(self.project, "project")
        if self.state not in get_args(State):
            raise Misuse(f"A run cannot be {self.state!r}; it is one of {', '.join(get_args(State))}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A signed bundle: where its folder is, the release it replaces, and how it was judged, in short."""

    digest: str
    project: str
    created: datetime
    path: str
    parent: str | None = None
    verdict: Mapping[str, object] = field(default_factory=dict[str, object])

    def __post_init__(self) -> None:
        _check_name(self.project, "project")
        for digest in filter(None, (self.digest, self.parent)):
            if not re.fullmatch(DIGEST, digest):
                raise Misuse(f"{digest!r} is no digest of a release; it should be 64 hexadecimal digits.")


def record_runs(connection: Connection, runs: Sequence[Run], *, actor: str, now: datetime) -> None:
    """Write runs, or what has become of them since; what is already there, word for word, is not written twice."""
    latest = {run.id: _run_row(run) for run in runs}
    known = _known(connection, RUNS, "id", list(latest))
    for id_, row in known.items():
        if row["project"] != latest[id_]["project"]:
            raise Misuse(f"The run {id_} is of project {row['project']!r}, not {latest[id_]['project']!r}.")
    fresh = [row for id_, row in latest.items() if id_ not in known]
    changed = [row for id_, row in latest.items() if id_ in known and known[id_] != row]
    _open_projects(connection, (str(row["project"]) for row in fresh), actor=actor, now=now)
    if fresh:
        connection.execute(RUNS.insert(), fresh)
    for row in changed:
        connection.execute(RUNS.update().where(RUNS.c.id == row["id"]).values(row))
    append(connection, [_run_deed(row) for row in (*fresh, *changed)], actor=actor, now=now)


def record_run(connection: Connection, run: Run, *, actor: str, now: datetime) -> None:
    record_runs(connection, [run], actor=actor, now=now)


def add_release(connection: Connection, release: Release, *, actor: str, now: datetime) -> bool:
    """Register a bundle; False when it was there already. Its digest names the same bytes wherever they lie."""
    row = _release_row(release)
    known = _known(connection, RELEASES, "digest", [release.digest]).get(release.digest)
    if known is not None:
        if known["project"] != release.project:
            raise Misuse(f"The release {release.digest[:12]}… is of project {known['project']!r}.")
        # Made again, it is the same release: the first record of when and how it was judged stays.
        row = {**known, "path": row["path"]}
        if row == known:
            return False
        connection.execute(RELEASES.update().where(RELEASES.c.digest == release.digest).values(path=row["path"]))
        append(connection, [_release_deed("release moved", row)], actor=actor, now=now)
        return False
    _open_projects(connection, [release.project], actor=actor, now=now)
    connection.execute(RELEASES.insert().values(row))
    append(connection, [_release_deed("release made", row)], actor=actor, now=now)
    return True


def remove_release(connection: Connection, digest: str, *, actor: str, now: datetime) -> None:
    """Strike a release from the catalog; its history stays. Raises `Misuse` while an alias points at it."""
    row = _only(list(_known(connection, RELEASES, "digest", [digest]).values()), digest, "release", [])
    names = connection.execute(select(ALIASES.c.name).where(ALIASES.c.digest == digest)).scalars().all()
    if names:
        raise Misuse(f"The release {digest[:12]}… is {', '.join(names)}.", do="Give these names to another release.")
    connection.execute(RELEASES.delete().where(RELEASES.c.digest == digest))
    append(connection, [_release_deed("release removed", row)], actor=actor, now=now)


def runs_page(
    connection: Connection,
    *,
    project: str | None = None,
    state: State | None = None,
    verdict: str | None = None,
    release: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[Run]:
    """Give one page of runs, newest first."""
    query = select(RUNS)
    for name, wanted in {"project": project, "state": state, "verdict": verdict, "release": release}.items():
        if wanted is not None:
            query = query.where(RUNS.c[name] == wanted)
    found, mark = newest_first(connection, query, time=RUNS.c.started_us, name=RUNS.c.id, after=after, limit=limit)
    return Page(rows=tuple(_run(row) for row in found), after=mark)


def releases_page(
    connection: Connection, *, project: str | None = None, after: str | None = None, limit: int = 50
) -> Page[Release]:
    """Give one page of releases, newest first."""
    query = select(RELEASES) if project is None else select(RELEASES).where(RELEASES.c.project == project)
    found, mark = newest_first(
        connection, query, time=RELEASES.c.created_us, name=RELEASES.c.digest, after=after, limit=limit
    )
    return Page(rows=tuple(_release(row) for row in found), after=mark)


def find_run(connection: Connection, name: str, *, project: str | None = None) -> Run:
    """Find a run by its id, or by the beginning of it when only one begins so."""
    found = _beginning(connection, RUNS, "id", name, project)
    exact = [row for row in found if row.id == name]
    return _run(_only(exact or found, name, "run", [row.id for row in found]))


def find_release(connection: Connection, name: str, *, project: str | None = None) -> Release:
    """Find a release by alias (of one project), by its digest, or by the beginning of its digest."""
    if project is not None:
        pointed = select(RELEASES).join_from(ALIASES, RELEASES, ALIASES.c.digest == RELEASES.c.digest)
        row = connection.execute(pointed.where(ALIASES.c.project == project, ALIASES.c.name == name)).one_or_none()
        if row is not None:
            return _release(row)
    found: Sequence[Any] = ()
    if re.fullmatch(f"[0-9a-f]{{{SHORTEST_PREFIX},64}}", name):
        found = _beginning(connection, RELEASES, "digest", name, project)
    return _release(_only(found, name, "release", [f"{row.digest[:16]}… ({row.project})" for row in found]))


def _only(found: Sequence[Any], name: str, kind: str, shown: list[str]) -> Any:
    if not found:
        raise Misuse(
            f"There is no {kind} {name!r}.",
            do="List what there is: holdtrue releases" if kind == "release" else "Run the project first: holdtrue run",
        )
    if len(found) > 1:
        raise Misuse(f"{name!r} is the beginning of more than one {kind}:", faults=shown, do="Write more of it.")
    return found[0]


def _beginning(connection: Connection, table: Any, key: str, start: str, project: str | None) -> Sequence[Any]:
    column = table.c[key]
    # A range, where LIKE would not use the index. "~" comes after every character of a name.
    query = select(table).where(column >= start, column < start + "~")
    if project is not None:
        query = query.where(table.c.project == project)
    return connection.execute(query.order_by(column).limit(10)).all()


def _known(connection: Connection, table: Any, key: str, names: Sequence[str]) -> dict[str, dict[str, object]]:
    known: dict[str, dict[str, object]] = {}
    for start in range(0, len(names), CHUNK):
        some = names[start : start + CHUNK]
        for row in connection.execute(select(table).where(table.c[key].in_(some))).mappings():
            known[str(row[key])] = dict(row)
    return known


def _open_projects(connection: Connection, names: Iterable[str], *, actor: str, now: datetime) -> None:
    wanted = dict.fromkeys(names)
    fresh = [name for name in wanted if name not in _known(connection, PROJECTS, "name", list(wanted))]
    if fresh:
        count_us = microseconds(now)
        connection.execute(PROJECTS.insert(), [{"name": name, "created_us": count_us} for name in fresh])
        deeds = [Deed(action="project opened", project=name, subject=name) for name in fresh]
        append(connection, deeds, actor=actor, now=now)


def record_of(row: Mapping[str, object]) -> str:
    """Name a whole row by its content: what the ledger keeps of it."""
    return digest_of(dict(row))


def _run_deed(row: Mapping[str, Any]) -> Deed:
    about = {name: row[name] for name in ("state", "verdict", "release", "snapshot")}
    return Deed(
        action="run recorded", project=row["project"], subject=row["id"], detail={**about, "record": record_of(row)}
    )


def _release_deed(action: str, row: Mapping[str, Any]) -> Deed:
    return Deed(action=action, project=row["project"], subject=row["digest"], detail={"record": record_of(row)})


def _run_row(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "project": run.project,
        "started_us": microseconds(run.started),
        "finished_us": None if run.finished is None else microseconds(run.finished),
        "state": run.state,
        "snapshot": run.snapshot,
        "verdict": run.verdict,
        "release": run.release,
        "metrics": canonical_json(plain(run.metrics)).decode(),
        "report": None if run.report is None else printable(run.report),
    }


def _run(row: Any) -> Run:
    return Run(
        id=row.id,
        project=row.project,
        started=moment(row.started_us),
        finished=None if row.finished_us is None else moment(row.finished_us),
        state=row.state,
        snapshot=row.snapshot,
        verdict=row.verdict,
        release=row.release,
        metrics=json.loads(row.metrics),
        report=row.report,
    )


def _release_row(release: Release) -> dict[str, object]:
    return {
        "digest": release.digest,
        "project": release.project,
        "created_us": microseconds(release.created),
        "path": printable(release.path),
        "parent": release.parent,
        "verdict": canonical_json(plain(release.verdict)).decode(),
    }


def _release(row: Any) -> Release:
    return Release(
        digest=row.digest,
        project=row.project,
        created=moment(row.created_us),
        path=row.path,
        parent=row.parent,
        verdict=json.loads(row.verdict),
    )


def _check_name(name: str, kind: str) -> None:
    if not re.fullmatch(NAME, name):
        raise Misuse(
            f"{name!r} cannot name a {kind}.",
            do="A name has 1 to 100 letters, digits, dots, dashes and underscores, and begins with a letter or digit.",
        )
