"""`holdtrue predict`: a file in, a file out, row by row what the graph itself answers."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.cli.driver import as_csv, copied, half_written, holdtrue, project, release_of, rows
from tests.cli.tables import CLASSES, REGRESSION, shop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def spending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regression project with a release. Read only."""
    folder = project(tmp_path_factory.mktemp("spending"), text=REGRESSION, table=shop(300))
    assert holdtrue("run", folder=folder).code == 0
    return folder


READERS = {
    "csv": pl.read_csv,
    "parquet": pl.read_parquet,
    "jsonl": pl.read_ndjson,
    "arrow": pl.read_ipc,
}


@pytest.mark.parametrize("form", READERS)
def test_every_form_holds_the_same_answers_in_the_order_of_the_rows(form: str, made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    done = holdtrue("predict", "champion", "rows.csv", "--out", f"out.{form}", "--json", folder=folder)
    assert done.json == {
        "release": release_of(folder).name,
        "rows": 300,
        "out": f"out.{form}",
        "breaches": [],
    }
    found = READERS[form](folder / f"out.{form}")
    assert found.columns == ["label", "decision", "probability.no", "probability.yes", "release"]
    assert found.height == 300
    assert set(found["release"]) == {release_of(folder).name}
    expected = directly(folder, "rows.csv")
    np.testing.assert_allclose(found["probability.yes"].to_numpy(), expected[:, 1], rtol=1e-6)
    assert not half_written(folder)


def directly(folder: Path, file: str) -> "np.ndarray":
    """Ask ONNX Runtime without any code of ours; the typed columns are simple here."""
    import onnxruntime

    table = pl.read_csv(folder / file)
    session = onnxruntime.InferenceSession(release_of(folder) / "model.onnx", providers=["CPUExecutionProvider"])
    columns = {
        "age": table["age"].cast(pl.Float64).to_numpy().reshape(-1, 1),
        "income": table["income"].to_numpy().reshape(-1, 1),
        "region": np.array(table["region"].to_list(), dtype=object).reshape(-1, 1),
        "id": np.array(table["id"].to_list(), dtype=object).reshape(-1, 1),
    }
    wanted = [port.name for port in session.get_inputs()]
    return np.asarray(session.run(["probabilities"], {name: columns[name] for name in wanted})[0])


def test_rows_keep_their_order_and_their_answers_when_shuffled(made: Path, tmp_path: Path) -> None:
    folder, table = copied(made, tmp_path), rows(300)
    (folder / "backwards.csv").write_text(as_csv(table[::-1]))
    for name in ("rows", "backwards"):
        assert holdtrue("predict", "champion", f"{name}.csv", "--out", f"{name}.parquet", folder=folder).code == 0
    assert pl.read_parquet(folder / "rows.parquet").equals(pl.read_parquet(folder / "backwards.parquet").reverse())


def test_a_release_is_found_by_digest_beginning_alias_and_folder(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    place = release_of(folder)
    for name in (place.name, place.name[:6], "champion", str(place)):
        done = holdtrue("predict", name, "rows.csv", "--out", "out.csv", "--json", folder=folder)
        assert done.json["release"] == place.name


def test_columns_may_be_more_and_in_another_order(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    (folder / "more.csv").write_text(as_csv([{"new": 1, **dict(reversed(row.items()))} for row in rows(300)]))
    for name in ("rows", "more"):
        holdtrue("predict", "champion", f"{name}.csv", "--out", f"{name}.parquet", folder=folder)
    assert pl.read_parquet(folder / "rows.parquet").equals(pl.read_parquet(folder / "more.parquet"))


def test_a_missing_column_is_named(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    (folder / "less.csv").write_text(as_csv([{"id": row["id"], "age": row["age"]} for row in rows(20)]))
    done = holdtrue("predict", "champion", "less.csv", "--out", "out.csv", folder=folder)
    assert done.code == 1
    assert "column 'income' is not there" in done.err
    assert "column 'region' is not there" in done.err
    assert not (folder / "out.csv").exists()
    assert not half_written(folder)


def test_the_target_is_not_asked_for(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    table = [{name: value for name, value in row.items() if name != "bought"} for row in rows(20)]
    (folder / "new.csv").write_text(as_csv(table))
    assert holdtrue("predict", "champion", "new.csv", "--out", "out.csv", folder=folder).code == 0


def test_rows_that_break_the_contract_are_answered_and_named(spending: Path, tmp_path: Path) -> None:
    folder, table = copied(spending, tmp_path), shop(20, seed=77)
    table[3]["size"], table[4]["price"], table[7]["size"] = "XXL", "See DN-304", ""
    table[5]["day"], table[6]["age"] = "nonsense", "old"
    (folder / "new.csv").write_text(as_csv(table))
    done = holdtrue("predict", "champion", "new.csv", "--out", "out.csv", "--json", folder=folder)
    assert done.code == 0, done.err
    told = "\n".join(done.json["breaches"])
    for words in (
        "'day': 1 of 20 values is no date; the first is 'nonsense' in row 6",
        "'age': 1 of 20 values is no number; the first is 'old' in row 7",
        "'size': 1 of 20 values is missing; the first is in row 8",
    ):
        assert words in told
    assert "DN-304" not in told  # the contract reads such a price as missing
    found = pl.read_csv(folder / "out.csv")
    assert found.columns == ["value", "low", "high", "release"]
    assert found.select((pl.col("low") <= pl.col("value")) & (pl.col("value") <= pl.col("high"))).to_series().all()
    shown = holdtrue("predict", "champion", "new.csv", "--out", "out.csv", folder=folder)
    assert "Some rows break the contract of the release; they were answered all the same:" in shown.out


def test_predictions_are_good_on_rows_never_seen(spending: Path, tmp_path: Path) -> None:
    folder, table = copied(spending, tmp_path), shop(400, seed=55)
    (folder / "new.csv").write_text(as_csv(table))
    assert holdtrue("predict", "champion", "new.csv", "--out", "out.csv", folder=folder).code == 0
    found = pl.read_csv(folder / "out.csv")
    truth = np.array([float(str(row["spend"])) for row in table])
    assert float(np.sqrt(np.mean((found["value"].to_numpy() - truth) ** 2))) < 16
    covered = np.mean((found["low"].to_numpy() <= truth) & (truth <= found["high"].to_numpy()))
    assert 0.8 < covered <= 1


def test_three_classes_have_three_probabilities(tmp_path: Path) -> None:
    folder = project(tmp_path, text=CLASSES, table=shop(300))
    assert holdtrue("run", folder=folder).code == 0
    assert holdtrue("predict", "champion", "rows.csv", "--out", "out.parquet", folder=folder).code == 0
    found = pl.read_parquet(folder / "out.parquet")
    names = ["probability.blue", "probability.gold", "probability.red"]
    assert found.columns == ["label", "decision", *names, "release"]
    np.testing.assert_allclose(found.select(names).sum_horizontal().to_numpy(), 1, atol=1e-5)
    assert found["label"].to_list() == [["blue", "gold", "red"][code] for code in found["decision"]]
    assert found["decision"].to_list() == found.select(names).to_numpy().argmax(axis=1).tolist()


def test_the_cost_of_mistakes_sets_the_decision(tmp_path: Path) -> None:
    """With probabilities that are right, one acts above cost / (cost + benefit): 1 in 10 here."""
    text = (
        "name: costly\ndata: {source: rows.csv, target: bought, drop: id}\n"
        "learn: {learners: [logistic], trials: 1, folds: 3}\nreport: {learning_curve: false}\n"
        "decide: {cost: {false_positive: 1, false_negative: 9}}\npromises:\n  - small: {bytes_at_most: 1 MB}\n"
    )
    folder = project(tmp_path, text=text)
    run = holdtrue("run", "--json", folder=folder)
    report = json.loads(Path(run.json["report"]).with_name("report.json").read_text())
    threshold = report["decision"]["threshold"]
    assert threshold == pytest.approx(0.1)
    assert report["decision"]["value_per_1000"]["value"] > report["decision"]["value_per_1000_at_half"]["value"]
    assert holdtrue("predict", "champion", "rows.csv", "--out", "out.parquet", folder=folder).code == 0
    found = pl.read_parquet(folder / "out.parquet")
    assert found["decision"].to_list() == (found["probability.yes"] >= np.float32(threshold)).cast(pl.Int64).to_list()
    assert (found["label"] == "yes").to_list() == (found["decision"] == 1).to_list()


def test_the_rows_to_predict_are_never_written_over(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    before = (folder / "rows.csv").read_bytes()
    for name in ("rows.csv", "./rows.csv", str(folder / "rows.csv")):
        done = holdtrue("predict", "champion", "rows.csv", "--out", name, folder=folder)
        assert done.code == 2
        assert "it would be written over" in done.err
    assert (folder / "rows.csv").read_bytes() == before


def test_prediction_imports_nothing_that_trains(made: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    folder = copied(made, tmp_path)
    code = (
        "import sys; from holdtrue.cli.verbs import predict; from pathlib import Path\n"
        "predict('champion', 'rows.csv', Path('out.csv'), Path(), as_json=True)\n"
        "print(sorted(name for name in"
        " ('sklearn', 'lightgbm', 'optuna', 'holdtrue.training', 'holdtrue.models.learners') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
