"""The path of data is enforced: an import against it fails the build."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FORBIDDEN = {
    "data.snapshot knows the release": (
        "data/snapshot.py",
        "import holdtrue.release\n",
        "snapshot -> holdtrue.release",
    ),
    "a plug-in knows another": (
        "models/learners/logistic.py",
        "import holdtrue.models.learners.ridge\n",
        "logistic -> holdtrue.models.learners.ridge",
    ),
    "a decision reads the disk": ("promises/promise.py", "import sqlite3\n", "promise -> sqlite3"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a copy of the package, without its cache."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_package_keeps_its_layers(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_import_fails_the_build(name: str, copy: Path) -> None:
    file, line, told = FORBIDDEN[name]
    path = copy / "src" / "holdtrue" / file
    path.write_text(path.read_text() + "\n" + line)
    done = lint(copy)
    assert done.returncode == 1
    assert told in done.stdout
