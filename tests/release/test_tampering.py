"""Whatever is done to a release folder, it is noticed."""

import base64
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_release import graph, key, parts, written

from holdtrue.core.digest import canonical_json, sha256_bytes
from holdtrue.core.errors import Refused
from holdtrue.release.bundle import release_of
from holdtrue.release.held import CORE_FILES, EVIDENCE_FILES, MANIFEST, MOST_BYTES, SIGNATURE, hold
from holdtrue.release.signing import sign, signing_key, trusted_keys, verify

FILES = (*CORE_FILES, *EVIDENCE_FILES, MANIFEST, SIGNATURE)


def released(store: Path) -> Path:
    return next((store / "releases").iterdir())


def believe(folder: Path, store: Path) -> None:
    """Check a folder as every reader does, up to the point where the model itself is examined."""
    release_of(folder, verify(folder, trusted_keys(store / "keys")).files)


@pytest.fixture
def folder(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(released(store), tmp_path / released(store).name))


def test_an_untouched_copy_is_believed(folder: Path, store: Path) -> None:
    believe(folder, store)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_anywhere_is_refused(name: str, folder: Path, store: Path) -> None:
    whole = (folder / name).read_bytes()
    chance = np.random.default_rng(len(whole))
    offsets = {0, len(whole) // 2, len(whole) - 1, *chance.integers(0, len(whole), 12).tolist()}
    for offset in sorted(offsets):
        changed = bytearray(whole)
        changed[offset] ^= 1 << int(chance.integers(8))
        (folder / name).write_bytes(bytes(changed))
        with pytest.raises(Refused):
            believe(folder, store)
    (folder / name).write_bytes(whole)
    believe(folder, store)


def resigned(folder: Path, store: Path) -> None:
    """Sign the folder as it is now with the trusted key: the attacker is inside, or we made a mistake."""
    files = {name: data for name, data in hold(folder).items() if name != SIGNATURE}
    (folder / SIGNATURE).write_bytes(sign(files, name=folder.name, key=signing_key(store / "keys")))


def edit_manifest(folder: Path, name: str, data: bytes) -> None:
    """Put other bytes in a file and name them rightly in the manifest, digest left as it was."""
    (folder / name).write_bytes(data)
    value = json.loads((folder / MANIFEST).read_bytes())
    part = value["core"]["files"] if name in CORE_FILES else value["evidence"]
    part[name] = sha256_bytes(data)
    (folder / MANIFEST).write_bytes(json.dumps(value, indent=1, ensure_ascii=False).encode())


def another(folder: Path, store: Path) -> Path:
    """Another good release of the same store, signed by the same key."""
    second = store / "second"
    if not second.exists():
        what = parts(contract=b'{"columns":["other"]}')
        shutil.copytree(store / "keys", second / "keys")
        written(second, what)
    return next((second / "releases").iterdir())


def by_stranger(folder: Path, store: Path) -> None:
    files = {name: data for name, data in hold(folder).items() if name != SIGNATURE}
    (folder / SIGNATURE).write_bytes(sign(files, name=folder.name, key=key(folder.parent / "stranger")))


def borrowed_name(folder: Path, store: Path) -> None:
    """Sign with a stranger's key, and claim the trusted one."""
    by_stranger(folder, store)
    value = json.loads((folder / SIGNATURE).read_bytes())
    value["verificationMaterial"]["publicKey"]["hint"] = signing_key(store / "keys").fingerprint
    (folder / SIGNATURE).write_bytes(canonical_json(value))


def forged_payload(folder: Path, store: Path) -> None:
    """Change a file and the hash that the signed statement names, and leave the mark."""
    value = json.loads((folder / SIGNATURE).read_bytes())
    was = sha256_bytes((folder / "card.md").read_bytes())
    (folder / "card.md").write_bytes(b"other")
    statement = base64.b64decode(value["dsseEnvelope"]["payload"]).decode().replace(was, sha256_bytes(b"other"))
    value["dsseEnvelope"]["payload"] = base64.b64encode(statement.encode()).decode()
    (folder / SIGNATURE).write_bytes(canonical_json(value))


def linked(folder: Path, store: Path, *, hard: bool) -> None:
    away = folder.parent / "away"
    (folder / "model.onnx").replace(away)
    if hard:
        (folder / "model.onnx").hardlink_to(away)
    else:
        (folder / "model.onnx").symlink_to(away)


def pipe(folder: Path, store: Path) -> None:
    (folder / "card.md").unlink()
    os.mkfifo(folder / "card.md")


def listener(folder: Path, store: Path) -> None:
    (folder / "card.md").unlink()
    here = Path.cwd()
    os.chdir(folder)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("card.md")
    finally:
        os.chdir(here)


def replaced_folder(folder: Path, store: Path) -> None:
    (folder / "card.md").unlink()
    (folder / "card.md").mkdir()


def sparse(folder: Path, store: Path) -> None:
    with (folder / "card.md").open("wb") as stream:
        stream.truncate(MOST_BYTES["card.md"] + 1)


def pickled(folder: Path, store: Path) -> None:
    edit_manifest(folder, "model.onnx", b"cposix\nsystem\n(S'true'\ntR.")


def swapped(folder: Path, store: Path, *names: str) -> None:
    for name in names:
        shutil.copy(another(folder, store) / name, folder / name)


def exchanged(folder: Path, store: Path) -> None:
    (folder / "golden.parquet").rename(folder / "x")
    (folder / "reference.parquet").rename(folder / "golden.parquet")
    (folder / "x").rename(folder / "reference.parquet")


def extended(folder: Path, store: Path) -> None:
    with (folder / "model.onnx").open("ab") as stream:
        stream.write(b"\0")


def other_model(folder: Path, store: Path) -> None:
    made = graph()
    made.constant(np.zeros(1))
    edit_manifest(folder, "model.onnx", made.model().SerializeToString())


def renamed(folder: Path, store: Path) -> None:
    value = json.loads((folder / MANIFEST).read_bytes())
    value["core"]["name"] = "other"
    (folder / MANIFEST).write_bytes(json.dumps(value).encode())
    resigned(folder, store)


def wrong_evidence(folder: Path, store: Path) -> None:
    (folder / "report.json").write_bytes(b'{"verdict":"proven"}')
    resigned(folder, store)


def wrong_core(folder: Path, store: Path) -> None:
    edit_manifest(folder, "contract.json", b"{}")
    resigned(folder, store)


def wrong_lock(folder: Path, store: Path) -> None:
    edit_manifest(folder, "environment.lock", b"numpy==0\n")
    resigned(folder, store)


Harm = Callable[[Path, Path], object]
HARMS: dict[str, Harm] = {
    "added: a file": lambda folder, store: (folder / "extra.txt").write_bytes(b""),
    "added: a hidden file": lambda folder, store: (folder / ".hidden").write_bytes(b""),
    "added: what git keeps": lambda folder, store: (folder / ".gitignore").write_bytes(b""),
    "added: a git folder": lambda folder, store: (folder / ".git").mkdir(),
    "added: a folder": lambda folder, store: (folder / "sub").mkdir(),
    "added: external data": lambda folder, store: (folder / "model.onnx.data").write_bytes(b"1"),
    "added: a link": lambda folder, store: (folder / "link").symlink_to("/etc/hostname"),
    "added: a name in other letters": lambda folder, store: (folder / "Model.onnx").write_bytes(b""),
    "added: a name with a blank": lambda folder, store: (folder / "model.onnx ").write_bytes(b""),
    "removed: the model": lambda folder, store: (folder / "model.onnx").unlink(),
    "removed: the signature": lambda folder, store: (folder / SIGNATURE).unlink(),
    "removed: the manifest": lambda folder, store: (folder / MANIFEST).unlink(),
    "removed: evidence": lambda folder, store: (folder / "report.html").unlink(),
    "renamed: a file": lambda folder, store: (folder / "card.md").rename(folder / "README.md"),
    "renamed: two files exchanged": exchanged,
    "emptied: the model": lambda folder, store: (folder / "model.onnx").write_bytes(b""),
    "emptied: the signature": lambda folder, store: (folder / SIGNATURE).write_bytes(b""),
    "shortened: the model": lambda folder, store: os.truncate(folder / "model.onnx", 100),
    "shortened: the golden rows": lambda folder, store: os.truncate(folder / "golden.parquet", 100),
    "extended: the model": extended,
    "extended: a sparse file over the limit": sparse,
    "link: symbolic": lambda folder, store: linked(folder, store, hard=False),
    "link: hard": lambda folder, store: linked(folder, store, hard=True),
    "not a file: a pipe": pipe,
    "not a file: a socket": listener,
    "not a file: a folder": replaced_folder,
    "model: a pickle by another name": pickled,
    "model: another graph, named in the manifest": other_model,
    "mixed: the model of another release": lambda folder, store: swapped(folder, store, "contract.json"),
    "mixed: the signature of another release": lambda folder, store: swapped(folder, store, SIGNATURE),
    "mixed: the manifest of another release": lambda folder, store: swapped(folder, store, MANIFEST),
    "mixed: manifest and contract": lambda folder, store: swapped(folder, store, MANIFEST, "contract.json"),
    "mixed: manifest and signature": lambda folder, store: swapped(folder, store, MANIFEST, SIGNATURE),
    "mixed: a whole release under this name": lambda folder, store: swapped(folder, store, *FILES),
    "signed: by a stranger": by_stranger,
    "signed: by a stranger who claims our key": borrowed_name,
    "signed: a statement changed afterwards": forged_payload,
    "signed by us: a manifest with another name": renamed,
    "signed by us: evidence the manifest does not name": wrong_evidence,
    "signed by us: a core whose digest is another": wrong_core,
    "signed by us: a lock the lineage does not name": wrong_lock,
}


@pytest.mark.parametrize("name", HARMS)
def test_a_tampered_bundle_is_refused(name: str, folder: Path, store: Path) -> None:
    HARMS[name](folder, store)
    with pytest.raises(Refused):
        believe(folder, store)


def test_there_are_forty_tampered_bundles() -> None:
    assert len(HARMS) >= 40


def test_a_file_exchanged_while_it_is_read_changes_nothing(folder: Path, store: Path) -> None:
    """What was verified is what is held: the folder may change at once."""
    verified = verify(folder, trusted_keys(store / "keys"))
    (folder / "model.onnx").write_bytes(b"other")
    assert release_of(folder, verified.files).digest == folder.name
