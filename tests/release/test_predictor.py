"""A release answers raw rows in a process that knows nothing of training and never unpickles."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_release import Parts, graph, parts, rows, written
from onnx import TensorProto

from holdtrue.core.errors import DataFault, Refused
from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import to_dict
from holdtrue.features.graph import NUMBER, Graph
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.release.predictor import Predictor, load
from holdtrue.release.quarantine import Limits
from holdtrue.release.signing import trusted_keys

CONTRACT = Contract(
    fields=(Field(name="age", kind="number", missing=("n/a",)), Field(name="city", kind="category", personal=True))
)


def contracted() -> Parts:
    return parts(contract=json.dumps(to_dict(CONTRACT)).encode())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("predicting")
    written(made, contracted())
    return made


@pytest.fixture(scope="module")
def ready(place: Path) -> Predictor:
    return load(next((place / "releases").iterdir()), trusted=trusted_keys(place / "keys"))


def test_raw_rows_are_read_by_the_contract_and_answered_by_the_graph(ready: Predictor) -> None:
    raw = pl.DataFrame({"age": ["25", "n/a", "1,000", "44.5"], "city": [" Oslo ", "Lyon", None, "Turin"], "other": 1})
    answers = ready.predict(raw)
    typed = pl.DataFrame({"age": [25.0, None, 1000.0, 44.5], "city": ["Oslo", "Lyon", None, "Turin"]})
    expected = run(session(graph().model().SerializeToString()), typed)
    assert answers.columns == ["label", "decision", "probability.stays", "probability.leaves"]
    assert answers["label"].to_list() == expected["label"][:, 0].tolist()
    assert answers["decision"].to_list() == expected["decision"][:, 0].tolist()
    both = answers.select("probability.stays", "probability.leaves").to_numpy()
    assert both.dtype == np.float32
    assert both.tolist() == expected["probabilities"].tolist()


def test_rows_one_by_one_give_what_the_table_gives(ready: Predictor) -> None:
    raw = rows(40, seed=9)
    whole = ready.predict(raw)
    assert whole.equals(pl.concat(ready.predict(raw[place]) for place in range(raw.height)))


def test_no_rows_give_no_answers(ready: Predictor) -> None:
    assert ready.predict(rows(3).clear()).height == 0


def test_a_column_that_is_not_there_is_named(ready: Predictor) -> None:
    with pytest.raises(DataFault, match="'city' is not there"):
        ready.predict(pl.DataFrame({"age": [1.0]}))


def test_a_predictor_says_whose_answers_these_are(ready: Predictor, place: Path) -> None:
    assert ready.release.digest == next((place / "releases").iterdir()).name
    assert ready.contract == CONTRACT
    assert "bit for bit" in ready.finding.statements[0]


@pytest.mark.slow
def test_regression_gives_a_value_with_its_interval(tmp_path: Path) -> None:
    made = Graph()
    doubled = made.cast(made.node("Mul", made.input("value", NUMBER), made.constant(np.array([[2.0]]))), 1)
    one = made.constant(np.ones((1, 1), dtype=np.float32))
    made.output("value", doubled, TensorProto.FLOAT, [None, 1])
    made.output("low", made.node("Sub", doubled, one), TensorProto.FLOAT, [None, 1])
    made.output("high", made.node("Add", doubled, one), TensorProto.FLOAT, [None, 1])
    contract = json.dumps(to_dict(Contract(fields=(Field(name="value", kind="number"),)))).encode()
    what = parts(contract=contract, frame=pl.DataFrame({"value": [1.0, 2.0, None]}), made=made)
    release = written(tmp_path, Parts(core=replace(what.core, task="regression", classes=()), files=what.files))
    answers = load(release.folder, trusted=trusted_keys(tmp_path / "keys")).predict(pl.DataFrame({"value": ["1", "x"]}))
    assert answers.columns == ["value", "low", "high"]
    assert answers.row(0) == (2.0, 1.0, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("contract", [b"{}", b"no json", b"[" * 100_000, b'{"fields": 7}'])
def test_a_contract_that_cannot_be_read_is_refused(contract: bytes, tmp_path: Path) -> None:
    release = written(tmp_path, parts(contract=contract))
    with pytest.raises(Refused, match="contract"):
        load(release.folder, trusted=trusted_keys(tmp_path / "keys"))


def test_a_model_over_the_given_limits_is_refused(place: Path) -> None:
    with pytest.raises(Refused, match="at most 5 are allowed"):
        load(
            next((place / "releases").iterdir()),
            trusted=trusted_keys(place / "keys"),
            limits=Limits(model_bytes=5),
        )


ALONE = """
import json, sys
unpickled = []
sys.addaudithook(lambda event, args: unpickled.append(args) if event == "pickle.find_class" else None)
from pathlib import Path
import polars as pl
from holdtrue.release.predictor import load
from holdtrue.release.signing import trusted_keys
ready = load(Path(sys.argv[1]), trusted=trusted_keys(Path(sys.argv[2])))
answers = ready.predict(pl.DataFrame({"age": ["25", "60"], "city": ["Oslo", None]}))
print(json.dumps({"labels": answers["label"].to_list(), "modules": sorted(sys.modules), "unpickled": len(unpickled)}))
"""
LIBRARIES = ("sklearn", "lightgbm", "optuna", "joblib", "scipy", "torch", "pandas")
STAGES = tuple(f"holdtrue.{stage}" for stage in ("training", "models", "evaluation", "promises", "tasks", "spec"))


@pytest.mark.slow
def test_predicting_imports_nothing_of_training_and_unpickles_nothing(place: Path) -> None:
    folder = next((place / "releases").iterdir())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALONE, str(folder), str(place / "keys")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["labels"] == ["stays", "leaves"]
    assert said["unpickled"] == 0
    assert not [name for name in said["modules"] if name.startswith((*LIBRARIES, *STAGES))]


@pytest.mark.slow
def test_a_pickle_in_place_of_any_file_is_never_opened(place: Path, tmp_path: Path) -> None:
    """A gadget that would leave a mark; each file of the bundle in turn, signed by the trusted key or not."""
    mark = tmp_path / "mark"
    gadget = f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode()
    folder = next((place / "releases").iterdir())
    for file in folder.iterdir():
        copy = Path(shutil.copytree(folder, tmp_path / file.name))
        (copy / file.name).write_bytes(gadget)
        with pytest.raises(Refused):
            load(copy, trusted=trusted_keys(place / "keys"))
    for name in ("model.onnx", "signature.json", "contract.json", "golden.parquet"):
        made = written(tmp_path / f"signed-{name}", contracted().changed(name, gadget))
        with pytest.raises(Refused):
            load(made.folder, trusted=trusted_keys(tmp_path / f"signed-{name}" / "keys"))
    assert not mark.exists()
