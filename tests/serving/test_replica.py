"""A release behind another server answers what `predict` does, and refuses what the endpoint refuses."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.release.made_release import parts, written

from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import to_dict
from holdtrue.release.predictor import load
from holdtrue.release.signing import trusted_keys
from holdtrue.serving.replica import MOST_BYTES, Replica, open_replica

CONTRACT = Contract(fields=(Field(name="age", kind="number"), Field(name="city", kind="category")))
V2 = "/v2/models/leavers/infer"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store")
    return written(place, parts(json.dumps(to_dict(CONTRACT)).encode())).folder


@pytest.fixture(scope="module")
def replica(store: Path) -> Replica:
    return open_replica(store, keys=store.parent.parent / "keys")


def asked(replica: Replica, path: str, body: object, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = replica.answer("POST", path, headers or {}, raw)
    return reply.status, json.loads(reply.body)


def tensors(ages: list[float], cities: list[str]) -> dict[str, object]:
    columns = (("age", "FP64", ages), ("city", "BYTES", cities))
    return {
        "inputs": [{"name": name, "shape": [len(data)], "datatype": kind, "data": data} for name, kind, data in columns]
    }


def test_many_rows_are_answered_to_the_bit_as_predict_answers_them(replica: Replica, store: Path) -> None:
    drawn = np.random.default_rng(5)
    ages = drawn.normal(30, 9, 500).tolist()
    cities = drawn.choice(["Oslo", "Lyon", "Turin", " x"], 500).tolist()
    ready = load(store, trusted=trusted_keys(store.parent.parent / "keys"))
    wanted = ready.predict(pl.DataFrame({"age": ages, "city": cities}))
    status, told = asked(replica, V2, tensors(ages, cities))
    assert status == 200
    outputs = {output["name"]: output["data"] for output in told["outputs"]}
    shares = np.array(outputs["probabilities"], dtype=np.float32).reshape(-1, 2)
    assert shares.tobytes() == wanted.select("probability.stays", "probability.leaves").to_numpy().tobytes()
    assert outputs["decision"] == wanted["decision"].to_list()


def test_an_answer_names_its_release_and_no_prediction_since_none_is_recorded(replica: Replica, store: Path) -> None:
    status, told = asked(replica, "/predict", {"age": 29, "city": "Oslo"})
    assert (status, told["release"], told["prediction_id"]) == (200, store.name, "")
    assert (
        replica.answer("POST", "/predict", {}, b'{"age":29,"city":"Oslo"}').headers["x-holdtrue-release"] == store.name
    )


def test_raw_tensors_come_back_raw(replica: Replica) -> None:
    body = {**tensors([29.0], ["Oslo"]), "parameters": {"binary_data_output": True}}
    reply = replica.answer("POST", V2, {}, json.dumps(body).encode())
    length = int(reply.headers["inference-header-content-length"])
    assert reply.headers["content-type"] == "application/octet-stream"
    sizes = [each["parameters"]["binary_data_size"] for each in json.loads(reply.body[:length])["outputs"]]
    assert sum(sizes) == len(reply.body) - length


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/ping", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/leavers"],
)
def test_what_others_ask_first_is_answered(replica: Replica, path: str) -> None:
    assert replica.answer("GET", path, {}, b"").status == 200
    assert replica.answer("POST", path, {}, b"").status == 405


def test_the_metadata_names_the_version(replica: Replica, store: Path) -> None:
    told = json.loads(replica.answer("GET", "/v2/models/leavers", {}, b"").body)
    assert told["versions"] == [store.name[:12]]
    assert [each["name"] for each in told["inputs"]] == ["age", "city"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/predict", b"{]", {}, 400, "malformed"),
        ("/predict", b"\xff\xfe", {}, 400, "malformed"),
        ("/predict", {"age": 29}, {}, 422, "contract"),
        ("/predict/other", {}, {}, 404, "not found"),
        ("/predict%2f", {}, {}, 404, "not found"),
        ("/predict", b"a,b", {"Content-Type": "text/csv"}, 415, "media type"),
        ("/predict", b" " * (MOST_BYTES + 1), {}, 413, "too large"),
        ("/predict", gzip.compress(b" " * (MOST_BYTES + 1)), {"Content-Encoding": "gzip"}, 413, "too large"),
        ("/predict", b"no gzip", {"content-encoding": "gzip"}, 400, "malformed"),
        ("/predict", b"", {"content-encoding": "brötli ☃"}, 415, "media type"),
        (V2, {}, {}, 400, "malformed"),
        (V2, b"{}", {"Inference-Header-Content-Length": "9"}, 400, "malformed"),
        (V2, b"{}", {"inference-header-content-length": "-1"}, 400, "malformed"),
    ],
)
def test_what_is_wrong_is_said_and_never_an_error_of_the_server(
    replica: Replica, path: str, body: object, headers: dict[str, str], status: int, code: str
) -> None:
    assert asked(replica, path, body, headers)[0] == status
    assert asked(replica, path, body, headers)[1]["code"] == code


@given(st.sampled_from(["/predict", V2, "/invocations"]), st.binary(max_size=200))
def test_no_bytes_make_it_fail(replica: Replica, path: str, body: bytes) -> None:
    assert 400 <= asked(replica, path, body)[0] < 500
