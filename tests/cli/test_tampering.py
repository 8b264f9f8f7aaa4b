"""A release that was touched, forged or signed by a stranger answers nothing: exit code 5, and what to do."""

import json
import pickle
import sys
import time
from pathlib import Path

import pytest

from holdtrue.core.digest import digest_of, sha256_bytes
from holdtrue.release.signing import sign, signing_key
from tests.cli.driver import PROJECT, Done, assert_plain, copied, half_written, holdtrue, project, release_of

sys.path.insert(0, str(Path(__file__).parent.parent / "release"))

FILES = (
    "bom.cdx.json",
    "card.md",
    "contract.json",
    "environment.lock",
    "golden.parquet",
    "manifest.json",
    "model.onnx",
    "model.sig",
    "reference.parquet",
    "report.html",
    "report.json",
    "signature.json",
)


def predict(release: str | Path, folder: Path) -> Done:
    return holdtrue("predict", str(release), "rows.csv", "--out", "out.csv", folder=folder)


def refused(done: Done, folder: Path) -> None:
    assert done.code == 5, done.err
    assert_plain(done)
    assert not (folder / "out.csv").exists()
    assert not half_written(folder)


def harm(folder: Path, name: str) -> None:
    """Flip one bit in the middle of a file of the release."""
    path = release_of(folder) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge(folder: Path, model: bytes) -> Path:
    """Exchange the graph of the release, and make everything fit again: hashes, digest and signature."""
    place = release_of(folder)
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["core"]["files"]["model.onnx"] = sha256_bytes(model)
    manifest["digest"] = digest_of(manifest["core"])
    forged = place.rename(place.parent / manifest["digest"])
    (forged / "model.onnx").write_bytes(model)
    (forged / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False))
    files = {path.name: path.read_bytes() for path in forged.iterdir() if path.name != "model.sig"}
    key = signing_key(folder / ".holdtrue" / "keys")
    (forged / "model.sig").write_bytes(sign(files, name=manifest["digest"], key=key))
    return forged


def test_every_file_of_a_release_is_listed_here(made: Path) -> None:
    assert sorted(path.name for path in release_of(made).iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused(name: str, made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    harm(folder, name)
    done = predict("champion", folder)
    refused(done, folder)
    assert name in done.err or name == "model.sig"
    assert "holdtrue run" in done.err


@pytest.mark.slow
def test_to_run_again_mends_a_harmed_release(made: Path, tmp_path: Path) -> None:
    """That is what the message says to do, so it must work."""
    folder = copied(made, tmp_path)
    digest = release_of(folder).name
    harm(folder, "model.onnx")
    assert holdtrue("run", folder=folder).code == 0
    assert release_of(folder).name == digest
    assert predict("champion", folder).code == 0


def test_a_file_that_does_not_belong_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    (release_of(folder) / "plugin.py").write_text("print('hello')")
    done = predict("champion", folder)
    refused(done, folder)
    assert "'plugin.py' does not belong in a release" in done.err


def test_a_release_that_is_gone_is_missed(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    release_of(folder).rename(tmp_path / "elsewhere")
    done = predict("champion", folder)
    assert done.code == 2
    assert "is not there" in done.err
    assert "Restore the folder from a backup, or make the release again: holdtrue run" in done.err


@pytest.mark.slow
def test_a_stranger_is_refused_until_trusted(made: Path, tmp_path: Path) -> None:
    folder, theirs = project(tmp_path / "ours"), release_of(made)
    done = predict(theirs, folder)
    refused(done, folder)
    assert "signed by a key that is not trusted here" in done.err
    assert "holdtrue trust FILE" in done.err
    key = str(made / ".holdtrue" / "keys" / "signing.pub")
    trusted = holdtrue("trust", key, folder=folder)
    assert trusted.code == 0
    assert "are accepted from now on" in trusted.out
    assert predict(theirs, folder).code == 0
    again = holdtrue("trust", key, "--json", folder=folder)
    assert again.json["changed"] is False
    entries = holdtrue("ledger", "--json", folder=folder).json["entries"]
    assert [entry["action"] for entry in entries] == ["key trusted"]
    assert holdtrue("ledger", "verify", folder=folder).code == 0
    named = holdtrue("promote", str(theirs), "champion", folder=folder)
    assert named.code == 2
    assert "is not one of this store" in named.err
    assert holdtrue("card", str(theirs), folder=folder).code == 0
    lost = holdtrue("reproduce", str(theirs), folder=folder)
    assert lost.code == 2
    assert "This store does not hold what the release was made from" in lost.err


def test_two_keys_of_one_name_are_both_trusted(tmp_path: Path) -> None:
    """Everybody's public key is called signing.pub."""
    folder = project(tmp_path / "ours")
    for name in ("ann", "bob"):
        key = signing_key(tmp_path / name)
        assert holdtrue("trust", str(key.public), folder=folder).code == 0
    kept = list((folder / ".holdtrue" / "keys" / "trusted").glob("*.pub"))
    assert len(kept) == 2


@pytest.mark.parametrize("what", ["a private key", "no key", "no file"])
def test_what_is_no_public_key_is_not_trusted(what: str, tmp_path: Path) -> None:
    folder, key = project(tmp_path / "ours"), signing_key(tmp_path / "keys")
    good = holdtrue("trust", str(key.public), folder=folder)
    assert good.code == 0
    other = {"a private key": key.private, "no key": folder / "rows.csv", "no file": folder / "nothing"}[what]
    done = holdtrue("trust", str(other), folder=folder)
    assert done.code == (2 if what == "no file" else 5)
    assert_plain(done)
    assert "cryptography.io" not in done.err
    kept = list((folder / ".holdtrue" / "keys" / "trusted").iterdir())
    assert [path.read_bytes() for path in kept] == [key.public.read_bytes()]


class Evil:
    """What a pickle may do when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.place,)  # type: ignore[return-value]


def test_a_pickle_called_model_is_never_read_as_one(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "ours")
    done = predict(forge(folder, pickle.dumps(Evil(tmp_path / "owned"))), folder)
    refused(done, folder)
    assert "not an ONNX model" in done.err
    assert not (tmp_path / "owned").exists()


def test_a_graph_with_tensors_in_other_files_is_refused(made: Path, tmp_path: Path) -> None:
    from tests.release import hostile

    folder = copied(made, tmp_path)
    done = predict(forge(folder, hostile.harmed(hostile.HARMS["external data above the folder"][1])), folder)
    refused(done, folder)
    assert "external data" in done.err


@pytest.mark.slow
def test_a_bomb_of_nested_branches_is_refused_in_time(made: Path, tmp_path: Path) -> None:
    from tests.release import hostile

    folder = copied(made, tmp_path)
    forged = forge(folder, hostile.harmed(lambda graph: graph.graph.node.append(hostile.nested(15))))
    began = time.monotonic()
    done = predict(forged, folder)
    refused(done, folder)
    assert time.monotonic() - began < 30
    assert "subgraph" in done.err


@pytest.mark.slow
def test_a_store_whose_key_was_lost_signs_anew(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    for path in (folder / ".holdtrue" / "keys").iterdir():
        path.unlink()
    refused(predict("champion", folder), folder)
    assert holdtrue("run", folder=folder).code == 0
    assert predict("champion", folder).code == 0


def test_a_signing_key_that_others_can_read_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    key = folder / ".holdtrue" / "keys" / "signing.pem"
    key.chmod(0o644)
    done = predict("champion", folder)
    refused(done, folder)
    assert f"chmod 600 {key}" in done.err


@pytest.mark.slow
def test_doctor_finds_a_broken_release(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    assert holdtrue("doctor", folder=folder).code == 0
    harm(folder, "model.onnx")
    done = holdtrue("doctor", "--json", folder=folder)
    assert done.code == 1
    assert done.json["healthy"] is False
    (wrong,) = [check for check in done.json["checks"] if not check["well"]]
    assert wrong["name"] == "releases"
    assert "model.onnx changed since it was signed" in wrong["told"]


@pytest.mark.slow
def test_a_changed_project_does_not_change_what_answers(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    (folder / "holdtrue.yaml").write_text(PROJECT.replace("seed: 7", "seed: 8"))
    assert predict("champion", folder).code == 0
