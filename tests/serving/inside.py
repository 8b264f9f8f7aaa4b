"""An endpoint inside this process: the same site, routes and connections, on a loop of its own in a thread.

For tests that need limits which the command line does not offer, or a look at what is behind the socket.
"""

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.receipt import Ids
from holdtrue.serving.callers import Permission
from holdtrue.serving.doorman import Doorman
from holdtrue.serving.endpoint import Endpoint
from holdtrue.serving.http import Connection, Limits, Server
from holdtrue.serving.metrics import Metrics
from holdtrue.serving.model import Model
from holdtrue.serving.plan import Plan
from holdtrue.serving.quotas import Limits as QuotaLimits
from holdtrue.serving.quotas import Quotas
from holdtrue.serving.router import Routing
from holdtrue.serving.scribe import Recording, Scribe
from holdtrue.serving.site import Site

OPEN: frozenset[Permission] = frozenset({"health", "predict", "label", "read", "operate", "admin"})
LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1")
SWEEP_S = 0.05


@dataclass(kw_only=True, slots=True)
class Inside:
    """What runs; `call` does something in its loop and gives what came of it."""

    loop: asyncio.AbstractEventLoop
    site: Site
    server: Server
    endpoint: Endpoint
    journal: Journal
    port: int = 0

    def connect(self, timeout_s: float = 10.0, **options: Any) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s, **options)

    def call(self, deed: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return deed()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout=20)


def _wall_us() -> int:
    return time.time_ns() // 1000


def made(
    plan: Plan,
    traffic: Path,
    loop: asyncio.AbstractEventLoop,
    *,
    limits: Limits,
    tokens: Path | None = None,
    anonymous: frozenset[Permission] = OPEN,
    hosts: Collection[str] = LOCAL,
    most_wait_s: float = 1.0,
) -> Inside:
    """Put together what a worker puts together."""
    journal = Journal(traffic, endpoint=plan.name, stream=7, now=_wall_us, rotate_bytes=64 << 20)
    scribe = Scribe(journal, Ids(7), Recording(), wall_us=_wall_us, soon=loop.call_soon_threadsafe)
    site = Site(
        doorman=Doorman(tokens or traffic / "no-tokens.json", anonymous=anonymous),
        quotas=Quotas(QuotaLimits()),
        metrics=Metrics(),
        hosts=hosts,
        wall_s=time.time,
        new_id=lambda: scribe.next_id(_wall_us()),
    )
    endpoint = Endpoint(
        site,
        scribe,
        loop,
        chance=random.Random(7),
        most_wait_s=most_wait_s,
        gather=lambda answer: answer(b"# none\n"),
    )
    endpoint.load(Model(plan))
    endpoint.follow(plan.name, Routing(weights={plan.digest: 1.0}))
    server = Server(site, limits, fail=site.fail, wall=time.time)
    return Inside(loop=loop, site=site, server=server, endpoint=endpoint, journal=journal)


@contextmanager
def inside(plan: Plan, traffic: Path, **settings: Any) -> Generator[Inside]:
    """Serve in a thread until the block ends; slow connections are looked for twenty times a second."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="inside", daemon=True)
    thread.start()
    limits = settings.pop("limits", None) or Limits()
    here = made(plan, traffic, loop, limits=limits, **settings)

    def sweep() -> None:
        here.server.sweep(time.monotonic())
        loop.call_later(SWEEP_S, sweep)

    listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    here.port = listener.getsockname()[1]

    async def start() -> asyncio.AbstractServer:
        sweep()
        return await loop.create_server(lambda: Connection(here.server), sock=listener)

    accepting = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=20)
    try:
        yield here
    finally:
        here.call(accepting.close)
        here.call(here.server.drain)
        time.sleep(0.02)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20)
        here.journal.close()
        loop.close()
