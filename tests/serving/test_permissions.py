"""Who may do what: every route, method and kind of caller, however the path is spelled; the table is by hand."""

import asyncio
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.serving.endpoint import NAME, copied, token
from tests.serving.inside import LOCAL, Inside, inside, made

from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.serve import Endpoint, Serving
from holdtrue.serving.callers import Permission
from holdtrue.serving.doorman import Doorman
from holdtrue.serving.exchange import Limits, Server
from holdtrue.serving.http import Connection
from holdtrue.serving.manage import Manager
from holdtrue.serving.metrics import Metrics
from holdtrue.serving.plan import Plan
from holdtrue.serving.quotas import Limits as QuotaLimits
from holdtrue.serving.quotas import Quotas
from holdtrue.serving.site import Call, Route, Site, get
from holdtrue.serving.supervisor import Address, Supervisor
from holdtrue.serving.tokens import revoke

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LOCK")
MODEL = f"/v2/models/{NAME}"
# What each route needs. A route that is not here fails the tests: someone must say who may use it.
DATA: dict[tuple[str, str], Permission] = {
    ("GET", "/livez"): "health",
    ("GET", "/readyz"): "health",
    ("GET", "/ping"): "health",
    ("GET", "/v2/health/live"): "health",
    ("GET", "/v2/health/ready"): "health",
    ("GET", f"{MODEL}/ready"): "health",
    ("GET", f"{MODEL}/versions/VERSION/ready"): "health",
    ("GET", "/v2"): "read",
    ("GET", "/metrics"): "read",
    ("GET", "/openapi.json"): "read",
    ("GET", "/docs"): "read",
    ("GET", MODEL): "read",
    ("GET", f"{MODEL}/versions/VERSION"): "read",
    ("POST", "/predict"): "predict",
    ("POST", f"/predict/{NAME}"): "predict",
    ("POST", "/invocations"): "predict",
    ("POST", f"/invocations/{NAME}"): "predict",
    ("POST", f"{MODEL}/infer"): "predict",
    ("POST", f"{MODEL}/versions/VERSION/infer"): "predict",
    ("POST", "/labels"): "label",
}
MANAGEMENT: dict[tuple[str, str], Permission] = {
    ("GET", "/status"): "read",
    ("GET", "/openapi.json"): "read",
    ("POST", "/traffic"): "operate",
    ("POST", "/reload"): "operate",
    ("POST", "/stop"): "operate",
}
OPENS: dict[str, set[str]] = {
    "predict": {"health", "predict"},
    "label": {"health", "label"},
    "read": {"health", "read"},
    "operate": {"health", "operate", "read"},
    "admin": {"health", "predict", "label", "read", "operate", "admin"},
}
LOOPBACK: frozenset[Permission] = frozenset({"health", "predict", "read"})
BEYOND: frozenset[Permission] = frozenset({"health"})


class Wire:
    """The end of a connection that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.closing = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("198.51.100.7", 5) if name == "peername" else default

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closing = True

    def write_eof(self) -> None:
        self.closing = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """How somebody shows who they are; `opens` is None for who is refused whatever they ask."""

    name: str
    header: bytes
    opens: set[str] | None


def callers(folder: Path, anonymous: frozenset[Permission]) -> list[Caller]:
    """Make one caller of each kind, with tokens of a real list."""
    path = folder / ".holdtrue" / "keys" / "tokens.json"
    _, old = token(folder, "admin", now=datetime.now(UTC) - timedelta(days=10), days=1)
    taken, gone = token(folder, "admin")
    revoke(path, taken, datetime.now(UTC))
    _, whole = token(folder, "admin")
    unknown = f"ht_{'0' * 12}_{'A' * 43}"
    refused = {
        "malformed": f"Bearer {whole[:-1]}",
        "not bearer": f"Basic {whole}",
        "no scheme": whole,
        "two tokens": f"Bearer {whole}, Bearer {whole}",
        "two in one": f"Bearer {whole} {whole}",
        "no token": "Bearer ",
        "unknown": f"Bearer {unknown}",
        "expired": f"Bearer {old}",
        "revoked": f"Bearer {gone}",
        "quoted": f'Bearer "{whole}"',
        "in capitals": f"Bearer {whole.upper()}",
        "a JWT without a signature": "Bearer eyJhbGciOiJub25lIn0.eyJzY29wZSI6ImFkbWluIn0.",
    }
    made = [
        Caller(name=name, header=f"authorization: {header}\r\n".encode(), opens=None)
        for name, header in refused.items()
    ]
    made.append(Caller(name="nobody", header=b"", opens=set(anonymous)))
    for scope, opens in OPENS.items():
        made.append(
            Caller(name=scope, header=f"Authorization: Bearer {token(folder, scope)[1]}\r\n".encode(), opens=opens)
        )
    _, both = token(folder, "label", "read")
    return [
        *made,
        Caller(
            name="two scopes", header=f"authorization: bearer {both}\r\n".encode(), opens={"health", "label", "read"}
        ),
    ]


def expected(table: dict[tuple[str, str], Permission], method: str, path: str, caller: Caller) -> int:
    """Say by hand what one request must come to."""
    methods = {known for known, at in table if at == path}
    if not methods:
        return 404
    permission = table.get((method, path)) or (table.get(("GET", path)) if method == "HEAD" else None)
    if permission is None:
        return 405
    if caller.opens is None:
        return 401
    if permission in caller.opens:
        return 200
    return 401 if caller.name == "nobody" else 403


def spelled(path: str) -> Iterator[str]:
    """Write a path in ways that some server somewhere takes for the same."""
    last = path.rpartition("/")[2]
    yield from (
        f"{path}/",
        f"{path}//",
        f"/{path}",
        f"{path}.",
        f"{path}/.",
        f"/.{path}",
        f"/x/..{path}",
        f"{path}/x/..",
    )
    yield from (path.upper(), path.replace("/", "//"), path.replace("/", "%2f"), path.replace("/", "%2F"))
    yield from (
        f"{path};",
        f"{path};x=y",
        f"/;{path}",
        f"{path}%00",
        f"{path}%20",
        f"{path}%2f",
        f"{path}%09",
        f"{path}%23",
    )
    yield from (
        f"/%2e{path}",
        f"/%2e%2e{path}",
        f"/%252e{path}",
        f"/..%2f{path[1:]}",
        f"{path[0]}%{ord(path[1]):02x}{path[2:]}",
    )
    yield from (
        path.replace("/", "\\"),
        f"{path}\\",
        f"{path}#",
        f"{path}#x",
        f"{path},",
        f"{path}:",
        f"{path}*",
        f"{path}~",
    )
    yield from (
        f"http://localhost{path}",
        f"http://evil.example{path}",
        f"//evil.example{path}",
        f"{path[:-1]}%{ord(last[-1]):02X}",
    )
    yield from (f"{path}.json", f"{path}&x", f"{path}=", f"/api{path}", f"{path}|", f"{path}'", f'{path}"')


SAME = ("?", "?x=y", "?/../livez", "?access_token=SECRET", "?_method=GET", "?%23")
HEADERS = (
    "x-http-method-override: GET", "x-http-method: GET", "x-method-override: GET", "x-original-url: /livez",
    "x-rewrite-url: /livez", "x-forwarded-for: 127.0.0.1", "x-forwarded-host: localhost", "x-forwarded-proto: https",
    "x-forwarded-prefix: /v2/health", "x-forwarded-user: admin", "x-real-ip: 127.0.0.1", "forwarded: for=127.0.0.1",
    "x-remote-user: admin", "remote-user: admin", "x-client-cert: yes", "proxy-authorization: Bearer SECRET",
    "x-authorization: Bearer SECRET", "x-api-key: SECRET", "cookie: token=SECRET; authorization=Bearer SECRET",
    "x-auth-token: SECRET", "x-custom-ip-authorization: 127.0.0.1", "via: 1.1 localhost", "x-holdtrue-scope: admin",
)  # fmt: skip


def is_health(table: dict[tuple[str, str], Permission], method: str, path: str) -> bool:
    return table.get(("GET" if method == "HEAD" else method, path)) == "health"


HOSTS = ("localhost/livez", "localhost/livez?", "localhost#", "localhost?x", "livez.localhost", "evil.example", "")


@dataclass(kw_only=True, slots=True)
class Plane:
    """A site whose routes only say that somebody was let in, with the callers that its tokens make."""

    site: Site
    table: dict[tuple[str, str], Permission]
    callers: list[Caller]
    secret: str
    counted: Counter[str]

    def status(self, method: str, target: str, lines: bytes, host: str = "localhost:80") -> int:
        """Send one request and give the status of its answer."""
        server = Server(self.site, Limits(), fail=self.site.fail, wall=lambda: 0.0)
        wire, connection = Wire(), Connection(server)
        connection.connection_made(wire)
        connection.data_received(f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n".encode("latin-1") + lines + b"\r\n")
        self.counted[method] += 1
        return int(wire.data.split(b" ", 2)[1])

    @property
    def paths(self) -> list[str]:
        return sorted({path for _, path in self.table})


def _let_in(site: Site) -> Any:
    def handle(call: Call) -> None:
        site.reply(call, {})

    return handle


def strict(routes: dict[bytes, dict[bytes, Route]], tokens: Path, anonymous: frozenset[Permission]) -> Site:
    """Put the same routes into a site of their own, behind a door of our choice."""
    site = Site(
        doorman=Doorman(tokens, anonymous=anonymous),
        quotas=Quotas(QuotaLimits()),
        metrics=Metrics(),
        hosts=LOCAL,
        wall_s=lambda: datetime.now(UTC).timestamp(),
        new_id=lambda: "0" * 32,
    )
    for methods in routes.values():
        for method, route in methods.items():
            if method == route.method.encode():
                site.add(replace(route, handle=_let_in(site)))
    return site


def found(site: Site) -> dict[tuple[str, str], Permission]:
    return {
        (method.decode(), path.decode()): route.permission
        for path, methods in site.routes.items()
        for method, route in methods.items()
        if method != b"HEAD"
    }


@pytest.fixture(scope="module")
def folder(trips_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(trips_made, tmp_path_factory.mktemp("permissions") / "trips")


@pytest.fixture(scope="module")
def data_routes(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[bytes, dict[bytes, Route]]]:
    loop = asyncio.new_event_loop()
    here = made(plan, tmp_path_factory.mktemp("routes"), loop, limits=Limits())
    yield here.site.routes
    here.journal.close()
    loop.close()


@pytest.fixture(scope="module")
def management_routes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bytes, dict[bytes, Route]]:
    """The routes of a manager of a supervisor that has started nothing."""
    where = tmp_path_factory.mktemp("supervisor")
    serving = Serving(address=Address(uds=str(where / "door.sock")))
    endpoint = Endpoint(keeper=keeper_of(folder, {}, actor="tester"), serving=serving, names=("champion",))
    begin = endpoint._begin(where)  # pyright: ignore[reportPrivateUsage] - all that a supervisor is told
    site = strict({}, where / "tokens.json", BEYOND)
    supervisor = Supervisor(begin, serving.address, workers=1)
    Manager(site, supervisor, admit=_never, record=_never, stop=_never)
    return site.routes


def _never(*_: object) -> Any:
    raise AssertionError("nothing is asked for here")


@pytest.fixture(scope="module", params=["beyond loopback", "loopback", "management"])
def plane(
    request: pytest.FixtureRequest,
    plan: Plan,
    folder: Path,
    data_routes: dict[bytes, dict[bytes, Route]],
    management_routes: dict[bytes, dict[bytes, Route]],
) -> Plane:
    anonymous = LOOPBACK if request.param == "loopback" else BEYOND
    routes = management_routes if request.param == "management" else data_routes
    data: dict[tuple[str, str], Permission] = {
        (method, path.replace("VERSION", plan.version)): needs for (method, path), needs in DATA.items()
    }
    return Plane(
        site=strict(routes, folder / ".holdtrue" / "keys" / "tokens.json", anonymous),
        table=MANAGEMENT if request.param == "management" else data,
        callers=callers(folder, anonymous),
        secret=token(folder, "admin")[1],
        counted=Counter(),
    )


def test_every_route_is_in_the_table_that_was_written_by_hand(plane: Plane) -> None:
    assert found(plane.site) == plane.table


@pytest.mark.slow
def test_every_method_of_every_route_lets_in_whom_the_table_says(plane: Plane) -> None:
    wrong = [
        (method, path, caller.name, got, wanted)
        for path in [*plane.paths, "/", "/admin", "/v2/models", "/v2/repository/index", "/status/x"]
        for method in METHODS
        for caller in plane.callers
        if (got := plane.status(method, path, caller.header)) != (wanted := expected(plane.table, method, path, caller))
    ]
    assert not wrong
    assert sum(plane.counted.values()) > 1_000


@pytest.mark.slow
def test_a_path_spelled_otherwise_is_no_path(plane: Plane) -> None:
    """Neither for those who may, nor for those who may not: 404, or no HTTP at all."""
    wrong = [
        (method, target, caller.name, got)
        for method, path in plane.table
        for target in spelled(path)
        for caller in plane.callers
        if caller.name in ("nobody", "admin", "predict", "expired")
        and (got := plane.status(method, target, caller.header)) not in (400, 404)
    ]
    assert not wrong


@pytest.mark.slow
def test_what_stands_in_other_headers_or_in_the_query_lets_nobody_in(plane: Plane) -> None:
    some = [caller for caller in plane.callers if caller.name in ("nobody", "label", "operate", "revoked", "admin")]
    wrong: list[tuple[str, str, str, str, int]] = []
    for method, path in plane.table:
        for caller in some:
            wanted = expected(plane.table, method, path, caller)
            for query in SAME:
                got = plane.status(method, path + query.replace("SECRET", plane.secret), caller.header)
                wrong += [(method, path, query, caller.name, got)] * (got != wanted)
            for line in HEADERS:
                sent = caller.header + f"{line.replace('SECRET', plane.secret)}\r\n".encode()
                got = plane.status(method, path, sent)
                wrong += [(method, path, line, caller.name, got)] * (got != wanted)
            for host in HOSTS:
                got = plane.status(method, path, caller.header, host=host)
                wanted_here = wanted if is_health(plane.table, method, path) else 421  # probes know no names
                wrong += [(method, path, host, caller.name, got)] * (got != wanted_here)
    assert not wrong


def test_two_tokens_are_refused_whoever_they_belong_to(plane: Plane) -> None:
    shown = {caller.name: caller.header for caller in plane.callers}
    for first, second in (("admin", "predict"), ("predict", "admin"), ("admin", "admin"), ("revoked", "admin")):
        for method, path in plane.table:
            assert plane.status(method, path, shown[first] + shown[second]) == 400


def test_a_token_that_is_revoked_is_out_within_a_second(plan: Plan, trips_folder: Path, tmp_path: Path) -> None:
    path = trips_folder / ".holdtrue" / "keys" / "tokens.json"
    identifier, secret = token(trips_folder, "read")
    with inside(plan, tmp_path, tokens=path, anonymous=BEYOND) as here:
        assert _read(here, secret) == 200
        revoke(path, identifier, datetime.now(UTC))
        here.call(lambda: here.site._doorman.look(datetime.now(UTC).timestamp()))  # pyright: ignore[reportPrivateUsage] - as a second later
        assert _read(here, secret) == 401


def _read(here: Inside, secret: str) -> int:
    from tests.serving.raw import Raw, request

    raw = Raw(link=here.connect())
    try:
        return raw.send(request("GET", "/v2", authorization=f"Bearer {secret}")).reply().status
    finally:
        raw.close()


@pytest.mark.parametrize("permission", ["", "anybody", "Health", None])
def test_a_route_that_does_not_say_who_may_use_it_is_not_added(plane: Plane, permission: Any) -> None:
    route = get("/x", "x", "health", _never, "A route")
    object.__setattr__(route, "permission", permission)
    with pytest.raises(ValueError, match="needs a permission"):
        plane.site.add(route)
    assert b"/x" not in plane.site.routes


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a?b", "/a%20b", "/a;b", "/ä", "/a#b", "/a\\b", "/a\r\nb"])
def test_a_route_has_a_path_that_can_be_written_in_one_way(plane: Plane, path: str) -> None:
    with pytest.raises(ValueError, match="more than one way"):
        plane.site.add(get(path, "x", "health", _never, "A route"))


def test_a_route_is_added_once(plane: Plane) -> None:
    _, path = next(key for key in plane.table if key[0] == "GET")
    with pytest.raises(ValueError, match="twice"):
        plane.site.add(get(path, "x", "health", _never, "A route"))
