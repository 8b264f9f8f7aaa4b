"""A release that answers requests without sockets or receipts of its own: for servers that have theirs, such as Ray."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import msgspec

from holdtrue.release.quarantine import admit
from holdtrue.release.signing import trusted_keys
from holdtrue.serving.ask import Answer, Ask, Problem
from holdtrue.serving.endpoint import EXTENSIONS, metadata
from holdtrue.serving.forms import MLFLOW, ROWS, V2, Form, Writer
from holdtrue.serving.http import Limits
from holdtrue.serving.model import Model
from holdtrue.serving.plan import plan_of
from holdtrue.serving.reader import Unfit
from holdtrue.serving.site import unfit_problem
from holdtrue.serving.unpacking import unpacked

MOST_BYTES = Limits().body_bytes
LOG = logging.getLogger("holdtrue.serving")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What goes back to the client."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@final
class Replica:
    """Answers as the endpoint of `holdtrue serve` does, but keeps no receipt: `prediction_id` is empty in its answers.

    It knows no callers either: who may reach it is the work of the server around it.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        name = model.about.name
        models = (f"/v2/models/{name}", f"/v2/models/{name}/versions/{model.about.version}")
        self._forms: dict[str, Form] = {
            **dict.fromkeys([f"{prefix}/infer" for prefix in models], V2),
            **dict.fromkeys(["/predict", f"/predict/{name}"], ROWS),
            **dict.fromkeys(["/invocations", f"/invocations/{name}"], MLFLOW),
        }
        live, ready = ("/livez", "/v2/health/live"), ("/readyz", "/ping", "/v2/health/ready")
        self._facts: dict[str, Callable[[], Any]] = {
            **dict.fromkeys(live, lambda: {"live": True}),
            **dict.fromkeys(ready, lambda: {"ready": True}),
            **dict.fromkeys([f"{prefix}/ready" for prefix in models], lambda: {"name": name, "ready": True}),
            **dict.fromkeys(models, lambda: {**metadata(model, []), "versions": [model.about.version]}),
            "/v2": lambda: {"name": "holdtrue", "version": version("holdtrue"), "extensions": EXTENSIONS},
        }

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request; nothing that it says ends in an exception."""
        try:
            return self._answer(method, path, {key.lower(): value for key, value in headers.items()}, body)
        except Problem as problem:
            return _refusal(problem)
        except Unfit as unfit:
            return _refusal(unfit_problem(unfit))

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        form, fact = self._forms.get(path), self._facts.get(path)
        if form is None and fact is None:
            raise Problem(404, "not found", "there is nothing at this path")
        known = ("POST",) if form else ("GET", "HEAD")
        if method not in known:
            raise Problem(405, "method", f"this path knows {', '.join(known)}")
        if form is None:
            assert fact is not None
            return Reply(status=200, body=_encode(fact()), headers={"content-type": "application/json"})
        bare = headers.get("content-type", "").partition(";")[0].strip().lower()
        if bare and bare not in form.kinds:
            raise Problem(415, "media type", f"send {' or '.join(form.kinds)}")
        if len(body) > MOST_BYTES:
            raise Problem(413, "too large", f"a body has at most {MOST_BYTES:,} bytes")
        coding = headers.get("content-encoding")
        if coding is not None:
            body = unpacked(body, coding.encode("latin-1", "replace"), MOST_BYTES)
        return self._predict(form, headers, body)

    def _predict(self, form: Form, headers: Mapping[str, str], body: bytes) -> Reply:
        model = self.model
        raw = {key.encode("latin-1", "replace"): value.encode("latin-1", "replace") for key, value in headers.items()}
        ask = form.read(form.wire(raw), body, model.about)
        typed = model.reader.read(ask.columns, ask.rows)
        try:
            arrays = model.run([typed])
        except Exception as error:
            LOG.warning("the graph of %s failed: %s", model.about.version, error)
            raise Problem(422, "unanswerable", "the model cannot answer these rows") from None
        return _sent(
            form.writer(raw.get(b"accept")),
            ask,
            Answer(prediction="", about=model.about, arrays=arrays, start=0, stop=ask.rows),
        )


def _sent(write: Writer, ask: Ask, answer: Answer) -> Reply:
    body, kind, lines = write(ask, answer)
    more = dict(line.split(": ", 1) for line in lines.decode().splitlines())
    headers = {"content-type": kind.decode(), "x-holdtrue-release": answer.about.digest, **more}
    return Reply(status=200, body=body, headers=headers)


def _refusal(problem: Problem) -> Reply:
    told: dict[str, Any] = {"error": problem.what, "code": problem.code}
    if problem.faults:
        told["faults"] = problem.faults
    return Reply(status=problem.status, body=_encode(told), headers={"content-type": "application/json"})


def open_replica(folder: Path, *, keys: Path) -> Replica:
    """Verify a release in full and make it ready; `keys` is a folder that holds the trusted keys in `trusted/`.

    Raises `Refused` unless every check passes.
    """
    return Replica(Model(plan_of(admit(folder, trusted=trusted_keys(keys)))))
