"""gRPC answers what HTTP answers, refuses what HTTP refuses, and is bound by the same tokens, quotas and receipts."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import msgspec
import numpy as np
import pytest
from tests.serving.endpoint import NAME, copied, rows, serving, until, v2_of
from tests.serving.grpc_driver import CODES, Around, Client, around, asked, begun, ended, outputs_of, raw_of, read
from tests.serving.raw import Raw, request

from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.read import receipts
from holdtrue.serving.callers import Permission
from holdtrue.serving.forms import ask_of
from holdtrue.serving.grpc_messages import KINDS, SERVICE
from holdtrue.serving.http import Limits
from holdtrue.serving.plan import Plan
from holdtrue.serving.quotas import Limits as QuotaLimits
from holdtrue.serving.quotas import Quotas
from holdtrue.serving.router import Routing
from holdtrue.serving.tokens import issue, revoke
from holdtrue.serving.wire.tensors import DATATYPES, TYPES
from holdtrue.serving.wire.v2_grpc import PLACES

TABLE = rows(3, target=False)
SMALL = Limits(body_s=0.4, body_bytes=1 << 20)
CALLS: dict[str, tuple[Permission, bytes]] = {
    "ServerLive": ("health", b""),
    "ServerReady": ("health", b""),
    "ServerMetadata": ("read", b""),
    "ModelReady": ("health", KINDS["ModelReadyRequest"](name=NAME).SerializeToString()),
    "ModelMetadata": ("read", KINDS["ModelMetadataRequest"](name=NAME).SerializeToString()),
    "RepositoryIndex": ("read", b""),
    "ModelInfer": ("predict", asked(TABLE).SerializeToString()),
}


@pytest.fixture(scope="module")
def both(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Around]:
    with around(plan, tmp_path_factory.mktemp("both")) as made:
        yield made


@pytest.fixture(scope="module")
def small(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Around]:
    """An endpoint that waits only a moment for a request."""
    with around(plan, tmp_path_factory.mktemp("small"), limits=SMALL) as made:
        yield made


@pytest.fixture(scope="module")
def client(both: Around) -> Generator[Client]:
    with both.client() as made:
        yield made


def posted(both: Around, body: bytes, **headers: Any) -> tuple[int, Any]:
    """Ask the same endpoint over HTTP."""
    raw = Raw(link=both.here.connect())
    try:
        reply = raw.send(request("POST", f"/v2/models/{NAME}/infer", body, **headers)).reply()
    finally:
        raw.close()
    return reply.status, reply.json


def test_the_simple_calls_say_what_http_says(both: Around, client: Client) -> None:
    assert read("ServerLiveResponse", client.call("ServerLive").body).live
    assert read("ServerReadyResponse", client.call("ServerReady").body).ready
    assert read("ModelReadyResponse", client.call("ModelReady", CALLS["ModelReady"][1]).body).ready
    assert read("ServerMetadataResponse", client.call("ServerMetadata").body).name == "holdtrue"
    (model,) = read("RepositoryIndexResponse", client.call("RepositoryIndex").body).models
    about = read("ModelMetadataResponse", client.call("ModelMetadata", CALLS["ModelMetadata"][1]).body)
    raw = Raw(link=both.here.connect())
    told = raw.send(request("GET", f"/v2/models/{NAME}")).reply().json
    raw.close()
    assert (model.name, [model.version]) == (told["name"], told["versions"]) == (about.name, list(about.versions))
    for side in ("inputs", "outputs"):
        assert [
            {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in getattr(about, side)
        ] == told[side]


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_rows_get_the_answer_they_get_over_http(both: Around, client: Client, raw: bool, count: int) -> None:
    table = rows(count, seed=count, target=False)
    status, told = posted(both, msgspec.json.encode(v2_of(table, id="a")))
    response = client.infer(asked(table, raw=raw, id="a")).message
    assert status == 200
    assert response.id == told["id"] == "a"
    assert (response.model_name, response.model_version) == (told["model_name"], told["model_version"])
    assert response.parameters["release"].string_param == told["parameters"]["release"]
    made = outputs_of(response)
    assert list(made) == [output["name"] for output in told["outputs"]]
    for output in told["outputs"]:
        datatype, shape, data = made[output["name"]]
        assert (datatype, shape) == (output["datatype"], output["shape"])
        assert data == raw_of(datatype, output["data"])


@pytest.mark.parametrize("column", ["income", "nights", "channel"])
@pytest.mark.parametrize(
    ("datatype", "raw"), [*((each, True) for each in DATATYPES), *((each, False) for each in PLACES)]
)
@pytest.mark.parametrize("count", [1, 3, 20])
def test_every_datatype_is_read_as_over_http(
    both: Around, client: Client, count: int, datatype: str, column: str, raw: bool
) -> None:
    """Also where a column does not take it: then the same faults are told."""
    table = [*rows(count, seed=5, target=False)]
    values = given(datatype, count)
    sent = asked(table, raw=raw)
    place = [tensor.name for tensor in sent.inputs].index(column)
    tensor = sent.inputs[place]
    tensor.datatype = datatype
    body = v2_of(table)
    body["inputs"][place] = {"name": column, "shape": [count, 1], "datatype": datatype}
    if raw:
        sent.raw_input_contents[place] = data = raw_of(datatype, values)
        body["inputs"][place]["parameters"] = {"binary_data_size": len(data)}
        head = msgspec.json.encode(body)
        status, told = posted(both, head + data, inference_header_content_length=str(len(head)))
    else:
        tensor.ClearField("contents")
        typed = [value.encode() for value in values] if datatype == "BYTES" else values
        getattr(tensor.contents, PLACES[datatype]).extend(typed)
        body["inputs"][place]["data"] = values
        status, told = posted(both, msgspec.json.encode(body))
    reply = client.infer(sent)
    if status == 200:
        made = outputs_of(reply.message)
        assert {output["name"]: raw_of(output["datatype"], output["data"]) for output in told["outputs"]} == {
            name: data for name, (_, _, data) in made.items()
        }
    else:
        assert reply.code is CODES[status]
        assert reply.details.split("\n  ") == [told["error"], *told.get("faults", ())]
        assert reply.trailing["x-holdtrue-code"] == told["code"]


def given(datatype: str, count: int) -> list[Any]:
    if datatype == "BOOL":
        return [place % 2 == 0 for place in range(count)]
    if datatype == "BYTES":
        return [("7", "web", "12.5")[place % 3] for place in range(count)]
    if datatype in TYPES and TYPES[datatype].kind in "iu":
        limits = np.iinfo(TYPES[datatype])
        return [(4, int(limits.max), int(limits.min))[place % 3] for place in range(count)]
    return [(3.0, 0.5, 10.0)[place % 3] for place in range(count)]


def test_outputs_are_chosen_and_ordered_by_the_request(client: Client) -> None:
    everything = outputs_of(client.infer(asked(TABLE)).message)
    names = list(everything)
    sent = asked(TABLE)
    for name in (names[-1], names[0]):
        sent.outputs.add(name=name)
    assert list(outputs_of(client.infer(sent).message).items()) == [
        (names[-1], everything[names[-1]]),
        (names[0], everything[names[0]]),
    ]


def test_a_release_is_pinned_by_the_message_or_the_metadata(both: Around, client: Client, plan: Plan) -> None:
    assert client.infer(asked(TABLE, model_version=plan.version)).message.model_version == plan.version
    unknown = client.infer(asked(TABLE, model_version="abcdef123456"))
    also = client.infer(asked(TABLE), metadata=(("x-holdtrue-version", "abcdef123456"),))
    assert unknown.code is also.code is grpc.StatusCode.NOT_FOUND
    assert unknown.details == also.details == "this version of the model is not loaded"
    assert client.infer(asked(TABLE, model="other")).details == "there is no model of this name"
    for name in ("ModelReady", "ModelMetadata"):
        assert client.call(name, KINDS[f"{name}Request"](name="other").SerializeToString()).code is (
            grpc.StatusCode.NOT_FOUND
        )


def test_a_model_without_a_release_is_unavailable(plan: Plan, tmp_path: Path) -> None:
    with around(plan, tmp_path) as both, both.client() as client:
        both.here.endpoint.routers[NAME].routing = Routing(weights={})
        assert client.infer(asked(TABLE)).code is grpc.StatusCode.UNAVAILABLE
        assert not read("ServerReadyResponse", client.call("ServerReady").body).ready
        assert client.call("ModelReady", CALLS["ModelReady"][1]).details == "the model has no release yet"


def test_a_receipt_holds_the_request_as_it_came_and_is_read_again(plan: Plan, tmp_path: Path) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    table = [row for row in rows(20, target=False) if None not in row.values()][:3]
    with around(plan, tmp_path) as both, both.client() as client:
        bodies = [asked(table, raw=raw).SerializeToString() for raw in (True, False)]
        for body in bodies:
            assert client.infer(body, metadata=(("traceparent", trace), ("x-request-id", "r1"))).message.outputs
        about = both.here.endpoint.routers[NAME].champion.model.about
    kept = list(receipts(tmp_path))
    assert [(receipt.wire, receipt.body) for receipt in kept] == [("grpc", body) for body in bodies]
    assert kept[0].outputs == kept[1].outputs
    assert (kept[0].trace, kept[0].request_id) == ("0af7651916cd43dd8448eb211c80319c", "r1")
    for receipt in kept:
        ask = ask_of(receipt.wire, receipt.body, about)
        assert {name: list(values) for name, values in ask.columns.items()} == {
            name: [row[name] for row in table] for name in table[0]
        }


@pytest.fixture
def closed(plan: Plan, tmp_path: Path) -> Generator[tuple[Around, Path]]:
    """An endpoint where nothing but health is open to everybody."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    with around(plan, tmp_path / "traffic", tokens=folder / "tokens.json", anonymous=frozenset({"health"})) as made:
        yield made, folder / "tokens.json"


@pytest.mark.slow
def test_every_call_asks_for_its_scope(closed: tuple[Around, Path]) -> None:
    both, path = closed
    now = datetime.now(UTC)
    secrets = {
        scope: issue(path, name=scope, scopes=[scope], now=now, expires=now + timedelta(days=1))[1]
        for scope in ("predict", "label", "read", "operate", "admin")
    }
    implied = {"operate": {"read"}, "admin": {"read", "predict"}}
    time.sleep(1.1)  # a worker looks at the list once a second
    for name, (permission, body) in CALLS.items():
        with both.client() as nobody, both.client(token="ht_0123456789ab_" + "x" * 43) as stranger:
            expected = grpc.StatusCode.OK if permission == "health" else grpc.StatusCode.UNAUTHENTICATED
            assert nobody.call(name, body).code is expected
            assert stranger.call(name, body).code is grpc.StatusCode.UNAUTHENTICATED
        for scope, secret in secrets.items():
            may = permission in ("health", scope) or permission in implied.get(scope, set())
            with both.client(token=secret) as caller:
                reply = caller.call(name, body)
            assert reply.code is (grpc.StatusCode.OK if may else grpc.StatusCode.PERMISSION_DENIED), (name, scope)
    with both.client(token=secrets["predict"]) as caller:
        twice = caller.infer(asked(TABLE), metadata=caller.metadata)
        assert twice.details == "the metadata authorization is there twice"
        assert [read("ModelStreamInferResponse", each).error_message for each in caller.stream(iter([b"\xff"]))]


@pytest.mark.slow
def test_a_token_that_is_revoked_ends_its_stream(closed: tuple[Around, Path]) -> None:
    both, path = closed
    now = datetime.now(UTC)
    token, secret = issue(path, name="ci", scopes=["predict"], now=now, expires=None)
    time.sleep(1.1)
    more = threading.Event()

    def messages() -> Generator[bytes]:
        yield CALLS["ModelInfer"][1]
        more.wait(10)
        yield CALLS["ModelInfer"][1]

    with both.client(token=secret) as caller:
        answers = caller.stream(messages(), timeout=20)
        assert not read("ModelStreamInferResponse", next(answers)).error_message
        revoke(path, token.id, now)
        time.sleep(1.1)
        more.set()
        with pytest.raises(grpc.RpcError) as told:
            next(answers)
    assert ended(told.value).code is grpc.StatusCode.UNAUTHENTICATED


def test_a_quota_is_shared_with_http_and_says_when_to_come_again(plan: Plan, tmp_path: Path) -> None:
    with around(plan, tmp_path) as both, both.client() as client:
        both.here.site.quotas = Quotas(QuotaLimits(rows_per_day=6))
        assert posted(both, msgspec.json.encode(v2_of(TABLE)))[0] == 200
        assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK
        over = client.infer(asked(TABLE))
        assert (over.code, over.details) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "the quota of this caller is used up",
        )
        assert int(over.trailing["grpc-retry-pushback-ms"]) > 1_000
        never = client.infer(asked(rows(7, target=False)))
        assert never.trailing["grpc-retry-pushback-ms"] == "-1"
        assert both.counted("holdtrue_requests_total")["grpc ModelInfer", "429"] == 2


@pytest.mark.parametrize("timeout_s", [1e-9, 0.0, 1e-6])
def test_a_deadline_in_the_past_is_told_as_such(client: Client, timeout_s: float) -> None:
    assert client.infer(asked(TABLE), timeout_s=timeout_s).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK


@pytest.mark.slow
def test_what_nobody_waits_for_any_more_is_not_predicted(plan: Plan, tmp_path: Path) -> None:
    """The server is held up while its clients give up; all that it finds then is theirs that did not."""
    with around(plan, tmp_path) as both, both.client() as client:
        assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK
        both.here.loop.call_soon_threadsafe(time.sleep, 2.0)
        call = client.channel.unary_unary(f"/{SERVICE}/ModelInfer")
        late = [call.future(CALLS["ModelInfer"][1], timeout=0.1) for _ in range(8)]
        left = [call.future(CALLS["ModelInfer"][1], timeout=20) for _ in range(8)]
        time.sleep(0.05)
        for each in left:
            each.cancel()
        assert {code_of(each) for each in late} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK
    assert len(list(receipts(tmp_path))) == 2


def code_of(call: Any) -> grpc.StatusCode:
    """Wait for the end of a call."""
    call.exception()
    return call.code()


@pytest.mark.slow
def test_a_storm_of_cancelled_calls_harms_nobody(both: Around, client: Client) -> None:
    chance = np.random.default_rng(7)
    call = client.channel.unary_unary(f"/{SERVICE}/ModelInfer")
    for _ in range(40):
        sent = [call.future(CALLS["ModelInfer"][1], timeout=20) for _ in range(50)]
        time.sleep(float(chance.uniform(0, 0.02)))
        for each in sent:
            each.cancel()
        assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK
    assert "500" not in {labels[1] for labels in both.counted("holdtrue_requests_total")}


def test_a_client_that_says_nothing_is_not_waited_for(small: Around) -> None:
    with small.client() as client:
        method = client.channel.stream_unary(f"/{SERVICE}/ModelInfer")
        silent = threading.Event()

        def nothing() -> Generator[bytes]:
            silent.wait(10)
            yield from ()

        with pytest.raises(grpc.RpcError) as told:
            method(nothing(), timeout=20)
        silent.set()
        assert (told.value.code(), told.value.details()) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "a request arrives within 0.4 s",
        )
        with pytest.raises(grpc.RpcError) as told:
            method(iter([]), timeout=20)
        assert told.value.details() == "the call has no message"
        assert method(iter([CALLS["ModelInfer"][1]] * 3), timeout=20)  # what follows the message is not asked for


def test_a_message_that_is_too_large_is_refused_before_it_is_read(small: Around) -> None:
    with small.client() as client:
        assert client.infer(b"x" * (1 << 20) + b"x").code is grpc.StatusCode.RESOURCE_EXHAUSTED
        squeezed = client.infer(b"x" * (1 << 24), compression=grpc.Compression.Gzip)
        assert squeezed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.infer(asked(TABLE), compression=grpc.Compression.Gzip).code is grpc.StatusCode.OK
        huge = client.infer(asked(TABLE), metadata=(("x-more", "x" * 20_000),))
        assert huge.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK


def test_an_unknown_call_is_unimplemented(client: Client) -> None:
    for name in ("ModelTrain", "RepositoryModelLoad", "SystemSharedMemoryRegister", "../ModelInfer"):
        assert client.call(name).code is grpc.StatusCode.UNIMPLEMENTED


# Streams.


def test_a_stream_answers_in_order_and_a_broken_request_breaks_only_itself(client: Client) -> None:
    def messages() -> Generator[bytes]:
        for number in range(200):
            broken = number % 3 == 1
            yield (
                b"\xff"
                if number == 100
                else asked(TABLE, id=f"r{number}", model="other" if broken else NAME).SerializeToString()
            )

    answers = [read("ModelStreamInferResponse", each) for each in client.stream(messages(), timeout=60)]
    assert [answer.infer_response.id for answer in answers] == [
        "" if number == 100 else f"r{number}" for number in range(200)
    ]
    for number, answer in enumerate(answers):
        if number == 100:
            assert answer.error_message == "the message is no ModelInferRequest"
        else:
            assert answer.error_message == ("there is no model of this name" if number % 3 == 1 else "")
            assert len(answer.infer_response.outputs) == (0 if number % 3 == 1 else 3)


def test_a_client_that_leaves_its_stream_takes_its_requests_along(both: Around, client: Client) -> None:
    for _ in range(20):
        answers = client.stream(iter([CALLS["ModelInfer"][1]] * 30), timeout=20)
        next(answers)
        answers.cancel()
    assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK


@pytest.mark.slow
def test_an_end_while_streaming_answers_what_was_asked(trips_made: Path, tmp_path: Path) -> None:
    with serving(copied(trips_made, tmp_path / "trips"), "--grpc-port", "0") as served:
        taken: list[str] = []
        open_until = threading.Event()

        def messages() -> Generator[bytes]:
            for number in range(50):
                yield asked(TABLE, id=f"r{number}").SerializeToString()
            open_until.wait(30)

        with Client(str(served.state["grpc"])) as client:
            answers = client.stream(messages(), timeout=60)
            for _ in range(50):
                taken.append(read("ModelStreamInferResponse", next(answers)).infer_response.id)
            since_s = time.monotonic()
            served.process.terminate()
            with pytest.raises(grpc.RpcError) as told:
                next(answers)
            assert ended(told.value).code is grpc.StatusCode.UNAVAILABLE
            assert served.process.wait(timeout=20) == 0
            assert time.monotonic() - since_s < 10
            open_until.set()
    assert taken == [f"r{number}" for number in range(50)]


# Where it is served.


@pytest.mark.slow
def test_workers_share_the_port_and_a_dead_one_is_replaced(trips_made: Path, tmp_path: Path) -> None:
    with serving(copied(trips_made, tmp_path / "trips"), "--grpc-port", "0", "--workers", "2") as served:
        target, port = str(served.state["grpc"]), str(served.state["grpc"]).rpartition(":")[2]
        old = served.workers()
        for _ in range(20):  # the system shares connections out by chance
            with Client(target) as client:
                assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK
        with (
            pytest.raises(AssertionError, match="Nothing can listen at"),
            serving(copied(trips_made, tmp_path / "again"), "--grpc-port", port),
        ):
            pass
        os.kill(old[0], signal.SIGKILL)
        until(lambda: len(served.workers()) == 2 and old[0] not in served.workers(), within_s=20)
        for _ in range(20):
            with Client(target) as client:
                assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK


@pytest.mark.slow
def test_workers_that_end_lose_no_call(trips_made: Path, tmp_path: Path) -> None:
    codes: Counter[grpc.StatusCode] = Counter()
    stop = threading.Event()

    def ask(target: str) -> None:
        with Client(target) as client:
            while not stop.is_set():
                codes[client.infer(CALLS["ModelInfer"][1], wait_for_ready=True).code] += 1

    with serving(copied(trips_made, tmp_path / "trips"), "--grpc-port", "0", "--workers", "2") as served:
        asking = [threading.Thread(target=ask, args=(str(served.state["grpc"]),)) for _ in range(4)]
        for each in asking:
            each.start()
        for _ in range(3):
            time.sleep(0.5)
            old = served.workers()
            os.kill(old[0], signal.SIGTERM)
            until(lambda old=old: len(served.workers()) == 2 and old[0] not in served.workers(), within_s=20)
        stop.set()
        for each in asking:
            each.join()
    assert set(codes) == {grpc.StatusCode.OK}


def test_a_port_that_is_taken_is_told(both: Around) -> None:
    taken = msgspec.structs.replace(begun(), grpc_host="192.0.2.1", grpc_port=1)
    with pytest.raises(Misuse, match=r"gRPC cannot listen at 192\.0\.2\.1:1"):
        both.plane.listen(taken)
