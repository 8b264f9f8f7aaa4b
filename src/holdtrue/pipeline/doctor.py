"""Whether this machine, project and store are well: each check says what it found and what to do."""

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from holdtrue.core.errors import HoldtrueError
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.retention import check_dropped
from holdtrue.release.signing import PRIVATE, signing_key
from holdtrue.spec.load import FILE

LEAST_FREE_BYTES = 1_000_000_000
LIBRARIES = ("numpy", "polars", "pyarrow", "scikit-learn", "lightgbm", "onnx", "onnxruntime")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    name: str
    well: bool
    told: str

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "well": self.well, "told": self.told}


def examine(folder: Path, environ: Mapping[str, str], *, python: str) -> list[Check]:
    """Run every check; one that fails does not keep the others from running."""
    found = [
        Check(name="python", well=True, told=f"{python}, SQLite {sqlite3.sqlite_version}"),
        Check(name="libraries", well=True, told=", ".join(f"{name} {version(name)}" for name in LIBRARIES)),
        _tried("project file", lambda: _project(folder, environ)),
    ]
    try:
        keeper = keeper_of(folder, environ, actor="doctor")
    except HoldtrueError:
        return found
    if not keeper.home.path.is_dir():
        return [*found, Check(name="store", well=True, told=f"{keeper.home.path} is made by the first run")]
    return [
        *found,
        _room(keeper.home.path),
        _tried("signing key", lambda: _key(keeper.home.keys)),
        _tried("catalog", lambda: _catalog(keeper)),
        _tried("ledger", lambda: f"{keeper.verify().count} entries hold together"),
        _tried("traffic", lambda: _traffic(keeper)),
        _tried("releases", lambda: _releases(keeper)),
    ]


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, well=True, told=look())
    except (HoldtrueError, OSError) as error:
        return Check(name=name, well=False, told=str(error))


def _project(folder: Path, environ: Mapping[str, str]) -> str:
    return keeper_of(folder, environ, actor="doctor").project if (folder / FILE).is_file() else f"no {FILE} here"


def _room(path: Path) -> Check:
    free = shutil.disk_usage(path).free
    told = f"{free / 1e9:.1f} GB free at {path}"
    return Check(name="disk", well=free > LEAST_FREE_BYTES, told=told)


def _key(keys: Path) -> str:
    made = (keys / PRIVATE).exists()  # to look is not to make one
    return signing_key(keys).fingerprint[:16] + "…" if made else "is made on first use"


def _catalog(keeper: Keeper) -> str:
    page, named = keeper.releases(limit=1)
    held = ", ".join(alias.name for alias in named) if page.rows else "no release yet"
    return f"{keeper.database().place}: {held or 'releases, none with an alias'}"


def _traffic(keeper: Keeper) -> str:
    """What is not there any more must have been dropped, and the ledger must say so."""
    gone = check_dropped(keeper)
    return f"{gone:,} parts were dropped by retention, all of them in the ledger" if gone else "nothing was dropped"


def _releases(keeper: Keeper) -> str:
    """Every release that has a name must be fit to serve."""
    _, named = keeper.releases(limit=1)
    for alias in named:
        keeper.predictor(alias.digest)
    count = len({alias.digest for alias in named})
    return f"{count} with an alias, verified in full" if count else "none has an alias"
