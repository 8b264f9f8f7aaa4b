"""A project folder and its store: where everything lies, and who may write."""

import fcntl
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdtrue.core.errors import Busy, HoldtrueError, Misuse
from holdtrue.core.files import ObjectStore, write_whole
from holdtrue.spec import Loaded, Project, load
from holdtrue.spec.load import FILE

CONTRACT = "contract.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """The store that runs and releases are kept in: objects, snapshots, candidates, releases, keys and the catalog.

    `database` is the address of the catalog; a SQLite file in `path` unless Postgres is named.
    """

    path: Path
    database: str

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(root=self.path / "objects")

    @property
    def releases(self) -> Path:
        return self.path / "releases"

    @property
    def candidates(self) -> Path:
        return self.path / "candidates"

    @property
    def scratch(self) -> Path:
        return self.path / "tmp"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    def held_out(self, digest: str) -> Path:
        """Where the held-out rows of a release lie."""
        return self.path / "watch" / f"{digest}.held-out.parquet"

    def run_folder(self, key: str) -> Path:
        """Where the journal of a run lies, so that a run that was killed goes on from it."""
        return self.path / "runs" / key


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """A folder with a project file, and its store.

    Attributes:
        folder: holds `holdtrue.yaml`, and `contract.yaml` if the contract was written down.
        loaded: the checked project and the lines of its settings.
    """

    folder: Path
    home: Home
    loaded: Loaded

    @property
    def project(self) -> Project:
        return self.loaded.project

    @property
    def contract_file(self) -> Path:
        return self.folder / CONTRACT


def open_workspace(folder: Path, *, environ: Mapping[str, str], profile: str | None = None) -> Workspace:
    """Read and check the project of a folder; raises `Misuse` with every fault of its files."""
    names = [FILE, *([f"holdtrue.{profile}.yaml"] if profile else [])]
    texts = [(name, _read(folder, name)) for name in names]
    return Workspace(folder=folder, home=home_of(folder, environ), loaded=load(texts, environ=environ))


def home_of(folder: Path, environ: Mapping[str, str]) -> Home:
    """Find the store of a folder: `HOLDTRUE_HOME`, or `.holdtrue` in it."""
    named = environ.get("HOLDTRUE_HOME")
    path = Path(named).expanduser().absolute() if named else folder.absolute() / ".holdtrue"
    return Home(path=path, database=environ.get("HOLDTRUE_DATABASE_URL") or f"sqlite:///{path / 'holdtrue.db'}")


def _read(folder: Path, name: str) -> str:
    path = folder / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = sorted(each.name for each in folder.glob("holdtrue.*.yaml"))
        known = f"Profiles here: {', '.join(there) or 'none'}."
        raise Misuse(
            f"There is no {name} in {folder.absolute()}.",
            do="Make one from a data file: holdtrue init DATA.csv --target COLUMN" if name == FILE else known,
        ) from None
    except UnicodeDecodeError as error:
        raise Misuse(f"{path.name} is not UTF-8 text (byte {error.start}).", do="Save it as UTF-8.") from None
    except OSError as error:
        raise Misuse(f"{path.name} cannot be read: {error.strerror}.", do="Check its permissions.") from None


@contextmanager
def alone(home: Home) -> Generator[None]:
    """Hold a store: two runs of one project at once would judge on the same rows twice.

    The lock belongs to the open file, so it is gone when the process is, however it ended.
    """
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        ignore = home.path / ".gitignore"
        if not ignore.exists():  # a signing key and other people's rows lie here
            write_whole(ignore, b"*\n")
        handle = os.open(home.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise HoldtrueError(
            f"{home.path} cannot be written: {error.strerror}.",
            do="Give write permission, make room, or set HOLDTRUE_HOME to another folder.",
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 64).decode(errors="replace").strip() or "another process"
            raise Busy(
                f"Another run of this project is going on (process {holder}).",
                do="Wait for it to finish, or end that process: the next run goes on from what it did.",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
