"""The data plane: which path answers what, and a request's way from bytes to an answer that is recorded."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from importlib.metadata import version
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

from holdtrue.core.errors import Misuse
from holdtrue.data.contract import Contract
from holdtrue.data.traffic.label import pack_label
from holdtrue.serving.ask import About, Answer, Ask, Problem
from holdtrue.serving.forms import MLFLOW, ROWS, V2, Form
from holdtrue.serving.labelling import read_labels
from holdtrue.serving.lane import MOST_ROWS, Job, Lane
from holdtrue.serving.metrics import Metrics, Snapshot
from holdtrue.serving.model import Model
from holdtrue.serving.openapi import description, page
from holdtrue.serving.reader import Typed, Unfit
from holdtrue.serving.router import Choice, Router, Routing, key_of
from holdtrue.serving.scribe import Scribe
from holdtrue.serving.site import Call, Site, get, post

if TYPE_CHECKING:
    from holdtrue.serving.shared_cache import SharedCache

PIN = b"x-holdtrue-version"
PAGE = b"content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
EXTENSIONS = ("binary_tensor_data",)


@runtime_checkable
class Asking(Protocol):
    """One request for predictions, on the plane it came by; what keeps it from an answer is raised."""

    def read(self, about: About) -> Ask:
        """Read the request as one to this model."""
        ...

    def charge(self, rows: int) -> None:
        """Take the rows out of the caller's quota."""
        ...

    def job(self, ask: Ask, typed: Typed, choice: Choice) -> Job:
        """Give the request as a lane takes it; what is done with its answer is the plane's."""
        ...


@final
class Endpoint:
    """Answers the requests of one worker."""

    def __init__(
        self,
        site: Site,
        scribe: Scribe,
        loop: AbstractEventLoop,
        *,
        chance: Random,
        most_wait_s: float,
        batch_rows: int = MOST_ROWS,
        cache_rows: int = 0,
        shared: "SharedCache | None" = None,
        gather: Callable[[Callable[[bytes], None]], None],
    ) -> None:
        """Take what the worker is made of; `gather` asks all workers for their metrics, as Prometheus reads them."""
        self.routers: dict[str, Router] = {}
        self.ready = True
        self._site = site
        self._scribe = scribe
        self._sealer = scribe.sealer
        self._loop = loop
        self._chance = chance
        self._most_wait_s = most_wait_s
        self._batch_rows = batch_rows
        self._cache_rows = cache_rows
        self._shared = shared
        self._gather = gather
        site.add(
            get("/livez", "live", "health", self._live, "Is it up?"),
            get("/readyz", "ready", "health", self._is_ready, "May requests come?"),
            get("/ping", "ready", "health", self._is_ready, "The same, for MLflow and SageMaker"),
            get("/v2", "server", "read", self._server, "About this server"),
            get("/v2/health/live", "live", "health", self._live, "Is it up?"),
            get("/v2/health/ready", "ready", "health", self._is_ready, "May requests come?"),
            get("/metrics", "metrics", "read", self._metrics, "For Prometheus"),
            get("/openapi.json", "openapi", "read", self._openapi, "This description"),
            get("/docs", "docs", "read", self._docs, "A page for people"),
            post("/labels", "labels", "label", self._labels, "What turned out true"),
        )

    # Releases come and go.

    def load(self, model: Model) -> None:
        """Make a release ready beside those that answer; it gets no request yet, but those for its version."""
        about = model.about
        router = self.routers.get(about.name)
        if router is None:
            router = self.routers[about.name] = Router(about.name, self._chance)
            self._open(router)
        lane = Lane(
            model,
            self._scribe,
            self._site.metrics,
            self._loop,
            most_wait_s=self._most_wait_s,
            most_rows=self._batch_rows,
            cache_rows=self._cache_rows,
            shared=self._shared,
        )
        router.load(lane)
        self._add_model_routes(f"/v2/models/{about.name}/versions/{about.version}", router, about.version)

    def follow(self, name: str, routing: Routing) -> None:
        """Share the requests of a model out in a new way, from the next one on."""
        router = self.routers.get(name)
        if router is None:
            raise Misuse(f"There is no model {name!r} here.")
        router.follow(routing)

    def unload(self, name: str, digest: str) -> None:
        """Let a release go that no routing names; what it was asked already is still answered."""
        router = self.routers[name]
        if digest in router.routing.weights or digest in router.routing.shadow:
            raise Misuse(f"The release {digest[:12]} still gets requests.")
        lane = router.unload(digest)
        prefix = f"/v2/models/{name}/versions/{lane.model.about.version}"
        for suffix in ("", "/ready", "/infer"):
            del self._site.routes[f"{prefix}{suffix}".encode()]
        self._close_when_idle(lane)

    def _close_when_idle(self, lane: Lane) -> None:
        if lane.idle:
            lane.close()
        else:
            self._loop.call_later(0.05, self._close_when_idle, lane)

    def _open(self, router: Router) -> None:
        name = router.name
        self._add_model_routes(f"/v2/models/{name}", router, "")
        self._add(f"/predict/{name}", router, "", ROWS, "predict", "Rows with names, for people")
        self._add(f"/invocations/{name}", router, "", MLFLOW, "invocations", "MLflow's scoring protocol")
        if len(self.routers) == 1:
            self._add("/predict", router, "", ROWS, "predict", "Rows with names, for people")
            self._add("/invocations", router, "", MLFLOW, "invocations", "MLflow's and SageMaker's scoring protocol")

    def _add_model_routes(self, prefix: str, router: Router, version: str) -> None:
        def about(call: Call) -> None:
            self._site.reply(
                call, metadata(self.choose(router, _pin(version, call)).lane.model, list(router.lanes.values()))
            )

        def ready(call: Call) -> None:
            self.choose(router, _pin(version, call))
            self._site.reply(call, {"name": router.name, "ready": True})

        self._site.add(
            get(prefix, "model", "read", about, "About the model"),
            get(f"{prefix}/ready", "model_ready", "health", ready, "Does the model answer?"),
        )
        self._add(f"{prefix}/infer", router, version, V2, "infer", "Open Inference Protocol")

    def _add(self, path: str, router: Router, version: str, form: Form, name: str, summary: str) -> None:
        def handle(call: Call) -> None:
            self.predict(router, _pin(version, call), _Posted(self._site, call, form))

        self._site.add(post(path, name, "predict", handle, summary, form.kinds))

    # A request's way.

    def choose(self, router: Router, pin: str, key: str = "") -> Choice:
        """Choose a release: the one pinned, or one of those that share the requests; raises `Problem`."""
        if not pin:
            if not router.routing.weights:
                raise Problem(503, "not ready", "the model has no release yet", retry_after_s=1.0)
            return router.choose(key)
        pinned = router.pinned(pin)
        if pinned is None:
            raise Problem(404, "not found", "this version of the model is not loaded")
        return pinned

    def predict(self, router: Router, pin: str, asking: Asking) -> None:
        """Put a request into the next batch of a release; raises `Problem` or `Unfit` when it gets no answer."""
        choice = self.choose(router, pin)
        choice.lane.check_early(choice.route)
        ask = asking.read(choice.lane.model.about)
        sticky = router.routing.sticky
        if sticky and choice.route != "pinned":
            values = ask.columns.get(sticky)
            choice = self.choose(router, "", "" if values is None else key_of(values[0]))
        asking.charge(ask.rows)
        lane = choice.lane
        job = asking.job(ask, lane.read(ask, choice.route, ask.numbers), choice)
        if self._sealer is not None:
            job.subject = self._sealer.subject_of(ask.columns)
        lane.submit(job)
        for shadow in router.shadows:
            if shadow is not lane:
                self._shadow(shadow, job, router.name)

    def _shadow(self, lane: Lane, job: Job, name: str) -> None:
        """Ask a release that only shows what it would have said; where there is too much to do it goes without."""
        metrics = self._site.metrics
        release = lane.model.about.version

        def done(answer: Answer | Problem) -> None:
            if isinstance(answer, Answer):
                metrics.count("holdtrue_predicted_rows_total", (name, release, "shadow"), job.typed.rows)
                metrics.count("holdtrue_shadow_answers_total", (name, release))

        try:
            typed = lane.read(job.ask, "shadow", None)
            lane.submit(
                Job(
                    ask=job.ask,
                    typed=typed,
                    done=done,
                    gone=lambda: False,
                    wire=job.wire,
                    body=job.body,
                    deadline_s=job.deadline_s,
                    route="shadow",
                    weight=1.0,
                    trace=job.trace,
                    caller=job.caller,
                    request_id=job.request_id,
                    subject=job.subject,
                )
            )
        except (Problem, Unfit):
            metrics.count("holdtrue_shadow_refused_total", (name, release))

    # What else is answered.

    def _live(self, call: Call) -> None:
        self._site.reply(call, {"live": True})

    @property
    def answers(self) -> bool:
        """Whether every model may be asked now."""
        return self.ready and bool(self.routers) and all(router.routing.weights for router in self.routers.values())

    def _is_ready(self, call: Call) -> None:
        if not self.answers:
            raise Problem(503, "not ready", "this server takes no requests now", retry_after_s=1.0)
        self._site.reply(call, {"ready": True})

    def _server(self, call: Call) -> None:
        self._site.reply(call, {"name": "holdtrue", "version": version("holdtrue"), "extensions": EXTENSIONS})

    def _metrics(self, call: Call) -> None:
        def answer(text: bytes) -> None:
            self._site.count(call.name, 200)
            call.exchange.reply(200, text, kind=b"text/plain; version=0.0.4; charset=utf-8")

        self._gather(answer)

    def _openapi(self, call: Call) -> None:
        self._site.reply(call, description(self._site.routes, self._contracts()))

    def _docs(self, call: Call) -> None:
        self._site.count(call.name, 200)
        made = page(self._site.routes, self._contracts())
        call.exchange.reply(200, made.encode(), kind=b"text/html; charset=utf-8", headers=PAGE)

    def _contracts(self) -> dict[str, Contract]:
        return {
            name: router.champion.model.reader.contract
            for name, router in self.routers.items()
            if router.routing.weights
        }

    def _labels(self, call: Call) -> None:
        labels = read_labels(call.body, now_us=self._scribe.wall_us(), caller=call.called_by)

        def then(kept: bool) -> None:
            if not kept:
                self._site.fail(
                    call.exchange,
                    Problem(503, "not recorded", "labels cannot be kept now", retry_after_s=1.0),
                    call.name,
                )
                return
            self._site.metrics.count("holdtrue_labels_total", (), len(labels))
            self._site.reply(call, {"kept": len(labels)})

        self._scribe.commit([pack_label(label) for label in labels], then, durable=True)

    def measure(self, connections: int, cut: int) -> Snapshot:
        """Give everything counted here, with the state of this moment."""
        metrics = self._site.metrics
        state = self._scribe.journal.state()
        metrics.set("holdtrue_connections", (), connections)
        metrics.set("holdtrue_connections_cut_total", (), cut)
        metrics.set("holdtrue_receipts_written_total", (), state.written)
        metrics.set("holdtrue_receipts_durable_total", (), state.durable)
        metrics.set("holdtrue_receipts_lost_total", (), state.lost + state.doubtful)
        metrics.set("holdtrue_receipts_failing", (), float(bool(state.failing)))
        for gauge in ("holdtrue_wait_seconds", "holdtrue_model_info"):
            metrics.forget(gauge)
        for router in self.routers.values():
            for lane in router.lanes.values():
                labels = (router.name, lane.model.about.version)
                metrics.set("holdtrue_wait_seconds", labels, lane.wait_s)
                metrics.set("holdtrue_model_info", labels, 1)
        return metrics.snapshot()


@final
class _Posted:
    """A request for predictions that came by HTTP."""

    __slots__ = ("_call", "_form", "_site", "_wire", "_write")

    def __init__(self, site: Site, call: Call, form: Form) -> None:
        self._site = site
        self._call = call
        self._form = form
        headers = call.exchange.headers
        self._wire = form.wire(headers)
        self._write = form.writer(headers.get(b"accept"))

    def read(self, about: About) -> Ask:
        return self._form.read(self._wire, self._call.body, about)

    def charge(self, rows: int) -> None:
        self._site.charge(self._call.payer, rows)

    def job(self, ask: Ask, typed: Typed, choice: Choice) -> Job:
        call = self._call
        exchange = call.exchange

        def done(answer: Answer | Problem) -> None:
            if isinstance(answer, Problem):
                self._site.fail(exchange, answer, call.name)
            else:
                self._send(ask, answer, choice.route)

        return Job(
            ask=ask,
            typed=typed,
            done=done,
            gone=lambda: exchange.connection.closed,
            wire=self._wire,
            body=call.body,
            deadline_s=call.deadline_s,
            route=choice.route,
            weight=choice.weight,
            trace=call.trace,
            caller=call.called_by,
            request_id=call.request_id,
        )

    def _send(self, ask: Ask, answer: Answer, route: str) -> None:
        call, site = self._call, self._site
        body, kind, lines = self._write(ask, answer)
        about = answer.about
        count_answer(site.metrics, answer, route, call.exchange.started_s)
        if call.exchange.watch is not None:
            call.exchange.watch.note(**answer.seen(route))
        site.count(call.name, 200)
        named = b"x-holdtrue-release: %s\r\nx-holdtrue-prediction: %s\r\n" % (
            about.digest.encode(),
            answer.prediction.encode(),
        )
        if call.request_id:
            lines += b"x-request-id: %s\r\n" % call.request_id.encode()
        call.exchange.reply(200, body, kind=kind, headers=named + lines)


def _pin(version: str, call: Call) -> str:
    """Give the version that a request is for: of its path, or else of its header."""
    return version or call.exchange.headers.get(PIN, b"").decode("latin-1")


def count_answer(metrics: Metrics, answer: Answer, route: str, started_s: float) -> None:
    """Count an answer that goes out now."""
    about = answer.about
    labels = (about.name, about.version, route)
    metrics.observe("holdtrue_request_duration_seconds", labels, monotonic() - started_s)
    metrics.count("holdtrue_predicted_rows_total", labels, answer.stop - answer.start)


def metadata(model: Model, lanes: "list[Lane]") -> Mapping[str, Any]:
    """Describe a model as the Open Inference Protocol does."""
    about = model.about
    return {
        "name": about.name,
        "versions": [lane.model.about.version for lane in lanes],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": name, "datatype": "BYTES" if name in about.textual else "FP64", "shape": [-1, 1]}
            for name in about.order
        ],
        "outputs": [
            {"name": output.name, "datatype": output.datatype, "shape": [-1, output.places]} for output in about.outputs
        ],
        "parameters": {"release": about.digest},
    }
