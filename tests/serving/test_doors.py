"""Where an endpoint listens and whom it hears: loopback, a Unix socket, TLS; by its own names, and no other sites."""

import json
import signal
import socket
import ssl
import stat
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.cli.driver import launched
from tests.serving.certificates import Authority
from tests.serving.endpoint import COLUMNS, Served, copied, rows, serving, until
from tests.serving.inside import Inside, inside
from tests.serving.raw import Raw, Reply, request

from holdtrue.serving.plan import Plan

ROW = json.dumps(rows(1, target=False)[0]).encode()
OWN = "localhost:8080"


@pytest.fixture(scope="module")
def here(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Inside]:
    hosts = ("localhost", "127.0.0.1", "[::1]", "models.example")
    with inside(plan, tmp_path_factory.mktemp("doors"), hosts=hosts) as made:
        yield made


def ask(to: Inside, data: bytes) -> Reply:
    raw = Raw(link=to.connect())
    try:
        return raw.send(data).reply()
    finally:
        raw.close()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost",
        "localhost:8080",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8080",
        "Models.Example:443",
    ],
)
def test_an_endpoint_answers_to_its_names(here: Inside, host: str) -> None:
    assert ask(here, request("GET", "/v2", host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil.example", "evil.example:8080", "127.0.0.1.evil.example",
        "localhost@evil.example", "localhost/evil", "localhost?", "localhost#", "localhost:80:80", "localhost:",
        "localhost:123456", "localhost:x", "", ":8080", "[::1", "[::2]", "0.0.0.0", "2130706433", "0x7f000001",
        "127.1", "localhost.", "xlocalhost", "localhost, evil.example", "localhost evil", "http://localhost",
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/v2", "/nothing"])
def test_a_name_of_somebody_else_is_refused(here: Inside, host: str, target: str) -> None:
    """A page in a browser that has its own name lead here reads nothing."""
    made = ask(here, request("GET", target, host=host))
    assert (made.status, made.code) == (421, "host")


def test_a_probe_comes_by_the_address_of_a_pod(here: Inside) -> None:
    for target in ("/livez", "/readyz", "/ping", "/v2/health/ready"):
        assert ask(here, request("GET", target, host="10.0.0.7:8080")).status == 200
    assert ask(here, request("POST", "/livez", b"{}", host="10.0.0.7:8080")).status == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "CROSS-SITE"}, 403),
        ({"sec_fetch_site": ""}, 403),
        ({"sec_fetch_site": "cross-site", "origin": f"http://{OWN}"}, 403),
        ({"origin": f"http://{OWN}"}, 200),
        ({"origin": f"https://{OWN}"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": f"http://{OWN}.evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
    ],
)
def test_a_page_of_another_site_makes_a_browser_send_nothing(
    here: Inside, headers: dict[str, str], status: int
) -> None:
    for path, body in (("/predict", ROW), ("/labels", b'{"key":{"a":1},"value":1}')):
        made = ask(here, request("POST", path, body, host=OWN, **headers))
        assert made.status == status
        if status == 403:
            assert made.code == "cross-site"
    assert ask(here, request("GET", "/v2", host=OWN, **headers)).status == 200


def test_no_answer_lets_other_sites_read_it_or_guess_its_type(here: Inside) -> None:
    for sent in (
        request("GET", "/docs"),
        request("GET", "/v2", origin="http://evil.example"),
        request("GET", "/nothing"),
        request("POST", "/predict", ROW),
        request("OPTIONS", "/predict", origin="http://evil.example", access_control_request_method="POST"),
        b"nonsense\r\n\r\n",
    ):
        made = ask(here, sent)
        assert made.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in made.headers if name.startswith("access-control")]


def test_what_a_client_says_never_becomes_part_of_the_page(here: Inside) -> None:
    made = ask(here, request("GET", "/docs?<script>alert(1)</script>"))
    assert "default-src 'none'" in made.headers["content-security-policy"]
    assert b"<script" not in made.body.lower()
    for column in COLUMNS:
        assert column.encode() in made.body


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "needs encryption"),
        (("--host", "::"), "needs encryption"),
        (("--host", "192.0.2.1"), "needs encryption"),
        (("--tls-cert", "rows.csv"), "belong together"),
        (("--tls-key", "rows.csv"), "belong together"),
        (("--tls-cert", "none.pem", "--tls-key", "none.key"), "not there"),
        (("--client-ca", "rows.csv"), "one of our own"),
        (("--host", "192.0.2.1", "--insecure"), "Nothing can listen"),
    ],
)
@pytest.mark.slow
def test_what_would_be_open_to_others_does_not_start(trips_folder: Path, words: tuple[str, ...], said: str) -> None:
    done = launched("serve", "--port", "0", *words, folder=trips_folder)
    assert done.code == 2, done.err
    assert said in done.err
    assert not list(trips_folder.rglob("*.sock"))
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_a_unix_socket_is_only_its_owners(trips_folder: Path, tmp_path: Path) -> None:
    where = tmp_path / "door.sock"
    with serving(trips_folder, "--uds", str(where)) as made:
        assert made.url == f"http+unix://{where}"
        assert stat.S_ISSOCK(where.stat().st_mode)
        assert stat.S_IMODE(where.stat().st_mode) & 0o022 == 0
        assert stat.S_IMODE(Path(made.manage).stat().st_mode) == 0o600
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(20)
        link.connect(str(where))
        raw = Raw(link=link)
        assert raw.send(request("POST", "/predict", ROW, host="anything")).reply().status == 200
        raw.close()
    assert not where.exists()


def secured(made: Served, authority: Authority, client: tuple[str, str] | None = None) -> Raw:
    context = ssl.create_default_context(cafile=str(authority.pair.certificate))
    if client is not None:
        context.load_cert_chain(*client)
    return Raw(link=context.wrap_socket(made.connect(), server_hostname="127.0.0.1"))


@pytest.mark.slow
def test_an_encrypted_endpoint_speaks_tls_alone(trips_folder: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", "authority")
    pair = authority.vouch("server")
    with serving(trips_folder, "--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)) as made:
        assert made.url.startswith("https://127.0.0.1:")
        raw = secured(made, authority)
        table = json.dumps(rows(3_000, target=False)).encode()
        raw.send(request("POST", "/predict", ROW) * 3 + request("POST", "/predict", table))
        assert [raw.reply().status for _ in range(4)] == [200] * 4
        raw.send(b"nonsense\r\n\r\n")
        assert raw.reply().status == 400
        assert raw.ended()
        plain = Raw(link=made.connect())
        plain.send(request("GET", "/livez"))
        with pytest.raises((EOFError, AssertionError)):
            plain.reply()
        silent = made.connect(timeout_s=30.0)
        start = time.monotonic()
        assert Raw(link=silent).ended()  # who never shakes hands is not waited for
        assert time.monotonic() - start < 15
        held = secured(made, authority)
        assert held.send(request("GET", "/livez")).reply().status == 200
        start = time.monotonic()
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(timeout=20) == 0
        assert time.monotonic() - start < 10  # also while a client that says nothing holds its connection
        held.close()


@pytest.mark.slow
def test_clients_show_a_certificate_where_they_must(trips_folder: Path, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours", "ours"), Authority(tmp_path / "theirs", "theirs")
    pair, client, stranger = ours.vouch("server"), ours.vouch("client"), theirs.vouch("stranger")
    words = (
        *("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)),
        *("--client-ca", str(ours.pair.certificate)),
    )
    with serving(trips_folder, *words) as made:
        known = secured(made, ours, (str(client.certificate), str(client.key)))
        assert known.send(request("POST", "/predict", ROW)).reply().status == 200
        for shown in (None, (str(stranger.certificate), str(stranger.key))):
            with pytest.raises((EOFError, OSError)):
                secured(made, ours, shown).send(request("GET", "/livez")).reply()


@pytest.mark.slow
def test_beyond_loopback_only_health_needs_no_token(trips_folder: Path, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "ca", "authority").vouch("server")
    words = ("--host", "0.0.0.0", "--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with serving(trips_folder, *words) as made:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = Raw(link=context.wrap_socket(socket.create_connection(("127.0.0.1", made.port), timeout=20)))
        assert raw.send(request("GET", "/livez")).reply().status == 200
        for sent in (request("POST", "/predict", ROW), request("GET", "/v2"), request("GET", "/metrics")):
            assert raw.send(sent).reply().status == 401


@pytest.mark.slow
def test_more_connections_than_files_may_be_open_leave_the_others_served(trips_folder: Path) -> None:
    """The journal must still be able to write, and who was let in to be answered."""
    few = ("sh", "-c", 'ulimit -n 200; exec "$@"', "sh")
    with serving(trips_folder, wrapped=few) as made:
        (worker,) = made.workers()
        first = Raw(link=made.connect())
        assert first.send(request("POST", "/predict", ROW)).reply().status == 200
        held = [made.connect() for _ in range(400)]
        assert first.send(request("POST", "/predict", ROW)).reply().status == 200
        assert len(list(Path(f"/proc/{worker}/fd").iterdir())) < 190
        for link in held:
            link.close()
        until(lambda: _live(made))
        assert made.workers() == [worker]


@pytest.mark.slow
def test_two_endpoints_do_not_share_an_address(trips_folder: Path, tmp_path: Path) -> None:
    """Else each would get half of the other's requests."""
    other = copied(trips_folder, tmp_path / "other")
    where = tmp_path / "door.sock"
    with serving(trips_folder) as one:
        done = launched("serve", "--port", str(one.port), folder=other)
        assert (done.code, "Address already in use" in done.err) == (2, True)
        assert not list(other.rglob("*.sock"))
        with serving(other, "--uds", str(where)):
            third = copied(trips_folder, tmp_path / "third")
            done = launched("serve", "--uds", str(where), folder=third)
            assert (done.code, "Address already in use" in done.err) == (2, True)
        assert one.ask("GET", "/livez").status == 200


@pytest.mark.slow
def test_the_socket_of_a_killed_endpoint_is_replaced_and_a_file_is_not(trips_folder: Path, tmp_path: Path) -> None:
    where = tmp_path / "door.sock"
    with serving(trips_folder, "--uds", str(where)) as made:
        made.process.kill()
        made.process.wait(timeout=20)
        until(lambda: _refused(where))
    with serving(trips_folder, "--uds", str(where)) as made:
        assert made.process.poll() is None
    where.write_text("precious")
    done = launched("serve", "--uds", str(where), folder=trips_folder)
    assert (done.code, where.read_text()) == (2, "precious")


def _refused(where: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(str(where)) != 0


def _live(made: Served) -> bool:
    try:
        return made.ask("GET", "/livez").status == 200
    except OSError:
        return False
