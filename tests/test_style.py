"""The rules of style that a machine can count."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "holdtrue").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize(("files", "limit"), [(SOURCES, 400), (TESTS, 600)], ids=["source", "test"])
def test_files_stay_short(files: list[Path], limit: int) -> None:
    long = {str(path.relative_to(ROOT)): lines(path) for path in files if lines(path) > limit}
    assert not long


def test_functions_stay_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(parsed(path))]
    assert not silent


def test_a_package_shows_few_names() -> None:
    crowded: list[str] = []
    for path in SOURCES:
        if path.name != "__init__.py":
            continue
        for node in parsed(path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                assert isinstance(node.value, ast.List)
                if len(node.value.elts) > 12:
                    crowded.append(str(path.relative_to(ROOT)))
    assert not crowded


def test_there_is_no_code_from_data() -> None:
    """Neither a loader that runs code nor `eval` is called anywhere in the package."""
    banned = {"eval", "exec", "pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
    used: list[str] = []
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = [node.func.id]
            used += [f"{path.relative_to(ROOT)}: {name}" for name in names if name in banned]
    assert not used
