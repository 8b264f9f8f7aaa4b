"""One process that answers: an event loop, the graphs, a journal; `python -m holdtrue.serving.worker SOCKET CONTROL`.

It is given its listening socket and everything else it needs, so it opens no release and no database. When its
supervisor is gone it finishes what was asked and ends: nobody would restart it, nor give its address to another.
"""

import asyncio
import gc
import logging
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final, get_args

import msgspec
import uvloop

from holdtrue.core.clock import clock_at
from holdtrue.core.errors import HoldtrueError
from holdtrue.core.files import write_whole
from holdtrue.data.traffic.journal import Journal, Unwritten
from holdtrue.data.traffic.receipt import Ids
from holdtrue.serving.callers import Permission
from holdtrue.serving.control import (
    Begin,
    Channel,
    Done,
    Drain,
    Follow,
    Gathered,
    Load,
    Measured,
    Open,
    ToWorker,
    Unload,
)
from holdtrue.serving.doorman import Doorman
from holdtrue.serving.endpoint import Endpoint
from holdtrue.serving.extras import Extras, extras_of
from holdtrue.serving.host import host_file, this_host
from holdtrue.serving.http import Connection, Limits, Server
from holdtrue.serving.listening import BACKLOG, encryption
from holdtrue.serving.logs import set_up
from holdtrue.serving.metrics import Metrics
from holdtrue.serving.model import Model
from holdtrue.serving.plan import Plan
from holdtrue.serving.quotas import Quotas
from holdtrue.serving.scribe import Scribe
from holdtrue.serving.site import Site

if TYPE_CHECKING:
    from holdtrue.serving.grpc_plane import Plane

SWEEP_S = 0.5
DRAIN_S = 30.0
KEPT_FILES = 64
GOODBYE_S = 2.0  # for a client to confirm the end of an encrypted connection
LOG = logging.getLogger("holdtrue.serving")

_plan = msgspec.msgpack.Decoder(Plan).decode


@final
class Worker:
    """Everything of one worker process, put together when the first message comes."""

    def __init__(self, listener: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._ended: asyncio.Future[None] = loop.create_future()
        self._channel: Channel | None = None
        self._asked: list[Callable[[bytes], None]] = []
        self._accepting: asyncio.Server | None = None
        self._endpoint: Endpoint | None = None
        self._server: Server | None = None
        self._plane: Plane | None = None
        self._journal: Journal | None = None
        self._doorman: Doorman | None = None
        self._extras = Extras()
        self._begin: Begin | None = None
        self._draining = False
        self._channel_lost = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, control: socket.socket) -> None:
        """Answer until told to stop."""
        # Known before it is connected: the first messages may come before this goes on.
        self._channel = channel = Channel(ToWorker, self._hear, self._lost)
        await self._loop.create_connection(lambda: channel, sock=control)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._drain, "a signal")
        await self._ended
        await self._extras.close()
        if self._journal is not None:
            try:
                self._journal.close()
            except Unwritten as error:  # nobody waits for these: their answers did not go out
                LOG.error("%s", error)
        if self._endpoint is not None and not self._channel_lost.is_set():
            self._tell()
        channel.close()
        await self._channel_lost.wait()

    def _lost(self) -> None:
        self._channel_lost.set()
        self._drain("its supervisor is gone")

    def _hear(self, message: Any) -> None:
        match message:
            case Begin():
                self._start(message)
            case Load():
                self._spawn(self._load(message))
            case Follow():
                self._carry_out(message.number, partial(self._follow, message))
            case Unload():
                self._carry_out(message.number, partial(self._unload, message))
            case Open():
                self._spawn(self._open(message))
            case Gathered():
                asked, self._asked = self._asked, []
                for answer in asked:
                    answer(message.text)
            case Drain():
                self._drain("told so", message.grace_s)
            case _:
                raise AssertionError(message)

    def _carry_out(self, number: int, deed: Callable[[], None]) -> None:
        fault = ""
        try:
            deed()
        except HoldtrueError as error:
            fault = str(error)
        except Exception as error:
            LOG.exception("a message could not be carried out")
            fault = f"{type(error).__name__}: {error}"
        assert self._channel is not None
        self._channel.send(Done(number=number, fault=fault))

    def _start(self, begin: Begin) -> None:
        set_up(begin.log_format)
        stream = random.SystemRandom().getrandbits(32)
        self._begin = begin
        # What is recorded is of this clock. Tokens and quotas go by real time: no simulation makes an old token young.
        now_us = clock_at(Path(begin.clock) if begin.clock else None).now_us
        self._journal = Journal(
            Path(begin.traffic), endpoint=begin.endpoint, stream=stream, now=now_us, rotate_bytes=begin.rotate_bytes
        )
        write_whole(host_file(self._journal.folder, stream), msgspec.json.encode(this_host()))
        metrics = Metrics()
        self._extras = extras = extras_of(begin, metrics, self._loop)
        soon = self._loop.call_soon_threadsafe
        scribe = Scribe(self._journal, Ids(stream), begin.recording, wall_us=now_us, soon=soon, sealer=extras.sealer)
        anonymous: frozenset[Permission] = frozenset(name for name in get_args(Permission) if name in begin.anonymous)
        self._doorman = Doorman(Path(begin.tokens), anonymous=anonymous, voucher=extras.voucher)
        site = Site(
            doorman=self._doorman,
            quotas=Quotas(begin.quotas),
            metrics=metrics,
            hosts=begin.hosts,
            wall_s=time.time,
            new_id=lambda: scribe.next_id(now_us()),
            telemetry=extras.telemetry,
        )
        self._endpoint = Endpoint(
            site,
            scribe,
            self._loop,
            # A simulation is to come out the same each time.
            chance=random.Random(0 if begin.clock else stream),  # noqa: S311 - it shares requests out, no secret
            most_wait_s=begin.most_wait_s,
            batch_rows=begin.batch_rows,
            cache_rows=begin.cache_rows,
            shared=extras.shared,
            gather=self._gather,
        )
        self._server = Server(site, _affordable(begin.limits), fail=site.fail, wall=time.time)
        if begin.grpc_port:
            from holdtrue.serving.grpc_plane import Plane

            self._plane = Plane(self._endpoint, site, self._loop, self._server)
        self._loop.call_later(SWEEP_S, self._sweep)

    async def _load(self, message: Load) -> None:
        """Make a release ready in a thread: what answers now goes on."""
        begin = self._begin
        assert begin is not None
        try:
            model: Model | Exception = await self._loop.run_in_executor(
                None, lambda: Model(_plan(message.plan), beside=begin.subject)
            )
        except Exception as error:
            model = error

        def take() -> None:
            assert self._endpoint is not None
            if isinstance(model, Exception):
                raise model
            self._endpoint.load(model)

        self._carry_out(message.number, take)

    def _follow(self, message: Follow) -> None:
        assert self._endpoint is not None
        self._endpoint.follow(message.model, message.routing)

    def _unload(self, message: Unload) -> None:
        assert self._endpoint is not None
        self._endpoint.unload(message.model, message.release)

    async def _open(self, message: Open) -> None:
        """Take requests."""
        # What was made so far stays; the collector need not look at it at each of its rounds.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        fault: Exception | None = None
        try:
            await self._accept()
        except Exception as error:
            fault = error

        def tell() -> None:
            if fault is not None:
                raise fault

        self._carry_out(message.number, tell)

    def _spawn(self, deed: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(deed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        server, begin = self._server, self._begin
        assert server is not None
        assert begin is not None
        if self._draining:
            return
        if self._plane is not None:
            self._plane.listen(begin)
        tls = encryption(begin.certificate, begin.private_key, begin.client_ca)
        self._accepting = await self._loop.create_server(
            lambda: Connection(server),
            sock=self._listener,
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=begin.limits.head_s if tls else None,
            ssl_shutdown_timeout=GOODBYE_S if tls else None,
        )
        if self._plane is not None:
            await self._plane.start()
        if self._draining:
            self._accepting.close()

    def _sweep(self) -> None:
        """Do what is to be done twice a second."""
        assert self._server is not None
        self._server.sweep(time.monotonic())
        if self._plane is not None:
            self._plane.sweep(time.monotonic())
        if self._doorman is not None:
            self._doorman.look(time.time())
        self._tell()
        self._loop.call_later(SWEEP_S, self._sweep)

    def _tell(self, *, gather: bool = False) -> None:
        assert self._endpoint is not None
        assert self._server is not None
        assert self._channel is not None
        usage = resource.getrusage(resource.RUSAGE_SELF)
        metrics = self._endpoint.measure(self._server.doors.count, self._server.cut)
        metrics.append(("holdtrue_cpu_seconds_total", [], usage.ru_utime + usage.ru_stime))
        metrics.append(("holdtrue_resident_bytes", [], float(_resident_bytes())))
        self._channel.send(Measured(metrics=list(metrics), gather=gather, faults=self._faults()))

    def _faults(self) -> list[str]:
        """Say what is wrong with this worker now."""
        assert self._journal is not None
        assert self._doorman is not None
        failing, closed = self._journal.state().failing, self._doorman.closed
        found = [f"receipts cannot be written: {failing}"] if failing else []
        return [*found, *([closed] if closed else []), *self._extras.faults]

    def _gather(self, answer: Callable[[bytes], None]) -> None:
        """Ask for the metrics of all workers; who asks while an answer is awaited shares it."""
        self._asked.append(answer)
        if len(self._asked) == 1:
            self._tell(gather=True)

    def _drain(self, why: str, grace_s: float = 0.0) -> None:
        """Stop accepting, answer what was asked, and end."""
        if self._draining:
            return
        self._draining = True
        LOG.info("worker %d ends: %s", os.getpid(), why)
        if self._endpoint is not None:
            self._endpoint.ready = False
        # The supervisor has the socket still, if there is one; if not, nobody is to wait at this door.
        if self._accepting is not None:
            self._accepting.close()
        else:
            self._listener.close()
        if self._server is not None:
            self._server.draining = True
        if self._plane is not None:
            self._spawn(self._plane.stop(DRAIN_S))
        self._loop.call_later(grace_s, self._let_go)
        self._await_end(time.monotonic() + grace_s + DRAIN_S)

    def _let_go(self) -> None:
        """End the connections that wait for nothing."""
        if self._server is not None:
            self._server.drain()

    def _await_end(self, until_s: float) -> None:
        server, plane = self._server, self._plane
        waits = (server is not None and server.connections) or (plane is not None and not plane.ended) or self._is_busy
        if not waits or time.monotonic() > until_s:
            if not self._ended.done():
                self._ended.set_result(None)
            return
        self._loop.call_later(0.02, self._await_end, until_s)

    @property
    def _is_busy(self) -> bool:
        """Whether something goes through a model; nobody may wait for it, as for the answers of shadows."""
        routers = self._endpoint.routers.values() if self._endpoint is not None else ()
        return any(not lane.idle for router in routers for lane in router.lanes.values())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _affordable(limits: Limits) -> Limits:
    """Let in no more connections than files may be open, and keep some of these: the journal needs them too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + KEPT_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        limits = replace(limits, connections=max(1, min(limits.connections, soft - KEPT_FILES)))
    return limits


def main() -> None:
    """Begin with the descriptors of the listening socket and of the control channel."""
    set_up("text")
    listener, control = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    sys.setswitchinterval(0.0005)  # the thread that syncs must not wait 5 ms for its turn

    async def run() -> None:
        await Worker(listener, asyncio.get_running_loop()).run(control)

    uvloop.run(run())


if __name__ == "__main__":
    main()
