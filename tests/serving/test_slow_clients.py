"""Whoever is slow, or says nothing, or leaves, loses the connection and costs nothing more; nobody else notices."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serving.endpoint import rows, until
from tests.serving.inside import Inside, inside
from tests.serving.raw import Raw, request

from holdtrue.serving.exchange import Limits
from holdtrue.serving.plan import Plan

ROW = json.dumps(rows(1, target=False)[0]).encode()
LIVE = request("GET", "/livez")
QUICK = Limits(head_s=0.3, body_s=0.6, idle_s=1.0, write_s=0.4, connections=40)


@pytest.fixture(scope="module")
def here(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Inside]:
    with inside(plan, tmp_path_factory.mktemp("slow"), limits=QUICK) as made:
        yield made


def talk(to: Inside) -> Raw:
    return Raw(link=to.connect())


def trickle(raw: Raw, data: bytes, *, every_s: float) -> None:
    """Send byte by byte, until the other side has had enough."""
    with suppress(OSError):
        for byte in data:
            raw.link.send(bytes([byte]))
            time.sleep(every_s)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(here: Inside) -> None:
    raw = talk(here)
    start = time.monotonic()
    threading.Thread(target=trickle, args=(raw, LIVE * 20), kwargs={"every_s": 0.02}, daemon=True).start()
    made = raw.reply()
    assert (made.status, made.code, made.headers["connection"]) == (408, "too slow", "close")
    assert 0.2 < time.monotonic() - start < 9.0
    raw.close()


def test_blank_lines_before_a_request_do_not_keep_a_connection_open(here: Inside) -> None:
    raw = talk(here)
    threading.Thread(target=trickle, args=(raw, b"\r\n" * 200), kwargs={"every_s": 0.02}, daemon=True).start()
    assert raw.reply().status == 408
    raw.close()


def test_a_body_that_comes_byte_by_byte_is_not_waited_for(here: Inside) -> None:
    raw = talk(here)
    head, _, body = request("POST", "/predict", ROW).partition(b"\r\n\r\n")
    raw.send(head + b"\r\n\r\n")
    threading.Thread(target=trickle, args=(raw, body), kwargs={"every_s": 0.05}, daemon=True).start()
    assert raw.reply().status == 408
    assert here.server.buffered == 0
    raw.close()


def test_half_a_head_after_an_answer_is_not_waited_for_either(here: Inside) -> None:
    raw = talk(here)
    raw.send(LIVE + LIVE[:20])
    assert raw.reply().status == 200
    assert raw.reply().status == 408
    assert raw.ended()


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_closed(here: Inside) -> None:
    raw = talk(here)
    assert raw.send(LIVE).reply().status == 200
    start = time.monotonic()
    assert raw.ended()
    assert 0.7 < time.monotonic() - start < 9.0


@pytest.mark.slow
def test_a_client_that_does_not_read_is_cut_off_and_others_do_not_wait(here: Inside) -> None:
    """Its receive buffer and ours fill up; then it has lost its turn."""
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    link.connect(("127.0.0.1", here.port))
    link.settimeout(10)
    cut = here.server.cut
    threading.Thread(target=Raw(link=link).send, args=(request("GET", "/openapi.json") * 3_000,), daemon=True).start()
    other = talk(here)
    longest = 0.0
    end = time.monotonic() + 60
    while here.server.cut == cut:
        start = time.monotonic()
        assert other.send(LIVE).reply().status == 200
        longest = max(longest, time.monotonic() - start)
        assert time.monotonic() < end
        time.sleep(0.01)
    assert longest < 5.0
    link.close()
    other.close()


@pytest.mark.slow
def test_a_client_that_reads_slowly_but_steadily_gets_its_answer(here: Inside) -> None:
    """Longer than a client may leave its answers unread, but it does read."""
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    link.connect(("127.0.0.1", here.port))
    link.settimeout(10)
    table = json.dumps(rows(8_000, target=False)).encode()
    link.sendall(request("POST", "/predict", table, connection="close"))
    got, start = 0, time.monotonic()
    while data := link.recv(12_000):
        got += len(data)
        time.sleep(0.012)
    assert got > 600_000
    assert time.monotonic() - start > 2 * QUICK.write_s
    link.close()


@pytest.mark.slow
def test_connections_above_the_limit_are_closed_and_room_is_made_again(here: Inside) -> None:
    until(lambda: not here.server.connections)
    held = [talk(here).send(LIVE) for _ in range(QUICK.connections)]
    assert [raw.reply().status for raw in held] == [200] * QUICK.connections
    assert talk(here).ended()
    held[0].close()
    until(lambda: len(here.server.connections) < QUICK.connections)
    assert talk(here).send(LIVE).reply().status == 200
    for raw in held:
        raw.close()
    until(lambda: not here.server.connections)


@pytest.fixture
def slow_model(here: Inside, monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[], int]]:
    """Make the graph take a while and run in its thread; gives how often it was run."""
    (router,) = here.endpoint.routers.values()
    (lane,) = router.lanes.values()
    ready = lane.model._session  # pyright: ignore[reportPrivateUsage] - there is no slow release
    runs: list[float] = []

    class Slow:
        def run(self, names: object, fed: object) -> object:
            runs.append(time.monotonic())
            time.sleep(0.3)
            return ready.run(names, fed)

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        monkeypatch.setattr(lane.model, "_session", Slow())
        monkeypatch.setattr(lane, "_thread", thread)
        monkeypatch.setattr(lane, "_most_wait_s", 60.0)
        yield lambda: len(runs)
        until(lambda: lane.idle)


def test_what_a_client_asked_that_has_left_is_not_computed(here: Inside, slow_model: Callable[[], int]) -> None:
    """Whoever breaks off, and whoever just closes: the first is known at once, the second when we speak to them."""
    busy = talk(here).send(request("POST", "/predict", ROW))
    until(lambda: slow_model() == 1)
    for hard in (True, False):
        raw = talk(here)
        raw.send(request("POST", "/predict", ROW))
        time.sleep(0.02)
        if hard:
            raw.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
    assert busy.reply().status == 200
    time.sleep(0.4)
    assert slow_model() == 1
    cancelled = [
        value for name, _, value in here.site.metrics.snapshot() if name == "holdtrue_requests_cancelled_total"
    ]
    assert cancelled == [2]
    busy.close()


def test_who_closed_one_side_waits_for_a_slow_answer_and_gets_it(here: Inside, slow_model: Callable[[], int]) -> None:
    raw = talk(here).send(request("POST", "/predict", ROW))
    raw.link.shutdown(socket.SHUT_WR)
    made = raw.reply()
    assert made.status == 200
    assert set(made.extra) <= {100}
    assert raw.ended()


def test_a_deadline_that_passed_while_waiting_is_told(here: Inside, slow_model: Callable[[], int]) -> None:
    busy, late = talk(here), talk(here)
    busy.send(request("POST", "/predict", ROW))
    until(lambda: slow_model() == 1)
    made = late.send(request("POST", "/predict", ROW, x_request_timeout="0.05")).reply()
    assert (made.status, made.code) == (504, "too late")
    assert busy.reply().status == 200
    assert slow_model() == 1


@pytest.mark.slow
def test_who_waits_for_us_is_not_too_slow(here: Inside, slow_model: Callable[[], int]) -> None:
    """More requests than may wait on one connection: the rest is read when there is room, however long that takes."""
    raw = talk(here)
    sent = request("POST", "/predict", ROW)
    threading.Thread(target=raw.send, args=(sent * 500,), daemon=True).start()
    assert {raw.reply().status for _ in range(500)} == {200}
    raw.close()


def test_an_end_answers_what_was_asked_and_says_so(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with inside(plan, tmp_path, limits=replace(QUICK, idle_s=30.0, head_s=5.0, body_s=5.0)) as here:
        idle, half, quick = talk(here), talk(here), talk(here)
        assert idle.send(LIVE).reply().status == 200
        whole = request("POST", "/predict", ROW)
        half.send(whole[:-10])
        assert quick.send(LIVE).reply().status == 200
        until(lambda: here.server.buffered > 0)
        here.call(here.server.drain)
        assert idle.ended()
        assert quick.ended()
        made = half.send(whole[-10:]).reply()
        assert (made.status, made.headers["connection"]) == (200, "close")
        assert half.ended()
        assert not here.server.connections
