"""`holdtrue.open(folder)` does in Python what the command line does in that folder."""

import io
import os
from pathlib import Path

import polars as pl
import pytest

import holdtrue
from holdtrue.core.errors import DataFault, HoldtrueError, Misuse
from tests.cli.driver import as_csv, rows
from tests.cli.driver import holdtrue as command

pytestmark = pytest.mark.slow

PROJECT = """\
name: tiny
data: {source: rows.parquet, target: bought}
learn: {learners: [logistic], trials: 1, seed: 7, folds: 3}
report: {learning_curve: false}
promises:
  - quality: {metric: roc_auc, at_least: 0.6}
"""


def table(count: int = 300) -> pl.DataFrame:
    return pl.read_csv(io.StringIO(as_csv(rows(count))))


def folder_with(place: Path, text: str = PROJECT) -> str:
    place.mkdir(exist_ok=True)
    (place / "holdtrue.yaml").write_text(text)
    return str(place)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A folder whose rows lie in a file, and the digest of its release. Read only."""
    place = tmp_path_factory.mktemp("api")
    table().write_parquet(place / "rows.parquet")
    outcome = holdtrue.open(folder_with(place)).run()
    assert outcome.verdict == "proven", outcome.contents["promises"]
    assert outcome.release is not None
    return str(place), outcome.release


def test_a_frame_gives_the_release_that_its_file_gives(released: tuple[str, str], tmp_path: Path) -> None:
    for name, frame in {"polars": table(), "lazy": table().lazy(), "pandas": table().to_pandas()}.items():
        assert holdtrue.open(folder_with(tmp_path / name)).run(frame).release == released[1]


def test_the_outcome_is_what_the_command_prints(released: tuple[str, str], tmp_path: Path) -> None:
    table().write_parquet(tmp_path / "rows.parquet")
    outcome = holdtrue.open(folder_with(tmp_path)).run()
    assert outcome.exit_code == 0
    assert Path(outcome.report).is_file()
    told, printed = outcome.to_json(), command("run", "--json", folder=Path(released[0])).json
    assert told.keys() == printed.keys()
    assert told["release"] == printed["release"]


def test_answers_are_those_of_the_command_line(released: tuple[str, str], tmp_path: Path) -> None:
    folder, asked = Path(released[0]), table(40).drop("bought")
    asked.write_csv(tmp_path / "asked.csv")
    out = tmp_path / "answers.parquet"
    assert command("predict", "champion", str(tmp_path / "asked.csv"), "--out", str(out), folder=folder).code == 0
    answers = holdtrue.open(str(folder)).predict("champion", asked)
    assert answers.equals(pl.read_parquet(out).select(answers.columns))
    assert answers.equals(holdtrue.open(str(folder)).predict(released[1][:8], asked.to_pandas()))


def test_a_name_moves(released: tuple[str, str]) -> None:
    opened = holdtrue.open(released[0])
    assert opened.promote(released[1][:8], "blue", reason="to see it") == released[1]
    assert opened.predict("blue", table(3)).height == 3


def test_faults_are_exceptions_of_one_tree(released: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"holdtrue\.yaml"):
        holdtrue.open(str(tmp_path))
    with pytest.raises(HoldtrueError, match="nobody"):
        holdtrue.open(released[0]).predict("nobody", table(3))
    with pytest.raises(DataFault, match=r"age|size"):
        holdtrue.open(released[0]).predict("champion", pl.DataFrame({"other": [1]}))


def test_opening_and_running_leave_the_environment_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    outcome = holdtrue.open(folder_with(tmp_path)).run(table(80))
    assert outcome.verdict in {"proven", "unproven", "refuted"}
    assert dict(os.environ) == before
