"""What an endpoint tells OpenTelemetry, as a collector hears it; and its log lines for machines."""

import json
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.cli.driver import launched
from tests.serving.endpoint import free_port, rows, serving, until
from tests.serving.grpc_driver import CODES, Client, asked

from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.read import receipts
from holdtrue.serving.telemetry import wanted

ROWS = rows(2, target=False)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass(kw_only=True)
class Collector:
    """A collector that keeps what it is sent."""

    port: int = 0
    traces: list[Any] = field(default_factory=list[Any])
    logs: list[Any] = field(default_factory=list[Any])

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for sent in self.traces
            for resource in sent.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def lines(self) -> list[Any]:
        return [
            line
            for sent in self.logs
            for resource in sent.resource_logs
            for scope in resource.scope_logs
            for line in scope.log_records
        ]


@contextmanager
def collecting() -> Generator[Collector]:
    here = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                here.traces.append(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/logs":
                here.logs.append(ExportLogsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield here
    server.shutdown()
    thread.join()


def said(span: Any) -> dict[str, Any]:
    """The attributes of a span as plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@pytest.mark.slow
def test_a_request_is_a_span_of_its_clients_trace_and_its_receipt_names_it(trips_folder: Path) -> None:
    with collecting() as collector:
        address = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
        with serving(trips_folder, **address, OTEL_BSP_SCHEDULE_DELAY="100") as served:
            traced = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
            first = served.ask("POST", "/predict", ROWS, traced)
            second = served.ask("POST", "/predict", ROWS)
            assert (first.status, second.status) == (200, 200)
            assert served.ask("POST", "/predict", {"age": 3}).status == 422
            assert served.ask("POST", "/nothing", {}).status == 404  # no route, so no name to be found under
            until(lambda: len(collector.spans) == 3)
            resource = {
                each.key: each.value.string_value for each in collector.traces[0].resource_spans[0].resource.attributes
            }
            digest = served.digest
    one, two, refused = collector.spans
    assert resource["service.name"] == "trips"
    assert (one.trace_id.hex(), one.parent_span_id.hex(), one.trace_state) == (TRACE, SPAN, "vendor=1")
    assert (one.name, one.kind) == ("POST /predict", 2)  # a server's
    assert 0 < one.end_time_unix_nano - one.start_time_unix_nano < 20e9
    assert abs(one.start_time_unix_nano - time.time_ns()) < 120e9
    assert said(one) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "holdtrue.model": "trips",
        "holdtrue.release": digest,
        "holdtrue.route": "champion",
        "holdtrue.prediction": first.json["prediction_id"],
        "holdtrue.rows": 2,
    }
    assert (said(refused)["http.response.status_code"], said(refused)["error.type"]) == (422, "contract")
    assert two.parent_span_id == b""
    found = {one.id: one.trace for one in receipts(trips_folder / ".holdtrue" / "traffic")}
    assert found == {first.json["prediction_id"]: TRACE, second.json["prediction_id"]: two.trace_id.hex()}


@pytest.mark.slow
def test_a_call_of_grpc_is_a_span_too(trips_folder: Path) -> None:
    with collecting() as collector:
        address = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
        with (
            serving(trips_folder, "--grpc-port", "0", **address, OTEL_BSP_SCHEDULE_DELAY="100") as served,
            Client(str(served.state["grpc"])) as client,
        ):
            traced = (("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "vendor=1"))
            made = client.infer(asked(ROWS), metadata=traced)
            assert made.message.model_name == "trips"
            assert client.infer(asked(ROWS, model="another")).code is CODES[404]
            list(client.stream(iter([asked(ROWS).SerializeToString()] * 2)))
            until(lambda: len(collector.spans) == 3)
    one, refused, streamed = collector.spans
    assert (one.trace_id.hex(), one.parent_span_id.hex(), one.trace_state) == (TRACE, SPAN, "vendor=1")
    assert one.name == "POST /inference.GRPCInferenceService/ModelInfer"
    assert (said(one)["http.response.status_code"], said(one)["holdtrue.rows"]) == (200, 2)
    assert (said(refused)["http.response.status_code"], said(refused)["error.type"]) == (404, "not found")
    assert (said(streamed)["http.response.status_code"], said(streamed)["holdtrue.rows"]) == (200, 2)
    found = [one.trace for one in receipts(trips_folder / ".holdtrue" / "traffic")]
    assert found == [TRACE, *[streamed.trace_id.hex()] * 2]


@pytest.mark.slow
def test_the_log_goes_to_the_collector_too(trips_folder: Path) -> None:
    with collecting() as collector:
        address = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}", "OTEL_TRACES_EXPORTER": "none"}
        with serving(trips_folder, **address) as served:
            served.ask("POST", "/predict", ROWS)
    assert not collector.traces
    assert [(line.severity_text, "ends: told so" in line.body.string_value) for line in collector.lines] == [
        ("INFO", True)
    ]


@pytest.mark.slow
def test_a_collector_that_is_not_there_costs_no_answer_and_holds_nobody_up(trips_folder: Path) -> None:
    address = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    with serving(trips_folder, **address, OTEL_BSP_SCHEDULE_DELAY="50") as served:
        for _ in range(50):
            assert served.ask("POST", "/predict", ROWS).status == 200
        began = time.monotonic()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("environ", "signals"),
    [
        ({"OTEL_SERVICE_NAME": "x"}, ()),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, ("TRACES",)),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, ("LOGS",)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, ()),
    ],
)
def test_only_what_is_asked_for_is_sent(environ: dict[str, str], signals: tuple[str, ...]) -> None:
    assert wanted(environ) == signals


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "jaeger"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
@pytest.mark.slow
def test_what_cannot_be_sent_is_refused_at_the_start(environ: dict[str, str], trips_folder: Path) -> None:
    with pytest.raises(Misuse):
        wanted(environ)
    done = launched("serve", "--port", "0", folder=trips_folder, **environ)
    assert (done.code, "Traceback" in done.err) == (2, False)


@pytest.mark.slow
def test_log_lines_for_machines_are_json(trips_folder: Path) -> None:
    told: list[str] = []
    with serving(trips_folder, "--log-format", "json") as served:
        assert served.process.stderr is not None
        served.ask("POST", "/predict", ROWS)
        worker = served.workers()[0]
        subprocess.run(["kill", "-9", str(worker)], check=True)
        until(lambda: served.workers() not in ([], [worker]))
        told = served.told
    lines = [json.loads(line) for line in told if line.strip()]
    restarted = next(line for line in lines if "started again" in line["message"])
    assert (restarted["level"], restarted["logger"]) == ("warning", "holdtrue.serving")
    assert restarted["time"].endswith("+00:00")
    assert {line["pid"] for line in lines} >= {served.process.pid}
