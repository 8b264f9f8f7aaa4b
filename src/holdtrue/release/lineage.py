"""What decided a model: data, settings, the exact code and the exact libraries; and where two lineages first differ."""

import os
import platform
import stat
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from holdtrue.core.digest import Json, digest_of, sha256_bytes, sha256_file
from holdtrue.core.errors import HoldtrueError, Refused

# Code, and the settings that code reads.
CODE = frozenset({".py", ".pyx", ".sql", ".sh", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".ipynb", ".r", ".jl"})
MOST_SOURCE_BYTES = 1 << 20  # larger files are data, whatever they are called
NOT_SOURCE = frozenset({"__pycache__", "node_modules", "site-packages"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """All that decided a model; the same lineage gives the same bytes.

    Attributes:
        snapshot: the digest of the data.
        project: the digest of the project file in canonical form, so a comment changes nothing here.
        sources: path and SHA-256 of each file of code and settings in the project folder.
        package: the digest of Holdtrue's own code.
        environment: the text of `environment.lock`; its digest is what the release's name depends on.
        seed, learner, settings, split: how it was fitted.
        parent: the release this one was trained to follow, if any.
    """

    snapshot: str
    project: str
    sources: Mapping[str, str]
    package: str
    environment: str
    seed: int
    learner: str
    settings: Mapping[str, Json]
    split: Mapping[str, Json]
    parent: str | None = None

    def to_dict(self) -> dict[str, Json]:
        return {
            "snapshot": self.snapshot,
            "project": self.project,
            "sources": dict(self.sources),
            "package": self.package,
            "environment": sha256_bytes(self.environment.encode()),
            "seed": self.seed,
            "learner": self.learner,
            "settings": dict(self.settings),
            "split": dict(self.split),
            "parent": self.parent,
        }

    @staticmethod
    def from_dict(value: Mapping[str, Json], *, environment: str) -> "Lineage":
        """Read what `to_dict` wrote; `environment` is the text of the lock file it names by digest."""
        try:
            made = Lineage(**{**value, "environment": environment})  # type: ignore[arg-type]  # compared just below
            kept = made.to_dict()
        except (TypeError, ValueError) as error:
            raise Refused(f"The lineage of this release cannot be read: {error}.") from None
        if kept != value:
            raise Refused("The lineage of this release does not fit its environment.lock.")
        return made


def source_tree(folder: Path, *, exclude: Collection[Path] = ()) -> dict[str, str]:
    """Name every file of code and settings below a folder by its hash, as it lies there, committed or not.

    Left out: hidden files and folders, virtual environments, links, files over 1 MiB, and what `exclude` names.
    """
    unwanted = {path.absolute() for path in exclude}
    found: dict[str, str] = {}
    for place, folders, names in os.walk(folder.absolute()):
        here = Path(place)
        folders[:] = [name for name in folders if _is_walked(here / name) and here / name not in unwanted]
        for name in names:
            path = here / name
            if not name.startswith(".") and path not in unwanted and _is_source(path):
                found[_plain(path.relative_to(folder.absolute()).as_posix())] = _hash(path)
    return dict(sorted(found.items()))


def _is_walked(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in NOT_SOURCE
    return not hidden and not (folder / "pyvenv.cfg").exists()


def _is_source(path: Path) -> bool:
    if path.suffix.lower() not in CODE:
        return False
    about = path.lstat()
    return stat.S_ISREG(about.st_mode) and about.st_size <= MOST_SOURCE_BYTES


def _plain(path: str) -> str:
    """Write a file name that is not UTF-8 so that JSON can hold it."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _hash(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise HoldtrueError(
            f"{path} is part of the project's code but cannot be read: {error.strerror}.",
            do="Give read permission, or move the file out of the project folder.",
        ) from None


def package_tree() -> str:
    """Name Holdtrue's own installed code by its hash: templates and styles included, compiled files not."""
    root = Path(__file__).parents[1]
    files = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return digest_of({path.relative_to(root).as_posix(): sha256_file(path) for path in files})


def environment_lock(package: str = "holdtrue") -> str:
    """List the exact version of everything the package needs to run, one `name==version` a line.

    Followed through requirements, so a tool that merely lies in the same environment changes nothing.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(canonicalize_name(package), frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
            continue
        found[name] = distribution.version
        waiting += _needs(distribution.requires or (), extras)
    machine = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    return "".join(f"{name}=={version}\n" for name, version in [*machine.items(), *sorted(found.items())])


def _needs(requirements: Collection[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Give the requirements that hold on this machine; those of an extra only where someone asked for the extra."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    made: list[tuple[str, frozenset[str]]] = []
    for text in requirements:
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            made.append((canonicalize_name(need.name), frozenset(need.extras)))
    return made


def versions(lock: str) -> dict[str, str]:
    """Read the text of an `environment.lock`.

    >>> versions("python==3.11.7\\nnumpy==2.4.6\\n")
    {'python': '3.11.7', 'numpy': '2.4.6'}
    """
    pairs = (line.partition("==") for line in lock.splitlines() if line)
    return {name: version for name, _, version in pairs}


def difference(was: Lineage, now: Lineage) -> str | None:
    """Say in plain words what differs first: data, project, code, libraries, then how it was fitted; None when equal.

    >>> a = Lineage(snapshot="s", project="p", sources={"a.py": "1"}, package="h", environment="polars==1.9.0\\n",
    ...             seed=7, learner="ridge", settings={}, split={"by": "time"})
    >>> from dataclasses import replace
    >>> difference(a, replace(a, environment="polars==1.9.1\\n", seed=8))
    'polars was 1.9.0, is 1.9.1'
    >>> difference(a, a) is None
    True
    """
    changed = (
        _named("the data (snapshot)", was.snapshot, now.snapshot),
        _named("the project file", was.project, now.project),
        _in_table(was.sources, now.sources, "the file {}", show=False),
        _in_table(versions(was.environment), versions(now.environment), "{}", show=True),
        _named("Holdtrue's own code", was.package, now.package),
        _in_table({"the seed": was.seed}, {"the seed": now.seed}, "{}", show=True),
        _in_table({"the learner": was.learner}, {"the learner": now.learner}, "{}", show=True),
        _in_table(was.settings, now.settings, "the setting {}", show=True),
        _in_table(was.split, now.split, "the split's {}", show=True),
        _in_table({"the parent release": was.parent}, {"the parent release": now.parent}, "{}", show=True),
    )
    return next((text for text in changed if text), None)


def _named(what: str, was: str, now: str) -> str | None:
    return None if was == now else f"{what} changed: was {was[:12]}, is {now[:12]}"


def _in_table(was: Mapping[str, Json], now: Mapping[str, Json], words: str, *, show: bool) -> str | None:
    for key in sorted({*was, *now}):
        what = words.format(key)
        if key not in now:
            return f"{what} was {was[key]}, is gone" if show else f"{what} is gone"
        if key not in was:
            return f"{what} is new: {now[key]}" if show else f"{what} is new"
        if was[key] != now[key]:
            return f"{what} was {was[key]}, is {now[key]}" if show else f"{what} changed"
    return None
