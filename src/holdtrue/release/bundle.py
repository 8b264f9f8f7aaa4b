"""The release itself: a manifest, a digest that names what decides predictions, and a folder written whole."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdtrue.core.digest import Json, digest_of, sha256_bytes
from holdtrue.core.errors import Misuse, Refused
from holdtrue.core.files import folder_whole
from holdtrue.release.held import CORE_FILES, EVIDENCE_FILES, LOCK, MANIFEST, SIGNATURE, hold
from holdtrue.release.lineage import Lineage
from holdtrue.release.signing import Key, sign

SCHEMA = "holdtrue/release/1"
CORE_SCHEMA = "holdtrue/core/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Core:
    """What decides predictions: no clock, no key and no path is in it, so the same inputs give the same digest.

    Attributes:
        classes: the names of the classes in the order of their codes; empty for regression.
        inputs, outputs: the typed columns of the graph, as `signature.json` spells them.
        files: SHA-256 of each of `CORE_FILES`.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    inputs: tuple[Mapping[str, Json], ...]
    outputs: tuple[Mapping[str, Json], ...]
    files: Mapping[str, str]
    lineage: Lineage

    def to_dict(self) -> dict[str, Json]:
        return {
            "schema": CORE_SCHEMA,
            "name": self.name,
            "task": self.task,
            "classes": list(self.classes),
            "inputs": [dict(port) for port in self.inputs],
            "outputs": [dict(port) for port in self.outputs],
            "files": dict(self.files),
            "lineage": self.lineage.to_dict(),
        }

    @property
    def digest(self) -> str:
        return digest_of(self.to_dict())


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A release folder whose manifest was read; `signing.verify` and `quarantine.admit` say whether to believe it."""

    digest: str
    folder: Path
    core: Core
    evidence: Mapping[str, str]


def hashes(files: Mapping[str, bytes], names: tuple[str, ...] = CORE_FILES) -> dict[str, str]:
    """Name files by their bytes, as `Core.files` wants them."""
    return {name: sha256_bytes(files[name]) for name in names}


def write_release(core: Core, files: Mapping[str, bytes], *, releases: Path, scratch: Path, key: Key) -> Release:
    """Write and sign a release under its digest, all of it or nothing.

    `files` holds the bytes of every one of `CORE_FILES` and `EVIDENCE_FILES`. A release that is already there stays as
    it is, evidence included: the digest says that it predicts the same.
    """
    _check_parts(core, files)
    manifest: dict[str, Json] = {
        "schema": SCHEMA,
        "digest": core.digest,
        "core": core.to_dict(),
        "evidence": dict(hashes(files, EVIDENCE_FILES)),
    }
    named = {**files, MANIFEST: json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False).encode()}
    final = releases / core.digest
    if not final.exists():
        named[SIGNATURE] = sign(named, name=core.digest, key=key)
        with folder_whole(final, scratch=scratch) as building:
            for name, data in named.items():
                (building / name).write_bytes(data)
    return open_release(final, releases)


def _check_parts(core: Core, files: Mapping[str, bytes]) -> None:
    wanted = {*CORE_FILES, *EVIDENCE_FILES}
    faults = [f"{name} is missing" for name in sorted(wanted - files.keys())]
    faults += [f"{name} does not belong in a release" for name in sorted(files.keys() - wanted)]
    if not faults and dict(core.files) != hashes(files):
        faults.append("the core names other bytes than those given")
    if not faults and files[LOCK] != core.lineage.environment.encode():
        faults.append(f"{LOCK} is not the text the lineage names")
    if faults:
        raise Misuse("These parts make no release:", faults=faults)


def open_release(name: str | Path, releases: Path) -> Release:
    """Find a release by its folder, its digest, or the first digits of it (six at least), and read its manifest.

    Raises `Misuse` when there is none, and `Refused` when folder or manifest contradict themselves.
    """
    folder = _folder(str(name), releases)
    return release_of(folder, hold(folder))


def _folder(name: str, releases: Path) -> Path:
    if re.fullmatch(r"[0-9a-f]{6,64}", name):
        found = sorted(releases.glob(f"{name}*"))
        if len(found) > 1:
            raise Misuse(
                f"{len(found)} releases begin with {name}.",
                faults=[path.name for path in found],
                do="Give more digits.",
            )
        if found:
            return found[0]
    elif Path(name).is_dir():
        return Path(name).resolve()
    raise Misuse(f"There is no release {name!r} in {releases}.", do="List what there is: holdtrue releases")


def release_of(folder: Path, files: Mapping[str, bytes]) -> Release:
    """Read the manifest among the held bytes of a release, and hold every other byte against it."""
    try:
        manifest = json.loads(files[MANIFEST])
        core = _read_core(manifest["core"], files[LOCK].decode())
        evidence = {name: str(digest) for name, digest in _table(manifest["evidence"]).items()}
        told = {"schema": SCHEMA, "digest": core.digest, "core": core.to_dict(), "evidence": evidence}
        same = manifest == told
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"The manifest of {folder} cannot be read: {type(error).__name__} {error}.") from None
    if not same:
        raise Refused(
            f"The manifest of {folder} is of an unknown form, or its digest is not that of its content.",
            do="Use an untouched copy, or make the release again: holdtrue run",
        )
    named = {**core.files, **evidence}
    held = hashes(files, (*CORE_FILES, *EVIDENCE_FILES))
    if named != held:
        faults = [f"{name} changed" for name in sorted({*named, *held}) if named.get(name) != held.get(name)]
        raise Refused(f"Files of {folder} are not those its manifest names:", faults=faults)
    if re.fullmatch(r"[0-9a-f]{64}", folder.name) and folder.name != core.digest:
        raise Refused(f"The folder {folder.name} holds the release {core.digest}: it was renamed.")
    return Release(digest=core.digest, folder=folder, core=core, evidence=evidence)


def _read_core(value: Mapping[str, Json], lock: str) -> Core:
    """Read what `Core.to_dict` wrote; the caller compares the result with the source, so nothing is guessed here."""

    def texts(key: str) -> tuple[str, ...]:
        return tuple(str(entry) for entry in _list(value[key]))

    def tables(key: str) -> tuple[Mapping[str, Json], ...]:
        return tuple(_table(entry) for entry in _list(value[key]))

    return Core(
        name=str(value["name"]),
        task=str(value["task"]),
        classes=texts("classes"),
        inputs=tables("inputs"),
        outputs=tables("outputs"),
        files={name: str(digest) for name, digest in _table(value["files"]).items()},
        lineage=Lineage.from_dict(_table(value["lineage"]), environment=lock),
    )


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _table(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value
