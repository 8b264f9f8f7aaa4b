"""The Pythons that have what ours has not: `.ci/clients` makes them, and a variable may name another."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python_of(name: str, *, unless: str) -> str:
    """Give the Python that the variable `unless` names, or that of `.venv/NAME`; skips the test without either."""
    ours = ROOT / ".venv" / name / "bin" / "python"
    if named := os.environ.get(unless):
        return named
    if not (ours.parents[1] / ".installed").exists():  # the last thing that is written there
        pytest.skip(f"The environment .venv/{name} is not there: run `make clients`, or name a Python in {unless}.")
    return str(ours)
