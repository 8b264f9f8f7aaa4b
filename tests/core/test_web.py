"""One request to another machine: what may be asked, and what comes of machines that behave badly."""

import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from holdtrue.core import web
from holdtrue.core.errors import Misuse, Refused
from holdtrue.core.web import Unreached, ask


@contextmanager
def answering(*answers: bytes) -> Generator[tuple[int, list[bytes]]]:
    """A server that gives one answer to each connection, whatever it is asked."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                with server.accept()[0] as client:
                    client.settimeout(5)
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += client.recv(65536)
                    head, _, body = data.partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                    while len(body) < length:
                        body += client.recv(65536)
                    heard.append(head + b"\r\n\r\n" + body)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(10)


def test_a_body_is_posted_and_the_answer_given_whatever_its_status() -> None:
    with answering(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno") as (port, heard):
        found = ask(f"http://127.0.0.1:{port}/hook?x=1", body=b"{}", headers={"X-Word": "a"})
    assert (found.status, found.body, found.headers["retry-after"]) == (503, b"no", "7")
    assert heard[0].startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert b"X-Word: a" in heard[0]
    assert heard[0].endswith(b"\r\n\r\n{}")


def test_no_redirect_is_followed() -> None:
    with answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as (port, _):
        assert ask(f"http://127.0.0.1:{port}/").status == 302


def test_an_answer_without_end_is_refused() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000) as (port, _), pytest.raises(Refused, match="more than"):
        ask(f"http://127.0.0.1:{port}/", most_bytes=1_000)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
def test_a_server_that_does_not_speak_http_is_not_reached(answer: bytes) -> None:
    with answering(answer) as (port, _), pytest.raises(Unreached, match="cannot be reached"):
        ask(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "hidden", ["10.0.0.5", "192.168.1.1", "169.254.169.254", "127.0.0.1", "::1", "fd00::1", "0.0.0.0"]
)
def test_a_name_that_points_inside_is_not_asked_even_beside_a_public_one(
    hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(host: str, port: int, **others: Any) -> Sequence[Any]:
        return [(0, 0, 0, "", (each, port)) for each in ("93.184.216.34", hidden)]

    monkeypatch.setattr(web.socket, "getaddrinfo", found)
    with pytest.raises(Refused, match=f"hooks.example is {hidden}"):
        ask("https://hooks.example/x", inside=False)


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def found(host: str, port: int, **others: Any) -> Sequence[Any]:
        asked.append((host, port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, _):
        monkeypatch.setattr(web.socket, "getaddrinfo", lambda host, port, *args, **words: found(host, port))
        assert ask(f"http://localhost:{port}/").status == 200
    assert [host for host, _ in asked if host == "localhost"] == ["localhost"]


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://example.com/", "https://u:p@example.com/", "https:///x", "https://ex ample/"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Misuse):
        ask(url)


def test_a_server_without_tls_is_not_reached_over_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=close)
        thread.start()
        with pytest.raises(Unreached):
            ask(f"https://127.0.0.1:{server.getsockname()[1]}/")
        thread.join(10)
