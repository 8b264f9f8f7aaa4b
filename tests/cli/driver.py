"""Drives the command line as a person would: in a process of its own where that matters, else inside this one."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from holdtrue.cli.main import app

Row = dict[str, object]

PROJECT = """\
name: tiny
data: {source: rows.csv, target: bought}
learn: {learners: [logistic], trials: 1, seed: 7, folds: 3}
report: {learning_curve: false}
promises:
  - quality: {metric: roc_auc, at_least: 0.6}
  - small: {bytes_at_most: 1 MB}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of the output, which must be one object."""
        made = json.loads(self.out.strip().splitlines()[-1])
        assert isinstance(made, dict)
        return made


def _bare(folder: Path) -> dict[str, str]:
    # What OpenBLAS takes this processor for decides the last bits of a sum.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "LD_LIBRARY_PATH", "PYTHONPATH"} or name.startswith("OPENBLAS_")
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    return {**kept, **threads, "HOME": str(folder), "LANG": "C.UTF-8", "HOLDTRUE_ACTOR": "tester"}


def started(*words: str, folder: Path, wrapped: Sequence[str] = (), **environ: str) -> "subprocess.Popen[str]":
    """Start a command in a process of its own; `wrapped` are the words of a program that starts it for us."""
    return subprocess.Popen(
        [*wrapped, sys.executable, "-m", "holdtrue.cli", *words],
        cwd=folder,
        env=_bare(folder) | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> Done:
    """Wait for a command and give what it said."""
    out, err = process.communicate(timeout=120)
    return Done(code=process.returncode, out=out, err=err)


def launched(*words: str, folder: Path, wrapped: Sequence[str] = (), **environ: str) -> Done:
    """Run a command to its end in a process of its own, with a bare environment and `environ`."""
    return ended(started(*words, folder=folder, wrapped=wrapped, **environ))


def holdtrue(*words: str, folder: Path, **environ: str) -> Done:
    """Run a command inside this process: the same words, output and exit code, without the start of a new one."""
    bare: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("HOLDTRUE_", "MLFLOW_"))}
    with chdir(folder):
        done = CliRunner().invoke(app, list(words), env={**bare, "HOLDTRUE_ACTOR": "tester", **environ})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(code=done.exit_code, out=done.stdout, err=done.stderr)


def rows(count: int, *, seed: int = 1) -> list[Row]:
    """Make rows a simple learner can learn: who is older, richer and from the north buys more often."""
    chance = random.Random(seed)
    made: list[Row] = []
    for number in range(count):
        age, income = chance.randint(18, 80), round(chance.lognormvariate(3, 0.5), 2)
        region = chance.choice(["north", "south", "east"])
        score = (age - 45) / 10 + (income - 22) / 10 + (1.5 if region == "north" else 0)
        bought = "yes" if chance.random() < 1 / (1 + 2.718281828**-score) else "no"
        made.append({"id": f"c{number}", "age": age, "income": income, "region": region, "bought": bought})
    return made


def as_csv(table: Sequence[Mapping[str, object]], *, delimiter: str = ",") -> str:
    lines = [delimiter.join(table[0])]
    lines += [delimiter.join("" if value is None else str(value) for value in row.values()) for row in table]
    return "\n".join(lines) + "\n"


def project(
    folder: Path, *, count: int = 300, text: str = PROJECT, table: Sequence[Mapping[str, object]] | None = None
) -> Path:
    """Put a small project into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.csv").write_text(as_csv(table or rows(count)))
    (folder / "holdtrue.yaml").write_text(text)
    return folder


def copied(folder: Path, to: Path) -> Path:
    """Copy a project folder with its store, to be harmed."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return to


def release_of(folder: Path) -> Path:
    """Find the folder of the only release of a project."""
    (found,) = (folder / ".holdtrue" / "releases").iterdir()
    return found


def report_of(done: Done) -> Any:
    """Read the report that `run --json` names."""
    return json.loads(Path(done.json["report"]).with_name("report.json").read_text())


def left_behind(folder: Path) -> list[str]:
    """List what must not lie in a store after a run that failed: releases, candidates, half-written files."""
    home = folder / ".holdtrue"
    found = [path for name in ("releases", "candidates", "tmp") for path in (home / name).glob("*")]
    return [str(path) for path in [*found, *half_written(folder)]]


def half_written(folder: Path) -> list[Path]:
    """List temporary files anywhere in a project folder and its store."""
    return [*folder.rglob(".tmp-*"), *(folder / ".holdtrue" / "tmp").glob("*")]


def assert_plain(done: Done) -> None:
    """No traceback, no fault of our own, no warning of a library."""
    for words in ("Traceback", "Something is wrong in Holdtrue itself", "Warning"):
        assert words not in done.err + done.out, done.err
