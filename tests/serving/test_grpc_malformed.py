"""Whatever comes over gRPC, the server says what is wrong with it, and goes on answering everybody else."""

import socket
import struct
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from tests.serving.endpoint import COLUMNS, Served, copied, rows, serving
from tests.serving.frames import OPENING, call, connected, frame, headers, settings
from tests.serving.grpc_driver import Client, asked

from holdtrue.serving.grpc_messages import KINDS, Message
from holdtrue.serving.wire.tensors import DATATYPES

TABLE = rows(2, target=False)
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
}
WEIRD = ("", "x" * 70_000, "\x00", "é\u202e", "\n\r\n", "%s%n", "age", "Age ", "probabilities", "../../etc/passwd")
NUMBERS = (0, -1, 1, 2, 3, 2**31 - 1, -(2**31), 2**62, 2**63 - 1, -(2**63))


@pytest.fixture(scope="module")
def grpc_served(trips_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    with serving(copied(trips_made, tmp_path_factory.mktemp("grpc") / "trips"), "--grpc-port", "0") as made:
        yield made


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def field(number: int, kind: int, payload: bytes = b"") -> bytes:
    """Write one field by hand; `kind` is the wire type."""
    return varint(number << 3 | kind) + (varint(len(payload)) if kind == 2 else b"") + payload


# The grammar: each takes a good request and a source of chance, and gives bytes that are wrong in one way.


def cut(chance: Random, good: bytes) -> bytes:
    return good[: chance.randrange(len(good))]


def flipped(chance: Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(chance.randint(1, 20)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def noise(chance: Random, good: bytes) -> bytes:
    return chance.randbytes(chance.choice([0, 1, 2, 7, 100, 5_000]))


def moved(chance: Random, good: bytes) -> bytes:
    """Take a piece away, or put it in once more."""
    start = chance.randrange(len(good))
    stop = min(len(good), start + chance.randrange(60))
    return good[:start] + good[stop:] if chance.random() < 0.5 else good[:stop] + good[start:]


def other_types(chance: Random, good: bytes) -> bytes:
    """Known fields of another type: the rules of protobuf make unknown fields of them."""
    made = b"".join(
        field(
            chance.randint(0, 9),
            kind := chance.choice([0, 1, 2, 5]),
            {0: varint(chance.choice(NUMBERS)), 1: b"x" * 8, 2: chance.randbytes(9), 5: b"x" * 4}[kind],
        )
        for _ in range(chance.randint(1, 8))
    )
    return chance.choice([good + made, made + good, made])


def unknown_fields(chance: Random, good: bytes) -> bytes:
    piece = chance.choice([field(999, 0, b"\x01"), field(2**28, 2, b"x" * 30), field(77, 2), field(5, 2), field(7, 2)])
    return good + piece * chance.choice([10, 1_000, 30_000])


def nested(chance: Random, good: bytes) -> bytes:
    """Groups in groups, and messages in messages."""
    if chance.random() < 0.5:
        return good + varint(12 << 3 | 3) * chance.choice([10, 200, 100_000])
    made = b""
    for _ in range(200):
        made = field(chance.choice([4, 5, 6]), 2, made)
    return good + made


def parameters(chance: Random, good: bytes) -> bytes:
    entry = field(1, 2, chance.randbytes(4)) + field(2, 2, chance.choice([b"", field(3, 2, b"x"), b"\xff"]))
    return good + field(4, 2, entry) * chance.choice([1, 40, 50_000])


def said(change: Callable[[Random, Message], None]) -> Callable[[Random, bytes], bytes]:
    """Make a form of the grammar of a change to the message."""

    def form(chance: Random, good: bytes) -> bytes:
        message = KINDS["ModelInferRequest"]()
        message.ParseFromString(good)
        change(chance, message)
        return bytes(message.SerializeToString())

    return form


def shapes(chance: Random, message: Message) -> None:
    tensor = chance.choice(message.inputs)
    del tensor.shape[:]
    tensor.shape.extend(chance.choice(NUMBERS) for _ in range(chance.choice([0, 1, 2, 3, 9, 2_000])))


def datatypes(chance: Random, message: Message) -> None:
    chance.choice(message.inputs).datatype = chance.choice([*DATATYPES, *WEIRD, "fp64", "STRING"])


def names(chance: Random, message: Message) -> None:
    chance.choice(message.inputs).name = chance.choice([*WEIRD, *COLUMNS])


def lengths(chance: Random, message: Message) -> None:
    raw = message.raw_input_contents
    if not raw:
        del chance.choice(message.inputs).contents.fp64_contents[:]
        return
    place = chance.randrange(len(raw))
    raw[place] = chance.choice(
        [b"", raw[place][:-1], raw[place] * 2, struct.pack("<I", 2**32 - 1) + b"x", chance.randbytes(16)]
    )
    if chance.random() < 0.3:
        del raw[chance.randrange(len(raw)) :]


def contents(chance: Random, message: Message) -> None:
    tensor = chance.choice(message.inputs)
    kind = chance.choice(["bool", "int", "int64", "uint", "uint64", "fp32", "fp64"])
    getattr(tensor.contents, f"{kind}_contents").extend([1] * chance.choice([1, 2, 3, 500]))
    tensor.contents.bytes_contents.extend([chance.randbytes(3)] * chance.choice([0, 1, 2]))
    tensor.datatype = chance.choice([*DATATYPES])
    if chance.random() < 0.5:
        del message.raw_input_contents[:]


def outputs(chance: Random, message: Message) -> None:
    for _ in range(chance.choice([1, 2, 150])):
        message.outputs.add(name=chance.choice([*WEIRD, "probabilities", "label"]))
    if chance.random() < 0.3:
        message.outputs[0].parameters["classification"].int64_param = 3


def words(chance: Random, message: Message) -> None:
    message.id = chance.choice(WEIRD)
    if chance.random() < 0.5:
        setattr(message, chance.choice(["model_name", "model_version"]), chance.choice(WEIRD))


def tensors(chance: Random, message: Message) -> None:
    """One too many, twice the same, or none."""
    if chance.random() < 0.5:
        message.inputs.add().CopyFrom(chance.choice(message.inputs))
        if chance.random() < 0.5 and message.raw_input_contents:
            message.raw_input_contents.append(message.raw_input_contents[0])
    else:
        del message.inputs[chance.randrange(len(message.inputs)) :]


FORMS: Mapping[str, Callable[[Random, bytes], bytes]] = {
    "cut": cut,
    "flipped": flipped,
    "noise": noise,
    "moved": moved,
    "other types": other_types,
    "unknown fields": unknown_fields,
    "nested": nested,
    "parameters": parameters,
    **{
        change.__name__: said(change)
        for change in (shapes, datatypes, names, lengths, contents, outputs, words, tensors)
    },
}
METADATA: tuple[tuple[tuple[str, Any], ...], ...] = (
    (),
    (),
    (("x-request-id", "x" * 500),),
    (("traceparent", "00-zz-" * 50),),
    (("x-holdtrue-version", "0" * 64),),
    (("authorization", "Basic x"),),
    (("authorization", "Bearer a"), ("authorization", "Bearer b")),
    (("x-holdtrue-version-bin", b"\xff" * 99),),
    tuple((f"x-{number}", "y" * 100) for number in range(100)),
    tuple((f"x-{number}", "y" * 300) for number in range(100)),
)
METADATA_WEIGHTS = (20, 20, 10, 10, 10, 10, 10, 10, 10, 1)


@pytest.mark.slow
def test_2000_malformed_requests_are_refused_in_words(grpc_served: Served) -> None:
    chance = Random(20_261)
    goods = [asked(TABLE, raw=raw).SerializeToString() for raw in (True, False)]
    before = grpc_served.workers()
    told: dict[grpc.StatusCode, int] = {}
    with Client(str(grpc_served.state["grpc"])) as client:
        for number in range(2_000):
            form = list(FORMS)[number % len(FORMS)]
            (metadata,) = chance.choices(METADATA, METADATA_WEIGHTS)
            reply = client.infer(FORMS[form](chance, chance.choice(goods)), metadata=metadata)
            assert reply.code in EXPECTED, (number, form, reply.code, reply.details[:300])
            assert reply.code is grpc.StatusCode.OK or reply.details
            told[reply.code] = told.get(reply.code, 0) + 1
        for good in goods:
            assert client.infer(good).code is grpc.StatusCode.OK
    assert grpc_served.workers() == before
    assert told[grpc.StatusCode.INVALID_ARGUMENT] > 800
    assert set(told) == EXPECTED
    assert b'status="500"' not in grpc_served.ask("GET", "/metrics").body


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, 5, 6, 7, 999])
def test_eight_megabytes_of_nothing_take_little_memory_and_time(grpc_served: Served, number: int) -> None:
    before = grpc_served.resident_bytes()
    with Client(str(grpc_served.state["grpc"])) as client:
        bomb = asked(TABLE).SerializeToString() + field(number, 2) * ((7 << 20) // len(field(number, 2)))
        for _ in range(3):
            assert client.infer(bomb, timeout_s=30).code in EXPECTED
        assert client.infer(asked(TABLE), timeout_s=30).code is grpc.StatusCode.OK
    assert grpc_served.resident_bytes() - before < 256 << 20


# Below the messages: frames of HTTP/2 written by hand, for what no client library sends.


LIES: Mapping[str, bytes] = {
    "nothing": b"",
    "no preface": b"GET / HTTP/1.1\r\n\r\n",
    "a flag that says compressed": OPENING + frame(1, 4, 1, headers()) + frame(0, 1, 1, b"\x01\x00\x00\x00\x02xx"),
    "gzip that is none": OPENING
    + frame(1, 4, 1, headers(grpc_encoding="gzip"))
    + frame(0, 1, 1, b"\x01\x00\x00\x00\x02xx"),
    "a length that is never sent": OPENING + frame(1, 4, 1, headers()) + frame(0, 1, 1, b"\x00\xff\xff\xff\xffxx"),
    "half a length": OPENING + frame(1, 4, 1, headers()) + frame(0, 1, 1, b"\x00\x00"),
    "another stream": OPENING + frame(0, 1, 7, b"\x00\x00\x00\x00\x00"),
    "settings without end": OPENING + frame(4, 0, 0, b"\x00\x03\x00\x00\x00\x01") * 2_000,
    "resets": OPENING
    + b"".join(frame(1, 4, n, headers()) + frame(3, 0, n, b"\x00\x00\x00\x08") for n in range(1, 2_001, 2)),
    "a frame that is too long": OPENING + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 100_000,
    "headers without end": OPENING + frame(1, 0, 1, headers()) + frame(9, 0, 1, b"\x00\x01a\x01b" * 3_000) * 20,
}


@pytest.mark.parametrize("lie", LIES)
def test_frames_that_lie_harm_nobody_else(grpc_served: Served, lie: str) -> None:
    target = str(grpc_served.state["grpc"])
    before = grpc_served.workers()
    host, _, port = target.rpartition(":")
    with Client(target) as client:
        assert client.infer(asked(TABLE)).code is grpc.StatusCode.OK
        links = [socket.create_connection((host, int(port)), timeout=30) for _ in range(3)]
        for link in links:
            try:
                link.sendall(LIES[lie])
            except OSError:
                continue  # cut off already
            assert client.infer(asked(TABLE), timeout_s=30).code is grpc.StatusCode.OK
        for link in links:
            link.close()
        assert client.infer(asked(TABLE), timeout_s=30).code is grpc.StatusCode.OK
    assert grpc_served.workers() == before


def any_frame(chance: Random, goods: Mapping[str, bytes]) -> bytes:
    """Write a frame that is right, wrong in one place, or noise."""
    stream = chance.choice([0, 0, 1, 1, 3, 5, 7, 2, chance.getrandbits(31)])
    made = chance.choice(
        [
            call(stream, chance.choice(list(CALLS)), chance.choice(list(goods.values()))),
            frame(1, chance.choice([0, 1, 4, 5, 37, 45]), stream, headers(chance.choice(list(CALLS)))),
            frame(0, chance.choice([0, 1, 8, 9]), stream, chance.choice(list(goods.values()))[: chance.randrange(99)]),
            frame(
                chance.randrange(11),
                chance.getrandbits(8),
                stream,
                chance.randbytes(chance.choice([0, 4, 5, 6, 8, 60])),
            ),
            frame(8, 0, stream, chance.getrandbits(chance.choice([1, 8, 31])).to_bytes(4, "big")),
            settings(**{f"s{chance.randint(1, 9)}": chance.getrandbits(chance.choice([1, 15, 32]))}),
            frame(3, 0, stream, bytes(4)),
        ]
    )
    if chance.random() < 0.2:
        made = flipped(chance, made)
    return made[: chance.randrange(len(made))] if chance.random() < 0.05 else made


CALLS = ("ServerLive", "ModelInfer", "ModelStreamInfer", "ModelMetadata", "Nothing")


@pytest.mark.slow
def test_1500_connections_of_arbitrary_frames_end_in_no_fault_of_ours(grpc_served: Served) -> None:
    chance = Random(20_262)
    goods = {"good": asked(TABLE).SerializeToString(), "none": b"", "broken": b"\xff" * 40}
    before = grpc_served.workers()
    target = str(grpc_served.state["grpc"])
    codes: set[int | None] = set()
    for _ in range(1_500):
        link = connected(target)
        link.send(*(any_frame(chance, goods) for _ in range(chance.randint(1, 30))))
        link.link.shutdown(socket.SHUT_WR)
        codes.add(link.ended())
        link.close()
    assert 2 not in codes  # which would be ours
    assert codes >= {None, 1, 3, 5, 6, 9}
    with Client(target) as client:
        assert client.infer(asked(TABLE), timeout_s=30).code is grpc.StatusCode.OK
    assert grpc_served.workers() == before
    assert b'status="500"' not in grpc_served.ask("GET", "/metrics").body
