"""The keys of an issuer: only usable ones are kept, and they come from where they should or not at all."""

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.issuer import NOW_S, Server, base64url, certificate, jwk, jwks, private, serving, until

from holdtrue.core.errors import Misuse, Refused
from holdtrue.serving import jwks as module
from holdtrue.serving.jwks import MOST_BYTES, Keys, checked_url, fetch, from_file, from_issuer, parse

RSA, EC, ED = private("RS256"), private("ES256"), private("EdDSA")
GOOD = jwks(jwk(RSA, "r"), jwk(EC, "e"), jwk(ED, "d"))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_each_key_is_bound_to_the_one_algorithm_of_its_kind() -> None:
    assert set(parse(GOOD)) == {("r", "RS256"), ("e", "ES256"), ("d", "EdDSA")}
    keys = Keys(lambda: GOOD, renew_s=60, stale_s=0)
    keys.renew(NOW_S)
    assert keys.find("r", "RS256") is not None
    assert keys.find("r", "ES256") is None
    assert keys.find("r", "HS256") is None
    assert keys.find("R", "RS256") is None
    assert keys.find(None, "RS256") is None  # there are several


def test_the_only_key_need_not_be_named() -> None:
    keys = Keys(lambda: jwks(jwk(EC)), renew_s=60, stale_s=0)
    keys.renew(NOW_S)
    assert keys.find(None, "ES256") is not None
    assert keys.find(None, "RS256") is None
    assert keys.find("e", "ES256") is None


UNUSABLE = {
    "a shared secret": {"kty": "oct", "k": base64url(b"k" * 32), "kid": "x"},
    "a weak RSA key": jwk(private("RSA-1024"), "x"),
    "a huge RSA key": jwk(RSA, "x", n="A" * 5000),
    "an even exponent": jwk(RSA, "x", e="Ag"),
    "another curve": jwk(private("ES384"), "x"),
    "a point off the curve": jwk(EC, "x", x=base64url(b"\1" * 32)),
    "a curve that lies": jwk(private("ES384"), "x", crv="P-256"),
    "X25519": jwk(ED, "x", crv="X25519"),
    "for encryption": jwk(RSA, "x", use="enc"),
    "for signing alone": jwk(RSA, "x", key_ops=["sign"]),
    "operations of no kind": jwk(RSA, "x", key_ops="verify"),
    "another algorithm": jwk(RSA, "x", alg="RS512"),
    "HMAC with an RSA key": jwk(RSA, "x", alg="HS256"),
    "no algorithm": jwk(RSA, "x", alg="none"),
    "a private key": jwk(RSA, "x", d="AQAB"),
    "a name that is a number": jwk(RSA, None, kid=7),
    "a kind that is a list": jwk(RSA, "x", kty=["RSA"]),
    "half a key": {"kty": "RSA", "kid": "x", "e": "AQAB"},
    "numbers in place of text": jwk(RSA, "x", n=5),
    "no base64": jwk(RSA, "x", n="!!!"),
    "no object": "RSA",
    "null": None,
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_check_a_signature_is_passed_over(name: str) -> None:
    data = json.dumps({"keys": [UNUSABLE[name], jwk(EC, "e")]}).encode()
    assert set(parse(data)) == {("e", "ES256")}


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": null}', b"<html>", b"\xff", b"{" * 10**5, b'{"keys":' * 10**5],
    ids=repr,
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="JWKS"):
        parse(data)


def test_a_set_that_says_two_things_or_too_many_is_refused() -> None:
    with pytest.raises(Refused, match="two keys of the name 'r'"):
        parse(jwks(jwk(RSA, "r"), jwk(private("RS256", 1), "r")))
    with pytest.raises(Refused, match="at most 64"):
        parse(jwks(*[jwk(EC, str(number)) for number in range(65)]))


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example",
        "http://10.0.0.1/keys",
        "http://127.0.0.1.example/keys",
        "http://localhost.example/keys",
        "http://2130706433/keys",
        "http://[::ffff:10.0.0.1]/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/passwd",
        "https://",
        "https:///keys",
        "https://user:word@issuer.example/keys",
        "https://issuer.example/keys#part",
        "https://issuer.example:port/keys",
        "https://[::1/keys",
        "https://issuer.example/\r\nHost: other",
        "https://ïssuer.example",
        "//issuer.example/keys",
        "issuer.example",
        "",
    ],
)
def test_an_address_is_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(Misuse, match="Write https"):
        checked_url(url)
    with pytest.raises(Misuse):
        fetch(url)


@pytest.mark.parametrize(
    "url", ["https://issuer.example/a?b=c", "http://localhost:1/k", "http://[::1]/k", "http://127.9.9.9"]
)
def test_a_plain_address_is_taken(url: str) -> None:
    assert checked_url(url).geturl() == url


def test_an_issuer_says_where_its_keys_are(server: Server) -> None:
    server.give(jwk(EC, "e"))
    assert set(parse(from_issuer(server.address))) == {("e", "ES256")}
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}, "another issuer"),
        ({"issuer": "HERE/", "jwks_uri": "HERE/keys"}, "another issuer"),
        ({"jwks_uri": "HERE/keys"}, "another issuer"),
        ({"issuer": "HERE"}, "not a plain address"),
        ({"issuer": "HERE", "jwks_uri": "http://169.254.169.254/keys"}, "not fetched over TLS"),
        ({"issuer": "HERE", "jwks_uri": "file:///etc/passwd"}, "not a plain address"),
        ({"issuer": "HERE", "jwks_uri": ["HERE/keys"]}, "not a"),
        ([], "is not JSON"),
    ],
)
def test_an_issuer_that_speaks_for_others_is_not_followed(about: object, told: str, server: Server) -> None:
    text = json.dumps(about).replace("HERE", server.address)
    server.answers["/.well-known/openid-configuration"] = (200, text.encode())
    with pytest.raises((Refused, Misuse), match=told):
        from_issuer(server.address)
    assert server.asked == ["/.well-known/openid-configuration"]


def test_no_redirect_is_followed(server: Server) -> None:
    server.answers["/keys"] = (302, b"")
    server.headers = {"Location": f"{server.address}/other"}
    with pytest.raises(Refused, match="answered 302"):
        fetch(f"{server.address}/keys")
    assert server.asked == ["/keys"]


def test_no_proxy_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.give(jwk(EC, "e"))
    assert fetch(f"{server.address}/keys") == jwks(jwk(EC, "e"))


def test_an_answer_that_is_too_large_is_refused(server: Server) -> None:
    server.answers["/keys"] = (200, b" " * (MOST_BYTES + 1))
    with pytest.raises(Refused, match="more than 262,144 bytes"):
        fetch(f"{server.address}/keys")


def test_nobody_there_is_an_error_that_names_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Refused, match=f"http://127.0.0.1:{port}/keys cannot be reached"):
        fetch(f"http://127.0.0.1:{port}/keys")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
def test_one_byte_at_a_time_ends_at_the_deadline(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(head)
            while not done.wait(0.02):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener], daemon=True)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(Refused):
                parse(fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/keys"))
        finally:
            done.set()
            thread.join()
    assert time.monotonic() - began < 15


def test_only_a_server_with_a_known_certificate_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with serving(context) as server:
        server.give(jwk(EC, "e"))
        with pytest.raises(Refused, match="CERTIFICATE_VERIFY_FAILED"):
            from_issuer(server.address)
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert from_issuer(server.address) == jwks(jwk(EC, "e"))
        with pytest.raises(Refused, match="cannot be reached"):
            fetch(server.address.replace("127.0.0.1", "localhost") + "/keys")


def test_a_file_that_others_can_change_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(GOOD)
    file.chmod(0o644)
    (tmp_path / "link").symlink_to(file)
    assert from_file(tmp_path / "link") == GOOD
    for mode in (0o664, 0o646):
        file.chmod(mode)
        with pytest.raises(Refused, match="chmod go-w"):
            from_file(file)
    file.chmod(0o600)
    file.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(Refused, match="more than"):
        from_file(file)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for other in (tmp_path / "pipe", tmp_path):
        with pytest.raises(Refused, match="no file"):
            from_file(other)
    with pytest.raises(Refused, match="No such file"):
        from_file(tmp_path / "none")


class Source:
    """Gives what it is told to, or fails, and counts."""

    def __init__(self) -> None:
        self.data: bytes | None = GOOD
        self.asked = 0
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> bytes:
        self.asked += 1
        assert self.open.wait(60)
        if self.data is None:
            raise Refused("Nobody answers.")
        return self.data


def tended(keys: Keys, now_s: float) -> None:
    keys.tend(now_s)
    until(lambda: not keys.is_renewing)


def test_keys_are_renewed_when_they_are_old_and_not_before() -> None:
    source = Source()
    keys = Keys(source, renew_s=600, stale_s=86_400)
    for second in range(1201):
        tended(keys, NOW_S + second)
    assert source.asked == 3
    assert keys.edition == 1
    source.data = jwks(jwk(EC, "e"))
    tended(keys, NOW_S + 1800)
    assert keys.edition == 2
    assert keys.find("r", "RS256") is None


def test_an_issuer_that_is_away_is_believed_for_a_day() -> None:
    source = Source()
    keys = Keys(source, renew_s=600, stale_s=86_400)
    tended(keys, NOW_S)
    source.data = None
    tended(keys, NOW_S + 600)
    assert keys.fault == "Nobody answers."
    assert keys.find("r", "RS256") is not None
    tended(keys, NOW_S + 86_400)
    assert keys.find("r", "RS256") is None
    assert keys.edition == 2
    source.data = GOOD
    tended(keys, NOW_S + 86_405)
    assert keys.fault is None
    assert keys.find("r", "RS256") is not None


def test_an_issuer_that_takes_all_its_keys_back_is_believed() -> None:
    source = Source()
    keys = Keys(source, renew_s=600, stale_s=86_400)
    tended(keys, NOW_S)
    source.data = b'{"keys": []}'
    tended(keys, NOW_S + 600)
    assert keys.find("r", "RS256") is None
    assert keys.fault == "The issuer has no key that can be used."


def test_whoever_invents_names_makes_us_ask_once_a_minute() -> None:
    source = Source()
    keys = Keys(source, renew_s=600, stale_s=86_400)
    tended(keys, NOW_S)
    for tenth in range(1200):
        keys.renew_soon(NOW_S + tenth / 10)
        until(lambda: not keys.is_renewing)
    assert source.asked == 2


def test_asking_never_waits_and_is_done_once_at_a_time() -> None:
    source = Source()
    source.open.clear()
    keys = Keys(source, renew_s=600, stale_s=86_400)
    began = time.monotonic()
    for minute in range(10):
        keys.tend(NOW_S + 60 * minute)
    assert time.monotonic() - began < 6
    assert keys.is_renewing
    assert source.asked <= 1
    source.open.set()
    until(lambda: not keys.is_renewing)
    assert source.asked == 1
    assert keys.fault is None
