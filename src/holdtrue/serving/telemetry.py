"""Traces and logs for OpenTelemetry: what the OTEL_* variables ask for, sent from a thread of its own.

A request makes one span, with the names of the semantic conventions for HTTP servers and with the release and the
prediction that it got. It continues the trace its client names (W3C Trace Context); the receipt holds the trace's id.
"""

import logging
import os
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, final

from holdtrue.core.errors import Misuse

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SIGNALS = ("TRACES", "LOGS")
FLUSH_MS = 3_000  # at the end; who collects and does not answer by then goes without
EXTRAS = ("request_id", "trace_id", "span_id")


def wanted(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say which signals the environment asks for; raises `Misuse` where what it asks for is not here.

    >>> wanted({}), wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_LOGS_EXPORTER": "none"})
    ((), ('TRACES',))
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    found = tuple(signal for signal in SIGNALS if _wants(environ, signal))
    if found and not find_spec("opentelemetry.exporter.otlp.proto.http"):
        raise Misuse(
            "OTEL_* variables ask for traces or logs, and the packages for that are not installed.",
            do="pip install 'holdtrue[otel]', or set OTEL_SDK_DISABLED=true.",
        )
    return found


def _wants(environ: Mapping[str, str], signal: str) -> bool:
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    there = environ.get(ENDPOINT) or environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    if exporter not in ("", "otlp", "none"):
        raise Misuse(f"OTEL_{signal}_EXPORTER is otlp or none, not {exporter!r}")
    if exporter == "none" or not (there or exporter == "otlp"):
        return False
    protocol = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "http/protobuf"):
        raise Misuse(f"OTLP goes by http/protobuf, not {protocol!r}", do="Collectors take it at port 4318.")
    return True


@final
class Watch:
    """One request as a span."""

    __slots__ = ("_span", "trace_id")

    def __init__(self, span: "Span") -> None:
        self._span = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str:
        return f"{self._span.get_span_context().span_id:016x}"

    def note(self, **attributes: str | int) -> None:
        """Add what is known of the request by now; `a_b` is written `a.b`."""
        self._span.set_attributes({name.replace("_", "."): value for name, value in attributes.items()})

    def end(self, status: int) -> None:
        """The answer goes out; 499 is a client that left before."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


@final
class Telemetry:
    """What one worker sends."""

    def __init__(self, endpoint: str, signals: tuple[str, ...]) -> None:
        """Begin to send; where to, and how much of it, say OTEL_EXPORTER_OTLP_* and OTEL_TRACES_SAMPLER."""
        resource = _resource(endpoint)
        self._traces = _tracer_provider(resource) if "TRACES" in signals else None
        self._logs = _logger_provider(resource) if "LOGS" in signals else None
        self._tracer = self._traces.get_tracer("holdtrue.serving", version("holdtrue")) if self._traces else None
        self._handler = _Handler(self._logs) if self._logs else None
        if self._handler is not None:
            logging.getLogger().addHandler(self._handler)

    def begin(
        self, method: str, route: str, traceparent: bytes | None, tracestate: bytes | None, started_s: float
    ) -> "Watch | None":
        """Begin the span of a request that was whole at `started_s`, on the monotonic clock."""
        if self._tracer is None:
            return None
        from opentelemetry.trace import SpanKind

        return Watch(
            self._tracer.start_span(
                f"{method} {route}",
                context=_parent(traceparent, tracestate),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": method, "http.route": route},
                start_time=time_ns() - int((monotonic() - started_s) * 1e9),
            )
        )

    def close(self) -> None:
        """Send what is left, for a while."""
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
        for provider in (self._traces, self._logs):
            if provider is not None:
                provider.force_flush(FLUSH_MS)
                provider.shutdown()


def telemetry(endpoint: str) -> Telemetry | None:
    """Begin what the environment asks for; None when that is nothing."""
    signals = wanted(os.environ)
    return Telemetry(endpoint, signals) if signals else None


def _resource(endpoint: str) -> "Resource":
    from opentelemetry.sdk.resources import Resource

    said = {"service.version": version("holdtrue"), "service.instance.id": f"{endpoint}-{os.getpid()}"}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        said["service.name"] = endpoint
    return Resource.create(said)


def _tracer_provider(resource: "Resource") -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


def _logger_provider(resource: "Resource") -> "LoggerProvider":
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    made = LoggerProvider(resource=resource, shutdown_on_exit=False)
    made.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    return made


def _parent(traceparent: bytes | None, tracestate: bytes | None) -> Any:
    """Read whose trace a request belongs to; what cannot be read begins a trace of its own."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if traceparent is None or len(traceparent) > 256:
        return Context()
    said = {"traceparent": traceparent.decode("latin-1")}
    if tracestate is not None:
        said["tracestate"] = tracestate.decode("latin-1")
    return TraceContextTextMapPropagator().extract(said, Context())


@final
class _Handler(logging.Handler):
    """Hands records of Python's logging on; those of the sender itself stay here, or it would never be done."""

    def __init__(self, provider: "LoggerProvider") -> None:
        super().__init__()
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        from opentelemetry._logs import SeverityNumber

        if record.name.startswith(("opentelemetry", "urllib3", "requests")):
            return
        number = min(max(record.levelno // 10 * 4 + 1, 1), 21)  # DEBUG 5, INFO 9, WARNING 13, ERROR 17, CRITICAL 21
        attributes: dict[str, Any] = {name: value for name in EXTRAS if (value := getattr(record, name, ""))}
        if record.exc_info and record.exc_info[1] is not None:
            attributes["exception.type"] = type(record.exc_info[1]).__name__
            attributes["exception.message"] = str(record.exc_info[1])
        self._provider.get_logger(record.name).emit(
            timestamp=int(record.created * 1e9),
            severity_number=SeverityNumber(number),
            severity_text=record.levelname,
            body=record.getMessage(),
            attributes=attributes,
        )
