"""The graphs that every server answers with, and the rows they are asked about.

They are releases, made by `holdtrue run` from tables of invented rows: boosted trees over 30 numbers and 5 words, and
a small network and a transformer over 32 numbers. Peers serve the very file `model.onnx` of the release.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

HERE = Path(__file__).parent
WORD_LISTS = (
    ("direct", "agent", "online", "group", "corporate"),
    ("north", "south", "east", "west"),
    ("basic", "plus", "premium"),
    tuple(f"city {number}" for number in range(30)),
    ("new", "returning"),
)
PROJECT = """name: {name}
task: classification
data: {{source: rows.csv, target: outcome}}
split: {{by: random, validation: 10%, test: 20%}}
learn: {{learners: [{learner}], trials: 1, folds: 2, seed: 7}}
promises:
  - quality: {{metric: roc_auc, at_least: 0.5}}
report: {{learning_curve: false}}
"""
ENTRY_POINTS = """[holdtrue.learners]
lightgbm_100x31 = lightgbm_100x31
mlp_256x256 = mlp_256x256
transformer_4x128 = transformer_4x128
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How one table of invented rows becomes a release."""

    name: str
    says: str
    learner: str
    numbers: int
    words: int
    rows: int = 40_000


RECIPES = {
    "M1": Recipe(
        name="trees", says="LightGBM, 100 x 31 leaves", learner="lightgbm_100x31", numbers=30, words=len(WORD_LISTS)
    ),
    "M2": Recipe(
        name="transformer",
        says="transformer, 4 layers, width 128, 32 tokens",
        learner="transformer_4x128",
        numbers=32,
        words=0,
        rows=2_000,
    ),
    "M3": Recipe(name="network", says="MLP 32-256-256", learner="mlp_256x256", numbers=32, words=0),
}
HEAVY = "M2"
MODELS = ("M1", "M2", "M3")

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A graph to serve.

    Attributes:
        key: M1, M2 or M3.
        name: what servers call it: that of the project.
        says: what it is, for the page.
        graph: the file all peers serve.
        project: the project folder whose live release this is.
        digest: of the release.
    """

    key: str
    name: str
    says: str
    graph: Path
    project: Path
    digest: str

    @property
    def origin(self) -> str:
        return f"release {self.digest[:12]}"

    def rows(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Invent rows as the graph takes them: one tensor a column."""
        drawn = invented(RECIPES[self.key], count, seed)
        return {name: values.reshape(-1, 1) for name, values in drawn.items()}


def invented(recipe: Recipe, count: int, seed: int) -> dict[str, np.ndarray]:
    """Draw rows: numbers of four decimals, and words."""
    chance = np.random.default_rng(seed)
    drawn: dict[str, np.ndarray] = {}
    for place in range(recipe.numbers):
        drawn[f"number_{place}"] = np.round(chance.normal(loc=place % 7, scale=1 + place % 3, size=count), 4)
    for place in range(recipe.words):
        drawn[f"word_{place}"] = chance.choice(np.array(WORD_LISTS[place], dtype=object), size=count)
    return drawn


def outcome(rows: Columns, seed: int) -> np.ndarray:
    """Let the first ten numbers decide, with a fold and a product, so that trees of every size find something."""
    score = np.zeros(len(rows["number_0"]))
    for place in range(10):
        centred = (rows[f"number_{place}"] - place % 7) / (1 + place % 3)
        score += np.abs(centred) - 0.8 if place % 2 else centred
    score += 0.5 * (rows["number_10"] - 3) * (rows["number_11"] - 4)
    noise = np.random.default_rng(seed).logistic(size=len(score))
    return np.where(score + noise > 0, "yes", "no")


def prepare(keys: list[str], cache: Path) -> dict[str, Model]:
    """Make the models asked for, or take those made before."""
    return {key: _release(RECIPES[key], key, cache) for key in keys}


def _release(recipe: Recipe, key: str, cache: Path) -> Model:
    folder = cache / "models" / recipe.name
    said = folder / "released.json"
    if not said.is_file():
        _walk(recipe, folder, cache)
    release = json.loads(said.read_bytes())
    return Model(
        key=key,
        name=recipe.name,
        says=recipe.says,
        graph=Path(release["folder"]) / "model.onnx",
        project=folder,
        digest=release["digest"],
    )


def _walk(recipe: Recipe, folder: Path, cache: Path) -> None:
    """Go from a table to a release, with the learners of this benchmark beside Holdtrue's own."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = invented(recipe, recipe.rows, seed=1)
    pl.DataFrame({**rows, "outcome": outcome(rows, seed=2)}).write_csv(folder / "rows.csv")
    (folder / "holdtrue.yaml").write_text(PROJECT.format(name=recipe.name, learner=recipe.learner))
    about = cache / "learners" / "holdtrue_serving_benchmark-0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: holdtrue-serving-benchmark\nVersion: 0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    paths = os.pathsep.join([str(about.parent), str(HERE / "learners")])
    environ = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    environ.pop("HOLDTRUE_HOME", None)
    command = [sys.executable, "-m", "holdtrue.cli", "run", "--json"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise SystemExit(f"No release was made in {folder}:\n{done.stderr or done.stdout}")
    made = json.loads(done.stdout)
    release = folder / ".holdtrue" / "releases" / str(made["release"])
    if not (release / "model.onnx").is_file():
        raise SystemExit(f"`holdtrue run` in {folder} said {made}, but there is no {release / 'model.onnx'}.")
    (folder / "released.json").write_text(json.dumps({"digest": made["release"], "folder": str(release)}))
