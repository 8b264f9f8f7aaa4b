"""One connection: what is asked is answered in order, and what is no HTTP/1.1 is refused without harm to anybody."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.serving.endpoint import rows
from tests.serving.inside import Inside, inside
from tests.serving.raw import Raw, chunked, request

from holdtrue.serving.exchange import Limits
from holdtrue.serving.plan import Plan

ROW = json.dumps(rows(1, target=False)[0]).encode()
POST = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKS = POST + b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n"
SMALL = Limits(body_bytes=100_000, buffered_bytes=150_000, pending=4, connections=32)


@pytest.fixture(scope="module")
def here(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Inside]:
    with inside(plan, tmp_path_factory.mktemp("http")) as made:
        yield made


@pytest.fixture(scope="module")
def small(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Inside]:
    """An endpoint with small limits."""
    with inside(plan, tmp_path_factory.mktemp("small"), limits=SMALL) as made:
        yield made


@contextmanager
def talking(to: Inside) -> Generator[Raw]:
    raw = Raw(link=to.connect())
    try:
        yield raw
    finally:
        raw.close()


def alone(to: Inside, data: bytes) -> Raw:
    """Send bytes on a connection of their own, and close that side."""
    raw = Raw(link=to.connect())
    raw.send(data)
    with suppress(OSError):
        raw.link.shutdown(socket.SHUT_WR)
    return raw


def test_a_connection_is_kept_and_answers_one_request_after_the_other(here: Inside) -> None:
    with talking(here) as raw:
        for number in range(5):
            made = raw.send(request("POST", "/predict", ROW, x_request_id=f"r{number}")).reply()
            assert (made.status, made.headers["x-request-id"]) == (200, f"r{number}")
            assert "connection" not in made.headers


def test_64_requests_at_once_are_answered_in_their_order(here: Inside) -> None:
    """Quick answers and slow ones alternate; ids tell them apart."""
    kinds = {0: ("GET", "/nothing", b""), 1: ("POST", "/predict", ROW), 2: ("GET", "/livez", b"")}
    sent = [request(*kinds[number % 3], x_request_id=f"r{number}") for number in range(64)]
    with talking(here) as raw:
        raw.send(b"".join(sent))
        for number in range(64):
            made = raw.reply()
            expected = 404 if number % 3 == 0 else 200
            assert made.status == expected
            if "x-request-id" in made.headers:
                assert made.headers["x-request-id"] == f"r{number}"


def test_more_requests_than_may_wait_are_answered_all_the_same(small: Inside) -> None:
    with talking(small) as raw:
        raw.send(request("POST", "/predict", ROW) * 200)
        assert [raw.reply().status for _ in range(200)] == [200] * 200


def test_a_request_may_come_byte_by_byte(here: Inside) -> None:
    with talking(here) as raw:
        raw.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("POST", "/predict", ROW):
            raw.send(bytes([byte]))
        assert raw.reply().status == 200


def test_a_large_body_in_many_packets_is_no_large_head(here: Inside) -> None:
    table = json.dumps(rows(1_000, target=False)).encode()
    assert len(table) > 100_000
    with talking(here) as raw:
        head, _, body = request("POST", "/predict", table).partition(b"\r\n\r\n")
        raw.send(head + b"\r\n\r\n")
        for start in range(0, len(body), 20_000):
            raw.send(body[start : start + 20_000])
        assert raw.reply().status == 200
        assert raw.send(GET + b"\r\n").reply().status == 200


@pytest.mark.parametrize(
    "body",
    [
        chunked(ROW),
        chunked(ROW[:10], ROW[10:]),
        chunked(*[bytes([byte]) for byte in ROW]),
        chunked(ROW, extension=b";name=value"),
        chunked(ROW, trailer=b"x-checked: yes\r\n"),
        b"0" * 10 + chunked(ROW),
    ],
    ids=["one", "two", "bytes", "extension", "trailer", "zeros"],
)
def test_a_body_may_come_in_chunks(here: Inside, body: bytes) -> None:
    with talking(here) as raw:
        made = raw.send(POST + b"transfer-encoding: chunked\r\n\r\n" + body + GET + b"\r\n").reply()
        assert (made.status, raw.reply().json) == (200, {"live": True})


def test_fields_after_the_body_decide_nothing(here: Inside) -> None:
    late = b"content-encoding: gzip\r\nauthorization: Bearer x\r\nx-holdtrue-version: 000000\r\nhost: evil.example\r\n"
    with talking(here) as raw:
        raw.send(CHUNKS + chunked(ROW, trailer=late))
        assert raw.reply().status == 200


def test_a_client_that_waits_to_be_told_is_told_to_go_on(here: Inside) -> None:
    with talking(here) as raw:
        head, _, body = request("POST", "/predict", ROW, expect="100-continue").partition(b"\r\n\r\n")
        assert raw.send(head + b"\r\n\r\n").line() == b"HTTP/1.1 100 Continue"
        assert raw.line() == b""
        assert raw.send(body).reply().status == 200


def test_who_asks_first_is_told_at_once_that_the_body_is_too_large(here: Inside) -> None:
    with talking(here) as raw:
        raw.send(POST + b"expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
        made = raw.reply()
        assert (made.status, made.extra) == (413, ())


def test_an_older_client_gets_an_answer_and_the_end(here: Inside) -> None:
    for head in (b"GET /livez HTTP/1.0\r\n\r\n", b"GET /livez HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"):
        with talking(here) as raw:
            made = raw.send(head).reply()
            assert (made.status, made.headers["connection"]) == (200, "close")
            assert raw.ended()
    with talking(here) as raw:
        raw.send(b"POST /predict HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}")
        assert raw.reply().extra == ()


def test_connection_close_is_kept(here: Inside) -> None:
    with talking(here) as raw:
        made = raw.send(GET + b"connection: close\r\n\r\n" + GET + b"\r\n").reply()
        assert (made.status, made.headers["connection"]) == (200, "close")
        assert raw.ended()


def test_head_gives_the_head_of_get(here: Inside) -> None:
    with talking(here) as raw:
        shown = raw.send(request("GET", "/v2")).reply()
        made = raw.send(request("HEAD", "/v2")).reply(head=True)
        assert made.headers["content-length"] == str(len(shown.body))
        assert raw.send(request("HEAD", "/nothing")).reply(head=True).status == 404
        assert raw.send(request("GET", "/livez")).reply().json == {"live": True}


def test_an_offer_to_change_the_protocol_is_passed_over(here: Inside) -> None:
    """As Java's client makes it with its first request, which has a body."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    whole = POST + offer + b"content-length: %d\r\n\r\n" % len(ROW) + ROW
    pieces = POST + offer + b"transfer-encoding: chunked\r\n\r\n" + chunked(ROW)
    with talking(here) as raw:
        raw.send((whole + pieces) * 3 + GET + offer + b"\r\n" + GET + b"\r\n")
        assert [raw.reply().status for _ in range(8)] == [200] * 8
    with talking(here) as raw:
        raw.send(whole[:-20])
        assert raw.send(whole[-20:]).reply().status == 200
    with talking(here) as raw:
        made = raw.send(GET + b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n").reply()
        assert (made.status, made.headers["connection"]) == (200, "close")


REFUSED = {
    "both lengths": (POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both lengths, turned": (POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}", 400),
    "two lengths that differ": (POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ", 400),
    "a list of lengths": (POST + b"content-length: 2, 2\r\n\r\n{}", 400),
    "a negative length": (POST + b"content-length: -2\r\n\r\n{}", 400),
    "a length with a sign": (POST + b"content-length: +2\r\n\r\n{}", 400),
    "a hexadecimal length": (POST + b"content-length: 0x2\r\n\r\n{}", 400),
    "a length of 2^64": (POST + b"content-length: 18446744073709551617\r\n\r\n{}", 400),
    "an empty length": (POST + b"content-length:\r\n\r\n{}", 400),
    "chunks twice": (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks not last": (POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "packed, then chunks": (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "something like chunks": (POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "a tab and chunks": (POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a blank before the colon": (POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST /predict HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a negative chunk": (POST + b"transfer-encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400),
    "a hexadecimal mark": (POST + b"transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk of 2^68": (POST + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
    "a longer chunk than it says": (POST + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk size with a blank": (POST + b"transfer-encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n", 400),
    "a line feed alone": (POST + b"transfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n", 400),
    "a header of two lines": (GET + b"x: a\r\n b\r\n\r\n", 400),
    "NUL in a value": (GET + b"x: a\x00b\r\n\r\n", 400),
    "NUL in a name": (GET + b"x\x00: b\r\n\r\n", 400),
    "a carriage return alone": (GET + b"x: a\ry: b\r\n\r\n", 400),
    "no colon": (GET + b"x\r\n\r\n", 400),
    "no name": (GET + b": x\r\n\r\n", 400),
    "two tokens": (GET + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n", 400),
    "two hosts": (GET + b"host: localhost\r\n\r\n", 400),
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    "two media types": (POST + b"content-type: text/csv\r\ncontent-length: 2\r\n\r\n{}", 400),
    "HTTP/2": (b"GET /livez HTTP/2.0\r\nhost: localhost\r\n\r\n", 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 505),
    "HTTP/1.2": (b"GET /livez HTTP/1.2\r\nhost: localhost\r\n\r\n", 400),
    "small letters": (b"get /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "an unknown method": (b"SPEAK /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "a blank in the path": (b"GET /livez x HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "bytes in the path": (b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "NUL in the path": (b"GET /livez\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "a proxy is asked for": (b"CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)), 400),
    "a long path": (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 414),
    "many fields": (GET + b"".join(b"x%d: y\r\n" % number for number in range(70)) + b"\r\n", 431),
    "many fields after the body": (
        POST
        + b"transfer-encoding: chunked\r\n\r\n"
        + chunked(ROW, trailer=b"".join(b"x%d: y\r\n" % number for number in range(70))),
        431,
    ),
    "a large field": (GET + b"x: " + b"y" * 17_000 + b"\r\n\r\n", 431),
    "large fields": (GET + b"".join(b"x%d: %s\r\n" % (number, b"y" * 1_000) for number in range(20)) + b"\r\n", 431),
    "a large field without an end": (GET + b"x: " + b"y" * 400_000, 431),
    "a name without an end": (GET + b"y" * 400_000, 431),
    "a path without an end": (b"GET /" + b"y" * 400_000, 414),
    "an announced body": (POST + b"content-length: 8388609\r\n\r\n", 413),
    "a large body in chunks": (CHUNKS + chunked(b" " * 9_000_000), 413),
    "tiny chunks": (CHUNKS + chunked(*[b" "] * 40_000, extension=b";" + b"a" * 16), 400),
    "long extensions": (CHUNKS + chunked(ROW, extension=b";" + b"a" * 900_000), 400),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_and_ends_the_connection(here: Inside, name: str) -> None:
    data, status = REFUSED[name]
    with talking(here) as raw:
        raw.send(GET + b"\r\n" + data)
        assert raw.reply().status == 200
        made = raw.send(GET + b"\r\n").reply()
        assert (made.status, made.headers["connection"]) == (status, "close"), made
        assert made.code in {"malformed", "too large", "version", "method"}
        assert raw.ended()
    assert here.server.buffered == 0


def test_what_follows_a_refused_request_is_no_request(here: Inside) -> None:
    """The request in the body of a request whose length two servers may read differently."""
    inner = request("POST", "/predict", ROW)
    with talking(here) as raw:
        raw.send(POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + inner)
        assert raw.reply().status == 400
        assert raw.ended()


def test_who_still_sends_when_refused_gets_the_answer(here: Inside) -> None:
    """A server that closed at once would take the answer back."""
    with talking(here) as raw:
        raw.send(POST + b"content-length: 30000000\r\n\r\n" + b" " * 30_000_000)
        assert raw.reply().status == 413


def test_bodies_that_are_received_together_are_bounded(small: Inside) -> None:
    with talking(small) as one, talking(small) as other:
        one.send(POST + b"content-length: 90000\r\n\r\n" + b" " * 80_000)
        while not small.server.buffered:
            pass
        other.send(POST + b"content-length: 90000\r\n\r\n")
        made = other.reply()
        assert (made.status, made.code, made.headers["retry-after"]) == (503, "overloaded", "1")
        one.close()
    with talking(small) as raw:
        while small.server.buffered:
            pass
        assert raw.send(request("POST", "/predict", ROW)).reply().status == 200


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_packed_body_is_unpacked(here: Inside, coding: str) -> None:
    with talking(here) as raw:
        made = raw.send(request("POST", "/predict", packed(ROW, coding), content_encoding=coding)).reply()
        assert made.status == 200, made
        table = json.dumps(rows(2_000, target=False)).encode()
        assert (
            raw.send(request("POST", "/predict", packed(table, coding), content_encoding=coding)).reply().status == 200
        )


def packed(body: bytes, coding: str) -> bytes:
    import pyarrow as pa

    return gzip.compress(body) if coding == "gzip" else pa.compress(body, codec="zstd", asbytes=True)


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_body_is_unpacked_to_no_more_than_a_body_may_have(here: Inside, coding: str) -> None:
    bomb = packed(b" " * 200_000_000, coding)
    with talking(here) as raw:
        made = raw.send(request("POST", "/predict", bomb, content_encoding=coding)).reply()
        assert (made.status, made.code) == (413, "too large")
        assert raw.send(request("POST", "/predict", ROW)).reply().status == 200


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (b"no such thing", "gzip", 400),
        (b"no such thing", "zstd", 400),
        (gzip.compress(ROW)[:-6], "gzip", 400),
        (gzip.compress(ROW) + b"more", "gzip", 400),
        (gzip.compress(ROW) * 2, "gzip", 400),
        (gzip.compress(ROW), "gzip, gzip", 415),
        (ROW, "br", 415),
        (ROW, "deflate", 415),
        (ROW, "identity", 200),
    ],
)
def test_a_body_packed_wrongly_is_refused(here: Inside, body: bytes, coding: str, status: int) -> None:
    with talking(here) as raw:
        assert raw.send(request("POST", "/predict", body, content_encoding=coding)).reply().status == status
        assert raw.send(request("POST", "/predict", ROW)).reply().status == 200


def test_a_cut_zstd_body_is_refused(here: Inside) -> None:
    with talking(here) as raw:
        body = packed(ROW, "zstd")
        for cut in (1, 4, 20):
            assert raw.send(request("POST", "/predict", body[:-cut], content_encoding="zstd")).reply().status == 400


def test_a_zstd_body_that_does_not_say_its_size_is_refused(here: Inside) -> None:
    with talking(here) as raw:
        for body in (
            b"\x28\xb5\x2f\xfd\x00\x58\x11\x00\x00{}",
            b"\x28\xb5\x2f\xfd",
            b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8,
        ):
            made = raw.send(request("POST", "/predict", body, content_encoding="zstd")).reply()
            assert made.status in (400, 413)
            assert made.code in ("malformed", "too large")


@pytest.mark.slow
def test_requests_of_one_client_that_come_in_one_piece_leave_others_their_turn(here: Inside) -> None:
    with talking(here) as many, talking(here) as one:
        threading.Thread(target=many.send, args=(request("GET", "/openapi.json") * 2_000,), daemon=True).start()
        assert many.reply().status == 200
        waits: list[float] = []
        for _ in range(5):
            start = time.monotonic()
            assert one.send(GET + b"\r\n").reply().status == 200
            waits.append(time.monotonic() - start)
        assert min(waits) < 0.3  # a slice of theirs takes so long at most; all of them take seconds


@pytest.mark.parametrize(
    "target", ["http://localhost/livez", "//livez", "/livez#a", "/livez/", "/%6civez", "*", "/LIVEZ"]
)
def test_a_path_has_one_spelling(here: Inside, target: str) -> None:
    with talking(here) as raw:
        assert raw.send(request("GET", target)).reply().status == 404


def test_a_query_changes_nothing(here: Inside) -> None:
    with talking(here) as raw:
        assert raw.send(request("GET", "/livez?a=b/../../c")).reply().status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/csv", "\xff"]
)
def test_another_media_type_is_refused(here: Inside, kind: str) -> None:
    with talking(here) as raw:
        sent = request("POST", "/predict", ROW, content_type="KIND").replace(b"KIND", kind.encode("latin-1"))
        made = raw.send(sent).reply()
        assert (made.status, made.code) == (415, "media type")


def test_a_fault_of_our_own_is_answered_and_logged(
    here: Inside, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = here.site.routes[b"/livez"][b"GET"]

    def broken(call: object) -> None:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setitem(here.site.routes[b"/livez"], b"GET", type(route)(
        method="GET", path="/livez", name="live", permission="health", handle=broken, summary=""
    ))  # fmt: skip
    with talking(here) as raw:
        made = raw.send(request("GET", "/livez")).reply()
        assert (made.status, made.code) == (500, "internal")
        assert b"secret" not in made.body
        assert raw.send(request("POST", "/predict", ROW)).reply().status == 200
    assert "ZeroDivisionError" in caplog.text


def test_nothing_is_held_of_a_client_that_left_in_a_body(here: Inside) -> None:
    raw = Raw(link=here.connect())
    raw.send(POST + b"content-length: 5000\r\n\r\n" + b" " * 4_000)
    while not here.server.buffered:
        pass
    raw.close()
    while here.server.buffered:
        pass
    assert here.server.buffered == 0


def test_who_closes_one_side_still_gets_every_answer(here: Inside) -> None:
    raw = alone(here, request("POST", "/predict", ROW) * 20)
    assert [raw.reply().status for _ in range(20)] == [200] * 20
    assert raw.ended()


def test_half_a_request_and_the_end_is_no_request(here: Inside, tmp_path: Path) -> None:
    raw = alone(here, request("POST", "/predict", ROW)[:-5])
    assert raw.ended()
