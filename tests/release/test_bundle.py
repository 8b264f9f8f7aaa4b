"""A release is named by what decides its predictions, and is written whole or not at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_release import Parts, key, lineage, parts, written

from holdtrue.core.errors import Misuse, Refused
from holdtrue.release.bundle import Core, open_release, release_of, write_release
from holdtrue.release.held import CORE_FILES, EVIDENCE_FILES, MANIFEST, hold

# What an installed reader of ten years ago would compute: change it only with the schema's number.
GOLDEN_DIGEST = "7d1de1e5ef76b9ea2c5ad157cd54be12fe2a3d5267aea9a50b3afb9ecfd0702c"


def tiny() -> Core:
    return Core(
        name="tiny",
        task="regression",
        classes=(),
        inputs=({"name": "age", "type": "float64", "shape": [None, 1]},),
        outputs=({"name": "value", "type": "float32", "shape": [None, 1]},),
        files={name: name[0] * 64 for name in CORE_FILES},
        lineage=lineage(),
    )


def test_a_fixed_core_has_a_fixed_digest() -> None:
    assert tiny().digest == GOLDEN_DIGEST


CHANGES: dict[str, dict[str, Any]] = {
    "name": {"name": "other"},
    "task": {"task": "classification"},
    "classes": {"classes": ("a",)},
    "inputs": {"inputs": ()},
    "outputs": {"outputs": ()},
    "files": {"files": {**tiny().files, "model.onnx": "0" * 64}},
    "snapshot": {"lineage": replace(lineage(), snapshot="0" * 64)},
    "project": {"lineage": replace(lineage(), project="0" * 64)},
    "sources": {"lineage": replace(lineage(), sources={})},
    "package": {"lineage": replace(lineage(), package="0" * 64)},
    "environment": {"lineage": replace(lineage(), environment="")},
    "seed": {"lineage": replace(lineage(), seed=8)},
    "learner": {"lineage": replace(lineage(), learner="ridge")},
    "settings": {"lineage": replace(lineage(), settings={})},
    "split": {"lineage": replace(lineage(), split={})},
    "parent": {"lineage": replace(lineage(), parent="0" * 64)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_decides_predictions_changes_the_digest(name: str) -> None:
    assert replace(tiny(), **CHANGES[name]).digest != tiny().digest


def test_the_folder_the_key_and_the_evidence_do_not_change_the_digest(tmp_path: Path) -> None:
    one = written(tmp_path / "one")
    what = parts()
    other = written(tmp_path / "far" / "away", Parts(core=what.core, files={**what.files, "card.md": b"other"}))
    assert one.digest == other.digest
    assert one.folder.name == one.digest
    assert one.evidence != other.evidence
    assert {name: (one.folder / name).read_bytes() for name in CORE_FILES} == {
        name: (other.folder / name).read_bytes() for name in CORE_FILES
    }


def test_a_release_holds_every_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    made = written(tmp_path)
    assert set(hold(made.folder)) == {*CORE_FILES, *EVIDENCE_FILES, MANIFEST, "model.sig"}
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "releases").iterdir()) == [made.folder]


def test_writing_a_release_again_keeps_what_is_there(tmp_path: Path) -> None:
    first = written(tmp_path)
    bytes_then = hold(first.folder)
    what = parts()
    second = written(tmp_path, Parts(core=what.core, files={**what.files, "card.md": b"other"}))
    assert second == first
    assert hold(second.folder) == bytes_then


def test_parts_that_do_not_fit_make_no_release(tmp_path: Path) -> None:
    what = parts()
    wrong: dict[str, dict[str, bytes]] = {
        "card.md is missing": {name: data for name, data in what.files.items() if name != "card.md"},
        "extra.txt does not belong": {**what.files, "extra.txt": b""},
        "other bytes": {**what.files, "model.onnx": b"other"},
        "environment.lock is not": {**what.files, "environment.lock": b"other"},
    }
    for told, files in wrong.items():
        with pytest.raises(Misuse, match=told):
            write_release(what.core, files, releases=tmp_path / "releases", scratch=tmp_path / "tmp", key=key(tmp_path))
    assert not (tmp_path / "releases").exists()


def test_a_release_is_found_by_folder_digest_or_first_digits(store: Path) -> None:
    releases = store / "releases"
    folder = next(releases.iterdir())
    found = [open_release(name, releases) for name in (folder, str(folder), folder.name, folder.name[:6])]
    assert {release.digest for release in found} == {folder.name}
    assert found[0].core == parts().core


def test_what_is_not_found_or_not_unique_is_misuse(store: Path, tmp_path: Path) -> None:
    for name in ("ffffff", "abc", "nothing", "../no-such-release"):
        with pytest.raises(Misuse, match="no release"):
            open_release(name, store / "releases")
    for name in ("a" * 64, "a" * 63 + "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(Misuse, match="2 releases begin"):
        open_release("aaaaaa", tmp_path)


def test_a_renamed_release_is_refused(store: Path) -> None:
    files = hold(next((store / "releases").iterdir()))
    with pytest.raises(Refused, match="renamed"):
        release_of(store / "releases" / ("0" * 64), files)


HARMS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another schema": lambda value: value.update(schema="holdtrue/release/2"),
    "another digest": lambda value: value.update(digest="0" * 64),
    "an unknown key": lambda value: value.update(more=1),
    "no core": lambda value: value.pop("core"),
    "a core that is a list": lambda value: value.update(core=[]),
    "an unknown key in the core": lambda value: value["core"].update(more=1),
    "classes that are a text": lambda value: value["core"].update(classes="ab"),
    "a name that is a number": lambda value: value["core"].update(name=7),
    "files that are a list": lambda value: value["core"].update(files=[]),
    "evidence that is a list": lambda value: value.update(evidence=[]),
    "evidence about a file that is not there": lambda value: value["evidence"].update({"x": "0" * 64}),
    "a lineage that is a number": lambda value: value["core"].update(lineage=7),
    "another seed": lambda value: value["core"]["lineage"].update(seed=8),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_manifest_of_another_form_is_refused(name: str, store: Path) -> None:
    folder = next((store / "releases").iterdir())
    files = hold(folder)
    value = json.loads(files[MANIFEST])
    HARMS[name](value)
    with pytest.raises(Refused):
        release_of(folder, {**files, MANIFEST: json.dumps(value).encode()})


@pytest.mark.parametrize("data", [b"", b"7", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"core":{}}'])
def test_a_manifest_that_is_none_is_refused(data: bytes, store: Path) -> None:
    folder = next((store / "releases").iterdir())
    with pytest.raises(Refused):
        release_of(folder, {**hold(folder), MANIFEST: data})
