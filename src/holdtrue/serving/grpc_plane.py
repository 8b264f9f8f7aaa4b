"""The data plane over gRPC: the Open Inference Protocol's calls, with the callers, quotas and receipts of HTTP.

A message is taken as bytes and read here, so that who sends a broken one is told what is wrong with it, and the receipt
holds the request as it came.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from importlib.metadata import version
from math import isfinite
from time import monotonic
from typing import NamedTuple, final

from google.protobuf.message import DecodeError

from holdtrue.core.errors import Misuse
from holdtrue.serving.ask import Problem, malformed
from holdtrue.serving.callers import Permission
from holdtrue.serving.control import Begin
from holdtrue.serving.endpoint import Endpoint, metadata
from holdtrue.serving.exchange import Server
from holdtrue.serving.grpc_call import Call, Sent, told
from holdtrue.serving.grpc_connection import Connection
from holdtrue.serving.grpc_conversation import NAME as STREAMED
from holdtrue.serving.grpc_conversation import Conversation
from holdtrue.serving.grpc_frames import trailers
from holdtrue.serving.grpc_messages import KINDS, SERVICE, Message
from holdtrue.serving.grpc_stream import ENCODINGS, Stream
from holdtrue.serving.http import LEFT
from holdtrue.serving.listening import BACKLOG, encryption
from holdtrue.serving.reader import Unfit
from holdtrue.serving.router import Router
from holdtrue.serving.site import Site, request_id_of, unfit_problem
from holdtrue.serving.wire import v2_grpc

MOST_CALLS = 1_024  # that a worker receives and answers at once
MOST_STREAMS = 256  # of them
GOODBYE_S = 2.0  # for a client to confirm the end of an encrypted connection
# What gRPC calls the statuses of HTTP; one that should not be sent again is no exhausted resource.
STATUS = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 3, 415: 12, 422: 3, 429: 8, 431: 8, 500: 13, 503: 14, 504: 4}
UNIMPLEMENTED = 12
LOG = logging.getLogger("holdtrue.serving")


class _Route(NamedTuple):
    """What answers one call; `kind` is the message it takes, and without one it has a way of its own."""

    name: str
    permission: Permission
    kind: str = ""
    answer: Callable[[Message], Message] | None = None


@final
class Plane:
    """Answers gRPC in one worker, beside HTTP and by the same way."""

    def __init__(self, endpoint: Endpoint, site: Site, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        """Share the limits, the counts and the doors of `server`."""
        self.ended = False
        self.connections: set[Connection] = set()
        self.calls = 0
        self._endpoint = endpoint
        self._site = site
        self._loop = loop
        self._server = server
        self._draining = False
        self._listener: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._accepting: asyncio.AbstractServer | None = None
        self._conversations: set[Conversation] = set()
        simple: Mapping[str, tuple[Permission, Callable[[Message], Message]]] = {
            "ServerLive": ("health", self._server_live),
            "ServerReady": ("health", self._server_ready),
            "ServerMetadata": ("read", self._about_server),
            "ModelReady": ("health", self._model_ready),
            "ModelMetadata": ("read", self._model_metadata),
            "RepositoryIndex": ("read", self._index),
        }
        self._routes = {
            f"/{SERVICE}/{name}".encode(): _Route(f"grpc {name}", permission, f"{name}Request", answer)
            for name, (permission, answer) in simple.items()
        }
        for name in ("ModelInfer", STREAMED):
            self._routes[f"/{SERVICE}/{name}".encode()] = _Route(f"grpc {name}", "predict")

    def listen(self, begin: Begin) -> int:
        """Take the port, and give its number; who connects from now on waits for `start`. Raises `Misuse`."""
        family = socket.AF_INET6 if ":" in begin.grpc_host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._tls = encryption(begin.certificate, begin.private_key, begin.client_ca)
            listener.bind((begin.grpc_host, begin.grpc_port))
            listener.listen(BACKLOG)
        except OSError as error:  # a certificate that is none is one of these too
            listener.close()
            where = f"{begin.grpc_host}:{begin.grpc_port}"
            why = error.strerror or error
            raise Misuse(f"gRPC cannot listen at {where}: {why}.", do="Choose another with --grpc-port.") from None
        if self._tls is not None:
            self._tls.set_alpn_protocols(["h2"])
        self._listener = listener
        return int(listener.getsockname()[1])

    async def start(self) -> None:
        """Let those in who connect."""
        if self._draining or self._listener is None:
            return
        limits = self._server.limits
        self._accepting = await self._loop.create_server(
            lambda: Connection(self._server, self.connections, self._open),
            sock=self._listener,
            backlog=BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=limits.head_s if self._tls else None,
            ssl_shutdown_timeout=GOODBYE_S if self._tls else None,
        )

    def sweep(self, now_s: float) -> None:
        """End every connection, and every call, that has been too slow."""
        for connection in list(self.connections):
            connection.check(now_s)

    async def stop(self, grace_s: float) -> None:
        """Take no more, answer what was asked, and end."""
        self._draining = True
        if self._accepting is not None:
            self._accepting.close()
        elif self._listener is not None:
            self._listener.close()
        for conversation in list(self._conversations):
            conversation.fail(_leaving())
        for connection in list(self.connections):
            connection.leave()
        until_s = monotonic() + grace_s
        while self.connections and monotonic() < until_s:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        self.ended = True

    # A call's way.

    def _open(self, stream: Stream) -> None:
        """Let a call in, or say why not, before its message has come."""
        head = stream.head
        if head.status:
            self._site.count("none", head.status)
            stream.refuse(head.status)
            return
        call = Call(stream)
        route = self._routes.get(head.path)
        try:
            if route is None:
                raise Problem(404, "not found", "there is no such call")
            call.watched(self._site)
            if head.encoding not in ENCODINGS:
                raise Problem(415, "media type", "a message is compressed by gzip or deflate, or not at all")
            if self.calls >= MOST_CALLS:
                raise Problem(503, "overloaded", "too many calls are open", retry_after_s=1.0)
            call.admit(self._site, route.permission)
            if route.name == f"grpc {STREAMED}":
                self._converse(call)
            else:
                stream.taker = _Single(self, call, route)
            self.calls += 1
        except Problem as problem:
            name = "none" if route is None else route.name
            self.refuse(call, problem.with_traceback(None), name, UNIMPLEMENTED if route is None else None)

    def _converse(self, call: Call) -> None:
        if len(self._conversations) >= MOST_STREAMS:
            raise Problem(503, "overloaded", "too many streams are open", retry_after_s=1.0)
        if self._draining:
            raise _leaving()
        call.stream.taker = conversation = Conversation(
            self._site,
            call,
            self._server.limits.pending,
            ask=self.ask,
            refuse=lambda call, problem, status: self.refuse(call, problem, f"grpc {STREAMED}", status),
            end=self._end,
        )
        self._conversations.add(conversation)

    def _end(self, conversation: Conversation) -> None:
        self._conversations.discard(conversation)
        self.calls -= 1

    def answer(self, call: Call, route: _Route, body: bytes) -> None:
        """Answer a call that has one message."""
        if route.answer is None:
            self.ask(Sent(self._site, call, body, self._answered))
            return
        try:
            request = KINDS[route.kind]()
            try:
                request.ParseFromString(body)
            except DecodeError:
                raise malformed(f"the message is no {route.kind}") from None
            made = route.answer(request).SerializeToString()
        except Problem as problem:
            self.refuse(call, problem.with_traceback(None), route.name)
        except Exception:
            self.refuse(call, _fault(), route.name)
        else:
            self._site.count(route.name, 200)
            call.ended(200)
            call.stream.answer(made)

    def ask(self, sent: Sent) -> None:
        """Put a request into a batch; whatever keeps it from an answer is its outcome."""
        try:
            request = sent.request = v2_grpc.parsed(sent.body)
            router = self._router(request.model_name)
            self._endpoint.predict(router, request.model_version or sent.call.pin, sent)
        except Problem as problem:
            sent.done(problem.with_traceback(None))
        except Unfit as unfit:
            sent.done(unfit_problem(unfit))
        except Exception:
            sent.done(_fault())

    def _answered(self, sent: Sent) -> None:
        if sent.call.gone():
            return
        try:
            made = sent.answered().SerializeToString()
        except Problem as error:
            problem = error.with_traceback(None)  # which would hold this frame, and with it the request
        except Exception:
            problem = _fault()
        else:
            self._site.count("grpc ModelInfer", 200)
            sent.call.ended(200)
            sent.call.stream.answer(made)
            return
        self.refuse(sent.call, problem, "grpc ModelInfer")

    def refuse(self, call: Call, problem: Problem, route: str, status: int | None = None) -> None:
        """Tell why there is no answer, as HTTP does; who may come again is told when."""
        if call.gone():
            return
        request_id = request_id_of(call.heard.get(b"x-request-id")) or self._site.new_id()
        trailing = [(b"x-holdtrue-code", problem.code.encode()), (b"x-request-id", request_id.encode())]
        if problem.retry_after_s is not None:
            again_ms = int(problem.retry_after_s * 1_000) if isfinite(problem.retry_after_s) else -1
            trailing.append((b"grpc-retry-pushback-ms", b"%d" % again_ms))
        if problem.status == 415:
            trailing.append((b"grpc-accept-encoding", b"identity,deflate,gzip"))
        self._site.count(route, problem.status)
        if call.watch is not None:
            call.watch.note(error_type=problem.code)
        call.ended(problem.status)
        call.stream.finish(trailers(STATUS[problem.status] if status is None else status, told(problem), trailing))

    # What else is asked.

    def _server_live(self, _: Message) -> Message:
        return KINDS["ServerLiveResponse"](live=True)

    def _server_ready(self, _: Message) -> Message:
        return KINDS["ServerReadyResponse"](ready=self._endpoint.answers)

    def _about_server(self, _: Message) -> Message:
        return KINDS["ServerMetadataResponse"](name="holdtrue", version=version("holdtrue"))

    def _router(self, name: str) -> Router:
        router = self._endpoint.routers.get(name)
        if router is None:
            raise Problem(404, "not found", "there is no model of this name")
        return router

    def _model_ready(self, request: Message) -> Message:
        self._endpoint.choose(self._router(request.name), request.version)
        return KINDS["ModelReadyResponse"](ready=True)

    def _model_metadata(self, request: Message) -> Message:
        router = self._router(request.name)
        about = dict(metadata(self._endpoint.choose(router, request.version).lane.model, list(router.lanes.values())))
        del about["parameters"]  # which the message has no place for
        return KINDS["ModelMetadataResponse"](**about)

    def _index(self, request: Message) -> Message:
        return KINDS["RepositoryIndexResponse"](
            models=[
                KINDS["ModelIndex"](name=router.name, version=lane.model.about.version, state="READY")
                for router in self._endpoint.routers.values()
                for lane in router.lanes.values()
            ]
        )


@final
class _Single:
    """Takes the message of a call that has one; what follows it is not asked for."""

    __slots__ = ("_call", "_plane", "_route", "wants")

    def __init__(self, plane: Plane, call: Call, route: _Route) -> None:
        self.wants = True
        self._plane = plane
        self._call = call
        self._route = route

    def take(self, body: bytes, /) -> None:
        self.wants = False
        self._plane.answer(self._call, self._route, body)

    def end(self) -> None:
        if self.wants:
            self.fail(malformed("the call has no message"))

    def fail(self, problem: Problem, status: int | None = None, /) -> None:
        self.wants = False
        self._plane.refuse(self._call, problem, self._route.name, status)

    def leave(self) -> None:
        self._call.ended(LEFT)
        self._plane.calls -= 1


def _fault() -> Problem:
    """Write down what went wrong here, and give what the client is told of it."""
    LOG.exception("a call could not be answered")
    return Problem(500, "internal", "something is wrong in the server; its log says more")


def _leaving() -> Problem:
    return Problem(503, "not ready", "this server takes no requests now", retry_after_s=1.0)
