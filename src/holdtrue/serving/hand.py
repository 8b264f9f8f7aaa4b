"""One worker process as its supervisor holds it: started, told what to serve, heard, and ended."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, final

import msgspec

from holdtrue.core.errors import HoldtrueError
from holdtrue.serving.control import (
    Begin,
    Channel,
    Done,
    Drain,
    Follow,
    FromWorker,
    Gathered,
    Load,
    Measured,
    Open,
    Unload,
)
from holdtrue.serving.metrics import Snapshot
from holdtrue.serving.plan import Plan
from holdtrue.serving.router import Routing

READY_S = 60.0
DRAIN_S = 35.0
SETTINGS: Mapping[str, str] = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Unready(HoldtrueError):
    """A worker did not become ready, or could not carry out what it was told."""


class Ended(Unready):
    """The worker is gone, or must go: what it was told, its successor learns."""


@dataclass(kw_only=True, slots=True)
class Served:
    """What an endpoint serves: releases by digest, and the routing of each model."""

    plans: dict[str, Plan] = field(default_factory=dict[str, Plan])
    routings: dict[str, Routing] = field(default_factory=dict[str, Routing])


@final
class Hand:
    """A worker process, and the channel to it.

    Attributes:
        metrics: what it counted, as it told last.
        faults: what is wrong with it, as it told last.
        has: what it was told to serve, and does.
    """

    def __init__(self, process: asyncio.subprocess.Process, *, gathered: Callable[[], bytes]) -> None:
        self.process = process
        self.metrics: Snapshot = []
        self.faults: list[str] = []
        self.has = Served()
        self.heard_s = asyncio.get_running_loop().time()
        self._gathered = gathered
        self._channel: Channel | None = None
        self._closed = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._numbers = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    async def begin(self, ours: socket.socket, begin: Begin) -> None:
        """Connect to the process, and tell it how to serve."""
        loop = asyncio.get_running_loop()
        channel = Channel(FromWorker, self._hear, self._lost)
        await loop.create_connection(lambda: channel, sock=ours)
        self._channel = channel
        channel.send(begin)

    async def learn(self, served: Served) -> None:
        """Tell it everything that is served, until nothing changed meanwhile; what is gone it lets go."""
        has = self.has
        while has.plans.keys() != served.plans.keys() or has.routings != served.routings:
            for plan in [plan for digest, plan in served.plans.items() if digest not in has.plans]:
                await self.load(plan, msgspec.msgpack.encode(plan))
            for model, routing in list(served.routings.items()):
                if {*routing.weights, *routing.shadow} <= has.plans.keys() and has.routings.get(model) != routing:
                    await self.follow(model, routing)
            for plan in [plan for digest, plan in has.plans.items() if digest not in served.plans]:
                routing = has.routings.get(plan.name)
                if routing is None or plan.digest not in (*routing.weights, *routing.shadow):
                    await self.unload(plan)
            await asyncio.sleep(0)

    async def load(self, plan: Plan, encoded: bytes) -> None:
        await self._ask(lambda number: Load(number=number, plan=encoded))
        self.has.plans[plan.digest] = plan

    async def unload(self, plan: Plan) -> None:
        if self.has.plans.pop(plan.digest, None) is not None:
            await self._ask(lambda number: Unload(number=number, model=plan.name, release=plan.digest))

    async def follow(self, model: str, routing: Routing) -> None:
        await self._ask(lambda number: Follow(number=number, model=model, routing=routing))
        self.has.routings[model] = routing

    async def open(self) -> None:
        """Let it take requests."""
        await self._ask(lambda number: Open(number=number))

    def drain(self, grace_s: float) -> None:
        """Tell it to answer what it was asked, and end."""
        if self._channel is not None:
            self._channel.send(Drain(grace_s=grace_s))

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for the end of the process and for its last words; gives its status."""
        status = await self.process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), 1.0)
        return status

    async def end(self) -> None:
        """Wait for a process that was told to end; one that does not is ended."""
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self.ended())), DRAIN_S)
        except TimeoutError:
            self.kill()
            await self.ended()

    async def _ask(self, message: Callable[[int], msgspec.Struct]) -> None:
        """Tell it something, and wait until it is done; one that does not answer is ended."""
        if self._channel is None or self._closed.is_set():
            raise Ended("The worker ended.")
        self._numbers += 1
        number = self._numbers
        done = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._channel.send(message(number))
        try:
            await asyncio.wait_for(done, READY_S)
        except TimeoutError:
            self.kill()
            raise Ended(f"A worker took more than {READY_S:g} s, and was ended.") from None
        finally:
            self._waiting.pop(number, None)

    def _hear(self, message: Any) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        match message:
            case Done(number=number, fault=fault):
                done = self._waiting.get(number)
                if done is not None and not done.done():
                    if fault:
                        done.set_exception(Unready(fault))
                    else:
                        done.set_result(None)
            case Measured(metrics=metrics, gather=gather, faults=faults):
                self.faults = list(faults)
                self.metrics = [(name, labels, value) for name, labels, value in metrics]
                if gather and self._channel is not None:
                    self._channel.send(Gathered(text=self._gathered()))
            case _:
                raise AssertionError(message)

    def _lost(self) -> None:
        self._closed.set()
        for done in self._waiting.values():
            if not done.done():
                done.set_exception(Ended("The worker ended."))


async def start_worker(listener: socket.socket, begin: Begin, *, gathered: Callable[[], bytes]) -> Hand:
    """Start a process on a listening socket; it is in a group of its own, so that Ctrl-C is ours to hear."""
    ours, theirs = socket.socketpair()
    hand: Hand | None = None
    try:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "holdtrue.serving.worker",
                str(listener.fileno()),
                str(theirs.fileno()),
                pass_fds=(listener.fileno(), theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                process_group=0,
                env={**os.environ, **SETTINGS},
            )
        hand = Hand(process, gathered=gathered)
        await hand.begin(ours, begin)
    except BaseException:
        ours.close()
        if hand is not None:
            hand.kill()
        raise
    return hand
