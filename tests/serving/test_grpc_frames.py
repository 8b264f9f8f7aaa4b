"""The HTTP/2 below gRPC takes what RFC 9113 allows, and ends what it forbids with the reason that it gives for it."""

import time
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.serving.endpoint import rows
from tests.serving.frames import (
    ACK,
    COMPRESSION,
    CONTINUATION,
    DATA,
    EMPTY,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL,
    FRAME_SIZE,
    GOAWAY,
    HEADERS,
    OPENING,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    PRIORITY,
    PROTOCOL,
    PUSH_PROMISE,
    REFUSED,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
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

from holdtrue.serving.grpc_messages import SERVICE
from holdtrue.serving.plan import Plan

ASKED = asked(rows(3, target=False)).SerializeToString()
MESSAGE = b"\x00" + len(ASKED).to_bytes(4, "big") + ASKED
OPEN = frame(HEADERS, END_HEADERS, 1, headers())
WHOLE = call(1, "ServerLive")
LIVE = f"/{SERVICE}/ServerLive"


@pytest.fixture(scope="module")
def both(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Generator[Around]:
    with around(plan, tmp_path_factory.mktemp("frames")) as made:
        yield made


@pytest.fixture
def link(both: Around) -> Generator[Link]:
    made = connected(both.target)
    yield made
    made.close()


def good(link: Link, stream: int) -> None:
    told = link.told(stream)
    assert told.status == 0, told
    assert len(read("ModelInferResponse", told.data[5:]).outputs) == 3


def test_a_call_is_answered_with_its_data_and_its_status(link: Link) -> None:
    told = link.send(call(1, "ModelInfer", ASKED)).told(1)
    assert dict(told.fields) == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}
    assert told.data[:5] == b"\x00" + (len(told.data) - 5).to_bytes(4, "big")
    assert link.alive(3)


def test_a_head_may_come_in_pieces_padded_and_with_a_priority(link: Link) -> None:
    block = headers()
    pieces = [block[start : start + 20] for start in range(0, len(block), 20)][:12]
    pieces.append(block[240:])
    first = bytes([9]) + b"\x00\x00\x00\x00\x10" + pieces[0] + bytes(9)
    link.send(
        frame(HEADERS, PADDED | PRIORITISED, 1, first),
        *(frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:-1]),
        frame(CONTINUATION, END_HEADERS, 1, pieces[-1]),
        frame(DATA, PADDED | END_STREAM, 1, b"\x03" + MESSAGE + bytes(3)),
    )
    good(link, 1)


def test_a_message_may_come_in_pieces_of_any_size(link: Link) -> None:
    for stream, size in ((1, 1), (3, 4), (5, 5), (7, 6), (9, 100)):
        parts = [MESSAGE[start : start + size] for start in range(0, len(MESSAGE), size)]
        link.send(frame(HEADERS, END_HEADERS, stream, headers()), *(frame(DATA, 0, stream, part) for part in parts))
        link.send(frame(DATA, END_STREAM, stream))
        good(link, stream)


def test_frames_may_come_byte_by_byte(link: Link) -> None:
    for byte in call(1, "ServerLive"):
        link.send(bytes([byte]))
    assert link.told(1).status == 0


def test_what_a_head_means_changes_with_the_table_though_its_bytes_do_not(link: Link) -> None:
    """The same block names the first call, then an unknown one, then the first one again."""
    rest = b"".join(literal(name, value) for name, value in (("te", "trailers"), ("content-type", "application/grpc")))
    start = b"\x83\x86"  # :method POST, :scheme http
    same = start + b"\xbe" + rest  # and the path that entered the table last
    enters = [start + literal(":path", path, first=b"@") + rest for path in (LIVE, "/other/Call", LIVE)]
    stream = 1
    for block, status in zip(enters, (0, 12, 0), strict=True):
        for each in (block, same, same, same):
            told = link.send(frame(HEADERS, END_HEADERS, stream, each), frame(DATA, END_STREAM, stream, EMPTY)).told(
                stream
            )
            assert told.status == status
            stream += 2


def test_a_client_with_a_small_table_hears_that_none_is_used(both: Around) -> None:
    link = connected(both.target, opening=PREFACE + settings(s1=0))
    link.send(WHOLE)
    assert link.until(HEADERS, 1).payload.startswith(b"\x20\x88")
    link.send(call(3, "ServerLive"))
    assert link.until(HEADERS, 3).payload.startswith(b"\x88")
    link.close()


def test_frames_of_no_known_kind_and_farewells_of_clients_change_nothing(link: Link) -> None:
    link.send(frame(200, 255, 77, b"x" * 99), frame(PRIORITY, 0, 9, bytes(5)), frame(GOAWAY, 0, 0, bytes(8)))
    assert link.send(frame(PING, 0, 0, b"12345678")).alive(1)


def test_a_ping_is_answered_with_its_bytes(link: Link) -> None:
    link.send(frame(PING, 0, 0, b"12345678"))
    while (made := link.next()) is not None and made.kind != PING:
        pass
    assert made is not None
    assert (made.flags, made.payload) == (ACK, b"12345678")


def test_trailers_of_a_client_end_its_call(link: Link) -> None:
    link.send(OPEN, frame(DATA, 0, 1, MESSAGE[:-1]), frame(HEADERS, END_HEADERS | END_STREAM, 1, literal("x", "y")))
    told = link.told(1)
    assert (told.status, told.fields["grpc-message"]) == (3, "the call ends within a message")


FAULTS = {
    "no settings first": (PREFACE + frame(PING, 0, 0, bytes(8)), PROTOCOL),
    "settings that confirm first": (PREFACE + frame(SETTINGS, ACK, 0), PROTOCOL),
    "no preface": (b"\x00" * 40, PROTOCOL),
    "a preface that is none": (b"\r\n" + PREFACE, PROTOCOL),
    "data of no stream": (OPENING + frame(DATA, 0, 0, b"x"), PROTOCOL),
    "data of a stream to come": (OPENING + frame(DATA, 0, 1, b"x"), PROTOCOL),
    "data after the end": (OPENING + OPEN + frame(DATA, END_STREAM, 1, MESSAGE) + frame(DATA, 0, 1), STREAM_CLOSED),
    "an even number": (OPENING + frame(HEADERS, END_HEADERS, 2, headers()), PROTOCOL),
    "a head of no stream": (OPENING + frame(HEADERS, END_HEADERS, 0, headers()), PROTOCOL),
    "numbers that go back": (OPENING + call(5, "ServerLive") + call(3, "ServerLive"), STREAM_CLOSED),
    "the same number again": (OPENING + WHOLE + WHOLE, STREAM_CLOSED),
    "a second head in a call": (OPENING + OPEN + OPEN, STREAM_CLOSED),
    "more of no head": (OPENING + frame(CONTINUATION, END_HEADERS, 1, headers()), PROTOCOL),
    "a frame within a head": (OPENING + frame(HEADERS, 0, 1, headers()) + frame(PING, 0, 0, bytes(8)), PROTOCOL),
    "more of another head": (OPENING + frame(HEADERS, 0, 1, headers()) + frame(CONTINUATION, 4, 3), PROTOCOL),
    "a promise": (OPENING + frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + headers()), PROTOCOL),
    "settings cut off": (OPENING + frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE),
    "settings confirmed with settings": (OPENING + frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE),
    "settings of a stream": (OPENING + frame(SETTINGS, 0, 1), PROTOCOL),
    "a window beyond all": (OPENING + settings(s4=2**31), FLOW_CONTROL),
    "frames that are too small": (OPENING + settings(s5=100), PROTOCOL),
    "half a push": (OPENING + settings(s2=2), PROTOCOL),
    "a short ping": (OPENING + frame(PING, 0, 0, bytes(7)), FRAME_SIZE),
    "a ping of a stream": (OPENING + frame(PING, 0, 1, bytes(8)), PROTOCOL),
    "a window by nothing": (OPENING + frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL),
    "a window cut off": (OPENING + frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE),
    "a window of a stream to come": (OPENING + frame(WINDOW_UPDATE, 0, 1, b"\x00\x00\x00\x01"), PROTOCOL),
    "a window that overflows": (OPENING + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL),
    "a stream's that does": (OPENING + OPEN + frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), FLOW_CONTROL),
    "a stream's that does by settings": (
        OPENING + OPEN + frame(WINDOW_UPDATE, 0, 1, b"\x00\x10\x00\x00") + settings(s4=2**31 - 1),
        FLOW_CONTROL,
    ),
    "a reset of a stream to come": (OPENING + frame(RST_STREAM, 0, 1, bytes(4)), PROTOCOL),
    "a reset cut off": (OPENING + OPEN + frame(RST_STREAM, 0, 1, bytes(3)), FRAME_SIZE),
    "a priority cut off": (OPENING + frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE),
    "a head's priority cut off": (OPENING + frame(HEADERS, END_HEADERS | PRIORITISED, 1, b"\x00"), PROTOCOL),
    "a farewell of a stream": (OPENING + frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    "a long frame": (OPENING + OPEN + b"\x00\x40\x01" + bytes([DATA, 0]) + b"\x00\x00\x00\x01", FRAME_SIZE),
    "padding alone": (OPENING + frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05abc"), PROTOCOL),
    "no padding where some is": (OPENING + OPEN + frame(DATA, PADDED, 1), PROTOCOL),
    "index 0": (OPENING + frame(HEADERS, END_HEADERS, 1, b"\x80"), COMPRESSION),
    "an index of nothing": (OPENING + frame(HEADERS, END_HEADERS, 1, b"\xff\x80\x01"), COMPRESSION),
    "a number without end": (OPENING + frame(HEADERS, END_HEADERS, 1, b"\xff" * 2_000), COMPRESSION),
    "a field cut off": (OPENING + frame(HEADERS, END_HEADERS, 1, b"\x00\x05abc"), COMPRESSION),
    "a code that is none": (OPENING + frame(HEADERS, END_HEADERS, 1, b"\x00\x84\xff\xff\xff\xff\x00"), COMPRESSION),
    "a table that grows": (OPENING + frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\x03" + headers()), COMPRESSION),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_gone_on_with_ends_the_connection_with_a_reason(both: Around, fault: str) -> None:
    sent, code = FAULTS[fault]
    link = connected(both.target, opening=sent)
    since_s = time.monotonic()
    assert link.ended() == code
    assert time.monotonic() - since_s < 8.0
    link.close()
    other = connected(both.target)
    assert other.alive(1)
    other.close()


@pytest.mark.parametrize(
    "block",
    [
        headers() + literal("X-Mine", "7"),
        headers() + literal("a b", "7"),
        headers() + literal(":path", "/again"),
        literal("te", "trailers") + headers(),
        literal(":method", "POST") + literal(":scheme", "http"),
        headers() + literal("connection", "close"),
        literal(":status", "200"),
        literal(":protocol", "websocket") + headers(),
        b"",
    ],
)
def test_a_head_that_is_none_resets_its_stream_alone(link: Link, block: bytes) -> None:
    assert link.send(frame(HEADERS, END_HEADERS, 1, block)).told(1).reset == PROTOCOL
    assert link.alive(3)


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"grpc_timeout": "soon"}, 3, "grpc-timeout is"),
        ({"grpc_timeout": "123456789S"}, 3, "grpc-timeout is"),
        ({"grpc_timeout": "0n"}, 4, "the deadline of the request passed"),
        ({"grpc_encoding": "zstd"}, 12, "a message is compressed by"),
        ({"x_more": "y" * 100}, 0, ""),
    ],
)
def test_what_a_head_asks_for_is_done_or_refused_in_words(
    link: Link, more: dict[str, str], status: int, words: str
) -> None:
    told = link.send(call(1, "ModelInfer", ASKED, **more)).told(1)
    assert told.status == status
    assert told.fields.get("grpc-message", "").startswith(words)
    assert link.alive(3)


def test_what_is_no_call_of_grpc_gets_a_status_of_http(link: Link) -> None:
    for stream, more, status in (
        (1, {":method": "GET"}, "405"),
        (3, {"content-type": "application/json"}, "415"),
        (5, {"content-type": "application/grpc-web"}, "415"),
    ):
        told = link.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, headers(**more))).told(stream)
        assert dict(told.fields) == {":status": status}
    assert link.send(call(7, "ServerLive", content_type="application/grpc+proto")).told(7).status == 0


def test_a_client_of_http_1_is_told_where_it_has_come_to(both: Around) -> None:
    for first in (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"POST /v2 HTTP/1.1\r\n" + b"x" * 300_000):
        link = connected(both.target, opening=first)
        with pytest.raises((EOFError, ConnectionError)):
            link.until(HEADERS)
        assert link.held.startswith(b"HTTP/1.1 400 ")
        assert b"gRPC" in link.held
        link.close()


@pytest.mark.parametrize("wbits", [31, 15])
def test_messages_may_come_packed_in_two_ways(link: Link, wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    packed = packer.compress(ASKED) + packer.flush()
    name = "gzip" if wbits == 31 else "deflate"
    link.send(
        frame(HEADERS, END_HEADERS, 1, headers(grpc_encoding=name)),
        frame(DATA, END_STREAM, 1, b"\x01" + len(packed).to_bytes(4, "big") + packed),
    )
    good(link, 1)
    link.send(
        frame(HEADERS, END_HEADERS, 3, headers(grpc_encoding=name)),
        frame(DATA, END_STREAM, 3, b"\x01" + len(ASKED).to_bytes(4, "big") + ASKED),
    )
    told = link.told(3)
    assert (told.status, told.fields["grpc-message"]) == (3, f"the body is not {name}")


def test_no_more_streams_are_open_than_were_offered(link: Link) -> None:
    link.send(*(frame(HEADERS, END_HEADERS, 2 * number + 1, headers()) for number in range(101)))
    assert link.until(RST_STREAM, 201).code == REFUSED
    link.send(frame(DATA, END_STREAM, 1, MESSAGE))
    good(link, 1)
    assert link.alive(203)


def test_a_client_that_sends_more_than_a_stream_may_hold_is_ended(both: Around) -> None:
    """It has no room for answers, so its requests wait, and its window is not given back."""
    link = connected(both.target, opening=PREFACE + settings(s4=0))
    link.send(frame(HEADERS, END_HEADERS, 1, headers("ModelStreamInfer")), frame(DATA, 0, 1, MESSAGE))
    assert link.until(HEADERS, 1)
    link.send(frame(DATA, 0, 1, bytes(16_384)) * 70)
    assert link.ended() == FLOW_CONTROL
    link.close()


@pytest.mark.parametrize("room", [1, 1_000, 65_535, 1 << 20])
def test_a_stream_goes_on_when_its_client_has_room_again(both: Around, room: int) -> None:
    """All requests are there before the first answer is let out; then room is made now and then."""
    link = connected(both.target, opening=PREFACE + settings(s4=0))
    link.send(frame(HEADERS, END_HEADERS, 1, headers("ModelStreamInfer")), frame(DATA, 0, 1, MESSAGE * 20) * 7)
    link.send(frame(DATA, END_STREAM, 1))
    assert link.until(HEADERS, 1)
    link.send(settings(s4=room), frame(WINDOW_UPDATE, 0, 0, b"\x00\x10\x00\x00"))
    data = bytearray()
    while (each := link.next()) is not None and each.kind != HEADERS:
        if each.kind == DATA:
            data += each.payload
            link.send(frame(WINDOW_UPDATE, 0, 1, max(room, 500).to_bytes(4, "big")))
    count = 0
    while data:
        size = int.from_bytes(data[1:5], "big") + 5
        assert not read("ModelStreamInferResponse", bytes(data[5:size])).error_message
        del data[:size]
        count += 1
    assert count == 140
    link.close()


def test_an_answer_is_not_lost_on_a_client_that_takes_it_byte_by_byte(both: Around) -> None:
    link = connected(both.target, opening=PREFACE + settings(s4=0))
    link.send(call(1, "ServerLive"))
    assert link.until(HEADERS, 1)
    data = b""
    while len(data) < 7:
        link.send(frame(WINDOW_UPDATE, 0, 1, b"\x00\x00\x00\x01"))
        data += link.until(DATA, 1).payload
    assert read("ServerLiveResponse", data[5:]).live
    assert link.until(HEADERS, 1).flags & END_STREAM
    link.close()


@pytest.mark.slow
def test_an_endpoint_that_ends_answers_what_is_on_its_way(plan: Plan, tmp_path: Path) -> None:
    with around(plan, tmp_path) as both:
        link, silent, new = connected(both.target), connected(both.target), connected(both.target, opening=b"")
        assert link.alive(1)
        assert silent.alive(1)
        both.here.call(lambda: [each.leave() for each in both.plane.connections])
        assert new.ended() == 0
        first = link.until(GOAWAY)
        assert (first.payload[:4], first.code) == (b"\x7f\xff\xff\xff", 0)
        ping = link.until(PING)
        assert link.alive(3)
        link.send(OPEN.replace(b"\x00\x00\x00\x01", b"\x00\x00\x00\x05", 1), frame(PING, ACK, 0, ping.payload))
        last = link.until(GOAWAY)
        assert (last.payload[:4], last.code) == (b"\x00\x00\x00\x05", 0)
        link.send(frame(HEADERS, END_HEADERS, 7, headers()))
        assert link.until(RST_STREAM, 7).code == REFUSED
        link.send(frame(DATA, END_STREAM, 5, MESSAGE))
        good(link, 5)
        assert link.ended() == 0
        assert silent.ended() == 0  # it never said that it knows
        for each in (link, silent, new):
            each.close()


def test_a_connection_without_calls_is_let_go_and_one_with_calls_is_asked(both: Around) -> None:
    idle, busy = connected(both.target), connected(both.target)
    assert idle.alive(1)
    busy.send(frame(HEADERS, END_HEADERS, 1, headers("ModelStreamInfer")))
    assert busy.alive(3)
    later_s = time.monotonic() + 301
    both.here.call(lambda: both.plane.sweep(later_s))
    assert idle.ended() == 0
    asked_for = busy.until(PING)
    busy.send(frame(PING, ACK, 0, asked_for.payload))
    assert busy.alive(5)
    both.here.call(lambda: both.plane.sweep(later_s))
    both.here.call(lambda: both.plane.sweep(later_s + 11))
    assert busy.ended() is None
    for each in (idle, busy):
        each.close()
