"""What Ray Serve is given is the release itself and a few lines, and it answers the same numbers."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import polars as pl
import pytest
import yaml
from made_release import parts, written
from tests.ray_node import free_port, ray_node

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import to_dict
from holdtrue.release.predictor import load
from holdtrue.release.ray_export import LINES, export_ray
from holdtrue.release.signing import trusted_keys
from holdtrue.serving.replica import open_replica

CONTRACT = Contract(fields=(Field(name="age", kind="number"), Field(name="city", kind="category")))
ROWS = [
    {"age": 29, "city": "Oslo"},
    {"age": "31", "city": "Lyon"},
    {"age": None, "city": "Turin"},
    {"age": 30.5, "city": None},
]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = parts(json.dumps(to_dict(CONTRACT)).encode())
    return written(tmp_path_factory.mktemp("store"), made).folder


@pytest.fixture(scope="module")
def exported(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ray") / "app"
    export_ray(release, out)
    return out


def expected(release: Path) -> pl.DataFrame:
    """What `holdtrue predict` writes for the rows."""
    raw = pl.DataFrame({"age": ["29", "31", None, "30.5"], "city": ["Oslo", "Lyon", "Turin", None]})
    return load(release, trusted=trusted_keys(release.parent.parent / "keys")).predict(raw)


def test_the_release_in_it_is_untouched_and_the_lines_are_the_same_for_every_release(
    exported: Path, release: Path
) -> None:
    for file in release.iterdir():
        assert (exported / "data" / file.name).read_bytes() == file.read_bytes()
    assert (exported / "app.py").read_text() == LINES
    compile(LINES, "app.py", "exec")
    others = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    others -= {f"data/{file.name}" for file in release.iterdir()}
    assert others == {"app.py", "serve_config.yaml", "requirements.txt", "release.json", "keys/trusted/signer.pub"}


def test_the_configuration_names_the_application_and_stays_on_this_machine(exported: Path) -> None:
    config = yaml.safe_load((exported / "serve_config.yaml").read_text())
    (app,) = config["applications"]
    assert (app["name"], app["import_path"]) == ("leavers", "app:app")
    assert config["http_options"]["host"] == "127.0.0.1"
    assert "class Release" in LINES
    assert app["deployments"][0]["name"] == "Release"
    assert (exported / "requirements.txt").read_text().split() == [
        "ray[serve]>=2.40",
        "holdtrue",
        "numpy==2.4.6",
        "onnxruntime==1.31.1",
    ]


def test_the_same_release_is_written_with_the_same_bytes(exported: Path, release: Path, tmp_path: Path) -> None:
    export_ray(release, tmp_path / "again")
    for file in exported.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert (tmp_path / "again" / file.relative_to(exported)).read_bytes() == file.read_bytes()


def test_changed_bytes_are_refused_where_a_replica_starts(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "copy")
    model = tmp_path / "copy" / "data" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(Refused, match=r"model\.onnx"):
        open_replica(tmp_path / "copy" / "data", keys=tmp_path / "copy" / "keys")


def test_a_release_that_does_not_hold_is_not_exported(release: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not trusted here"):
        export_ray(release, tmp_path / "out", trusted={})
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(exported: Path, release: Path) -> None:
    with pytest.raises(Misuse, match="is there already"):
        export_ray(release, exported)


def asked_directly(folder: Path, path: str, body: bytes) -> tuple[int, Any]:
    """What app.py does with a request, without Ray."""
    reply = open_replica(folder / "data", keys=folder / "keys").answer("POST", path, {}, body)
    return reply.status, json.loads(reply.body)


class Served:
    """Ray Serve with the exported folder, on a node of its own."""

    def __init__(self, folder: Path, tools: Path, environ: Mapping[str, str]) -> None:
        self.port = free_port()
        config = yaml.safe_load((folder / "serve_config.yaml").read_text())
        config["http_options"]["port"] = self.port
        (folder / "serve_config.yaml").write_text(yaml.safe_dump(config))
        words = [str(tools / "serve"), "run", "--working-dir", ".", "serve_config.yaml"]
        self.process = subprocess.Popen(words, cwd=folder, env=environ, start_new_session=True)

    def ask(self, path: str, body: bytes, patience_s: float = 120) -> tuple[int, Any]:
        deadline = time.monotonic() + patience_s
        question = Request(f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"})
        while True:
            try:
                with urlopen(question, timeout=30) as answer:
                    return answer.status, json.loads(answer.read())
            except HTTPError as error:
                text = error.read().decode()
                if text.startswith("{"):  # of ours; Ray's own are plain text
                    return error.code, json.loads(text)
            except (URLError, ConnectionError):
                pass
            assert self.process.poll() is None, "Ray Serve has ended"
            assert time.monotonic() < deadline, "Ray never answered"
            time.sleep(0.5)

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


INPUTS = [
    {"name": "age", "shape": [4], "datatype": "BYTES", "data": ["29", "31", None, "30.5"]},
    {"name": "city", "shape": [4, 1], "datatype": "BYTES", "data": ["Oslo", "Lyon", "Turin", None]},
]
QUESTIONS = {
    "/predict": json.dumps(ROWS).encode(),
    "/v2/models/leavers/infer": json.dumps({"inputs": INPUTS}).encode(),
    "/predict/leavers": b'{"age": 3}',
    "/v2/models/leavers/versions/other/infer": b"{}",
}


def hold_against(told: Mapping[str, tuple[int, Any]], release: Path) -> None:
    """Compare the answers to the questions with what `holdtrue predict` writes, to the bit."""
    wanted = expected(release)
    status, people = told["/predict"]
    assert status == 200
    assert people["release"] == release.name
    assert [row["label"] for row in people["predictions"]] == wanted["label"].to_list()
    for label in ("stays", "leaves"):
        shares = np.array([row["probabilities"][label] for row in people["predictions"]], dtype=np.float32)
        assert shares.tobytes() == wanted[f"probability.{label}"].to_numpy().tobytes()
    status, tensors = told["/v2/models/leavers/infer"]
    assert status == 200
    outputs = {output["name"]: output["data"] for output in tensors["outputs"]}
    both = np.array(outputs["probabilities"], dtype=np.float32).reshape(4, 2)
    assert both.tobytes() == wanted.select("probability.stays", "probability.leaves").to_numpy().tobytes()
    assert outputs["label"] == wanted["label"].to_list()
    assert (told["/predict/leavers"][0], told["/predict/leavers"][1]["code"]) == (422, "contract")
    assert told["/v2/models/leavers/versions/other/infer"][0] == 404


@pytest.mark.slow
def test_the_calls_that_the_lines_make_answer_the_same_numbers(exported: Path, release: Path) -> None:
    hold_against({path: asked_directly(exported, path, body) for path, body in QUESTIONS.items()}, release)


@pytest.mark.slow
def test_ray_answers_the_same_numbers(exported: Path, release: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "app")
    with ray_node() as (tools, environ):
        served = Served(tmp_path / "app", tools, environ)
        try:
            told = {path: served.ask(path, body) for path, body in QUESTIONS.items()}
        finally:
            served.end()
    hold_against(told, release)
