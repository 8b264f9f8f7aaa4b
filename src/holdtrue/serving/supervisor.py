"""The process that keeps an endpoint up: it owns the sockets, starts and restarts the workers, and gives them releases.

Each worker has a listening socket of its own on the same port, and the supervisor keeps it: when a worker dies, who
connects next waits for its successor and is not turned away.

The path through it:
    listening.py  the sockets
    hand.py       one worker process, as it is held here
"""

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import final

import msgspec

from holdtrue.core.errors import Misuse
from holdtrue.serving.control import Begin
from holdtrue.serving.hand import DRAIN_S, Ended, Hand, Served, Unready, start_worker
from holdtrue.serving.listening import Address, kept_port, listeners
from holdtrue.serving.metrics import Metrics, Snapshot, counters_only, exposition, merged
from holdtrue.serving.plan import Plan
from holdtrue.serving.router import Routing

__all__ = ["DRAIN_S", "Address", "Supervisor", "Unready"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
STEADY_S = 10.0  # a worker that lived so long starts at once when it ends
SILENT_S = 60.0  # a worker tells what it counted twice a second; one that says nothing for so long hangs
RELOAD_GRACE_S, STOP_GRACE_S = 2.0, 0.2  # in which a client that sends again is answered, and told to go
LOG = logging.getLogger("holdtrue.serving")


@dataclass(kw_only=True, slots=True)
class _Slot:
    """One worker's place; the socket outlives the workers in it. `turn` is held by who puts another worker there."""

    listener: socket.socket
    hand: Hand | None = None
    started_s: float = 0.0
    pause_s: float = 0.0
    fault: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@final
class Supervisor:
    """Keeps `workers` processes answering at one address.

    Deeds that change what is served reach every worker or none: a release is first loaded everywhere, and only then do
    the workers follow a routing that names it. A worker that dies meanwhile is no fault: its successor learns what is
    served by then.
    """

    def __init__(self, begin: Begin, address: Address, *, workers: int) -> None:
        self.address = address
        self.restarts = 0
        self.figures: dict[tuple[str, tuple[str, ...]], float] = {}  # what others found out, for whoever reads metrics
        self._served = Served()
        self._grpc = None if address.grpc_port is None else kept_port(address.host, address.grpc_port)
        grpc_host, grpc_port = self._grpc.getsockname()[:2] if self._grpc else ("", 0)
        self._begin = msgspec.structs.replace(begin, grpc_host=grpc_host, grpc_port=grpc_port)
        try:
            self._slots = [_Slot(listener=listener) for listener in listeners(address, workers)]
        except Misuse:
            self._close_grpc()
            raise
        self._bound = _place(address.uds)
        self._living: set[Hand] = set()
        self._gone: Snapshot = []  # what workers counted that have ended
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    @property
    def plans(self) -> dict[str, Plan]:
        return self._served.plans

    @property
    def routings(self) -> dict[str, Routing]:
        return self._served.routings

    @property
    def url(self) -> str:
        if self.address.uds:
            return f"http+unix://{self.address.uds}"
        host, port = self._slots[0].listener.getsockname()[:2]
        scheme = "https" if self._begin.certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def grpc(self) -> str:
        """Where gRPC is answered, as its clients want it; "" when it is not."""
        host, port = self._begin.grpc_host, self._begin.grpc_port
        return f"{f'[{host}]' if ':' in host else host}:{port}" if port else ""

    @property
    def pids(self) -> list[int]:
        return [slot.hand.pid for slot in self._slots if slot.hand is not None]

    @property
    def faults(self) -> list[str]:
        """Say which workers are not there and why, and what is wrong with those that are."""
        away = [
            f"worker {place}: {slot.fault}; started again after {slot.pause_s:g} s"
            for place, slot in enumerate(self._slots, 1)
            if slot.hand is None and slot.fault
        ]
        told = Counter(fault for slot in self._slots if slot.hand is not None for fault in slot.hand.faults)
        return [*away, *(f"{count} of {len(self._slots)} workers: {fault}" for fault, count in told.items())]

    async def start(self, plans: Sequence[Plan], routings: dict[str, Routing]) -> None:
        """Start every worker and wait until all answer; raises `Unready` when one cannot."""
        self._served.plans.update({plan.digest: plan for plan in plans})
        self._served.routings.update(routings)
        starting = [asyncio.ensure_future(self._start(slot)) for slot in self._slots]
        try:
            for slot, made in zip(self._slots, await asyncio.gather(*starting), strict=True):
                self._put(slot, made)
        finally:
            for task in starting:
                task.cancel()
        self._spawn(self._look_after())

    async def load(self, plan: Plan) -> None:
        """Make a release ready in every worker, beside those that answer."""
        async with self._turn:
            if plan.digest in self.plans:
                return
            encoded = msgspec.msgpack.encode(plan)
            self.plans[plan.digest] = plan
            try:
                await self._all(lambda each: each.load(plan, encoded))
            except Unready:
                del self.plans[plan.digest]
                with suppress(Unready):
                    await self._all(lambda each: each.unload(plan))
                raise

    async def follow(self, model: str, routing: Routing) -> None:
        """Change which releases answer, from one request to the next; what no routing names any more is let go."""
        async with self._turn:
            routing.check([plan.digest for plan in self.plans.values() if plan.name == model])
            old = self.routings.get(model)
            self.routings[model] = routing
            try:
                await self._all(lambda each: each.follow(model, routing))
            except Unready:
                if old is not None:
                    self.routings[model] = old
                    with suppress(Unready):
                        await self._all(lambda each: each.follow(model, old))
                raise
            kept = {*routing.weights, *routing.shadow}
            for plan in [plan for plan in self.plans.values() if plan.name == model and plan.digest not in kept]:
                del self.plans[plan.digest]
                await self._all(lambda each, plan=plan: each.unload(plan))

    async def reload(self) -> None:
        """Replace the workers one after the other, each by a new process, without a gap."""
        async with self._turn:
            for slot in self._slots:
                async with slot.turn:
                    made = await self._start(slot)
                    old = slot.hand
                    self._put(slot, made)
                if old is not None:
                    old.drain(RELOAD_GRACE_S)
                    await old.end()

    async def stop(self) -> None:
        """End every worker after it has answered what it was asked; those that answer nothing yet end at once."""
        self._stopping = True
        answering = {slot.hand for slot in self._slots}
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in list(self._living):
            if each in answering:
                each.drain(STOP_GRACE_S)
            else:
                each.kill()
        await asyncio.gather(*(self._see_off(each) for each in list(self._living)))
        for slot in self._slots:
            slot.listener.close()
        self._close_grpc()
        if self._bound is not None and _place(self.address.uds) == self._bound:
            Path(self.address.uds).unlink(missing_ok=True)

    def metrics(self) -> Metrics:
        """Add up what all workers counted, those that ended too."""
        whole = merged([self._gone, *(each.metrics for each in self._living)])
        whole.set("holdtrue_workers", (), len(self.pids))
        whole.set("holdtrue_worker_restarts_total", (), self.restarts)
        for (name, labels), value in self.figures.items():
            whole.set(name, labels, value)
        return whole

    async def _all(self, deed: Callable[[Hand], Awaitable[None]]) -> None:
        """Have every worker that answers do something; one that is starting learns it anyway, as does a successor."""
        asked = [deed(slot.hand) for slot in self._slots if slot.hand is not None]
        found = await asyncio.gather(*asked, return_exceptions=True)
        faults = [fault for fault in found if fault is not None and not isinstance(fault, Ended)]
        if faults:
            raise Unready("A worker did not do as it was told:", faults=[str(fault) for fault in faults])

    async def _start(self, slot: _Slot) -> Hand:
        """Start a process for a slot, and give it everything that is served; it takes requests when this returns."""
        if self._stopping:
            raise Unready("The endpoint is ending.")
        slot.started_s = monotonic()
        made = await start_worker(slot.listener, self._begin, gathered=lambda: exposition(self.metrics()))
        self._living.add(made)
        try:
            await made.learn(self._served)
            await made.open()
            await made.learn(self._served)
        except BaseException:
            made.kill()
            if not self._stopping:
                self._spawn(self._see_off(made))
            raise
        return made

    def _put(self, slot: _Slot, made: Hand) -> None:
        slot.hand = made
        self._spawn(self._keep(slot, made))

    async def _see_off(self, each: Hand) -> int:
        """Wait for the end of a worker, and keep what it counted."""
        await each.end()
        if each in self._living:
            self._living.discard(each)
            self._gone = merged([self._gone, counters_only(each.metrics)]).snapshot()
        return each.process.returncode or 0

    async def _keep(self, slot: _Slot, made: Hand) -> None:
        """Wait for a worker to end, and start another unless it was to end."""
        await made.ended()
        status = await self._see_off(made)
        if self._stopping or slot.hand is not made:
            return
        LOG.warning("worker %d ended with status %d; it is started again", made.pid, status)
        slot.hand, slot.fault = None, f"the last one ended with status {status}"
        while not self._stopping:
            lived_s = monotonic() - slot.started_s
            slot.pause_s = 0.0 if lived_s > STEADY_S else min(max(2 * slot.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            await asyncio.sleep(slot.pause_s)
            async with slot.turn:
                if slot.hand is not None:  # a reload was faster
                    return
                self.restarts += 1
                try:
                    self._put(slot, await self._start(slot))
                except (Unready, OSError) as error:
                    slot.fault = f"the last one could not be started: {error}"
                    LOG.error("a worker could not be started: %s", error)
                else:
                    return

    async def _look_after(self) -> None:
        """End workers that hang: they are started again."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SILENT_S / 10)
            for each in list(self._living):
                if loop.time() - each.heard_s > SILENT_S:
                    LOG.error("worker %d said nothing for %g s and is ended", each.pid, SILENT_S)
                    each.kill()

    def _spawn(self, deed: "Awaitable[object]") -> None:
        async def run() -> None:
            await deed

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _close_grpc(self) -> None:
        if self._grpc is not None:
            self._grpc.close()


def _place(path: str) -> tuple[int, int] | None:
    """Say which file a path names now."""
    if not path:
        return None
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
