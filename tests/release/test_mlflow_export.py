"""What MLflow is given is the release itself, described as MLflow wants it, and it answers the same numbers."""

import json
import os
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pandas as pd
import polars as pl
import pytest
import yaml
from jsonschema import validate
from made_release import Parts, parts, written
from polars.testing import assert_frame_equal

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import to_dict
from holdtrue.data.parse import parse
from holdtrue.release.mlflow_export import export_mlflow
from holdtrue.release.mlflow_loader import load_release, raw_rows
from holdtrue.release.predictor import load
from holdtrue.release.signing import trusted_keys

CONTRACT = Contract(fields=(Field(name="age", kind="number"), Field(name="city", kind="category")))
RAW = {"age": ["29", "31", " 30 ", None, "30.5", "see 7"], "city": ["Oslo", "Lyon", "Turin", None, " Oslo", "x"]}
# What MLflow's own classes need of the file, read off mlflow.models.Model and mlflow.pyfunc.
MLMODEL = {
    "type": "object",
    "required": ["flavors", "signature", "saved_input_example_info", "model_uuid", "mlflow_version"],
    "properties": {
        "flavors": {
            "type": "object",
            "required": ["python_function"],
            "properties": {
                "python_function": {
                    "type": "object",
                    "required": ["loader_module", "python_version", "data", "env"],
                    "properties": {
                        "loader_module": {"const": "holdtrue.release.mlflow_loader"},
                        "python_version": {"type": "string", "pattern": r"^3\.[0-9]+(\.[0-9]+)?$"},
                        "data": {"const": "data"},
                        "env": {"type": "object", "required": ["conda", "virtualenv"]},
                    },
                }
            },
        },
        "signature": {"type": "object", "required": ["inputs", "outputs", "params"]},
        "mlflow_version": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
        "model_uuid": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "utc_time_created": {"type": "string"},
        "saved_input_example_info": {
            "type": "object",
            "properties": {"type": {"const": "dataframe"}, "pandas_orient": {"const": "split"}},
        },
    },
}
COLUMNS = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["name", "type", "required"],
        "properties": {"type": {"enum": ["any", "string", "long", "float", "double"]}},
    },
}


def contracted(contract: Contract = CONTRACT) -> Parts:
    return parts(json.dumps(to_dict(contract)).encode())


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("store"), contracted()).folder


@pytest.fixture(scope="module")
def exported(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mlflow") / "model"
    export_mlflow(release, out)
    return out


def expected(release: Path) -> pl.DataFrame:
    """What `holdtrue predict` writes for the raw rows."""
    ready = load(release, trusted=trusted_keys(release.parent.parent / "keys"))
    return ready.predict(pl.DataFrame(RAW)).with_columns(release=pl.lit(ready.release.digest))


def test_the_description_is_one_that_mlflow_reads(exported: Path) -> None:
    described = yaml.safe_load((exported / "MLmodel").read_text())
    validate(described, MLMODEL)
    inputs, outputs = (json.loads(described["signature"][side]) for side in ("inputs", "outputs"))
    for columns in (inputs, outputs):
        validate(columns, COLUMNS)
    assert [column["name"] for column in inputs] == ["age", "city"]
    for name in (described["flavors"]["python_function"]["env"].values(), ["requirements.txt", "input_example.json"]):
        assert all((exported / each).is_file() for each in name)
    assert yaml.safe_load((exported / "python_env.yaml").read_text())["dependencies"] == ["-r requirements.txt"]
    pinned = (exported / "requirements.txt").read_text().split()
    assert pinned == ["mlflow>=3.1.0", "holdtrue", "numpy==2.4.6", "onnxruntime==1.31.1"]
    assert yaml.safe_load((exported / "conda.yaml").read_text())["dependencies"][-1] == {"pip": pinned}


@pytest.mark.slow
def test_the_answers_are_those_that_were_announced(exported: Path, release: Path) -> None:
    described = yaml.safe_load((exported / "MLmodel").read_text())
    types = {"string": pl.String, "long": pl.Int64, "float": pl.Float32, "double": pl.Float64}
    announced = {column["name"]: types[column["type"]] for column in json.loads(described["signature"]["outputs"])}
    assert dict(expected(release).schema) == announced


def test_the_release_in_it_is_untouched_and_holds_no_code(exported: Path, release: Path) -> None:
    for file in release.iterdir():
        assert (exported / "data" / file.name).read_bytes() == file.read_bytes()
    others = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    others -= {f"data/{file.name}" for file in release.iterdir()}
    assert others == {
        "MLmodel",
        "conda.yaml",
        "python_env.yaml",
        "requirements.txt",
        "input_example.json",
        "keys/trusted/signer.pub",
    }


def test_the_same_release_is_written_with_the_same_bytes(exported: Path, release: Path, tmp_path: Path) -> None:
    export_mlflow(release, tmp_path / "again")
    for file in exported.rglob("*"):
        if file.is_file():
            assert (tmp_path / "again" / file.relative_to(exported)).read_bytes() == file.read_bytes()


def called_as_mlflow_does(model: Path, raw: pd.DataFrame) -> pd.DataFrame:
    """What `mlflow.pyfunc.load_model(model).predict(raw)` comes down to, without MLflow."""
    flavour = yaml.safe_load((model / "MLmodel").read_text())["flavors"]["python_function"]
    module = import_module(flavour["loader_module"])
    return module._load_pyfunc(str(model / flavour["data"])).predict(raw, params=None)


def called_by_mlflow(python: str, model: Path, raw: pd.DataFrame) -> pd.DataFrame:
    """Start `mlflow models serve` in the environment that HOLDTRUE_MLFLOW_PYTHON names, and ask it over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tools = Path(python).parent
    words = ["models", "serve", "-m", str(model), "--env-manager", "local", "--port", str(port)]
    environ = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen([str(tools / "mlflow"), *words], env=environ, start_new_session=True)
    try:
        body = json.dumps({"dataframe_split": raw.to_dict(orient="split", index=False)}).encode()
        question = Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
        return pd.DataFrame(json.loads(answered(question))["predictions"])
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def answered(question: Request, patience_s: float = 120) -> bytes:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with urlopen(question, timeout=30) as answer:
                return answer.read()
        except (URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.mark.slow
def test_mlflow_answers_the_same_numbers(exported: Path, release: Path) -> None:
    """With HOLDTRUE_MLFLOW_PYTHON over HTTP from MLflow's own server; else by the calls that server makes."""
    raw, python = pd.DataFrame(RAW), os.environ.get("HOLDTRUE_MLFLOW_PYTHON")
    answers = called_by_mlflow(python, exported, raw) if python else called_as_mlflow_does(exported, raw)
    wanted = expected(release)
    assert_frame_equal(pl.from_pandas(answers).cast(dict(wanted.schema)), wanted, check_exact=True)  # pyright: ignore


@pytest.mark.slow
def test_the_example_reads_back_as_the_golden_rows_it_was_made_from(exported: Path) -> None:
    golden = pl.read_parquet(exported / "data" / "golden.parquet").head(3)
    example: Any = json.loads((exported / "input_example.json").read_text())
    served = load_release(str(exported / "data"))
    typed = parse(CONTRACT, raw_rows(pd.DataFrame(example["data"], columns=example["columns"])))
    for name in ("age", "city"):
        assert typed[name].equals(golden[f"input.{name}"])
    answers = served.predict(pd.DataFrame(example["data"], columns=example["columns"]))
    assert answers["label"].tolist() == golden["output.label.0"].to_list()
    assert answers["probability.leaves"].tolist() == golden["output.probabilities.1"].to_list()


@pytest.mark.parametrize(
    ("formats", "written_as"),
    [
        ((), "2015-07-01"),
        (("%d.%m.%y",), "01.07.15"),
        (("epoch",), "2015-07-01"),
        (("%m/%Y",), "07/2015"),
        (("epoch_ms",), 1435708800000),
    ],
)
def test_a_date_is_written_so_that_the_contract_reads_it(
    formats: tuple[str, ...], written_as: object, tmp_path: Path
) -> None:
    contract = Contract(fields=(Field(name="age", kind="date", formats=formats), Field(name="city", kind="category")))
    frame = pl.DataFrame({"age": [1435708800.0] * 50, "city": ["Oslo"] * 50})
    made = parts(json.dumps(to_dict(contract)).encode(), frame)
    export_mlflow(written(tmp_path, made).folder, tmp_path / "out")
    example: Any = json.loads((tmp_path / "out" / "input_example.json").read_text())
    raw = raw_rows(pd.DataFrame(example["data"], columns=example["columns"]))
    assert parse(contract, raw)["age"].to_list() == [1435708800.0] * 3
    if written_as != "2015-07-01" or not formats:
        assert example["data"][0][0] == written_as


def test_numbers_and_texts_in_one_column_are_read_as_a_file_would_hold_them() -> None:
    mixed = pd.DataFrame({"city": ["Oslo", 3, 2.0, 2.5, None, float("nan"), True]}, dtype=object)
    assert raw_rows(mixed)["city"].to_list() == ["Oslo", "3", "2", "2.5", None, None, "true"]


def test_changed_bytes_are_refused_by_the_loader(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    model = tmp_path / "copy" / "data" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(Refused, match=r"model\.onnx"):
        load_release(str(tmp_path / "copy" / "data"))


def test_a_store_that_is_named_decides_whose_releases_are_accepted(
    exported: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDTRUE_HOME", str(tmp_path))
    with pytest.raises(Refused, match="not trusted here"):
        load_release(str(exported / "data"))
    monkeypatch.setenv("HOLDTRUE_HOME", str(release.parent.parent))
    assert load_release(str(exported / "data")).predictor.release.digest == release.name


def test_a_release_that_does_not_hold_is_not_exported(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release.parent.parent, tmp_path / "store")
    copy = tmp_path / "store" / "releases" / release.name
    (copy / "card.md").write_text("other words")
    with pytest.raises(Refused, match=r"card\.md"):
        export_mlflow(copy, tmp_path / "out")
    with pytest.raises(Refused, match="not trusted here"):
        export_mlflow(release, tmp_path / "out", trusted={})
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(release: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_mlflow(release, tmp_path / "out")  # an empty folder is room
    before = datetime.fromtimestamp((tmp_path / "out" / "MLmodel").stat().st_mtime, UTC)
    with pytest.raises(Misuse, match="is there already"):
        export_mlflow(release, tmp_path / "out")
    assert datetime.fromtimestamp((tmp_path / "out" / "MLmodel").stat().st_mtime, UTC) == before
