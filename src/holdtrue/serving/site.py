"""A table of routes, each with the permission it needs, between HTTP and what answers: what is not in it is refused.

A path is looked up as it came, letter by letter. Nothing is decoded, cut or made lower case first, so there is no
second spelling of a path by which its permission could be walked around.
"""

import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any, final, get_args

import msgspec

from holdtrue.serving import callers
from holdtrue.serving.ask import Problem, malformed
from holdtrue.serving.callers import Caller, Permission
from holdtrue.serving.doorman import Doorman
from holdtrue.serving.http import Exchange
from holdtrue.serving.metrics import Metrics
from holdtrue.serving.quotas import Quotas
from holdtrue.serving.reader import Unfit
from holdtrue.serving.unpacking import unpacked

if TYPE_CHECKING:
    from holdtrue.serving.telemetry import Telemetry

LONGEST_DEADLINE_S = 30.0
TRACE = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
PATH = re.compile(r"/[A-Za-z0-9._/-]*")
PERMISSIONS: frozenset[Permission] = frozenset(get_args(Permission))
READING = (b"GET", b"HEAD")
OWN_PAGES = (b"same-origin", b"none")  # what a browser says of requests that no other site made
LOG = logging.getLogger("holdtrue.serving")

_encode = msgspec.json.Encoder().encode


@dataclass(kw_only=True, slots=True)
class Call:
    """A request that was let in.

    Attributes:
        name: of its route, for the metrics.
        deadline_s: when its answer is worth nothing any more, on the monotonic clock.
    """

    exchange: Exchange
    name: str
    caller: Caller | None
    deadline_s: float
    request_id: str
    trace: str
    body: bytes = b""

    @property
    def called_by(self) -> str:
        return self.caller.name if self.caller else ""

    @property
    def payer(self) -> str:
        """Whose quota it is."""
        return self.caller.id if self.caller else f"ip {self.exchange.connection.peer}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """What answers one method of one path, and what a caller must be allowed to do for it.

    Attributes:
        kinds: media types that its body may have; empty when it takes none.
    """

    method: str
    path: str
    name: str
    permission: Permission
    handle: Callable[[Call], None]
    summary: str
    kinds: tuple[str, ...] = ()


def get(path: str, name: str, permission: Permission, handle: Callable[[Call], None], summary: str) -> Route:
    return Route(method="GET", path=path, name=name, permission=permission, handle=handle, summary=summary)


def post(
    path: str,
    name: str,
    permission: Permission,
    handle: Callable[[Call], None],
    summary: str,
    kinds: tuple[str, ...] = ("application/json",),
) -> Route:
    return Route(
        method="POST", path=path, name=name, permission=permission, handle=handle, summary=summary, kinds=kinds
    )


@final
class Site:
    """Takes every request of a server, and replies to what may not pass."""

    def __init__(
        self,
        *,
        doorman: Doorman,
        quotas: Quotas,
        metrics: Metrics,
        hosts: Collection[str],
        wall_s: Callable[[], float],
        new_id: Callable[[], str],
        telemetry: "Telemetry | None" = None,
    ) -> None:
        """Take who may call; `hosts` are the names this server answers to, empty for any."""
        self.routes: dict[bytes, dict[bytes, Route]] = {}
        self.metrics = metrics
        self.quotas = quotas
        self._doorman = doorman
        self._hosts = frozenset(host.lower().encode() for host in hosts)
        self._known_hosts: set[bytes] = set()
        self._wall_s = wall_s
        self.new_id = new_id
        self.telemetry = telemetry

    def add(self, *routes: Route) -> None:
        """Let routes in; a path has one route a method, and each says who may use it."""
        for route in routes:
            if route.permission not in PERMISSIONS:
                raise ValueError(f"{route.method} {route.path} needs a permission, not {route.permission!r}")
            if not PATH.fullmatch(route.path):
                raise ValueError(f"{route.path!r} is a path that clients would write in more than one way")
            methods = self.routes.setdefault(route.path.encode(), {})
            if route.method.encode() in methods:
                raise ValueError(f"{route.method} {route.path} is there twice")
            methods[route.method.encode()] = route
            if route.method == "GET":
                methods[b"HEAD"] = route

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request; nothing that it says ends in an error of the server."""
        name = "none"
        try:
            headers = exchange.headers
            route = self._route(exchange)
            name = route.name
            if self.telemetry is not None:
                self._watch(self.telemetry, exchange, route)
            if exchange.method not in READING:
                _check_page(headers)
            caller = self.admit(headers.get(b"authorization"), route.permission)
            call = Call(
                exchange=exchange,
                name=name,
                caller=caller,
                deadline_s=_deadline(headers.get(b"x-request-timeout"), exchange.started_s),
                request_id=request_id_of(headers.get(b"x-request-id")),
                trace=exchange.watch.trace_id if exchange.watch else trace_of(headers.get(b"traceparent")),
                body=exchange.body,
            )
            if route.kinds:
                _check_kind(headers.get(b"content-type", b""), route)
            coding = headers.get(b"content-encoding")
            if coding is not None:
                call.body = unpacked(call.body, coding, exchange.connection.server.limits.body_bytes)
            route.handle(call)
        except Problem as problem:
            self.fail(exchange, problem, name)
        except Unfit as unfit:
            self.fail(exchange, unfit_problem(unfit), name)
        except Exception:
            LOG.exception("a request to %s could not be handled", name, extra=_known(exchange, name))
            self.fail(exchange, broken(), name)

    def fail(self, exchange: Exchange, problem: Problem, name: str = "none") -> None:
        """Tell why there is no answer: a sentence, a word for machines, every fault, and an id to ask about."""
        request_id = request_id_of(exchange.headers.get(b"x-request-id")) or self.new_id()
        told: dict[str, Any] = {"error": problem.what, "code": problem.code, "request_id": request_id}
        if problem.faults:
            told["faults"] = problem.faults
        lines = [b"x-request-id: %s\r\n" % request_id.encode()]
        if problem.retry_after_s is not None and problem.retry_after_s < inf:
            lines.append(b"retry-after: %d\r\n" % max(1, -int(-problem.retry_after_s // 1)))
        if problem.status == 401:
            lines.append(b"www-authenticate: Bearer\r\n")
        if problem.status == 405:
            methods = self.routes.get(exchange.target.partition(b"?")[0], {})
            lines.append(b"allow: %s\r\n" % b", ".join(sorted(methods)))
        self.count(name, problem.status)
        if exchange.watch is not None:
            exchange.watch.note(error_type=problem.code)
        exchange.reply(problem.status, _encode(told), headers=b"".join(lines))

    def count(self, name: str, status: int) -> None:
        self.metrics.count("holdtrue_requests_total", (name, str(status)))

    def reply(self, call: Call, value: Any, *, status: int = 200) -> None:
        """Answer with JSON."""
        self.count(call.name, status)
        call.exchange.reply(status, _encode(value))

    def charge(self, payer: str, rows: int) -> None:
        """Take a request and its rows out of a caller's quota; raises `Problem` when there is none left."""
        wait_s = self.quotas.take(payer, rows, monotonic())
        if wait_s > 0:
            what = (
                "the quota of this caller is used up" if isfinite(wait_s) else "a request has more rows than the quota"
            )
            raise Problem(429, "quota", what, retry_after_s=wait_s)

    def admit(self, authorization: bytes | None, permission: Permission) -> Caller | None:
        """Say who calls; raises `Problem` unless they may do what they ask for."""
        found = self._doorman.admit(authorization, self._wall_s())
        if isinstance(found, callers.Problem):
            if found is callers.Problem.CLOSED:
                raise Problem(503, "closed", "tokens cannot be checked now", retry_after_s=1.0)
            raise Problem(401, "unauthenticated", "the token is not valid")
        if not self._doorman.allowed(found, permission):
            if found is None:
                raise Problem(401, "unauthenticated", "a token is needed: Authorization: Bearer TOKEN")
            raise Problem(403, "forbidden", f"this token does not allow to {permission}")
        return found

    def _route(self, exchange: Exchange) -> Route:
        """Find what answers; raises `Problem`."""
        methods = self.routes.get(exchange.target.partition(b"?")[0])
        route = None if methods is None else methods.get(exchange.method)
        if route is None or route.permission != "health":  # probes come by the address of a pod
            self._check_host(exchange.headers.get(b"host"))
        if methods is None:
            raise Problem(404, "not found", "there is nothing at this path")
        if route is None:
            raise Problem(405, "method", f"this path knows {', '.join(sorted(m.decode() for m in methods))}")
        return route

    def _watch(self, telemetry: "Telemetry", exchange: Exchange, route: Route) -> None:
        headers = exchange.headers
        trace = (headers.get(b"traceparent"), headers.get(b"tracestate"))
        exchange.watch = telemetry.begin(exchange.method.decode(), route.path, *trace, exchange.started_s)

    def _check_host(self, host: bytes | None) -> None:
        """Refuse names that are not ours: a page in a browser must not reach us under a name of its own."""
        if not self._hosts or host in self._known_hosts:
            return
        if host is None:  # HTTP/1.0, which no browser speaks
            return
        bare = host.rpartition(b":")[0] if re.fullmatch(rb".*:\d{1,5}", host) else host
        if bare.lower() not in self._hosts:
            raise Problem(421, "host", "this server is not called so; name it with --allow-host")
        if len(self._known_hosts) < 64:
            self._known_hosts.add(host)


def _known(exchange: Exchange, name: str) -> dict[str, str]:
    """Give what a line of the log should say of a request, for whoever looks for it."""
    found = {"route": name, "request_id": request_id_of(exchange.headers.get(b"x-request-id"))}
    return found if exchange.watch is None else {**found, "trace_id": exchange.watch.trace_id}


def broken() -> Problem:
    """Give what is told when the fault is ours; the log says what it is."""
    return Problem(500, "internal", "something is wrong in the server itself; its log says what")


def unfit_problem(unfit: Unfit) -> Problem:
    places = f"{len(unfit.faults)} place{'s' if len(unfit.faults) > 1 else ''}"
    return Problem(422, "contract", f"the rows break the contract of the model in {places}", faults=unfit.faults)


def _deadline(header: bytes | None, started_s: float) -> float:
    """Read X-Request-Timeout, in seconds."""
    if header is None:
        return started_s + LONGEST_DEADLINE_S
    try:
        given_s = float(header)
    except ValueError:
        given_s = -1.0
    if not 0 <= given_s < inf:
        raise malformed("X-Request-Timeout is a number of seconds, such as 0.5")
    return started_s + min(given_s, LONGEST_DEADLINE_S)


def request_id_of(header: bytes | None) -> str:
    return header.decode() if header is not None and REQUEST_ID.fullmatch(header) else ""


def trace_of(header: bytes | None) -> str:
    found = TRACE.fullmatch(header) if header is not None and len(header) < 256 else None
    return found[1].decode() if found else ""


def _check_page(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what a page of another site makes a browser send; browsers say so, other clients send neither field."""
    fetched = headers.get(b"sec-fetch-site")
    if fetched is not None:
        foreign = fetched not in OWN_PAGES
    else:
        origin = headers.get(b"origin")
        foreign = origin is not None and origin.partition(b"://")[2] != headers.get(b"host")
    if foreign:
        raise Problem(403, "cross-site", "pages of other sites may not send this")


def _check_kind(given: bytes, route: Route) -> None:
    bare = given.partition(b";")[0].strip().lower().decode("latin-1")
    if bare and bare not in route.kinds:
        raise Problem(415, "media type", f"send {' or '.join(route.kinds)}")
