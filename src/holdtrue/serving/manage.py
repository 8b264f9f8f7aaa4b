"""The management plane: a socket of its own in the supervisor's process, for those who may change what is served.

It is a Unix socket that only its owner can open, so who reaches it is who runs the endpoint; nothing of it is on the
port that predictions come to.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, final

import msgspec

from holdtrue.core.errors import HoldtrueError, Misuse, Refused, nearest
from holdtrue.data.contract_json import from_dict
from holdtrue.serving.ask import Problem, malformed
from holdtrue.serving.metrics import flat, latency
from holdtrue.serving.openapi import description
from holdtrue.serving.plan import Plan
from holdtrue.serving.router import Routing, champion_of
from holdtrue.serving.site import Call, Site, get, post
from holdtrue.serving.supervisor import Supervisor, Unready

LOG = logging.getLogger("holdtrue.serving")


class _Traffic(msgspec.Struct, forbid_unknown_fields=True):
    """Weights by release or alias; the others as in `Routing`, `champion` by release or alias too.

    A change that the loop asks for says as which leader (`token`), and by which `deed`; what records it may refuse it.
    """

    weights: dict[str, float]
    model: str = ""
    shadow: tuple[str, ...] = ()
    sticky: str = ""
    champion: str = ""
    bandit: bool = False
    reason: str = ""
    actor: str = ""
    token: int = 0
    deed: int = 0


_decode = msgspec.json.Decoder(_Traffic).decode


@final
class Manager:
    """Answers the management routes; each act is recorded before it is told to be done."""

    def __init__(
        self,
        site: Site,
        supervisor: Supervisor,
        *,
        admit: Callable[[str], Plan],
        record: Callable[[str, str, dict[str, Any]], None],
        stop: Callable[[], None],
        follows: str = "",
    ) -> None:
        """Take what acts need: `admit` verifies a release by its name, `record` writes (action, actor, detail) down.

        `follows` is the alias whose release is served, wherever it moves.
        """
        self._site = site
        self._supervisor = supervisor
        self._admit = admit
        self._record = record
        self._stop = stop
        self._follows = follows
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        site.add(
            get("/status", "status", "read", self._status, "What is served, by whom"),
            post("/traffic", "traffic", "operate", self._traffic, "Which releases answer"),
            post("/reload", "reload", "operate", self._reload, "New worker processes, one by one", ()),
            post("/stop", "stop", "operate", self._end, "Answer what was asked, and end", ()),
            get("/openapi.json", "openapi", "read", self._openapi, "This description"),
        )

    def status(self) -> dict[str, Any]:
        """Say what is served."""
        supervisor = self._supervisor
        counted = supervisor.metrics().snapshot()
        return {
            "url": supervisor.url,
            **({"grpc": supervisor.grpc} if supervisor.grpc else {}),
            "pid": os.getpid(),
            "workers": supervisor.pids,
            "restarts": supervisor.restarts,
            "faults": supervisor.faults,
            "follows": self._follows,
            "models": {
                name: {
                    "weights": routing.weights,
                    "shadow": list(routing.shadow),
                    "sticky": routing.sticky,
                    "champion": champion_of(routing),
                    "bandit": routing.bandit,
                    "loaded": [plan.digest for plan in supervisor.plans.values() if plan.name == name],
                }
                for name, routing in supervisor.routings.items()
            },
            "counters": flat(counted),
            "latency": latency(counted),
        }

    def _openapi(self, call: Call) -> None:
        self._site.reply(call, description(self._site.routes, {}))

    def _status(self, call: Call) -> None:
        self._site.reply(call, self.status())

    def _traffic(self, call: Call) -> None:
        try:
            wanted = _decode(call.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(f"this is no description of traffic: {error}") from None
        self._away(call, self._change(wanted))

    async def _change(self, wanted: _Traffic) -> dict[str, Any]:
        async with self._turn:
            names = {*wanted.weights, *wanted.shadow, *([wanted.champion] if wanted.champion else [])}
            loop = asyncio.get_running_loop()
            plans = {name: await loop.run_in_executor(None, self._admit, name) for name in sorted(names)}
            models = {plan.name for plan in plans.values()}
            served = self._supervisor.routings
            if len(models) != 1 or wanted.model not in ("", *models) or not models <= served.keys():
                raise Misuse(
                    "The releases are not of one model that is served here.",
                    faults=sorted(models),
                    do=f"Name releases of {' or '.join(sorted(served))}.",
                )
            model = models.pop()
            routing = _routing(wanted, plans, served[model])
            await self._shift(model, routing, list(plans.values()), wanted)
        return {"model": model, "weights": routing.weights, "shadow": list(routing.shadow)}

    async def reweigh(self, model: str, old: Routing, weights: dict[str, float]) -> None:
        """Give the releases of a bandit other shares, unless somebody changed the routing meanwhile."""
        async with self._turn:
            if self._supervisor.routings.get(model) == old:
                await self._supervisor.follow(model, msgspec.structs.replace(old, weights=weights))

    async def _shift(self, model: str, routing: Routing, plans: list[Plan], wanted: _Traffic) -> None:
        """Load what is needed, write the change down, and follow it."""
        if routing.bandit and any(plan.task != "classification" for plan in plans):
            raise Misuse("A bandit counts which answers were right, so it needs classes.")
        if routing.sticky:
            columns = from_dict(json.loads(plans[0].contract)).names
            if routing.sticky not in columns:
                raise Misuse(f"There is no column {routing.sticky!r}{nearest(routing.sticky, columns)}")
        routing.check([plan.digest for plan in plans])
        for plan in plans:
            await self._supervisor.load(plan)
        detail = {
            "model": model,
            "weights": dict(routing.weights),
            "shadow": list(routing.shadow),
            "before": dict(self._supervisor.routings[model].weights),
            "reason": wanted.reason,
            **({"bandit": True} if routing.bandit else {}),
            **({"token": wanted.token, "deed": wanted.deed} if wanted.token else {}),
        }
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._record, "traffic changed", wanted.actor, detail)
        try:
            await self._supervisor.follow(model, routing)
        except Unready as error:
            await loop.run_in_executor(
                None, self._record, "traffic kept", wanted.actor, {"model": model, "reason": error.what}
            )
            raise

    def reload_soon(self) -> None:
        """Replace the workers without a gap; what goes wrong is logged."""

        async def run() -> None:
            try:
                await self._supervisor.reload()
            except HoldtrueError as error:
                LOG.error("the workers were not all replaced: %s", error)

        self._spawn(run())

    def _reload(self, call: Call) -> None:
        async def reload() -> dict[str, Any]:
            await self._supervisor.reload()
            return {"workers": self._supervisor.pids}

        self._away(call, reload())

    def _end(self, call: Call) -> None:
        self._site.reply(call, {"ending": True})
        self._stop()

    def _away(self, call: Call, deed: Awaitable[dict[str, Any]]) -> None:
        """Do what takes a while, and answer then."""

        async def run() -> None:
            try:
                self._site.reply(call, await deed)
            except HoldtrueError as error:
                status = 409 if isinstance(error, Refused) else 503 if isinstance(error, Unready) else 422
                self._site.fail(call.exchange, Problem(status, "refused", error.what, faults=error.faults), call.name)

        self._spawn(run())

    def _spawn(self, deed: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(deed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _routing(wanted: _Traffic, plans: Mapping[str, Plan], old: Routing) -> Routing:
    """Turn names into digests. The champion stays who it was, until it has no share any more."""
    weights: dict[str, float] = {}
    for name, weight in wanted.weights.items():
        digest = plans[name].digest
        weights[digest] = weights.get(digest, 0.0) + weight  # two names of one release share
    named = plans[wanted.champion].digest if wanted.champion else champion_of(old)
    return Routing(
        weights=weights,
        shadow=tuple(dict.fromkeys(plans[name].digest for name in wanted.shadow)),
        sticky=wanted.sticky,
        champion=named if weights.get(named) or wanted.champion else "",
        bandit=wanted.bandit,
    )
