"""The clients that people have work with this server as they are: Triton's, KServe's, MLflow's and curl."""

import json
import re
import shlex
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.serving.endpoint import COLUMNS, NAME, Served, copied, rows, serving

from holdtrue.data.parse import parse
from holdtrue.features.session import run
from holdtrue.release.predictor import Predictor

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
PROGRAMS = Path(__file__).with_name("clients")
pytestmark = pytest.mark.slow

Table = Sequence[dict[str, Any]]


@pytest.fixture(scope="module")
def endpoint(trips_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(copied(trips_made, tmp_path_factory.mktemp("clients") / "trips"), "--grpc-port", "0") as made:
        yield made


def told(program: str, endpoint: Served, table: Table, place: Path) -> Any:
    """Run a program with the clients' own interpreter; gives what it printed."""
    assert PYTHON.exists(), "The clients are not installed; install them: .ci/clients"
    asked = place / "asked.json"
    columns = {name: [row[name] for row in table] for name in COLUMNS}
    asked.write_text(json.dumps({"model": NAME, "columns": columns}))
    done = subprocess.run(
        [str(PYTHON), str(PROGRAMS / program), endpoint.url, str(endpoint.state["grpc"]), str(asked)],
        cwd=place,
        env={"PATH": "/usr/bin:/bin", "HOME": str(place), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def direct(predictor: Predictor, table: Table) -> "dict[str, np.ndarray]":
    """Ask ONNX Runtime itself."""
    frame = pl.DataFrame([{name: row[name] for name in COLUMNS} for row in table], infer_schema_length=None)
    return dict(run(predictor.ready, parse(predictor.contract, frame)))


def full(count: int) -> list[dict[str, Any]]:
    """Rows in which nothing is missing, for clients that have no word for that."""
    return [row for row in rows(6 * count, target=False) if None not in row.values()][:count]


def test_tritons_clients_get_what_the_graph_says(endpoint: Served, predictor: Predictor, tmp_path: Path) -> None:
    table = full(5)
    made = told("triton.py", endpoint, table, tmp_path)
    graph = direct(predictor, table)
    same = direct(predictor, [{**row, "income": 1.0} for row in table])
    http, grpc = made["http"], made["grpc"]
    for answer in (http["json"], http["binary"], http["squeezed"], grpc["raw"], grpc["stream"][0], grpc["stream"][2]):
        np.testing.assert_allclose(answer, graph["probabilities"], rtol=1e-6)
    assert http["label"] == grpc["label"] == graph["label"].ravel().tolist()
    assert http["types"].keys() == grpc["types"].keys()
    for datatype in http["types"]:
        np.testing.assert_allclose(http["types"][datatype], same["probabilities"], rtol=1e-6, err_msg=datatype)
        np.testing.assert_allclose(grpc["types"][datatype], same["probabilities"], rtol=1e-6, err_msg=datatype)
    assert http["health"] == grpc["health"] == [True, True, True]
    assert http["about"][0] == grpc["about"][0] == "holdtrue"
    assert [each["name"] for each in http["about"][1]] == [each["name"] for each in grpc["about"][1]]
    assert http["chosen"] == [["probabilities"], "r7"]
    assert grpc["chosen"] == ["label", "probabilities"]
    assert (grpc["id"], grpc["index"][0]["name"], grpc["index"][0]["state"]) == ("r7", NAME, "READY")
    assert http["error"] == ["404", "there is nothing at this path"]
    assert grpc["error"] == ["StatusCode.NOT_FOUND", "there is no model of this name"]
    assert grpc["stream"][1] == "there is no model of this name"


def test_kserves_clients_get_what_the_graph_says(endpoint: Served, predictor: Predictor, tmp_path: Path) -> None:
    table = full(5)
    made = told("kserve_asks.py", endpoint, table, tmp_path)
    graph = direct(predictor, table)
    assert made["health"] == [True] * 6
    for form in ("rest list", "rest raw", "grpc list", "grpc raw"):
        id, shares, labels = made[form]
        assert id == "r7"
        np.testing.assert_allclose(np.reshape(shares, (5, 2)), graph["probabilities"], rtol=1e-6, err_msg=form)
        assert labels == graph["label"].ravel().tolist()
    assert "there is nothing at this path" in made["rest error"]
    assert "there is no model of this name" in made["grpc error"]


def test_mlflows_client_gets_what_the_graph_says(endpoint: Served, predictor: Predictor, tmp_path: Path) -> None:
    table = full(4)
    made = told("mlflow_asks.py", endpoint, table, tmp_path)
    graph = direct(predictor, table)
    assert [row["label"] for row in made] == graph["label"].ravel().tolist()


def test_64_clients_at_once_get_each_its_own_answers(endpoint: Served, predictor: Predictor, tmp_path: Path) -> None:
    table = rows(400, seed=9, target=False)
    made = told("crowd.py", endpoint, table, tmp_path)
    shares = direct(predictor, table)["probabilities"]
    assert len(made) == 64 * 8
    for start, count, answer in made:
        np.testing.assert_allclose(answer, shares[start : start + count], rtol=1e-6)


def printed(path: str) -> str:
    """Give the command that the documents print for a path of the endpoint."""
    text = (ROOT / "docs" / "howto" / "serve.md").read_text()
    (found,) = re.findall(rf"^curl localhost:8080{path} .*$", text, re.MULTILINE)
    return found


def curl(command: str, endpoint: Served, body: Any) -> Any:
    """Run a printed command with our address, and our body in place of the one of the example."""
    words = [word.replace("localhost:8080", endpoint.url) for word in shlex.split(command)]
    place = words.index("--json") + 1
    if words[place].startswith("@"):
        assert "hotel" in json.loads((ROOT / "examples" / "hotel_cancellations" / words[place][1:]).read_text())
    else:
        assert set(json.loads(words[place].replace("...", ""))) <= set(body)
    words[place] = json.dumps(body)
    return json.loads(subprocess.run([*words, "--silent"], capture_output=True, check=True, timeout=30).stdout)


def test_curl_as_printed_gets_what_the_graph_says(endpoint: Served, predictor: Predictor) -> None:
    row = rows(1, target=False)[0]
    made = curl(printed("/predict"), endpoint, row)
    graph = direct(predictor, [row])
    (answer,) = made["predictions"]
    assert answer["label"] == graph["label"][0, 0]
    np.testing.assert_allclose(list(answer["probabilities"].values()), graph["probabilities"][0], rtol=1e-6)
