"""Serving from a project folder: releases are found and verified, and every act on the endpoint is in the ledger."""

import asyncio
import hashlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from holdtrue.core.clock import Clock, clock_at
from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.core.files import write_whole
from holdtrue.data.traffic.recover import recover
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_store import check
from holdtrue.pipeline.running import only_one, socket_path, state_file
from holdtrue.pipeline.upkeep import keep_up
from holdtrue.registry.aliases import aliases_of
from holdtrue.registry.ledger import Deed, append
from holdtrue.release.quarantine import admit
from holdtrue.release.signing import trusted_keys
from holdtrue.serving.control import Begin, Oidc
from holdtrue.serving.doorman import Doorman
from holdtrue.serving.http import Connection as Link
from holdtrue.serving.http import Limits, Server
from holdtrue.serving.lane import MOST_ROWS
from holdtrue.serving.listening import Address, private_socket
from holdtrue.serving.logs import LogFormat
from holdtrue.serving.manage import Manager
from holdtrue.serving.metrics import Metrics, flat
from holdtrue.serving.oidc import Issuer, verifier
from holdtrue.serving.plan import Plan, plan_of
from holdtrue.serving.quotas import Limits as QuotaLimits
from holdtrue.serving.quotas import Quotas
from holdtrue.serving.router import Routing
from holdtrue.serving.scribe import Recording
from holdtrue.serving.shared_cache import checked_url
from holdtrue.serving.site import Site
from holdtrue.serving.supervisor import Supervisor
from holdtrue.serving.telemetry import wanted
from holdtrue.serving.tokens import FILE as TOKENS
from holdtrue.spec.loop import Cost

if TYPE_CHECKING:
    from holdtrue.pipeline.figures import Gauges

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]", "::1")
KEPT_PLANS = 3  # of releases that do not answer now: to go back to one is to be quick
SWEEP_S = 0.5
FIGURES_S = 30.0
SMALL_MOVE = 0.005  # of a share, for which nobody is bothered
LOG = logging.getLogger("holdtrue.serving")
ALL = ("health", "predict", "label", "read", "operate", "admin")


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """How to serve.

    Attributes:
        hosts: names this server answers to, beside the address itself; checked unless it is a Unix socket.
        batch_rows: of requests that go through a graph together; 1 lets each go alone.
        issuer: whose tokens are believed beside those of `holdtrue token`.
        cache_rows: answers to single rows that each worker keeps of each release, and gives again; 0: none.
        cache_url: a Redis server by which workers and machines share what they keep.
        log_format: of the lines on stderr.
        tidy_s: how often the traffic is tidied up: what killed workers left is sealed, full segments become parts.
            0: never.
        bandit_s: how often a bandit looks at the labels.
        prices: by which metrics say what predictions and trainings cost.
        subject: the column that names the person a request is about: its receipt is sealed with that person's key.
        open_to_all: listen beyond loopback without encryption or tokens; for a network that is closed otherwise.
        clock: the file of a virtual clock that receipts, labels and the ledger go by; for simulations only.
    """

    address: Address = field(default_factory=Address)
    workers: int = 1
    recording: Recording = field(default_factory=Recording)
    limits: Limits = field(default_factory=Limits)
    quotas: QuotaLimits = field(default_factory=QuotaLimits)
    most_wait_s: float = 1.0
    rotate_bytes: int = 64 << 20
    hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    private_key: Path | None = None
    client_ca: Path | None = None
    open_to_all: bool = False
    subject: str = ""
    batch_rows: int = MOST_ROWS
    cache_rows: int = 0
    cache_url: str = ""
    issuer: Issuer | None = None
    tidy_s: float = 300.0
    log_format: LogFormat = "text"
    bandit_s: float = 30.0
    prices: Cost = field(default_factory=Cost)
    clock: Path | None = None

    def __post_init__(self) -> None:
        faults = self._faults()
        if faults:
            raise Misuse("It cannot be served so:", faults=faults)
        # What workers would say at their start is said now.
        wanted(os.environ)
        if self.cache_url:
            checked_url(self.cache_url)
        if self.issuer is not None:
            verifier(self.issuer, time.time())
        if self.address.grpc_port is not None and not all(
            find_spec(name) for name in ("hpack", "google", "google.protobuf")
        ):
            raise Misuse("gRPC needs its packages.", do="Install them: pip install 'holdtrue[grpc]'")

    def _faults(self) -> list[str]:
        files = [path for path in (self.certificate, self.private_key, self.client_ca) if path is not None]
        open_plainly = not self.address.loopback and self.certificate is None and not self.open_to_all
        wrong = {
            f"workers: between 1 and 256, got {self.workers}": not 1 <= self.workers <= 256,
            f"batch_rows: 1 or more, got {self.batch_rows}": self.batch_rows < 1,
            "a shared cache needs a number of rows too: --cache ROWS": self.cache_url and not self.cache_rows,
            "a certificate and its private key belong together": (self.certificate is None)
            != (self.private_key is None),
            "to ask clients for certificates needs one of our own": self.client_ca and not self.certificate,
            f"{self.address.host} can be reached from other machines, so it needs encryption:"
            " give --tls-cert and --tls-key": open_plainly,
            f"HOLDTRUE_CLOCK is for simulations, and {self.address.host} can be reached from other machines": (
                self.clock is not None and not self.address.loopback
            ),
        }
        absent = [f"{path} is not there" for path in files if not path.is_file()]
        return [*(fault for fault, is_so in wrong.items() if is_so), *absent]


def serve(
    keeper: Keeper, releases: Sequence[str], serving: Serving, *, ready: Callable[[dict[str, Any]], None]
) -> None:
    """Serve until a signal or `stop`; `ready` is told the state once every worker answers.

    The first release of a model answers; others of the same model are loaded beside it, for their version.
    """
    endpoint = Endpoint(keeper=keeper, serving=serving, names=tuple(releases) or ("champion",))
    with only_one(keeper):
        plans = [endpoint.admit(name) for name in endpoint.names]
        asyncio.run(endpoint.run(plans, ready))


@dataclass(kw_only=True)
class Endpoint:
    """One endpoint of a project, named as the project is."""

    keeper: Keeper
    serving: Serving
    names: tuple[str, ...]
    _admitted: dict[tuple[str, frozenset[str]], Plan] = field(default_factory=dict[tuple[str, frozenset[str]], Plan])

    def __post_init__(self) -> None:
        self.clock: Clock = clock_at(self.serving.clock)

    @property
    def follows(self) -> str:
        """The alias that this endpoint serves, or nothing when it serves a release whatever its names."""
        database = self.keeper.database()
        named = {alias.name for alias in database.read(lambda connection: aliases_of(connection, self.keeper.project))}
        return self.names[0] if self.names[0] in named else ""

    @property
    def traffic(self) -> Path:
        return self.keeper.home.path / "traffic"

    def admit(self, name: str) -> Plan:
        """Verify a release in full, and take what workers need of it; the last ones are remembered as they were."""
        folder = self.keeper.folder_of(name)
        trusted = trusted_keys(self.keeper.home.keys)
        is_ours = folder.parent == self.keeper.home.releases
        key = (folder.name, frozenset(trusted))
        plan = self._admitted.pop(key, None) if is_ours else None
        if plan is None:
            plan = plan_of(admit(folder, trusted=trusted))
        if is_ours:
            self._admitted[key] = plan
            while len(self._admitted) > KEPT_PLANS:
                del self._admitted[next(iter(self._admitted))]
        return plan

    def record(self, action: str, actor: str, detail: dict[str, Any]) -> None:
        """Write an act into the ledger; one of the loop is refused when it is not wanted any more."""
        deed = Deed(action=action, project=self.keeper.project, subject=str(detail.get("model", "")), detail=detail)
        now = EPOCH + timedelta(microseconds=self.clock.now_us())

        def written(connection: Connection) -> None:
            if "token" in detail:
                check(connection, self.keeper.project, token=detail["token"], deed=detail["deed"])
            append(connection, [deed], actor=actor or self.keeper.actor, now=now)

        self.keeper.database().write(written)
        self.keeper.seal()

    async def run(self, plans: Sequence[Plan], ready: Callable[[dict[str, Any]], None]) -> None:
        """Start everything, wait for the end, and end everything; the end may come before all has started."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        recover(self.traffic)
        plane = private_socket(socket_path(self.keeper))
        supervisor: Supervisor | None = None
        answered = False
        try:
            supervisor = Supervisor(self._begin(self.traffic), self.serving.address, workers=self.serving.workers)
            routings = {plan.name: Routing(weights={plan.digest: 1.0}) for plan in reversed(plans)}
            if await _before(ended, supervisor.start(plans, routings)):
                answered = True
                async with asyncio.TaskGroup() as group:
                    tasks = await self._open(group, plane, supervisor, ended, ready)
                    await ended.wait()
                    for task in tasks:
                        task.cancel()
        finally:
            plane.close()
            if supervisor is not None:
                await supervisor.stop()
            for path in (socket_path(self.keeper), state_file(self.keeper)):
                path.unlink(missing_ok=True)
        if answered:
            self.record("endpoint closed", "", {})

    async def _open(
        self,
        group: asyncio.TaskGroup,
        plane: socket,
        supervisor: Supervisor,
        ended: asyncio.Event,
        ready: Callable[[dict[str, Any]], None],
    ) -> "list[asyncio.Task[None]]":
        """Open the management plane and say that all is ready; gives what goes on beside the answering."""
        loop = asyncio.get_running_loop()
        site = _private_site(self.keeper.home.keys / TOKENS)
        manager = Manager(site, supervisor, admit=self.admit, record=self.record, stop=ended.set, follows=self.follows)
        server = Server(site, Limits(connections=64), fail=site.fail, wall=time.time)
        accepting = await loop.create_server(lambda: Link(server), sock=plane)
        tasks = [group.create_task(_swept(server))]
        # Who closes a terminal wants its programs to end; a service has none, and is told so to take up what is new.
        hung_up = ended.set if os.isatty(0) else manager.reload_soon
        loop.add_signal_handler(signal.SIGHUP, hung_up)
        state = {**manager.status(), "manage": str(socket_path(self.keeper))}
        write_whole(state_file(self.keeper), json.dumps(state, indent=1).encode())
        told = {name: state[name] for name in ("url", "grpc", "models") if name in state}
        self.record("endpoint opened", "", told | ({"clock": "virtual"} if self.serving.clock else {}))
        ready(state)
        tasks.append(group.create_task(self._learn(manager, supervisor)))
        tasks.append(group.create_task(self._figure(supervisor)))
        if self.serving.tidy_s:
            tasks.append(group.create_task(keep_up(self.traffic, every_s=self.serving.tidy_s)))
        tasks.append(group.create_task(_closed(accepting)))
        return tasks

    async def _learn(self, manager: Manager, supervisor: Supervisor) -> None:
        """Move the shares of bandits as labels come, until cancelled."""
        begun: dict[tuple[str, frozenset[str]], int] = {}
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.serving.bandit_s)
            for model, routing in list(supervisor.routings.items()):
                if not routing.bandit:
                    continue
                key = (model, frozenset(routing.weights))
                since_us = begun.setdefault(key, self.clock.now_us() - round(self.serving.bandit_s * 1e6))
                plans = [supervisor.plans[digest] for digest in routing.weights]
                try:
                    weights = await loop.run_in_executor(None, self._weigh, plans, since_us)
                    if any(abs(weights[digest] - old) > SMALL_MOVE for digest, old in routing.weights.items()):
                        await manager.reweigh(model, routing, weights)
                except (HoldtrueError, OSError) as error:
                    LOG.warning("the bandit of %s could not look at the labels: %s", model, error)

    async def _figure(self, supervisor: Supervisor) -> None:
        """Put into the metrics what the ledger, the budgets and the alarms say, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            counters = flat(supervisor.metrics().snapshot())
            try:
                supervisor.figures = await loop.run_in_executor(None, self._gauges, counters)
            except (HoldtrueError, OSError) as error:
                LOG.warning("the figures of the project could not be read: %s", error)
            await asyncio.sleep(FIGURES_S)

    def _gauges(self, counters: Mapping[str, float]) -> "Gauges":
        from holdtrue.pipeline.figures import gauges  # takes seconds, which the first answer need not wait for

        return gauges(self.keeper, self.serving.prices, counters, now=datetime.now(UTC))

    def _weigh(self, plans: Sequence[Plan], since_us: int) -> dict[str, float]:
        from holdtrue.pipeline.bandit import shares, tallied

        tallies = tallied(self.traffic, self.keeper.project, plans, since_us=since_us)
        return shares(tallies, seed=sum(tally.right + tally.wrong for tally in tallies.values()))

    def _begin(self, traffic: Path) -> Begin:
        serving = self.serving
        open_here = serving.address.loopback or serving.open_to_all
        hosts = (
            ()
            if serving.address.uds or serving.open_to_all
            else (*LOOPBACK_NAMES, serving.address.host, *serving.hosts)
        )
        return Begin(
            endpoint=self.keeper.project,
            traffic=str(traffic),
            tokens=str(self.keeper.home.keys / TOKENS),
            anonymous=("health", "predict", "read") if open_here else ("health",),
            hosts=hosts,
            limits=serving.limits,
            quotas=serving.quotas,
            recording=serving.recording,
            most_wait_s=serving.most_wait_s,
            rotate_bytes=serving.rotate_bytes,
            batch_rows=serving.batch_rows,
            cache_rows=serving.cache_rows,
            cache_url=serving.cache_url,
            oidc=_oidc(serving.issuer),
            log_format=serving.log_format,
            certificate=str(serving.certificate or ""),
            private_key=str(serving.private_key or ""),
            client_ca=str(serving.client_ca or ""),
            subject=serving.subject,
            keys=str(self.keeper.home.keys),
            clock="" if serving.clock is None else str(serving.clock.absolute()),
        )


def _oidc(issuer: Issuer | None) -> Oidc | None:
    if issuer is None:
        return None
    keys = issuer.keys
    is_file = isinstance(keys, Path)
    named = str(keys.resolve()) if isinstance(keys, Path) else keys or ""
    return Oidc(name=issuer.name, audience=issuer.audience, keys=named, is_file=is_file)


def _private_site(tokens: Path) -> Site:
    """Make the site behind the private socket: to open it is to be allowed; who shows a token is judged by it."""
    return Site(
        doorman=Doorman(tokens, anonymous=frozenset(ALL)),
        quotas=Quotas(QuotaLimits()),
        metrics=Metrics(),
        hosts=(),
        wall_s=time.time,
        new_id=lambda: hashlib.sha256(os.urandom(16)).hexdigest()[:32],
    )


async def _before(ended: asyncio.Event, deed: Coroutine[Any, Any, None]) -> bool:
    """Do something that the end cuts short; says whether it was done. Raises what it raised."""
    doing, waiting = asyncio.ensure_future(deed), asyncio.ensure_future(ended.wait())
    try:
        await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
    if doing.cancelled():
        return False
    doing.result()
    return True


async def _swept(server: Server) -> None:
    """End connections that are too slow, until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_S)
        server.sweep(time.monotonic())


async def _closed(accepting: asyncio.Server) -> None:
    """Let nobody in any more once this is cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        accepting.close()
