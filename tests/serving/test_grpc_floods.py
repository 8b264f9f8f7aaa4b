"""Who floods, dawdles or reads nothing over HTTP/2 loses the connection or the call, and nobody else notices."""

import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import pytest
from tests.serving.endpoint import NAME, rows, until
from tests.serving.frames import (
    CALM,
    CANCEL,
    CONTINUATION,
    DATA,
    EMPTY,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OPENING,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Link,
    call,
    connected,
    frame,
    headers,
    literal,
    settings,
)
from tests.serving.grpc_driver import Around, around, asked, read

from holdtrue.serving.exchange import Limits
from holdtrue.serving.grpc_messages import KINDS
from holdtrue.serving.plan import Plan

QUICK = Limits(head_s=0.3, body_s=0.6, write_s=0.4, connections=40, buffered_bytes=1 << 20, body_bytes=4 << 20)
ASKED = asked(rows(3, target=False)).SerializeToString()
MESSAGE = b"\x00" + len(ASKED).to_bytes(4, "big") + ASKED
WIDE = asked(rows(8_000, target=False)).SerializeToString()  # its answer is larger than a window
OPEN = frame(HEADERS, END_HEADERS, 1, headers())
TALK = frame(HEADERS, END_HEADERS, 1, headers("ModelStreamInfer"))


@pytest.fixture(scope="module")
def both(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Around]:
    with around(plan, tmp_path_factory.mktemp("floods"), limits=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left(both: Around) -> Generator[None]:
    """After each test nothing is held for anybody."""
    yield
    until(lambda: not both.plane.connections, within_s=5)
    assert (both.plane.calls, both.here.server.buffered, both.here.server.doors.count) == (0, 0, 0)


@contextmanager
def linked(both: Around, opening: bytes = OPENING, room: int = 0) -> Generator[Link]:
    made = connected(both.target, opening=opening, room=room)
    try:
        yield made
    finally:
        made.close()


def others_do_not_wait(both: Around) -> None:
    with linked(both) as other:
        since_s = time.monotonic()
        assert other.alive(1)
        assert time.monotonic() - since_s < 5.0


def reset_at_once(number: int) -> bytes:
    return frame(HEADERS, END_HEADERS, number, headers()) + frame(RST_STREAM, 0, number, bytes(4))


FLOODS = {
    "pings": lambda number: frame(PING, 0, 0, bytes(8)),
    "settings": lambda number: settings(s4=70_000 + number % 2),
    "settings of thousands": lambda number: frame(SETTINGS, 0, 0, bytes.fromhex("00040001ffff") * 2_000),
    "priorities": lambda number: frame(PRIORITY, 0, 1, bytes(5)),
    "unknown frames": lambda number: frame(99, 0, 0),
    "windows of a byte": lambda number: frame(WINDOW_UPDATE, 0, 0, b"\x00\x00\x00\x01"),
    "resets": reset_at_once,
    "resets of nothing": lambda number: frame(RST_STREAM, 0, 1, bytes(4)),
    "heads that are none": lambda number: frame(HEADERS, END_HEADERS, number, b"\x83"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_frames_that_bring_nothing_ends_the_connection(both: Around, flood: str) -> None:
    made: Callable[[int], bytes] = FLOODS[flood]
    cut = both.here.server.cut
    opening = OPENING + call(1, "ServerLive")
    with linked(both, opening) as link:
        link.told(1)
        reader = threading.Thread(target=link.ended)
        reader.start()
        for start in range(0, 400_000, 400):
            if link.goodbye is not None:
                break
            link.send(b"".join(made(2 * number + 3) for number in range(start, start + 400)))
        reader.join(60)
        assert link.goodbye is not None
        assert link.goodbye.code == CALM
        assert both.here.server.cut == cut + 1
        others_do_not_wait(both)


def test_empty_data_end_the_connection(both: Around) -> None:
    with linked(both) as link:
        link.send(TALK, frame(DATA, 0, 1) * 20_000)
        assert link.ended() in (CALM, None)
        others_do_not_wait(both)


def test_honest_clients_may_cancel_thousands_of_calls(both: Around) -> None:
    with linked(both) as link:
        number = 1
        for _ in range(10):
            for _ in range(200):
                link.send(reset_at_once(number))
                number += 2
            time.sleep(0.05)
        assert link.alive(number)


def test_a_head_without_end_is_told_and_ends_the_connection(both: Around) -> None:
    for pieces in (
        [frame(CONTINUATION, 0, 1, literal("x-more", "y" * 100) * 50)] * 16,
        [frame(CONTINUATION, 0, 1)] * 100,
        [frame(CONTINUATION, 0, 1, b"\x00")] * 100,
    ):
        with linked(both) as link:
            link.send(frame(HEADERS, 0, 1, headers()), *pieces)
            told = link.told(1)
            assert (told.status, told.fields["grpc-message"]) == (8, "the head of a call has at most 16,384 bytes")
            assert link.ended() == CALM


def test_a_head_that_is_too_large_is_refused_alone(both: Around) -> None:
    """Twice what a head may have: the call is told so, those beside it on the connection are answered."""
    with linked(both) as link:
        pieces = [frame(CONTINUATION, 0, 3, literal("x-more", "y" * 100) * 70)] * 4
        pieces.append(frame(CONTINUATION, END_HEADERS, 3, literal("x-last", "y")))
        link.send(
            frame(HEADERS, END_HEADERS, 1, headers()),
            frame(HEADERS, 0, 3, headers()),
            *pieces,
            frame(DATA, END_STREAM, 3, MESSAGE),
            frame(DATA, END_STREAM, 1, MESSAGE),
        )
        told = link.told(3)
        assert (told.status, told.fields["grpc-message"]) == (8, "the call has too much metadata")
        assert link.told(1).status == 0
        assert link.alive(5)


@pytest.mark.slow
def test_large_heads_without_end_end_the_connection(both: Around) -> None:
    with linked(both) as link:
        for number in range(1, 200, 2):
            pieces = [frame(CONTINUATION, 0, number, literal("x-more", "y" * 100) * 100)] * 5
            link.send(frame(HEADERS, 0, number, headers()), *pieces, frame(CONTINUATION, END_HEADERS, number))
        assert link.ended() in (CALM, None)
        others_do_not_wait(both)


def test_a_small_block_that_becomes_large_is_told_and_ends_the_connection(both: Around) -> None:
    """One field of 4,000 bytes enters the table, and is then named a thousand times, in a byte each."""
    big = b"@\x01x\x7f" + bytes([0xA1, 0x1E]) + b"y" * (127 + 0x21 + (0x1E << 7))
    with linked(both) as link:
        link.send(frame(HEADERS, END_HEADERS, 1, headers() + big), frame(DATA, END_STREAM, 1, MESSAGE))
        assert link.told(1).status == 0
        link.send(frame(HEADERS, END_HEADERS, 3, headers() + b"\xbe" * 10))
        told = link.told(3)
        assert (told.status, told.fields["grpc-message"]) == (8, "the call has too much metadata")
        assert link.alive(5)
        link.send(frame(HEADERS, END_HEADERS, 7, headers() + b"\xbe" * 1_000))
        assert link.told(7).status == 8
        assert link.ended() == CALM


def test_a_client_without_a_window_does_not_get_its_answer_kept_for_ever(both: Around) -> None:
    with linked(both, PREFACE + settings(s4=0)) as link:
        since_s = time.monotonic()
        link.send(call(1, "ModelInfer", ASKED))
        assert link.told(1).reset == CANCEL
        assert 0.3 < time.monotonic() - since_s < 9.0
        link.send(settings(s4=65_535))
        assert link.alive(3)


def test_a_client_that_opens_its_window_by_bytes_loses_its_answer(both: Around) -> None:
    with linked(both, PREFACE + settings(s4=0)) as link:
        link.send(call(1, "ModelInfer", ASKED))
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.02):
                link.send(frame(WINDOW_UPDATE, 0, 1, b"\x00\x00\x00\x01"))

        thread = threading.Thread(target=trickle)
        thread.start()
        assert link.told(1).reset == CANCEL
        stop.set()
        thread.join()


def test_a_client_that_shuts_the_window_of_its_connection_is_cut_off(both: Around) -> None:
    cut = both.here.server.cut
    with linked(both, PREFACE + settings(s4=1 << 30)) as link:
        link.send(call(1, "ModelInfer", WIDE))
        assert link.ended() is None
        assert both.here.server.cut == cut + 1
        others_do_not_wait(both)


def test_a_client_that_takes_its_window_steadily_gets_a_large_answer(both: Around) -> None:
    """It takes longer than it may leave answers unread, but it does take them."""
    with linked(both) as link:
        link.send(call(1, "ModelInfer", WIDE))
        data, since_s = b"", time.monotonic()
        while (each := link.next()) is not None and not (each.kind == HEADERS and each.flags & END_STREAM):
            if each.kind != DATA:
                continue
            data += each.payload
            time.sleep(0.05)
            for stream in (0, 1):
                link.send(frame(WINDOW_UPDATE, 0, stream, len(each.payload).to_bytes(4, "big")))
        assert time.monotonic() - since_s > 0.4
        assert list(read("ModelInferResponse", data[5:]).outputs[0].shape) == [8_000, 2]


@pytest.mark.slow
def test_a_client_that_reads_nothing_is_cut_off(both: Around) -> None:
    wide = struct.pack(">I", 1 << 30)
    opening = PREFACE + settings(s4=1 << 30) + frame(WINDOW_UPDATE, 0, 0, wide)
    cut = both.here.server.cut
    with linked(both, opening, room=4_096) as link:
        about = KINDS["ModelMetadataRequest"](name=NAME).SerializeToString()
        calls = [call(2 * number + 1, "ModelMetadata", about) for number in range(12_000)]
        sender = threading.Thread(target=link.send, args=calls, daemon=True)
        sender.start()
        until(lambda: both.here.server.cut > cut, within_s=20)
        others_do_not_wait(both)
        sender.join(60)


@pytest.mark.slow
def test_a_connection_that_is_opened_byte_by_byte_is_not_waited_for(both: Around) -> None:
    for opening in (b"", PREFACE[:10], PREFACE, PREFACE + frame(SETTINGS, 0, 0)[:5]):
        with linked(both, opening) as link:
            since_s = time.monotonic()
            assert link.ended() == CALM
            assert time.monotonic() - since_s < 9.0


@pytest.mark.slow
def test_a_head_or_a_frame_that_does_not_come_to_its_end_is_not_waited_for(both: Around) -> None:
    for begun in (frame(HEADERS, 0, 1, headers()), OPEN[:-5], frame(PING, 0, 0, bytes(8))[:12]):
        with linked(both) as link:
            assert link.alive(3) if begun is None else link.send(begun).ended() == CALM


def test_a_frame_that_comes_byte_by_byte_is_not_waited_for(both: Around) -> None:
    with linked(both) as link:

        def trickle() -> None:
            with suppress(OSError):
                for byte in frame(99, 0, 0, bytes(500)):
                    link.link.send(bytes([byte]))
                    time.sleep(0.02)

        thread = threading.Thread(target=trickle)
        thread.start()
        assert link.ended() == CALM
        link.close()
        thread.join()


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
def test_a_message_that_comes_slowly_is_refused_in_words_and_the_connection_lives(both: Around, method: str) -> None:
    with linked(both) as link:
        link.send(frame(HEADERS, END_HEADERS, 1, headers(method)))
        pieces = threading.Thread(
            target=lambda: [link.send(frame(DATA, 0, 1, MESSAGE[n : n + 1])) or time.sleep(0.05) for n in range(30)]
        )
        pieces.start()
        told = link.told(1)
        assert (told.status, told.fields["grpc-message"]) == (4, "a request arrives within 0.6 s")
        pieces.join()
        assert link.alive(3)


@pytest.mark.slow
def test_a_stream_that_says_nothing_may_stay(both: Around) -> None:
    with linked(both) as link:
        link.send(TALK)
        time.sleep(1.0)
        link.send(frame(DATA, END_STREAM, 1, MESSAGE))
        assert link.told(1).status == 0


def test_a_stream_ends_at_its_deadline(both: Around) -> None:
    with linked(both) as link:
        link.send(
            frame(HEADERS, END_HEADERS, 1, headers("ModelStreamInfer", grpc_timeout="300m")), frame(DATA, 0, 1, MESSAGE)
        )
        since_s = time.monotonic()
        told = link.told(1)
        assert (told.status, told.fields["grpc-message"]) == (4, "the deadline of the call has passed")
        assert read("ModelStreamInferResponse", told.data[5:]).infer_response.outputs
        assert 0.25 < time.monotonic() - since_s < 9.0


def test_what_is_received_has_a_bound_over_all_clients(both: Around) -> None:
    size = 3 << 20
    begun = b"\x00" + size.to_bytes(4, "big") + bytes(16_000)
    with linked(both) as link, linked(both) as other:
        for each in (link, other):
            each.send(OPEN, frame(DATA, 0, 1, begun), *[frame(DATA, 0, 1, bytes(16_000))] * 38)
        told: list[int] = []
        for each in (link, other):
            each.link.settimeout(5)  # one of them is told, the other waits for ever
            with suppress(TimeoutError):
                told.append(each.told(1).status)
        assert 14 in told
        assert link.alive(3)


def test_a_flood_of_small_requests_in_a_stream_is_answered_in_turns(both: Around) -> None:
    with linked(both) as link, linked(both) as other:
        link.send(TALK, *[frame(DATA, 0, 1, EMPTY * 3_000)] * 10)
        longest = 0.0
        for number in range(20):
            since_s = time.monotonic()
            assert other.alive(2 * number + 1)
            longest = max(longest, time.monotonic() - since_s)
        assert longest < 3.0


@pytest.mark.slow
def test_thousands_of_calls_in_one_piece_are_answered_in_turns(both: Around) -> None:
    with linked(both) as link, linked(both) as other:
        count = 3_000
        sender = threading.Thread(
            target=link.send, args=[call(2 * number + 1, "ServerLive") for number in range(count)]
        )
        sender.start()
        for number in range(20):
            since_s = time.monotonic()
            assert other.alive(2 * number + 1)
            assert time.monotonic() - since_s < 3.0
        answered = 0
        while answered < count and (each := link.next()) is not None:
            answered += each.kind == HEADERS and bool(each.flags & END_STREAM)
        assert answered == count
        sender.join()


def test_connections_are_let_in_while_there_is_room_for_them(both: Around) -> None:
    links = [connected(both.target) for _ in range(QUICK.connections)]
    assert links[-1].alive(1)
    with linked(both) as late:
        assert late.ended() is None
    with linked(both) as late:
        links.pop().close()
        until(lambda: both.here.server.doors.count < QUICK.connections, within_s=5)
    others_do_not_wait(both)
    for each in links:
        each.close()
