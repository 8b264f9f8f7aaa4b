"""The lineage names exactly what decided a model, and says in words what differs."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_release import lineage

import holdtrue
from holdtrue.core.digest import sha256_bytes
from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.release.lineage import (
    CODE,
    MOST_SOURCE_BYTES,
    Lineage,
    difference,
    environment_lock,
    package_tree,
    source_tree,
    versions,
)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_every_kind_of_code_and_settings_is_named_by_its_bytes(tmp_path: Path) -> None:
    names = sorted(f"deep/er/file{ending}" for ending in CODE)
    write(tmp_path, *names)
    assert source_tree(tmp_path) == {name: sha256_bytes(name.encode()) for name in names}


def test_what_is_not_code_of_the_project_is_left_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.py",
        "data.csv",
        ".hidden.py",
        ".holdtrue/x.json",
        ".holdtrue/x.py",
        ".git/hook.sh",
        "env/pyvenv.cfg",
    )
    write(tmp_path, "env/lib/site.py", "node_modules/a.sh", "__pycache__/a.py", "other/b.py", "home/c.py")
    (tmp_path / "linked.py").symlink_to(tmp_path / "a.py")
    (tmp_path / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "large.py").write_bytes(b"#" * (MOST_SOURCE_BYTES + 1))
    (tmp_path / "just.py").write_bytes(b"#" * MOST_SOURCE_BYTES)
    os.mkfifo(tmp_path / "pipe.py")
    assert list(source_tree(tmp_path, exclude=[tmp_path / "home"])) == ["a.py", "just.py", "other/b.py"]


def test_the_tree_does_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    for place in ("one", "far/away"):
        write(tmp_path / place, "b.py", "a.sql", "c/d.YAML")
    assert source_tree(tmp_path / "one") == source_tree(tmp_path / "far/away")
    assert list(source_tree(tmp_path / "one")) == ["a.sql", "b.py", "c/d.YAML"]


def test_an_uncommitted_change_is_seen(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    before = source_tree(tmp_path)
    (tmp_path / "a.py").write_text("changed")
    assert source_tree(tmp_path) != before


def test_a_file_name_that_is_not_utf8_can_be_told(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py")).write_text("x")
    assert list(source_tree(tmp_path)) == ["caf\\xe9.py"]


NOBODY = 65534


def test_code_that_cannot_be_read_is_an_error_that_names_it() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder, "a.py")
        (folder / "a.py").chmod(0)
        if user == 0:
            os.seteuid(NOBODY)  # root reads everything
        try:
            with pytest.raises(HoldtrueError, match=r"a\.py"):
                source_tree(folder)
        finally:
            os.seteuid(user)


def test_the_package_is_named_by_its_source_alone() -> None:
    compiled = Path(holdtrue.__file__).parent / "release" / "__pycache__" / "nothing.pyc"
    before = package_tree()
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    try:
        assert package_tree() == before
    finally:
        compiled.unlink()
    assert re.fullmatch("[0-9a-f]{64}", before)


def test_the_lock_lists_what_is_needed_and_not_what_merely_lies_there() -> None:
    lock = versions(environment_lock())
    assert {"holdtrue", "numpy", "polars", "onnxruntime", "scikit-learn", "protobuf"} <= lock.keys()
    assert not {"pytest", "ruff", "pyright", "cyclonedx-python-lib", "selenium", "psycopg"} & lock.keys()
    assert lock["numpy"] == metadata.version("numpy")
    assert lock["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "missing" not in lock.values()
    assert environment_lock() == environment_lock()


def test_every_direct_requirement_is_in_the_lock() -> None:
    lock = versions(environment_lock())
    direct = {
        re.split(r"[^A-Za-z0-9._-]", text)[0].lower().replace("_", "-")
        for text in metadata.requires("holdtrue") or ()
        if "extra ==" not in text
    }
    assert direct <= lock.keys()


def test_the_lock_is_the_same_in_another_process() -> None:
    code = "from holdtrue.release.lineage import *; print(environment_lock() + package_tree(), end='')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == environment_lock() + package_tree()


def test_a_lineage_is_read_back_as_it_was() -> None:
    was = lineage()
    assert Lineage.from_dict(was.to_dict(), environment=was.environment) == was


@pytest.mark.parametrize(
    "harm",
    [
        lambda value: value.pop("seed"),
        lambda value: value.update(more=1),
        lambda value: value.update(sources=7),
        lambda value: value.update(environment="0" * 64),
    ],
)
def test_a_lineage_that_does_not_fit_is_refused(harm: Callable[[dict[str, object]], object]) -> None:
    value = lineage().to_dict()
    harm(value)  # type: ignore[arg-type]  # the point is to break it
    with pytest.raises(Refused):
        Lineage.from_dict(value, environment=lineage().environment)


CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "data": ({"snapshot": "f" * 64}, "the data (snapshot) changed: was aaaaaaaaaaaa, is ffffffffffff"),
    "project": ({"project": "f" * 64}, "the project file changed: was bbbbbbbbbbbb, is ffffffffffff"),
    "file": ({"sources": {"prepare.py": "f" * 64}}, "the file prepare.py changed"),
    "new file": ({"sources": {"a.py": "1", "prepare.py": "c" * 64}}, "the file a.py is new"),
    "lost file": ({"sources": {}}, "the file prepare.py is gone"),
    "library": (
        {"environment": "python==3.11.7\nnumpy==2.5.0\nonnxruntime==1.31.1\n"},
        "numpy was 2.4.6, is 2.5.0",
    ),
    "new library": (
        {"environment": "python==3.11.7\nnumpy==2.4.6\nonnxruntime==1.31.1\ntorch==2.13.0\n"},
        "torch is new: 2.13.0",
    ),
    "package": ({"package": "f" * 64}, "Holdtrue's own code changed: was dddddddddddd, is ffffffffffff"),
    "seed": ({"seed": 8}, "the seed was 7, is 8"),
    "learner": ({"learner": "ridge"}, "the learner was lightgbm, is ridge"),
    "setting": ({"settings": {"leaves": 31, "rate": 0.2}}, "the setting rate was 0.1, is 0.2"),
    "split": ({"split": {"by": "group", "test": 0.2}}, "the split's by was time, is group"),
    "parent": ({"parent": "e" * 64}, f"the parent release was None, is {'e' * 64}"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_difference_is_said_in_words(name: str) -> None:
    change, words = CHANGES[name]
    assert difference(lineage(), replace(lineage(), **change)) == words  # type: ignore[arg-type]  # one field a case


@given(st.sets(st.sampled_from(sorted(CHANGES)), min_size=1))
def test_the_first_of_several_differences_is_told_in_a_fixed_order(names: set[str]) -> None:
    merged: dict[str, object] = {}
    for name in sorted(names):
        merged |= CHANGES[name][0]
    told = difference(lineage(), replace(lineage(), **merged))  # type: ignore[arg-type]  # one field a case
    firsts = [words for change, words in CHANGES.values() if all(merged.get(key) == change[key] for key in change)]
    assert told == firsts[0]


def test_equal_lineages_have_no_difference() -> None:
    assert difference(lineage(), lineage()) is None
