"""What the options of `holdtrue serve` change, on a running endpoint."""

import csv
import io
import json
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.cli.driver import launched
from tests.serving.endpoint import NAME, Served, rows, serving, until
from tests.serving.issuer import AUDIENCE, claims, jwk, jwks, private, signed

from holdtrue.data.traffic.read import labels, receipts

ROWS = rows(3, target=False)
ISSUER = "https://issuer.example/realm"


@pytest.mark.slow
def test_without_receipts_answers_have_ids_and_labels_are_kept(trips_folder: Path) -> None:
    with serving(trips_folder, "--ack", "none", "--batch-rows", "1") as served:
        kept = served.ask("POST", "/predict", ROWS)
        assert (kept.status, len(kept.json["predictions"])) == (200, 3)
        id = kept.json["prediction_id"]
        assert len(id) == 32
        done = launched("token", "new", "--name", "crm", "--scope", "label", "--json", folder=trips_folder)
        secret = json.loads(done.out)["secret"]
        label = {"prediction_id": id, "row": 1, "value": "yes"}
        time.sleep(1.1)  # the list of tokens is looked at once a second
        answered = served.ask("POST", "/labels", label, {"authorization": f"Bearer {secret}"})
        assert (answered.status, answered.json) == (200, {"kept": 1})
    traffic = trips_folder / ".holdtrue" / "traffic"
    assert not list(receipts(traffic))
    assert [one.prediction for one in labels(traffic)] == [id]


@pytest.mark.slow
def test_an_issuer_on_the_command_line_lets_its_tokens_in(trips_folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_bytes(jwks(jwk(private("ES256"), "one")))
    words = ("--oidc-issuer", ISSUER, "--oidc-audience", AUDIENCE, "--oidc-keys", str(keys))
    with serving(trips_folder, *words) as served:

        def asked(**more: object) -> int:
            now_s = time.time()
            said = claims(ISSUER, iat=now_s, nbf=now_s, exp=now_s + 60, **more)
            token = signed({"alg": "ES256", "kid": "one"}, said, private("ES256")).decode()
            return served.ask("POST", "/predict", ROWS, {"authorization": f"Bearer {token}"}).status

        assert asked(scope="holdtrue:predict", sub="ada") == 200
        assert asked(scope="holdtrue:label") == 403
        assert asked(scope="holdtrue:predict", aud="another") == 401
    assert [one.caller for one in receipts(trips_folder / ".holdtrue" / "traffic")] == ["ada"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--oidc-issuer", ISSUER), "needs an audience"),
        (("--oidc-audience", "me"), "--oidc-issuer"),
        (("--oidc-issuer", "http://issuer.example", "--oidc-audience", "me"), "https"),
        (("--oidc-issuer", ISSUER, "--oidc-audience", "me", "--oidc-keys", "nothing.json"), "nothing.json"),
        (("--ack", "never"), "buffered or none"),
    ],
)
@pytest.mark.slow
def test_options_that_cannot_be_meant_so_are_refused_before_anything_is_opened(
    words: tuple[str, ...], told: str, trips_folder: Path
) -> None:
    done = launched("serve", "--port", "0", *words, folder=trips_folder)
    assert done.code in (2, 5)
    assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_one_address_holds_no_more_connections_than_it_may(trips_folder: Path) -> None:
    with serving(trips_folder, "--connections-per-address", "3") as served:
        held = [served.connect() for _ in range(3)]
        for each in held:
            each.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert each.recv(100).startswith(b"HTTP/1.1 200")
        assert not _has_room(served)
        held.pop().close()
        until(lambda: _has_room(served))
        for each in held:
            each.close()


def _has_room(served: Served) -> bool:
    with served.connect() as probe:
        try:
            probe.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return probe.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def test_who_would_rather_have_csv_gets_it(served: Served) -> None:
    plain = served.ask("POST", "/invocations", {"dataframe_records": ROWS}).json["predictions"]
    for path, body in (("/invocations", {"dataframe_records": ROWS}), ("/predict", ROWS)):
        got = served.ask("POST", path, body, {"accept": "text/csv, application/json;q=0.5"})
        assert got.headers["content-type"] == "text/csv; charset=utf-8"
        assert len(got.headers["x-holdtrue-prediction"]) == 32
        table = list(csv.DictReader(io.StringIO(got.body.decode())))
        assert [row["label"] for row in table] == [row["label"] for row in plain]
        assert [float(row["probability.yes"]) for row in table] == [row["probability.yes"] for row in plain]
    for accept in ("application/json", "*/*", "text/csv;q=0.1, */*", "text/csv;q=x"):
        got = served.ask("POST", "/predict", ROWS, {"accept": accept})
        assert got.headers["content-type"] == "application/json"


def test_many_who_ask_for_metrics_at_once_all_get_them(served: Served) -> None:
    got: list[bytes] = []

    def ask() -> None:
        for _ in range(5):
            answer = served.ask("GET", "/metrics")
            assert answer.status == 200
            got.append(answer.body)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 40
    assert all(b"holdtrue_workers 1\n" in body for body in got)


@pytest.mark.slow
def test_who_says_nothing_on_the_management_socket_is_let_go(trips_folder: Path) -> None:
    with serving(trips_folder) as served, socket.socket(socket.AF_UNIX) as half:
        half.settimeout(20)
        half.connect(served.manage)
        half.sendall(b"GET /status HTTP/1.1\r\n")
        assert b"408" in half.recv(200)
        assert served.ask("GET", "/status", manage=True).json["models"][NAME]
