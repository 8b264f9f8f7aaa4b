"""Folders that take long to make, made once for all processes of a test run."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Give a copy of the folder that `make` filled, in this process or in another that ran it first."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    original, copy = root / f"shared-{name}", factory.mktemp(name)
    with (root / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not original.exists():
            made = factory.mktemp(name)
            make(made)
            made.rename(original)
        shutil.copytree(original, copy, dirs_exist_ok=True)
    return copy
