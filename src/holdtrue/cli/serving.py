"""The verbs about an endpoint: serve it, see it, and change what it answers with."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from holdtrue.cli.person import keeper
from holdtrue.cli.show import console, length, print_json, table
from holdtrue.cli.show import state as state_of
from holdtrue.core.errors import Misuse, nearest

if TYPE_CHECKING:
    from holdtrue.cli.serve_options import ServeOptions
    from holdtrue.pipeline.following import Moved
    from holdtrue.serving.oidc import Issuer
    from holdtrue.spec.loop import Cost


def serve(releases: Sequence[str], folder: Path, given: "ServeOptions", *, as_json: bool) -> int:
    from holdtrue.pipeline.serve import Serving
    from holdtrue.pipeline.serve import serve as run
    from holdtrue.serving.http import Limits
    from holdtrue.serving.logs import LogFormat, set_up
    from holdtrue.serving.quotas import Limits as Quotas
    from holdtrue.serving.scribe import Ack, Recording, WhenFull
    from holdtrue.serving.supervisor import Address

    serving = Serving(
        address=Address(host=given.host, port=given.port, uds=given.uds, grpc_port=given.grpc_port),
        workers=given.workers,
        recording=Recording(
            ack=cast(Ack, _one_of(given.ack, get_args(Ack), "--ack")),
            when_full=cast(WhenFull, _one_of(given.when_full, get_args(WhenFull), "--when-full")),
        ),
        limits=Limits(connections_each=given.connections_per_address),
        quotas=Quotas(requests_per_s=given.requests_per_second, rows_per_day=given.rows_per_day),
        issuer=_issuer(given.oidc_issuer, given.oidc_audience, given.oidc_keys),
        certificate=given.tls_cert,
        private_key=given.tls_key,
        client_ca=given.client_ca,
        hosts=tuple(given.allow_host),
        open_to_all=given.insecure,
        subject=given.subject,
        batch_rows=given.batch_rows,
        cache_rows=given.cache,
        cache_url=given.cache_url,
        tidy_s=given.tidy_every,
        log_format=cast(LogFormat, _one_of(given.log_format, get_args(LogFormat), "--log-format")),
        prices=_prices(folder),
        clock=Path(os.environ["HOLDTRUE_CLOCK"]) if os.environ.get("HOLDTRUE_CLOCK") else None,
    )
    set_up(serving.log_format)
    run(keeper(folder), releases, serving, ready=partial(_ready, as_json=as_json))
    return 0


def _prices(folder: Path) -> "Cost":
    """Give the prices of the project file; a store without one has the usual ones."""
    from holdtrue.pipeline.workspace import open_workspace
    from holdtrue.spec.load import FILE
    from holdtrue.spec.loop import Cost

    return open_workspace(folder, environ=os.environ).project.retrain.cost if (folder / FILE).is_file() else Cost()


def _issuer(name: str, audience: str, keys: str) -> "Issuer | None":
    """Put the three options together; `keys` is an address when it looks like one."""
    from holdtrue.serving.oidc import Issuer

    if not name:
        if audience or keys:
            raise Misuse("--oidc-audience and --oidc-keys belong to an issuer.", do="Name it with --oidc-issuer.")
        return None
    place = None if not keys else keys if "://" in keys else Path(keys)
    return Issuer(name=name, audience=audience, keys=place)


def _ready(state: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(state), flush=True)
        return
    out = console()
    for name, model in state["models"].items():
        for digest in model["loaded"]:
            out.print(f"Serving {name} {digest[:12]} at {state['url']}")
    url = state["url"]
    if "grpc" in state:
        out.print(f"gRPC:   {state['grpc']}")
    out.print(f"Try:    curl {url}/predict --json '[{{...}}]'    Columns and routes: {url}/docs")
    out.print("Ctrl-C ends it; what was asked is answered first.")


def _one_of(given: str, known: Sequence[str], option: str) -> str:
    if given not in known:
        raise Misuse(f"{option} is {' or '.join(known)}, not {given!r}{nearest(given, known)}")
    return given


def status(folder: Path, *, why: bool, as_json: bool) -> int:
    from dataclasses import asdict

    from holdtrue.pipeline.budgeting import standing
    from holdtrue.pipeline.figures import figures
    from holdtrue.pipeline.running import ask
    from holdtrue.pipeline.status_why import reasons

    here = keeper(folder)
    state = ask(here, "GET", "/status")
    found = reasons(here, state) if why else []
    promises = standing(here, now_us=time.time_ns() // 1000)
    told_figures = figures(here, _prices(folder), state["counters"], now=datetime.now(UTC))
    if as_json:
        told = {**state, "promises": [each.to_json() for each in promises], "figures": told_figures}
        print_json({**told, "why": [asdict(reason) for reason in found]} if why else told)
        return 0
    out = console()
    out.print(f"{state['url']}, {len(state['workers'])} workers, {state['restarts']} restarted")
    for fault in state["faults"]:
        out.print(f"WRONG: {fault}")
    rows = [
        (name, digest[:12], f"{model['weights'].get(digest, 0):g}", _part(model, digest))
        for name, model in state["models"].items()
        for digest in model["loaded"]
    ]
    out.print(table("What answers", ("model", "release", "weight", ""), rows, right=(2,)))
    if promises:
        lines = [(state_of(each.state), each.promise, each.told) for each in promises]
        out.print()
        out.print(table("What was promised", ("", "promise", ""), lines))
    out.print()
    for line in _figures(told_figures):
        out.print(line)
    if found:
        out.print()
    for reason in found:
        out.print(f"{reason.what}: {reason.why}.{f' {reason.do}' if reason.do else ''}")
    return 0


def _figures(found: Mapping[str, Any]) -> Iterator[str]:
    """Say how the project delivers, and what it costs, where that is known."""
    delivered = f"{found['deployments']} deployments in 30 days"
    if found["lead_time_s"] is not None:
        delivered += f", {length(found['lead_time_s'])} after they were made"
    if found["failure_share"]:
        delivered += f"; {found['failure_share']:.0%} were taken back, after {length(found['restore_s'])}"
    yield delivered + "."
    if found["per_million"] is not None:
        energy = f"{found['kwh_per_million']:.2g} kWh by estimate"
        yield f"A million rows cost {found['per_million']:.3g} by the price of processor time ({energy})."
    if found["per_training"] is not None:
        energy = f"{found['training_kwh']:.2g} kWh by estimate"
        yield f"A training costs {found['per_training']:.3g} ({energy}); the loop made {found['trainings']}."


def _part(model: dict[str, Any], digest: str) -> str:
    """Name the part that a release plays."""
    if digest in model["shadow"]:
        return "shadow"
    if digest == model["champion"]:
        return "champion"
    return "canary" if model["weights"].get(digest) else ""


def traffic(
    shares: Sequence[str],
    folder: Path,
    *,
    shadow: Sequence[str],
    sticky: str,
    bandit: bool,
    reason: str,
    as_json: bool,
) -> int:
    from holdtrue.cli.person import actor
    from holdtrue.pipeline.running import ask

    weights: dict[str, float] = {}
    for share in shares:
        name, sign, weight = share.rpartition("=")
        try:
            weights[name if sign else share] = float(weight) if sign else 1.0
        except ValueError:
            raise Misuse(f"{share!r} is no RELEASE=WEIGHT, such as champion=90.") from None
    body = {
        "weights": weights,
        "shadow": list(shadow),
        "sticky": sticky,
        "bandit": bandit,
        "reason": reason,
        "actor": actor(),
    }
    done = ask(keeper(folder), "POST", "/traffic", body)
    if as_json:
        print_json(done)
        return 0
    total = sum(done["weights"].values())
    for digest, weight in done["weights"].items():
        console().print(f"{done['model']} {digest[:12]} answers {weight / total:.1%} of the requests.")
    for digest in done["shadow"]:
        console().print(f"{done['model']} {digest[:12]} is a shadow.")
    return 0


def rollback(to: str, alias: str, reason: str, folder: Path, *, as_json: bool) -> int:
    from holdtrue.cli.person import now
    from holdtrue.pipeline.following import rollback

    print_moved(rollback(keeper(folder), to=to, alias=alias, reason=reason, now=now()), alias, as_json=as_json)
    return 0


def print_moved(moved: "Moved", alias: str, *, as_json: bool) -> None:
    """Say what became of an alias, and of the endpoint that follows it."""
    if as_json:
        print_json({"release": moved.digest, "alias": alias, "changed": moved.changed, "served": moved.served})
        return
    short = moved.digest[:12]
    console().print(f"{alias} is now {short}." if moved.changed else f"{alias} was {short} already; nothing changed.")
    if moved.served:
        console().print("The running endpoint answers with it.")
