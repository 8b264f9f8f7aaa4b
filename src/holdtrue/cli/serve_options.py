"""The options of `holdtrue serve`: as the command line shows them, and together as the verb takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Releases = Annotated[
    list[str] | None,
    typer.Argument(metavar="RELEASE...", help="Releases, aliases or bundles.", show_default="champion"),
]
Host = Annotated[str, typer.Option(help="The address to listen at.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")]
Uds = Annotated[str, typer.Option(help="Listen at a Unix socket instead.")]
GrpcPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Answer gRPC too, at this port; 0 takes a free one.")
]
Workers = Annotated[int, typer.Option(min=1, max=256, help="Processes that answer.")]
AckWhen = Annotated[
    str,
    typer.Option(
        metavar="buffered|durable|none", help="Answer when the system, or the disk, has the receipt; none: keep none."
    ),
]
Full = Annotated[
    str, typer.Option(metavar="refuse|count", help="When receipts cannot be written: refuse, or count what is lost.")
]
TlsCert = Annotated[Path | None, typer.Option(help="A certificate (PEM) for encrypted connections.")]
TlsKey = Annotated[Path | None, typer.Option(help="Its private key (PEM).")]
ClientCa = Annotated[Path | None, typer.Option(help="Clients show a certificate of this authority.")]
AllowHost = Annotated[list[str] | None, typer.Option(help="A further name this server answers to.")]
RequestsPerSecond = Annotated[float | None, typer.Option(min=0.001, help="Of one caller, in each worker.")]
RowsPerDay = Annotated[int | None, typer.Option(min=1, help="Of one caller, in each worker.")]
ConnectionsPerAddress = Annotated[
    int | None, typer.Option(min=1, help="Open connections from one address, in each worker.")
]
OidcIssuer = Annotated[str, typer.Option(metavar="URL", help="Believe the tokens of this issuer too.")]
OidcAudience = Annotated[str, typer.Option(help="What its tokens for this service hold as `aud`.")]
OidcKeys = Annotated[str, typer.Option(metavar="FILE|URL", help="Its keys (JWKS).", show_default="the issuer is asked")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Listen beyond this machine without encryption or tokens.")]
Subject = Annotated[str, typer.Option(help="A column that names a person: receipts are sealed with their key.")]
BatchRows = Annotated[
    int, typer.Option(min=1, metavar="ROWS", help="At most so many go through a graph together; 1: no batches.")
]
CacheRows = Annotated[
    int, typer.Option(min=0, metavar="ROWS", help="Keep the answers to so many single rows, and give them again.")
]
CacheUrl = Annotated[
    str, typer.Option(metavar="URL", envvar="HOLDTRUE_CACHE_URL", help="Share them by this Redis server.")
]
LogFormat = Annotated[str, typer.Option(metavar="text|json", help="How lines of the log are written.")]
TidyEvery = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Seal and compact the traffic so often; 0: never.")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """What was given, by the names on the command line."""

    host: str
    port: int
    uds: str
    grpc_port: int | None
    workers: int
    ack: str
    when_full: str
    tls_cert: Path | None
    tls_key: Path | None
    client_ca: Path | None
    allow_host: Sequence[str]
    requests_per_second: float | None
    rows_per_day: int | None
    connections_per_address: int | None
    oidc_issuer: str
    oidc_audience: str
    oidc_keys: str
    insecure: bool
    subject: str
    batch_rows: int
    cache: int
    cache_url: str
    tidy_every: float
    log_format: str
