"""The forms in which predictions are asked for and given, by the names under which receipts remember them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from holdtrue.core.errors import Misuse
from holdtrue.serving.ask import About, Answer, Ask, malformed
from holdtrue.serving.wire import mlflow, rows, v2

JSON, OCTETS, CSV = "application/json", "application/octet-stream", "text/csv"
HEADER = b"inference-header-content-length"

Writer: TypeAlias = Callable[[Ask, Answer], tuple[bytes, bytes, bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """One way to write requests and answers.

    Attributes:
        wire: says how a body is to be read again, given the headers of its request.
        read: reads a body that was written so; raises `Problem` or `Unfit`.
        write: gives the body of an answer, its media type, and further header lines.
        write_csv: the same as CSV with a header line, for who would rather have that.
    """

    kinds: tuple[str, ...]
    wire: Callable[[Mapping[bytes, bytes]], str]
    read: Callable[[str, bytes, About], Ask]
    write: Writer
    write_csv: Writer | None = None

    def writer(self, accept: bytes | None) -> Writer:
        """Choose how to write by the Accept header; JSON unless CSV is liked better (RFC 9110, section 12.5.1)."""
        return self.write_csv if accept and self.write_csv is not None and _likes_csv(accept) else self.write


def _v2_wire(headers: Mapping[bytes, bytes]) -> str:
    length = headers.get(HEADER)
    if length is None:
        return "v2"
    if not length.isdigit() or len(length) > 10:
        raise malformed("Inference-Header-Content-Length is a number of bytes")
    return f"v2:{int(length)}"


def _read_v2(wire: str, body: bytes, about: About) -> Ask:
    return v2.read(body, int(wire[3:]) if len(wire) > 2 else None, about)


def _write_v2(ask: Ask, answer: Answer) -> tuple[bytes, bytes, bytes]:
    body, header = v2.write(ask, answer)
    if header is None:
        return body, b"application/json", b""
    return body, b"application/octet-stream", b"inference-header-content-length: %d\r\n" % header


def _mlflow_wire(headers: Mapping[bytes, bytes]) -> str:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return "csv" if kind == b"text/csv" else "mlflow"


def _read_mlflow(wire: str, body: bytes, about: About) -> Ask:
    return mlflow.read_csv(body, about) if wire == "csv" else mlflow.read(body, about)


def _likes_csv(accept: bytes) -> bool:
    """Say whether CSV is liked better than JSON.

    >>> _likes_csv(b"text/csv"), _likes_csv(b"application/json, text/csv;q=0.9"), _likes_csv(b"*/*")
    (True, False, False)
    """
    liked: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            liked[kind] = float(weight)
        except ValueError:
            liked[kind] = 0.0
    best = max((liked.get(kind, 0.0) for kind in (JSON, "application/*", "*/*")), default=0.0)
    return liked.get(CSV, liked.get("text/*", 0.0)) > best


def _write_csv(ask: Ask, answer: Answer) -> tuple[bytes, bytes, bytes]:
    return mlflow.write_csv(answer), b"text/csv; charset=utf-8", b""


V2 = Form(kinds=(JSON, OCTETS), wire=_v2_wire, read=_read_v2, write=_write_v2)
ROWS = Form(
    kinds=(JSON,),
    wire=lambda headers: "rows",
    read=lambda wire, body, about: rows.read(body, about),
    write=lambda ask, answer: (rows.write(ask, answer), b"application/json", b""),
    write_csv=_write_csv,
)
MLFLOW = Form(
    kinds=(JSON, CSV),
    wire=_mlflow_wire,
    read=_read_mlflow,
    write=lambda ask, answer: (mlflow.write(ask, answer), b"application/json", b""),
    write_csv=_write_csv,
)


def _read_grpc(wire: str, body: bytes, about: About) -> Ask:
    from holdtrue.serving.wire import v2_grpc

    return v2_grpc.read(body, about)


def ask_of(wire: str, body: bytes, about: About) -> Ask:
    """Read a recorded body again; raises as the form that read it first does."""
    known = {"v2": V2.read, "rows": ROWS.read, "mlflow": MLFLOW.read, "csv": MLFLOW.read, "grpc": _read_grpc}
    read = known.get(wire.partition(":")[0])
    if read is None:
        raise Misuse(f"The form {wire!r} is not known.", do="Read it with the version that wrote it.")
    return read(wire, body, about)
