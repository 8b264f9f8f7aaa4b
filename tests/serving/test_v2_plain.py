"""The quick way to read a request says what the long way says, or leaves the request to it."""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.serving.ask import About, Problem
from holdtrue.serving.wire.v2 import read, read_any
from holdtrue.serving.wire.v2_plain import TRIES, plain_of

ORDER, TEXTUAL = ("age", "größe", "town", "note"), frozenset({"town", "note"})


def about() -> About:
    return About(
        name="m", version="v", digest="d" * 64, classes=(), columns={name: name for name in ORDER}, order=ORDER,
        textual=TEXTUAL, outputs=(), plain=plain_of(ORDER, TEXTUAL),
    )  # fmt: skip


def asked(*values: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": "BYTES" if name in TEXTUAL else "FP64", "data": [value]}
        for name, value in zip(ORDER, values, strict=True)
    ]
    return {"inputs": inputs}


def plain(body: bytes) -> Any:
    reader = about().plain
    assert reader is not None
    return reader.read(body, None)


def same(value: Any, other: Any) -> bool:
    """A number is the same when it is the same float."""
    if isinstance(value, str):
        return value == other
    return not isinstance(other, str) and struct.pack("d", value) == struct.pack("d", other)


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -0.0, 1e308, 2**53, 2**53 + 1, -(2**53) - 1, 5e-324]),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.tuples(numbers, numbers, texts, texts), texts)
def test_a_plain_request_is_read_as_ever(values: tuple[Any, ...], id: str) -> None:
    body = json.dumps({**asked(*values), "id": id}).encode()
    found = plain(body)
    try:
        long = read_any(body, None, about())
    except Problem:
        with pytest.raises(Problem):
            read(body, None, about())
        return
    if all(abs(value) < 2**53 for value in values[:2]):
        short = read(body, None, about())
        assert list(found.columns) == list(short.columns) == list(long.columns)
        assert all(same(found.columns[name][0], long.columns[name][0]) for name in ORDER)
        assert (found.request.id, short.id, short.rows) == (long.id, long.id, 1)


def listed(columns: Mapping[str, Sequence[Any]], **more: Any) -> bytes:
    """Write columns as JSON."""
    inputs = [
        {"name": name, "shape": [len(values), 1], "datatype": "BYTES" if name in TEXTUAL else "FP64", "data": values}
        for name, values in columns.items()
    ]
    return json.dumps({"inputs": inputs, **more}).encode()


@given(st.integers(2, 40).flatmap(lambda count: st.tuples(
    *(st.lists(numbers, min_size=count, max_size=count) for _ in range(2)),
    *(st.lists(texts, min_size=count, max_size=count) for _ in range(2)),
)))  # fmt: skip
def test_rows_in_json_are_read_as_ever(columns: tuple[list[Any], ...]) -> None:
    body = listed(dict(zip(ORDER, columns, strict=True)), id="é")
    found, short, long = plain(body), read(body, None, about()), read_any(body, None, about())
    assert found is not None
    assert (short.rows, short.id) == (long.rows, long.id) == (len(columns[0]), "é")
    assert list(short.columns) == list(long.columns)
    for name in ORDER:
        assert all(map(same, list(short.columns[name]), list(long.columns[name])))
    assert short.numbers is not None
    assert short.numbers.tobytes() == struct.pack(f"<{2 * short.rows}d", *columns[0], *columns[1])


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda request: request.update({key: value})


def put_first(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda request: request["inputs"][0].update({key: value})


@pytest.mark.parametrize(
    "change",
    [
        put("outputs", "x"), put("parameters", [True]), put("id", 7),
        put("inputs", []), put("inputs", {}), put_first("shape", [1]), put_first("shape", [2, 1]),
        put_first("shape", [1, 2]), put_first("shape", [True, 1]), put_first("shape", [1.0, 1]),
        put_first("datatype", "INT64"), put_first("datatype", "FP32"), put_first("data", [None]),
        put_first("data", ["1"]), put_first("data", [True]), put_first("data", [1, 2]), put_first("data", []),
        put_first("data", [[1]]), put_first("data", 1), put_first("name", "another"), put_first("name", "größe"),
        put_first("parameters", {"binary_data_size": 8}), put_first("data", [2**60]),
        lambda request: request["inputs"].reverse(), lambda request: request["inputs"].pop(),
        lambda request: request["inputs"].append(request["inputs"][0]),
        lambda request: request["inputs"][2].update({"data": ["x" * 70_000]}),
        lambda request: request["inputs"][2].update({"data": [7]}),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_long_way(change: Callable[[dict[str, Any]], None]) -> None:
    request = asked(1.5, 2, "Ulm", "")
    assert plain(json.dumps(request).encode()) is not None
    change(request)
    assert plain(json.dumps(request).encode()) is None


@pytest.mark.parametrize(
    "change",
    [
        put_first("shape", [3, 1]), put_first("shape", [1, 1]), put_first("shape", [2]), put_first("shape", [2, 2]),
        put_first("data", [1.5, None]), put_first("data", [1.5, True]), put_first("data", [1.5]),
        put_first("data", [1.5, 2.5, 3.5]), put_first("data", [[1.5], [2.5]]), put_first("datatype", "FP32"),
        put_first("data", [10**400, 1]), lambda request: request["inputs"].reverse(),
        lambda request: request["inputs"][2].update({"data": ["x" * 70_000, "y"]}),
        lambda request: request["inputs"][2].update({"data": ["x", None]}),
        lambda request: [each.update({"shape": [0, 1], "data": []}) for each in request["inputs"]],
    ],
)  # fmt: skip
def test_rows_that_are_not_plain_are_left_to_the_long_way(change: Callable[[dict[str, Any]], Any]) -> None:
    body = listed({"age": [1.5, 2], "größe": [3, 4], "town": ["Ulm", "x"], "note": ["", "yes"]})
    assert plain(body) is not None
    request = json.loads(body)
    change(request)
    assert plain(json.dumps(request).encode()) is None


def test_a_long_request_of_short_texts_is_plain() -> None:
    body = listed({"age": [1.5] * 2, "größe": [3] * 2, "town": ["x" * 40_000] * 2, "note": ["", "yes"]})
    assert len(body) > 64 << 10
    assert plain(body) is not None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"inputs"', b"\xff", b'{"inputs":[' * 2_000, b'{"inputs":NaN}',
        json.dumps(asked(1, 2, "x", "y")).encode() + b" 1",
        json.dumps(asked(1, 2, "x", "y")).encode().replace(b"[1]", b"[NaN]", 1),
        json.dumps(asked(1, 2, "x", "y")).encode().replace(b"[1]", b"[1e999]", 1),
        json.dumps(asked(1, 2, "x", "y")).encode().replace(b'"x"', b'"\xff"', 1),
        json.dumps(asked(1, 2, "x", "y")).encode().replace(b'"name": "age"', b'"name": "age", "name": "town"', 1),
    ],
)  # fmt: skip
def test_what_is_broken_is_no_plain_request(body: bytes) -> None:
    assert plain(body) is None


def test_a_client_that_writes_otherwise_is_not_tried_for_ever_and_one_that_writes_plainly_is_found_again() -> None:
    here = about()
    odd = json.dumps({"inputs": asked(1, 2, "a", "b")["inputs"][::-1]}).encode()
    for _ in range(3 * TRIES):
        assert read(odd, None, here).rows == 1
    reader = here.plain
    assert reader is not None
    bodies = [json.dumps({**asked(1, 2, "a", "b"), "id": "x" * length}).encode() for length in range(2 * TRIES)]
    found = [reader.read(body, None) is not None for body in bodies]
    assert not found[0] or len(bodies[0]) % TRIES == 0
    assert found[-TRIES:] == [True] * TRIES


def binary(columns: Mapping[str, Sequence[Any]], **more: Any) -> tuple[bytes, int]:
    """Write columns as binary tensors; gives the body and how much of it is JSON."""
    tail: list[bytes] = []
    inputs: list[dict[str, Any]] = []
    for name, values in columns.items():
        raw = (
            b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in values)
            if name in TEXTUAL
            else struct.pack(f"<{len(values)}d", *values)
        )
        kind, size = "BYTES" if name in TEXTUAL else "FP64", {"binary_data_size": len(raw)}
        inputs.append({"name": name, "shape": [len(values), 1], "datatype": kind, "parameters": size})
        tail.append(raw)
    head = json.dumps({"inputs": inputs, **more}).encode()
    return b"".join([head, *tail]), len(head)


@given(st.integers(1, 40).flatmap(lambda count: st.tuples(
    *(st.lists(st.floats(), min_size=count, max_size=count) for _ in range(2)),
    *(st.lists(texts, min_size=count, max_size=count) for _ in range(2)),
)))  # fmt: skip
def test_plain_tensors_are_read_as_ever(columns: tuple[list[Any], ...]) -> None:
    body, header = binary(dict(zip(ORDER, columns, strict=True)), id="é")
    short, long = read(body, header, about()), read_any(body, header, about())
    assert (short.rows, short.id) == (long.rows, long.id) == (len(columns[0]), "é")
    assert list(short.columns) == list(long.columns)
    for name in ORDER:
        assert all(map(same, list(short.columns[name]), list(long.columns[name])))
    if short.rows > 1:
        assert short.numbers is not None
        assert short.numbers.tobytes() == struct.pack(f"<{2 * short.rows}d", *columns[0], *columns[1])


@given(st.data())
def test_tensors_that_were_cut_or_changed_are_read_as_ever(data: st.DataObject) -> None:
    body, header = binary({"age": [1.0, 2.0], "größe": [3.0, 4.0], "town": ["Ulm", "x"], "note": ["", "yes"]})
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    sent = bytes(changed[: data.draw(st.integers(len(changed) - 9, len(changed)))])
    at = header + data.draw(st.sampled_from([0, 0, 0, -1, 1]))
    try:
        long = read_any(sent, at, about())
    except Problem as problem:
        told = (problem.status, problem.what)
        with pytest.raises(Problem) as caught:
            read(sent, at, about())
        assert (caught.value.status, caught.value.what) == told
        return
    short = read(sent, at, about())
    assert list(short.columns) == list(long.columns)
    for name in long.columns:
        assert all(map(same, list(short.columns[name]), list(long.columns[name])))


def test_a_very_wide_table_has_no_decoder_of_its_own() -> None:
    assert plain_of([f"c{number}" for number in range(600)], frozenset()) is None
    assert plain_of([], frozenset()) is None
