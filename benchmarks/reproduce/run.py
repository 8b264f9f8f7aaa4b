"""Is a release made again the same to the bit? In another folder, another environment, and after a reinstall.

    python benchmarks/reproduce/run.py                        every learner, for each of its tasks
    python benchmarks/reproduce/run.py --quick                three learners
    python benchmarks/reproduce/run.py --only ridge mlp

Two virtual environments are made from a copy of this checkout, both pinned by constraints.txt. In the first, each
learner makes a release of a small table (numbers, dates, names, text, gaps). Then the digest is asked for again:

- folder: run anew in another folder, with an empty store, at another time, and with one thread instead of all
- copied: `reproduce` of the release, its project and store copied to another folder
- other environment: `reproduce` in the second environment
- reinstalled: the same after every package of the second environment was installed again

At last one library that computes nothing is replaced by another version in the second environment: `reproduce` must not
give the digest, and must name that library. Writes result.json and result.md beside this file (or to --out).
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from holdtrue.models.learner import LEARNERS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "constraints.txt", "src")
CHANGED = "rich"
QUICK = ("decision_tree", "lightgbm", "logistic")
ROWS = 500
WAYS = ("folder", "copied", "other environment", "reinstalled")
PROMISES = {
    "classification": "quality: {metric: roc_auc, at_least: 0.01}",
    "regression": "quality: {metric: rmse, at_most: 1e9}",
}
PROJECT = """name: again
task: {task}
data: {{source: rows.csv, target: {target}, key: [number], drop: [{other}]}}
split: {{validation: 15%, test: 20%}}
learn: {{learners: [{learner}], trials: 2, folds: 3}}
report: {{learning_curve: false}}
promises: [{{{promise}}}]
"""

Answers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A virtual environment with Holdtrue in it."""

    folder: Path
    checkout: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def pip(self, *words: str) -> None:
        command = [self.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
        done = subprocess.run(command, cwd=self.checkout, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")

    def install(self, *more: str) -> None:
        self.pip("install", *more, "-c", "constraints.txt", ".")

    def version(self, name: str) -> str:
        code = f"from importlib.metadata import version; print(version({name!r}))"
        return subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    def walk(self, act: str, folder: Path, *, threads: int | None = None) -> Answers:
        environ = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        environ |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
        command = [self.python, str(HERE / "walk.py"), act, str(folder)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return {each["project"]: each for each in told}


def copied_checkout(into: Path) -> Path:
    """Copy what an install needs, so that edits of the checkout meanwhile change nothing."""
    into.mkdir()
    for name in NEEDED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, into / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(path, into / name)
    return into


def table(rows: int) -> pl.DataFrame:
    """Rows with what makes encoders work: gaps, rare names, free text, dates, numbers of many sizes."""
    chance = np.random.default_rng(0)
    size, age = chance.lognormal(3, 1, rows), chance.integers(18, 90, rows).astype(np.float64)
    town = chance.choice(["Porto", "Faro", "Évora", "Beja", "Lagos"], rows, p=[0.5, 0.25, 0.15, 0.08, 0.02])
    day = np.datetime64("2021-01-01") + chance.integers(0, 900, rows).astype("timedelta64[D]")
    signal = 0.03 * age + np.log(size) - 1.5 * (town == "Faro") + chance.normal(0, 0.7, rows)
    return pl.DataFrame(
        {
            "number": np.arange(rows),
            "size": np.where(chance.random(rows) < 0.1, np.nan, size.round(4)),
            "age": age,
            "town": town,
            "note": [f"see {place % 37} {'late' if place % 5 else 'early'}" for place in range(rows)],
            "day": day,
            "value": signal.round(5),
            "won": np.where(signal > np.median(signal), "yes", "no"),
        }
    ).with_columns(pl.col("size").fill_nan(None))


def laid_out(learners: Sequence[str], folder: Path) -> None:
    rows = table(ROWS)
    for learner in learners:
        for task in sorted(LEARNERS.get(learner).tasks):
            target, other = ("won", "value") if task == "classification" else ("value", "won")
            project = folder / learner / task
            project.mkdir(parents=True)
            rows.write_csv(project / "rows.csv")
            text = PROJECT.format(task=task, target=target, other=other, learner=learner, promise=PROMISES[task])
            (project / "holdtrue.yaml").write_text(text)


START = time.perf_counter()


def said(*words: object) -> None:
    print(f"{time.perf_counter() - START:6.0f} s", *words, flush=True)


def measured(learners: Sequence[str], folder: Path) -> dict[str, Any]:
    checkout = copied_checkout(folder / "checkout")
    home, other = (Place(folder=folder / name, checkout=checkout) for name in ("home", "other"))
    for place in (home, other):
        said("install into", place.folder.name)
        venv.create(place.folder, with_pip=True)
        place.install()
    first, anew, copy = folder / "first", folder / "elsewhere" / "anew", folder / "elsewhere" / "copied"
    laid_out(learners, first)
    laid_out(learners, anew)
    said("make")
    made = home.walk("make", first)
    broken = {name: each for name, each in made.items() if each.get("verdict") != "proven"}
    if broken:
        raise SystemExit(f"These made no release: {json.dumps(broken, indent=1)}")
    shutil.copytree(first, copy, symlinks=True)
    answers: dict[str, Answers] = {}
    said("anew, in another folder")
    answers["folder"] = home.walk("make", anew, threads=1)
    said("reproduce, copied")
    answers["copied"] = home.walk("reproduce", copy)
    said("reproduce, in the other environment")
    answers["other environment"] = other.walk("reproduce", copy)
    said("install again")
    other.install("--force-reinstall")
    said("reproduce, reinstalled")
    answers["reinstalled"] = other.walk("reproduce", copy)
    had = other.version(CHANGED)
    said("another version of", CHANGED)
    other.pip("install", "--no-deps", f"{CHANGED}<{had}")
    one = f"{QUICK[0]}/classification" if f"{QUICK[0]}/classification" in made else sorted(made)[0]
    changed = other.walk("reproduce", copy / one)["."]
    return {
        "learners": list(learners),
        "projects": [
            {
                "learner": name.split("/")[0],
                "task": name.split("/")[1],
                "digest": each["digest"],
                "same": {way: answers[way][name]["digest"] == each["digest"] for way in WAYS},
                "difference": {
                    way: answers[way][name].get("difference")
                    for way in WAYS
                    if answers[way][name]["digest"] != each["digest"]
                },
            }
            for name, each in made.items()
        ],
        "changed": {
            "project": one,
            "library": CHANGED,
            "from": had,
            "to": other.version(CHANGED),
            "same": changed["digest"] == made[one]["digest"],
            "told": changed["difference"],
        },
    }


def holds(found: Mapping[str, Any]) -> bool:
    changed = found["changed"]
    named = changed["told"] is not None and changed["library"] in changed["told"] and not changed["same"]
    return named and all(all(project["same"].values()) for project in found["projects"])


def page(found: Mapping[str, Any], about: Mapping[str, str]) -> str:
    lines = [
        "# Made again, the same to the bit",
        "",
        f"A release of {ROWS} rows (numbers, dates, names, text, gaps), two trials; is its digest the same when it is",
        "made again in another folder (anew, from an empty store, with one thread), from a copy of project and store,",
        "in another environment, and after every package there was installed again?",
        "",
        f"| learner | task | digest | {' | '.join(WAYS)} |",
        f"|---|---|---|{'---|' * len(WAYS)}",
    ]
    for project in found["projects"]:
        same = " | ".join("same" if project["same"][way] else "DIFFERENT" for way in WAYS)
        lines.append(f"| {project['learner']} | {project['task']} | `{project['digest'][:12]}` | {same} |")
    lines.append("")
    for project in found["projects"]:
        lines += [
            f"- {project['learner']}, {project['task']}, {way}: {told}" for way, told in project["difference"].items()
        ]
    changed = found["changed"]
    lines += [
        "",
        f"With {changed['library']} {changed['to']} in the place of {changed['from']}, `reproduce` says: "
        f"“{changed['told']}”.",
        "",
        f"All of this {'holds' if holds(found) else 'DOES NOT HOLD'}.",
    ]
    return "\n".join([*lines, "", *(f"{key}: {value}  " for key, value in about.items()), ""])


def machine() -> dict[str, str]:
    known = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = [line.split(":")[1].strip() for line in known if line.startswith("model name")]
    commit = ["git", "rev-parse", "--short", "HEAD"]
    head = subprocess.run(commit, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()
    named = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scikit-learn", "lightgbm", "onnxruntime"))
    return {
        "machine": f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, {named}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": head or "unknown",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three learners")
    parser.add_argument("--only", nargs="*", help="these learners")
    parser.add_argument("--keep", action="store_true", help="write no result")
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    every = [name for name in LEARNERS.names() if name != "constant"]
    with tempfile.TemporaryDirectory() as folder:
        found = measured(asked.only or (QUICK if asked.quick else every), Path(folder))
    about = machine()
    told = page(found, about)
    print(told)
    if not asked.keep:
        (asked.out / "result.json").write_text(json.dumps({**about, **found}, indent=1) + "\n")
        (asked.out / "result.md").write_text(told)
    return 0 if holds(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
