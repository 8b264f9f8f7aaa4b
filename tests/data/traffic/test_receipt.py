"""Prediction ids rise and say who made them; what is packed comes back, or is refused."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.traffic.made import NOW_US, label, receipt

from holdtrue.core.errors import Misuse, Refused
from holdtrue.data.traffic.label import Gap, Label, pack_gap, pack_label, unpack_gap, unpack_label
from holdtrue.data.traffic.receipt import Ids, Receipt, pack, read_id, unpack
from holdtrue.data.traffic.record import MOST_BYTES, RECEIPT, frame

STREAMS = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=40)
BIG = st.integers(0, 2**63 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
RECEIPTS = st.builds(
    Receipt,
    id=st.builds(lambda stream, ms: Ids(stream).next(ms), STREAMS, st.integers(0, 2**48 - 1)),
    time_us=TIMES,
    release=TEXT,
    route=TEXT,
    weight=st.floats(allow_nan=False),
    batch=BIG,
    place=BIG,
    rows=BIG,
    wire=TEXT,
    body=st.binary(max_size=300),
    outputs=st.binary(max_size=300),
    trace=TEXT,
    caller=TEXT,
    request_id=TEXT,
    subject=TEXT,
)
SCALARS = st.none() | st.booleans() | TIMES | st.floats(allow_nan=False, allow_infinity=False) | TEXT


@given(STREAMS, st.lists(st.integers(0, 2**48 - 1), min_size=1, max_size=50))
def test_ids_rise_whatever_the_clock_does_and_name_their_stream(stream: int, times: list[int]) -> None:
    ids = Ids(stream)
    made = [ids.next(ms) for ms in times]
    assert made == sorted(set(made))
    read = [read_id(id) for id in made]
    assert [count for _, _, count in read] == list(range(len(times)))
    assert {found for _, found, _ in read} == {stream}
    assert [ms for ms, _, _ in read] == [max(times[: at + 1]) for at in range(len(times))]


@given(STREAMS, st.integers(0, 2**48 - 1))
def test_an_id_has_the_layout_of_a_uuid_of_version_7(stream: int, ms: int) -> None:
    id = Ids(stream).next(ms)
    assert re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", id)
    assert int(id[:12], 16) == ms


def test_ids_that_are_used_up_are_not_given_twice() -> None:
    ids = Ids(5)
    ids.next(1)
    ids._tail += 2**42 - 2**24  # pyright: ignore[reportPrivateUsage] - nobody waits for four million million ids
    with pytest.raises(Misuse, match="used up"):
        ids.next(2)


@pytest.mark.parametrize(
    "wrong",
    ["", "x" * 32, "018bcfe568007abcb7bc04000000000", "018bcfe568004abcb7bc040000000001",
     "018bcfe568007abc37bc040000000001", "018BCFE568007ABCB7BC040000000001", "018bcfe568007abcb7bc040000000001\n",
     "018bcfe5-6800-7abc-b7bc-040000000001", "x" * 10_000, "٠" * 32],
)  # fmt: skip
def test_a_wrong_id_is_a_misuse(wrong: str) -> None:
    with pytest.raises(Misuse, match="no prediction id") as caught:
        read_id(wrong)
    assert len(str(caught.value)) < 400


@given(RECEIPTS)
def test_a_receipt_comes_back_as_it_was(made: Receipt) -> None:
    assert unpack(pack(made)) == made


@given(SCALARS, st.dictionaries(TEXT, SCALARS, min_size=1, max_size=4), TIMES, TIMES, TEXT)
def test_a_label_comes_back_as_it_was(
    value: str | int | float | bool | None, key: dict[str, str | int | float | bool | None], a: int, b: int, text: str
) -> None:
    made = Label(value=value, time_us=a, received_us=b, key=key, idempotency=text, source=text, caller=text)
    back = unpack_label(pack_label(made))
    assert back == made
    assert type(back.value) is type(value)


@given(TIMES, TIMES, BIG, TEXT, st.booleans())
def test_a_gap_comes_back_as_it_was(since_us: int, until_us: int, count: int, why: str, certain: bool) -> None:
    made = Gap(since_us=since_us, until_us=until_us, count=count, why=why, certain=certain)
    assert unpack_gap(pack_gap(made)) == made


def test_every_flipped_bit_of_a_packed_receipt_is_refused() -> None:
    data = pack(receipt(Ids(7).next(NOW_US // 1000), body=b"body" * 20))
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            unpack(bytes(changed))


def test_every_shortened_or_lengthened_receipt_is_refused() -> None:
    data = pack(receipt(Ids(7).next(1)))
    for other in (*(data[:length] for length in range(len(data))), data + b"\x00", data + data):
        with pytest.raises(Refused):
            unpack(other)


def test_one_kind_is_not_read_as_another() -> None:
    with pytest.raises(Refused):
        unpack(pack_label(label(1, 2)))


@pytest.mark.parametrize(
    "wrong", [{"batch": -1}, {"place": 2**63}, {"rows": -5}, {"time_us": 2**63}, {"id": "x"}, {"caller": "\udc80"}]
)
def test_a_receipt_that_could_not_be_read_back_is_not_packed(wrong: dict[str, int | str]) -> None:
    made = msgspec.structs.replace(receipt(Ids(7).next(1)), **wrong)
    with pytest.raises(Misuse):
        pack(made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": {}},
        {"prediction": Ids(1).next(1)},
        {"prediction": "x", "key": {}},
        {"row": -1},
        {"value": float("nan")},
        {"value": 2**64},
        {"key": {"a": float("inf")}},
        {"time_us": 2**63},
        {"source": "\udc80"},
    ],
)
def test_a_label_that_says_nothing_is_not_packed(wrong: dict[str, object]) -> None:
    with pytest.raises(Misuse):
        pack_label(msgspec.structs.replace(label(1, 2), **wrong))


def test_what_is_too_large_is_refused_before_it_is_written() -> None:
    with pytest.raises(Misuse, match="too large"):
        frame(RECEIPT, bytes(MOST_BYTES + 1))
