"""What may be thrown away: all that no release, alias or recent run can still reach.

The plan is pure: what lies on disk and what the catalog says go in, the list of what to delete comes out. To carry it
out, hold the project's lock: a run in progress could be about to use an object that nothing refers to yet.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, select

from holdtrue.core.digest import digest_of
from holdtrue.core.errors import HoldtrueError
from holdtrue.registry.catalog import remove_release
from holdtrue.registry.database import Database
from holdtrue.registry.ledger import Deed, append
from holdtrue.registry.moment import microseconds, moment
from holdtrue.registry.schema import ALIASES, RELEASES, RUNS

Kind = Literal["object", "snapshot", "release", "candidate", "run", "held-out", "scratch", "traffic"]
DIGEST_TEXT = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
# Files that may name other things by their digest. A digest found by chance only keeps something longer.
TELLING = {".json", ".jsonl", ".yaml", ".md"}
PATHS_IN_AN_ENTRY = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing in the store that stays or goes as a whole.

    Attributes:
        path: below the store, such as `objects/ab/abcd…`.
        name: the digest or id that others know it by.
        mentions: the digests found in it.
    """

    kind: Kind
    path: str
    name: str
    size_bytes: int
    modified: datetime
    mentions: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Referenced:
    """What the catalog holds on to: the birth of each release, those with an alias, and what recent runs name."""

    releases: Mapping[str, datetime]
    aliased: frozenset[str]
    recent: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """For how long what nothing else holds on to is kept. Releases are kept for ever unless `releases` says less."""

    runs: timedelta = timedelta(days=30)
    scratch: timedelta = timedelta(days=1)
    releases: timedelta | None = None


def plan_gc(items: Sequence[Item], referenced: Referenced, *, keep: Keep, now: datetime) -> tuple[Item, ...]:
    """Say what may go, in the order of its paths.

    A release with an alias stays, whatever its age, and so does one that the catalog does not know: if the catalog
    was lost, its folder is all there is. What is younger than a day stays, for it may be about to be referred to.
    """
    old_releases = {
        digest
        for digest, born in referenced.releases.items()
        if keep.releases is not None and digest not in referenced.aliased and now - born > keep.releases
    }

    def goes(item: Item) -> bool:
        age = now - item.modified
        match item.kind:
            case "release":
                return item.name in old_releases
            case "candidate" | "run":
                return age > keep.runs and item.name not in referenced.recent
            case "scratch":
                return age > keep.scratch
            case "held-out":
                return age > keep.scratch and item.name not in staying
            case _:
                return age > keep.scratch and item.name not in reached

    staying = {item.name for item in items if item.kind == "release" and item.name not in old_releases}
    roots = [item for item in items if item.kind in {"release", "candidate", "run"} and not goes(item)]
    reached = _reach(roots, referenced.recent | referenced.aliased, items)
    return tuple(sorted((item for item in items if goes(item)), key=lambda item: item.path))


def _reach(roots: Iterable[Item], names: Iterable[str], items: Sequence[Item]) -> set[str]:
    """Follow the mentions from the roots on."""
    mentions: dict[str, set[str]] = {}
    for item in items:
        mentions.setdefault(item.name, set()).update(item.mentions)
    waiting = [*names, *(mention for root in roots for mention in root.mentions)]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(mentions.get(name, ()))
    return reached


def referenced_by(connection: Connection, *, keep: Keep, now: datetime) -> Referenced:
    """Ask the catalog, all projects of it: a store may be shared."""
    since_us = microseconds(now - keep.runs)
    releases = connection.execute(select(RELEASES.c.digest, RELEASES.c.created_us)).all()
    runs = connection.execute(
        select(RUNS.c.id, RUNS.c.snapshot, RUNS.c.release).where(RUNS.c.started_us >= since_us)
    ).all()
    return Referenced(
        releases={row.digest: moment(row.created_us) for row in releases},
        aliased=frozenset(connection.execute(select(ALIASES.c.digest)).scalars()),
        recent=frozenset(name for row in runs for name in row if name is not None),
    )


def collect(home: Path, plan: Sequence[Item], database: Database, *, project: str, actor: str, now: datetime) -> None:
    """Delete what was planned. The ledger says so first: nothing ever goes without a word.

    Raises `Misuse`, and deletes nothing, when a release of the plan has been given an alias since.
    """
    if not plan:
        return

    def written(connection: Connection) -> None:
        known = set(connection.execute(select(RELEASES.c.digest)).scalars())
        for item in plan:
            if item.kind == "release" and item.name in known:
                remove_release(connection, item.name, actor=actor, now=now)
        append(connection, list(_deeds(plan, project)), actor=actor, now=now)

    database.write(written)
    with tempfile.TemporaryDirectory(dir=_scratch(home), prefix="gc-") as going:
        for item in plan:
            _delete(home / item.path, Path(going))


def _deeds(plan: Sequence[Item], project: str) -> Iterator[Deed]:
    for start in range(0, len(plan), PATHS_IN_AN_ENTRY):
        some = plan[start : start + PATHS_IN_AN_ENTRY]
        paths = [item.path for item in some]
        detail = {"paths": paths, "bytes": sum(item.size_bytes for item in some)}
        yield Deed(action="storage reclaimed", project=project, subject=digest_of(paths), detail=detail)


def _scratch(home: Path) -> Path:
    scratch = home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def _delete(path: Path, going: Path) -> None:
    """Take a thing away in one step, so that nobody meets half of it, and then delete it."""
    try:
        if path.is_dir():
            path.rename(going / path.name)
            shutil.rmtree(going / path.name)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HoldtrueError(
            f"{path} cannot be deleted: {error.strerror}.", do="Check its permissions and run again: holdtrue gc"
        ) from None


def inventory(home: Path) -> tuple[Item, ...]:
    """List what lies in a store. Links and names of another form are not ours and are left alone."""
    return tuple(_items(home))


def _items(home: Path) -> Iterator[Item]:
    digest, anything = r"[0-9a-f]{64}", r"[^.].*"
    yield from (_item(home, "object", path, path.name) for path in _entries(home / "objects", "*/*", digest))
    for path in _entries(home / "snapshots", "*.json", digest + r"\.json"):
        yield _item(home, "snapshot", path, path.stem)
    yield from (_item(home, "release", path, path.name) for path in _entries(home / "releases", "*", digest))
    yield from (_item(home, "candidate", path, path.name) for path in _entries(home / "candidates", "*", anything))
    yield from (_item(home, "run", path, path.name) for path in _entries(home / "runs", "*", anything))
    for path in _entries(home / "watch", "*.held-out.parquet", digest + r"\.held-out\.parquet"):
        yield _item(home, "held-out", path, path.name.split(".")[0])
    yield from (_item(home, "scratch", path, path.name) for path in _entries(home / "tmp", "*", ".*"))


def _entries(folder: Path, pattern: str, name: str) -> Iterator[Path]:
    return (path for path in folder.glob(pattern) if re.fullmatch(name, path.name) and not path.is_symlink())


def _item(home: Path, kind: Kind, path: Path, name: str) -> Item:
    files = [path] if not path.is_dir() else [entry for entry in path.rglob("*") if entry.is_file()]
    stats = [path.lstat(), *(file.lstat() for file in files)]
    return Item(
        kind=kind,
        path=path.relative_to(home).as_posix(),
        name=name,
        size_bytes=sum(file.lstat().st_size for file in files),
        modified=datetime.fromtimestamp(max(stat.st_mtime for stat in stats), UTC),
        mentions=frozenset().union(*(_mentions(file, kind) for file in files)) if kind != "scratch" else frozenset(),
    )


def _mentions(file: Path, kind: Kind) -> frozenset[str]:
    """Find the digests in a file of text; an object has no suffix, and tells by its first byte."""
    if file.is_symlink():
        return frozenset()
    with file.open("rb") as stream:
        telling = stream.read(1) in {b"{", b"["} if kind == "object" else file.suffix in TELLING
        if not telling:
            return frozenset()
        stream.seek(0)
        found: set[bytes] = set()
        rest = b""
        while block := stream.read(2**20):
            found.update(DIGEST_TEXT.findall(rest + block))
            rest = block[-63:]
    return frozenset(digest.decode() for digest in found)
