"""The verbs about an endpoint as they stand on the command line: serve, see, change and go back."""

from pathlib import Path
from typing import Annotated

import typer

from holdtrue.cli import serve_options as given
from holdtrue.cli.guard import guarded
from holdtrue.cli.options import HERE, AsJson, Folder, Profile


def serve(
    releases: given.Releases = None,
    host: given.Host = "127.0.0.1",
    port: given.Port = 8080,
    uds: given.Uds = "",
    grpc_port: given.GrpcPort = None,
    workers: given.Workers = 1,
    ack: given.AckWhen = "buffered",
    when_full: given.Full = "refuse",
    tls_cert: given.TlsCert = None,
    tls_key: given.TlsKey = None,
    client_ca: given.ClientCa = None,
    allow_host: given.AllowHost = None,
    requests_per_second: given.RequestsPerSecond = None,
    rows_per_day: given.RowsPerDay = None,
    connections_per_address: given.ConnectionsPerAddress = None,
    oidc_issuer: given.OidcIssuer = "",
    oidc_audience: given.OidcAudience = "",
    oidc_keys: given.OidcKeys = "",
    insecure: given.Insecure = False,
    subject: given.Subject = "",
    batch_rows: given.BatchRows = 4_096,
    cache: given.CacheRows = 0,
    cache_url: given.CacheUrl = "",
    tidy_every: given.TidyEvery = 300.0,
    log_format: given.LogFormat = "text",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Answer predictions. The champion of the project, unless other releases are named."""
    from holdtrue.cli.serving import serve

    options = given.ServeOptions(
        host=host, port=port, uds=uds, grpc_port=grpc_port, workers=workers, ack=ack, when_full=when_full,
        tls_cert=tls_cert, tls_key=tls_key, client_ca=client_ca, allow_host=allow_host or (),
        requests_per_second=requests_per_second, rows_per_day=rows_per_day,
        connections_per_address=connections_per_address, oidc_issuer=oidc_issuer, oidc_audience=oidc_audience,
        oidc_keys=oidc_keys, insecure=insecure, subject=subject, batch_rows=batch_rows, cache=cache,
        cache_url=cache_url, tidy_every=tidy_every, log_format=log_format,
    )  # fmt: skip
    return serve(releases or [], folder, options, as_json=as_json)


def status(
    why: Annotated[
        bool, typer.Option("--why", help="Say why it is so: who changed it, what is wrong, what is turned away.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Say what the endpoint of this project serves."""
    from holdtrue.cli.serving import status

    return status(folder, why=why, as_json=as_json)


def traffic(
    shares: Annotated[list[str], typer.Argument(metavar="RELEASE=WEIGHT...", help="Which releases answer, by weight.")],
    shadow: Annotated[list[str] | None, typer.Option(help="A release that is asked too and never answers.")] = None,
    sticky: Annotated[str, typer.Option(help="A column: the same value always meets the same release.")] = "",
    bandit: Annotated[
        bool, typer.Option("--bandit", help="Move the weights to the release that labels show to be right most often.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the ledger.")] = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Change which releases a running endpoint answers with."""
    from holdtrue.cli.serving import traffic

    return traffic(shares, folder, shadow=shadow or [], sticky=sticky, bandit=bandit, reason=reason, as_json=as_json)


def rollback(
    to: Annotated[str, typer.Option(metavar="RELEASE", help="The one to go back to.", show_default="the last")] = "",
    alias: Annotated[str, typer.Option(help="The name to give back.")] = "champion",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the ledger.")] = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Give an alias back to the release before."""
    from holdtrue.cli.serving import rollback

    return rollback(to, alias, reason, folder, as_json=as_json)


def watch(
    release: Annotated[str, typer.Option(help="The release to look at.")] = "champion",
    windows: Annotated[int, typer.Option(help="How many windows to show.")] = 7,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on: look again whenever a window is over, until Ctrl-C.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look: note no alarm and tell nobody.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Look for drift, and hold promises against labels."""
    from holdtrue.cli.watching import look

    return look(folder, release=release, windows=windows, follow=follow, dry_run=dry_run, as_json=as_json)


def alarms(
    silence: Annotated[str, typer.Option(metavar="ID", help="Let nobody be told of this alarm for a while.")] = "",
    length: Annotated[str, typer.Option("--for", help="How long: 12h, 7d, 2w.")] = "7d",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the ledger.")] = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """List the alarms that last, or silence one."""
    from holdtrue.cli.watching import alarms

    return alarms(folder, silence=silence, length=length, reason=reason, as_json=as_json)


def up(
    context: typer.Context,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Serve the champion, with the loop that keeps its promises. Takes all options of serve."""
    from holdtrue.cli.looping import up

    return up(context.args, folder, as_json=as_json)


def loop(
    act: Annotated[
        str, typer.Argument(metavar="ACT", help="status, run, train, approve, refuse, stop or resume.")
    ] = "status",
    release: Annotated[str, typer.Option(help="The one that is approved or refused; the one that waits.")] = "",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the ledger.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Train whatever holds it back.")] = False,
    go_on: Annotated[bool, typer.Option("--go-on", help="Resume what was under way, instead of giving it up.")] = False,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="The time is right now, though it was later before.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="With run: end when nothing is left to do.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """See the loop, run its worker, or tell it something."""
    from holdtrue.cli.looping import loop

    return loop(
        act, folder, release=release, reason=reason, force=force, go_on=go_on, trust_clock=trust_clock, once=once,
        as_json=as_json,
    )  # fmt: skip


def simulate(
    start: Annotated[
        str, typer.Option(metavar="TIME|SHARE", help="Train on the rows before: 2017-01-01, 60%.")
    ] = "60%",
    end: Annotated[
        str, typer.Option(metavar="TIME|SHARE", help="Live through the rows before.", show_default="the last row")
    ] = "",
    labels_after: Annotated[
        str, typer.Option(metavar="LENGTH|COLUMN", help="How late truths are known, or the column that says when.")
    ] = "1d",
    by_order: Annotated[
        str,
        typer.Option(metavar="LENGTH", help="Take the rows as they stand, so far apart.", show_default="by data.time"),
    ] = "",
    step: Annotated[
        str, typer.Option(metavar="LENGTH", help="How often the loop looks.", show_default="watch.window")
    ] = "",
    fault: Annotated[
        list[str] | None,
        typer.Option(help="drift:TIME:COLUMN*1.5, noise:TIME:20%, poison:TIME:10% or outage:TIME:6h; say it again."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Try other sections retrain, serve and watch.")
    ] = None,
    metric: Annotated[str, typer.Option(help="Of the curves.", show_default="the first promised one")] = "",
    rows_per_request: Annotated[int, typer.Option(help="At most so many, of one moment.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 7,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the simulated project, with its store, here.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture.", show_default="simulation.html")] = None,
    folder: Folder = HERE,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Try the loop on the past, with and without it."""
    from holdtrue.cli.simulating import SimulateOptions, simulate

    options = SimulateOptions(
        start=start, end=end, labels_after=labels_after, by_order=by_order, step=step, faults=fault or (),
        policy=policy, metric=metric, rows_per_request=rows_per_request, seed=seed, keep=keep, out=out,
    )  # fmt: skip
    return simulate(folder, options, profile=profile, as_json=as_json)


def add_endpoint_verbs(app: typer.Typer) -> None:
    """Put the verbs on the command line, each with an example."""
    app.command(epilog="Example: holdtrue serve --port 8080 --workers 2")(guarded(serve))
    app.command(
        epilog="Example: holdtrue up --port 8080 --workers 2",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(guarded(up))
    app.command(epilog="Example: holdtrue loop train --reason 'a new price list'")(guarded(loop))
    app.command(epilog="Example: holdtrue status --why")(guarded(status))
    app.command(epilog="Example: holdtrue traffic champion=90 challenger=10")(guarded(traffic))
    app.command(epilog="Example: holdtrue rollback --reason 'answers got worse'")(guarded(rollback))
    app.command(epilog="Example: holdtrue watch --windows 28")(guarded(watch))
    app.command(epilog="Example: holdtrue alarms --silence 1f2e3d4c --for 7d --reason 'school holidays'")(
        guarded(alarms)
    )
    app.command(epilog="Example: holdtrue simulate --start 2017-01-01 --labels-after 7d")(guarded(simulate))
