"""Requests as nobody should send them: valid ones, with one to three things wrong, drawn from a seed.

A case need not be refused: some of what is wrong is harmless. None may end in an error of the server.
"""

import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.serving.endpoint import COLUMNS, NAME, rows

NUMBERS = ("age", "income", "nights")
Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Bare:
    """Text that goes into JSON as it is."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Pairs:
    """An object whose names may come twice."""

    pairs: tuple[tuple[str, Json], ...]


@dataclass(kw_only=True, slots=True)
class Case:
    """One request; `path` may be anything that fits into a first line."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def sent(self) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", "host: localhost", f"content-length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def written(value: Json) -> bytes:
    """Write JSON, with what JSON has no room for left as it is."""
    if isinstance(value, Bare):
        return value.text
    if isinstance(value, dict):
        return written(Pairs(tuple(value.items())))
    if isinstance(value, Pairs):
        return b"{%s}" % b",".join(json.dumps(name).encode() + b":" + written(each) for name, each in value.pairs)
    if isinstance(value, list):
        return b"[%s]" % b",".join(written(each) for each in value)
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


BIG = 2**63
NUMBERLIKE: tuple[Json, ...] = (
    0, -0.0, -1, 1, 2, 3.5, 1e308, 5e-324, BIG - 1, BIG, 2 * BIG, 2 * BIG + 1, -BIG, -BIG - 1, 10**30,
    10**400, 2**53 + 1,
    Bare(b"1e400"), Bare(b"-1e400"), Bare(b"NaN"), Bare(b"Infinity"), Bare(b"-Infinity"), Bare(b"1" * 5_000),
    Bare(b"-" + b"1" * 400), Bare(b"01"), Bare(b"+1"), Bare(b"1."), Bare(b".5"), Bare(b"0x10"),
    Bare(b"1e5"), Bare(b"--1"),
)  # fmt: skip
TEXTS: tuple[Json, ...] = (
    "", " ", "north", "n/a", "NaN", "nan", "null", "-1", "3", "1,234.5", "1e5", "2024-02-30",
    "2024-02-28", "\x00", "a\x00b",
    "é", "\u202e", "\ufeff", "😀", "\u0130", "x" * 300, "x" * 70_000, "=1+1", "<script>",
    "../../etc/passwd", "%s%n", "{}",
    "'; --", "\x85", "\u3000north\u3000", Bare(rb'"\ud800"'), Bare(rb'"\udc00\ud800"'),
    Bare(b'"\xff\xfe"'), Bare(b'"\xc0\xaf"'),
    Bare(b'"\x01"'), Bare(rb'"\x"'), Bare(rb'"\u00"'), Bare(b'"open'), Bare(b"'single'"),
)  # fmt: skip
# Written out, so that what one case is given no other case can change.
OTHERS: tuple[Json, ...] = (
    None, True, False, Bare(b"[]"), Bare(b"[[]]"), Bare(b"{}"), Bare(b'{"a":1}'), Bare(b"[1,[2]]"), Bare(b"[null]"),
    Bare(b"[" * 2_000), Bare(b"[" * 600 + b"]" * 600), Bare(b'{"a":' * 2_000), Bare(b""), Bare(b"undefined"),
    Bare(b"//x"), Bare(b"[1,]"), Bare(b"[,]"), Bare(b"{,}"), Bare(b"}"), Bare(b"[[],[],[1],{}]"), Bare(b'{"":{"":{}}}'),
)  # fmt: skip
ANY = (*NUMBERLIKE, *TEXTS, *OTHERS)
READABLE = (
    *(each for each in ANY if not isinstance(each, Bare)),
    *(Bare(b"[]"), Bare(b"{}"), Bare(b"[[]]"), Bare(b"1e5")),
)
SHAPES: tuple[Json, ...] = (
    [], [0], [-1], [1, 1], [1, 1, 1], [2, 2], [BIG], [2 * BIG + 1], [2**32, 2**32], [-1, -1], [1.0],
    [1.5], ["3"], [True],
    [None], [Bare(b"1e400")], [Bare(b"1" * 5_000)], [10**30], [-(10**30)], "3", 3, None, {}, [[1]],
    [1] * 10_000, [1, 0], [0, 1],
    [1_000_001], [1_000_000], [3, -1], [1, 2**63], [Bare(b"NaN")],
)  # fmt: skip
TYPES = (
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32",
    "FP64", "BF16", "BYTES",
    "fp64", "", "STRING", "FP128", "INT64 ", "FP64\x00", "x" * 5_000, 1, None, ["FP64"],
)  # fmt: skip
NAMES = (*COLUMNS, "", "x", "Age", "age ", "x" * 10_000, "\x00", "é", "__class__", 1, None, "input_0")
KINDS = (
    "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/octet-stream", "text/csv",
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/x-pickle",
    "application/vnd.bentoml+pickle", "application/xml", "", ";", "x" * 500, "application/json, text/csv", "*/*",
)  # fmt: skip
VERSIONS = (
    "../1",
    "01",
    "1e3",
    "1",
    "000000000000",
    "%2e%2e",
    "..",
    "-1",
    "x" * 64,
    "a/b",
    "%00",
    "latest",
    "champion",
)
MODELS = (
    NAME, NAME.upper(), f"{NAME}%20", "%74rips", f"{NAME}%00", "..", ".", "%2e%2e", f"{NAME};x",
    f"{NAME}//", "x" * 3_000,
    f"{NAME}?x=1", f"{NAME}#x", "caf\xe9", f"..%2f{NAME}", f"{NAME}\\", "*", "$", "'",
)  # fmt: skip
Change: TypeAlias = "Callable[[random.Random, dict[str, Any]], None]"


def wrong(chance: random.Random) -> Json:
    """Draw a value; most are JSON, for what is not even that is refused before anything looks at it."""
    return chance.choice(ANY if chance.random() < 0.15 else READABLE)


def v2_request(chance: random.Random) -> dict[str, Any]:
    """Write a valid request of the Open Inference Protocol."""
    table = rows(chance.choice((1, 1, 2, 3)), seed=chance.randrange(50), target=False)
    inputs = [
        {
            "name": name,
            "shape": [len(table), 1] if chance.random() < 0.8 else [len(table)],
            "datatype": "FP64" if name in NUMBERS else "BYTES",
            "data": [row[name] for row in table],
        }
        for name in COLUMNS
    ]
    return {"inputs": inputs}


def one_input(chance: random.Random, request: dict[str, Any]) -> dict[str, Any]:
    """Choose an input to harm; one of its own when others have left none."""
    inputs = request.get("inputs")
    found = [each for each in inputs if isinstance(each, dict)] if isinstance(inputs, list) else []
    return chance.choice(found) if found else {}


def _shape(chance: random.Random, request: dict[str, Any]) -> None:
    one_input(chance, request)["shape"] = chance.choice(SHAPES)


def _every_shape(chance: random.Random, request: dict[str, Any]) -> None:
    shape = chance.choice(SHAPES)
    inputs = request.get("inputs")
    for each in inputs if isinstance(inputs, list) else ():
        if isinstance(each, dict):
            each["shape"] = shape


def _datatype(chance: random.Random, request: dict[str, Any]) -> None:
    one_input(chance, request)["datatype"] = chance.choice(TYPES)


def _name(chance: random.Random, request: dict[str, Any]) -> None:
    one_input(chance, request)["name"] = chance.choice(NAMES)


def _data(chance: random.Random, request: dict[str, Any]) -> None:
    one_input(chance, request)["data"] = wrong(chance)


def _value(chance: random.Random, request: dict[str, Any]) -> None:
    data = one_input(chance, request).get("data")
    if isinstance(data, list) and data:
        data[chance.randrange(len(data))] = wrong(chance)


def _count(chance: random.Random, request: dict[str, Any]) -> None:
    data = one_input(chance, request).get("data")
    if isinstance(data, list):
        if chance.random() < 0.5:
            data.append(wrong(chance))
        elif data:
            data.pop()


def _nested(chance: random.Random, request: dict[str, Any]) -> None:
    given = one_input(chance, request)
    data = given.get("data")
    if isinstance(data, list):
        given["data"] = chance.choice(
            [[data], [[each] for each in data], [[each, each] for each in data], [*data, [1]]]
        )


def _typed(chance: random.Random, request: dict[str, Any]) -> None:
    """Give a datatype and a value at the edges of it."""
    given = one_input(chance, request)
    given["datatype"] = chance.choice(TYPES[:14])
    count = len(given["data"]) if isinstance(given.get("data"), list) else 1
    given["data"] = [
        chance.choice((*NUMBERLIKE, *TEXTS[:12], True, None, 127, 128, -129, 255, 256, 65_536)) for _ in range(count)
    ]


def _left_out(chance: random.Random, request: dict[str, Any]) -> None:
    given = one_input(chance, request)
    if given:
        given.pop(chance.choice(list(given)))


def _inputs(chance: random.Random, request: dict[str, Any]) -> None:
    inputs = request.get("inputs")
    match chance.randrange(6):
        case 0:
            request["inputs"] = wrong(chance)
        case 1 if isinstance(inputs, list) and inputs:
            inputs.append(chance.choice(inputs))
        case 2 if isinstance(inputs, list) and inputs:
            inputs.pop(chance.randrange(len(inputs)))
        case 3 if isinstance(inputs, list):
            inputs.append(wrong(chance))
        case 4 if isinstance(inputs, list):
            inputs += [{"name": f"x{each}", "shape": [1], "datatype": "FP64", "data": [1]} for each in range(300)]
        case _:
            request.pop("inputs", None)


def _id(chance: random.Random, request: dict[str, Any]) -> None:
    request["id"] = chance.choice((wrong(chance), "i" * 128, "i" * 129, "i" * 100_000, "a\r\nb: c", "\u2028"))


def _parameters(chance: random.Random, request: dict[str, Any]) -> None:
    name = chance.choice(("binary_data_output", "binary_data_size", "classification", "timeout", "x"))
    drawn = chance.choice((wrong(chance), {name: wrong(chance)}, {f"p{each}": 1 for each in range(40)}))
    where = request if chance.random() < 0.5 else one_input(chance, request)
    where["parameters"] = drawn


def _outputs(chance: random.Random, request: dict[str, Any]) -> None:
    names = ("probabilities", "label", "decision", "value", "", "x" * 5_000, 1, None)
    listed = [
        {
            "name": chance.choice(names),
            "parameters": {chance.choice(("binary_data", "classification")): wrong(chance)},
        }
        for _ in range(chance.randrange(4))
    ]
    request["outputs"] = chance.choice((listed, [{"name": "label"}] * 2, wrong(chance), [wrong(chance)]))


def _twice(chance: random.Random, request: dict[str, Any]) -> None:
    given = one_input(chance, request)
    if given:
        name = chance.choice(list(given))
        given["name"], given["again"] = given.get("name"), Bare(b"0," + json.dumps(name).encode() + b":0")


CHANGES: tuple[Change, ...] = (
    _shape, _every_shape, _datatype, _name, _data, _value, _value, _value, _count, _nested, _typed, _typed, _left_out,
    _inputs, _id, _parameters, _outputs, _twice,
)  # fmt: skip


def harmed_text(chance: random.Random, body: bytes) -> bytes:
    """Cut, repeat or overwrite some bytes."""
    if not body:
        return body
    at = chance.randrange(len(body))
    match chance.randrange(6):
        case 0:
            return body[:at]
        case 1:
            return body + body[: chance.randrange(1, 40)]
        case 2:
            return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        case 3:
            return body[:at] + bytes(chance.randrange(256) for _ in range(4)) + body[at:]
        case 4:
            return b"\xef\xbb\xbf" + body
        case _:
            return body[:at] + body[at + chance.randrange(1, 8) :]


def _v2_json(chance: random.Random) -> Case:
    request = v2_request(chance)
    for _ in range(chance.choice((1, 1, 2, 3))):
        chance.choice(CHANGES)(chance, request)
    body = written(request)
    if chance.random() < 0.1:
        body = harmed_text(chance, body)
    return Case(path=_infer(chance), body=body, headers={"content-type": "application/json"})


def _raw(chance: random.Random, datatype: str, count: int) -> bytes:
    """Make bytes of a tensor, now and then of a wrong length or with a lie about it."""
    if datatype == "BYTES":
        parts: list[bytes] = []
        for _ in range(count):
            text = chance.choice((b"north", b"", b"\xff\xfe", b"\xed\xa0\x80", b"a\x00b", b"x" * 300, "é".encode()))
            says = len(text) if chance.random() < 0.8 else chance.choice((0, 1, 2**31, 2**32 - 1, len(text) + 1))
            parts.append(struct.pack("<I", says) + text)
        made = b"".join(parts)
    else:
        size = {
            "BOOL": 1,
            "INT8": 1,
            "UINT8": 1,
            "INT16": 2,
            "UINT16": 2,
            "FP16": 2,
            "BF16": 2,
            "FP64": 8,
            "INT64": 8,
            "UINT64": 8,
        }
        made = chance.randbytes(count * size.get(datatype, 4))
    return made if chance.random() < 0.8 else harmed_text(chance, made)


def _v2_binary(chance: random.Random) -> Case:
    request = v2_request(chance)
    tail = b""
    for each in request["inputs"]:
        if chance.random() < 0.6:
            each["datatype"] = chance.choice(TYPES[:14]) if chance.random() < 0.5 else each["datatype"]
            raw = _raw(chance, each["datatype"], len(each["data"]))
            size: Json = (
                len(raw)
                if chance.random() < 0.85
                else chance.choice((0, -1, len(raw) + 1, 2**63, "8", 1.5, None, True, [1]))
            )
            each["parameters"] = {"binary_data_size": size}
            if chance.random() < 0.95:
                del each["data"]
            tail += raw
    if chance.random() < 0.4:
        chance.choice(CHANGES)(chance, request)
    head = written(request)
    says = str(len(head))
    if chance.random() < 0.2:
        says = chance.choice(
            ("0", "-1", "1", "x", "", "1e3", str(len(head) + len(tail) + 1), str(len(head) - 1), "9" * 30, "0x10", " 5")
        )
    headers = {
        "inference-header-content-length": says,
        "content-type": chance.choice(("application/octet-stream", "application/json")),
    }
    if chance.random() < 0.1:
        tail = harmed_text(chance, tail)
    return Case(path=_infer(chance), body=head + tail, headers=headers)


def _infer(chance: random.Random) -> str:
    path = f"/v2/models/{NAME}"
    if chance.random() < 0.04:
        path = f"/v2/models/{chance.choice(MODELS)}"
    if chance.random() < 0.04:
        path += f"/versions/{chance.choice(VERSIONS)}"
    return f"{path}/infer"


def _table(chance: random.Random) -> list[Any]:
    """Make rows, some cells, names or whole rows of which are wrong."""
    table: list[Any] = rows(chance.choice((1, 1, 2, 4)), seed=chance.randrange(50), target=False)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(table))
        row = table[at]
        match chance.randrange(6):
            case 0 | 1 | 2 if isinstance(row, dict):
                row[chance.choice(COLUMNS)] = wrong(chance)
            case 3 if isinstance(row, dict) and row:
                row.pop(chance.choice(list(row)))
            case 4 if isinstance(row, dict):
                row[str(chance.choice(NAMES))] = wrong(chance)
            case _:
                table[at] = wrong(chance)
    return table


def _predict(chance: random.Random) -> Case:
    table = _table(chance)
    value: Json = chance.choice(
        (table, table[0], {"rows": table}, {"rows": table, "x": 1}, [table], {"rows": wrong(chance)})
    )
    if chance.random() < 0.1:
        value = wrong(chance)
    body = written(value)
    if chance.random() < 0.15:
        body = harmed_text(chance, body)
    path = "/predict" if chance.random() < 0.9 else f"/predict/{chance.choice(MODELS)}"
    return Case(
        path=path,
        body=body,
        headers={"content-type": chance.choice(KINDS) if chance.random() < 0.05 else "application/json"},
    )


def _mlflow(chance: random.Random) -> Case:
    table = _table(chance)
    columns: Json = list(COLUMNS)
    data: Json = [[row.get(name) for name in COLUMNS] if isinstance(row, dict) else row for row in table]
    match chance.randrange(8):
        case 0:
            columns.append(chance.choice(NAMES))
        case 1:
            columns = wrong(chance)
        case 2:
            data = wrong(chance)
        case 3:
            data.append(wrong(chance))
        case _:
            pass
    named = {name: [row.get(name) if isinstance(row, dict) else row for row in table] for name in COLUMNS}
    if chance.random() < 0.3:
        named[chance.choice(COLUMNS)] = wrong(chance)
    value: Json = chance.choice(
        (
            {"dataframe_split": {"columns": columns, "data": data}},
            {"dataframe_split": {"data": data, "index": wrong(chance)}},
            {"dataframe_records": table},
            {"instances": chance.choice((table, data, named, wrong(chance)))},
            {"inputs": chance.choice((named, data, table, wrong(chance)))},
            {"inputs": named, "instances": data},
            wrong(chance),
        )
    )
    body = written(value)
    if chance.random() < 0.1:
        body = harmed_text(chance, body)
    return Case(path="/invocations", body=body, headers={"content-type": "application/json"})


def _csv(chance: random.Random) -> Case:
    table = rows(chance.choice((1, 2, 5)), seed=chance.randrange(50), target=False)
    lines = [",".join(COLUMNS)]
    lines += [",".join("" if row[name] is None else str(row[name]) for name in COLUMNS) for row in table]
    body = chance.choice(("\n", "\r\n", "\r", "\n\n")).join(lines).encode()
    for _ in range(chance.choice((1, 2, 3))):
        at = chance.randrange(len(body) + 1)
        put = chance.choice(
            (
                b'"',
                b",",
                b"\x00",
                b"\xff",
                b"\n",
                b'""',
                b"\r",
                b"x" * 200_000,
                b";",
                b"'",
                "é".encode(),
                b"\xef\xbb\xbf",
            )
        )
        body = body[:at] + put + body[at + chance.randrange(3) :]
    return Case(path="/invocations", body=body, headers={"content-type": "text/csv"})


def _labels(chance: random.Random) -> Case:
    def label() -> Json:
        made: dict[str, Json] = {
            "prediction_id": "0" * 32,
            "value": 1,
            "row": 0,
            "key": {"id": 1},
            "time": 1.5,
            "id": "a",
            "source": "b",
        }
        for _ in range(chance.choice((1, 2))):
            made[chance.choice(list(made))] = chance.choice(
                (wrong(chance), {"a": wrong(chance)}, {f"k{each}": 1 for each in range(20)})
            )
        if chance.random() < 0.2:
            made[str(chance.choice(NAMES))] = 1
        return made

    value = chance.choice(
        (label(), [label(), label()], {"labels": [label()]}, {"labels": wrong(chance)}, wrong(chance))
    )
    body = written(value)
    return Case(
        path="/labels",
        body=harmed_text(chance, body) if chance.random() < 0.1 else body,
        headers={"content-type": "application/json"},
    )


MAKERS = (_v2_json, _v2_json, _v2_json, _v2_binary, _v2_binary, _predict, _predict, _mlflow, _csv, _labels)
ODD_HEADERS = {
    "content-encoding": ("gzip", "zstd", "br", "identity", "gzip, gzip", ""),
    "x-request-timeout": ("-1", "nan", "inf", "1e400", "x", "30", ""),
    "x-request-id": ("x" * 200, "", "\xff", "a b"),
    "traceparent": ("00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 400, ""),
    "x-holdtrue-version": VERSIONS,
    "authorization": ("Bearer x", "Basic x", "Bearer ", "", "Bearer " + "x" * 9_000, "Bearer \xff"),
    "content-type": KINDS,
}  # fmt: skip


def cases(seed: int, *, secret: str) -> Iterator[Case]:
    """Draw requests without end; `secret` is a token that labels need."""
    chance = random.Random(seed)
    while True:
        case = chance.choice(MAKERS)(chance)
        if case.path == "/labels":
            case.headers["authorization"] = f"Bearer {secret}"
        if chance.random() < 0.06:
            name = chance.choice(list(ODD_HEADERS))
            case.headers[name] = chance.choice(ODD_HEADERS[name])
        yield case
