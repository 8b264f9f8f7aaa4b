"""Every way to write a request means the same rows, and every answer is what the graph itself says, to the bit."""

import csv
import io
import json
import struct
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.endpoint import COLUMNS, NAME, Served, rows, v2_of
from tests.serving.raw import Raw, Reply, request

from holdtrue.data.parse import parse
from holdtrue.features.session import run
from holdtrue.release.predictor import Predictor
from holdtrue.serving.wire.tensors import DATATYPES, TYPES

INFER = f"/v2/models/{NAME}/infer"
Row = dict[str, Any]
FLOATS = [30.37, 45.0, 18.651]
WHOLE = [30, 45, 18]
# What each datatype makes of the numbers, written as JSON and as the bytes of a tensor.
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    **{name: WHOLE for name in TYPES if "INT" in name},
    **dict.fromkeys(("FP16", "FP32", "FP64", "BF16"), FLOATS),
    "BYTES": ["30.37", " 45 ", "1e1"],
}


@pytest.fixture(scope="module")
def talk(served: Served) -> Generator[Raw]:
    with closing(Raw(link=served.connect())) as raw:
        yield raw


def posted(talk: Raw, path: str, body: Any, **headers: str) -> Reply:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return talk.send(request("POST", path, sent, **headers)).reply()


def frame(table: Sequence[Mapping[str, Any]], **instead: pl.Series) -> pl.DataFrame:
    """Give rows as a file would hold them: as texts; `instead` are columns of another type."""
    texts = {
        name: pl.Series(name, [None if row[name] is None else str(row[name]) for row in table], dtype=pl.String)
        for name in COLUMNS
    }
    return pl.DataFrame({**texts, **instead})


def direct(predictor: Predictor, raw: pl.DataFrame) -> "dict[str, np.ndarray]":
    """Ask the graph itself."""
    return dict(run(predictor.ready, parse(predictor.contract, raw)))


def outputs(made: Reply) -> "dict[str, np.ndarray]":
    """Read the outputs of an answer, of JSON and of bytes."""
    assert made.status == 200, made.body
    length = made.headers.get("inference-header-content-length")
    head = json.loads(made.body[: int(length)] if length else made.body)
    tail = made.body[int(length) :] if length else b""
    found: dict[str, np.ndarray] = {}
    for each in head["outputs"]:
        kinds: dict[str, Any] = {"BYTES": object, **TYPES}
        if "data" in each:
            values: Any = np.array(each["data"], dtype=kinds[each["datatype"]])
        else:
            size = each["parameters"]["binary_data_size"]
            raw, tail = tail[:size], tail[size:]
            values = (
                np.array(texts_of(raw), dtype=object)
                if each["datatype"] == "BYTES"
                else np.frombuffer(raw, kinds[each["datatype"]])
            )
        found[each["name"]] = values.reshape(each["shape"])
    assert not tail
    return found


def texts_of(raw: bytes) -> list[str]:
    found: list[str] = []
    while raw:
        (size,) = struct.unpack_from("<I", raw)
        found.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    return found


def raw_of(values: Sequence[Any], datatype: str) -> bytes:
    """Write values as the bytes of a tensor, independently of the code under test."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    codes = {"BOOL": "?", "FP16": "e", "FP32": "f", "FP64": "d"}
    codes |= {
        f"{sign}INT{bits}": code
        for sign, four in (("", "bhiq"), ("U", "BHIQ"))
        for bits, code in zip((8, 16, 32, 64), four, strict=True)
    }
    return struct.pack(f"<{len(values)}{codes[datatype]}", *values)


def meant(values: Sequence[Any], datatype: str) -> pl.Series:
    """Give what a tensor of this datatype holds."""
    if datatype in ("BYTES", "BOOL"):
        return pl.Series("income", list(values))
    if datatype == "BF16":
        return pl.Series("income", [struct.unpack("<f", b"\0\0" + struct.pack("<f", value)[2:])[0] for value in values])
    return pl.Series("income", np.array(values, dtype=TYPES[datatype]).astype(np.float64))


def binary(message: dict[str, Any], *names: str) -> tuple[bytes, str]:
    """Turn the named inputs into raw tensors; gives the body and the length of its JSON."""
    tail = b""
    for each in message["inputs"]:
        if each["name"] in names:
            raw = raw_of(each.pop("data"), each["datatype"])
            each["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
    head = json.dumps(message).encode()
    return head + tail, str(len(head))


def same(made: "dict[str, np.ndarray]", expected: "dict[str, np.ndarray]") -> None:
    assert set(made) == set(expected)
    for name, values in expected.items():
        assert made[name].tolist() == values.tolist(), name


def whole(count: int, seed: int = 3) -> list[Row]:
    """Rows in which nothing is missing: tensors have no word for it."""
    return [row for row in rows(5 * count, seed=seed, target=False) if None not in row.values()][:count]


@pytest.mark.parametrize("form", ["json", "binary"])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_means_the_numbers_it_holds(talk: Raw, predictor: Predictor, datatype: str, form: str) -> None:
    values = VALUES[datatype]
    message = v2_of(whole(3))
    income = next(each for each in message["inputs"] if each["name"] == "income")
    income |= {"datatype": datatype, "data": values}
    expected = direct(predictor, frame(whole(3), income=meant(values, datatype)))
    if form == "json":
        same(outputs(posted(talk, INFER, message)), expected)
    else:
        body, length = binary(message, "income")
        made = posted(
            talk, INFER, body, inference_header_content_length=length, content_type="application/octet-stream"
        )
        same(outputs(made), expected)


@pytest.mark.parametrize("names", [COLUMNS, ("age", "note"), ("channel",), ("seen", "income", "region")])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_json_and_bytes_may_be_mixed(talk: Raw, predictor: Predictor, names: tuple[str, ...], count: int) -> None:
    table = whole(count)
    body, length = binary(v2_of(table), *names)
    made = posted(talk, INFER, body, inference_header_content_length=length)
    same(outputs(made), direct(predictor, frame(table)))


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "FP64", "BOOL"])
def test_a_column_of_texts_takes_other_types_as_a_file_does(talk: Raw, predictor: Predictor, datatype: str) -> None:
    values = VALUES["BOOL"] if datatype == "BOOL" else [3, 4, 5]
    message = v2_of(whole(3))
    channel = next(each for each in message["inputs"] if each["name"] == "channel")
    channel |= {"datatype": datatype, "data": values}
    dtype = {"BOOL": pl.Boolean(), "FP64": pl.Float64()}.get(datatype, pl.Int64())
    expected = direct(predictor, frame(whole(3), channel=pl.Series("channel", values, dtype=dtype)))
    same(outputs(posted(talk, INFER, message)), expected)
    body, length = binary(message, "channel")
    same(outputs(posted(talk, INFER, body, inference_header_content_length=length)), expected)


@pytest.mark.parametrize("shape", [[3], [3, 1]])
@pytest.mark.parametrize("nested", [False, True])
def test_rows_may_be_flat_or_nested(talk: Raw, predictor: Predictor, shape: list[int], nested: bool) -> None:
    message = v2_of(whole(3))
    for each in message["inputs"]:
        each["shape"] = shape
        each["data"] = [[value] for value in each["data"]] if nested else each["data"]
    same(outputs(posted(talk, INFER, message)), direct(predictor, frame(whole(3))))


def test_null_is_a_missing_value(talk: Raw, predictor: Predictor) -> None:
    table = [row | {"age": None, "channel": None, "note": None, "seen": None} for row in whole(2)]
    same(outputs(posted(talk, INFER, v2_of(table))), direct(predictor, frame(table)))
    table[0]["income"] = None
    made = posted(talk, INFER, v2_of(table))
    assert (made.status, made.json["faults"]) == (
        422,
        ["column 'income': 1 of 2 values is missing; the first is in row 1."],
    )


def test_outputs_are_chosen_and_go_out_as_they_are_wanted(talk: Raw, predictor: Predictor) -> None:
    table = whole(3)
    expected = direct(predictor, frame(table))
    everything = posted(talk, INFER, {**v2_of(table), "parameters": {"binary_data_output": True}})
    assert everything.headers["content-type"] == "application/octet-stream"
    same(outputs(everything), expected)
    wanted = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities"}]
    some = posted(talk, INFER, {**v2_of(table), "outputs": wanted})
    found = outputs(some)
    assert list(found) == ["label", "probabilities"]
    same(found, {name: expected[name] for name in ("label", "probabilities")})
    mixed = {"outputs": [{"name": "decision", "parameters": {"binary_data": False}}, {"name": "label"}]}
    made = posted(talk, INFER, {**v2_of(table), **mixed, "parameters": {"binary_data_output": True}})
    head = json.loads(made.body[: int(made.headers["inference-header-content-length"])])
    assert ["data" in each for each in head["outputs"]] == [True, False]


def test_an_answer_names_its_request_its_release_and_itself(talk: Raw, served: Served) -> None:
    made = posted(talk, INFER, v2_of(whole(1), id="my id — 7"), x_request_id="r-1")
    told = made.json
    assert (told["id"], told["model_name"], told["model_version"]) == ("my id — 7", NAME, served.digest[:12])
    assert told["parameters"] == {
        "prediction_id": made.headers["x-holdtrue-prediction"],
        "release": made.headers["x-holdtrue-release"],
    }
    assert (told["parameters"]["release"], made.headers["x-request-id"]) == (served.digest, "r-1")
    assert "id" not in posted(talk, INFER, v2_of(whole(1))).json
    version = f"/v2/models/{NAME}/versions/{served.digest[:12]}"
    assert (
        posted(talk, f"{version}/infer", v2_of(whole(1))).json["outputs"]
        == posted(talk, INFER, v2_of(whole(1))).json["outputs"]
    )


def test_what_a_model_does_not_know_is_left_alone(talk: Raw, predictor: Predictor) -> None:
    message = v2_of(whole(2))
    message["inputs"] += [{"name": "more", "shape": [2], "datatype": "FP64", "data": [1, 2]}]
    same(outputs(posted(talk, INFER, message)), direct(predictor, frame(whole(2))))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"income"', '"age"', 1),
        lambda text: text.replace("[2, 1]", "[3, 1]", 1),
        lambda text: text.replace("[2, 1]", "[1, 2]", 1),
        lambda text: text.replace("[2, 1]", "[2, 1, 1]", 1),
        lambda text: text.replace('"FP64"', '"fp64"', 1),
        lambda text: text.replace('"FP64"', '"INT8"', 1).replace('"data": [', '"data": [1000,', 1),
        lambda text: text.replace('"inputs"', '"Inputs"'),
        lambda text: text[:-1] + ', "outputs": [{"name": "label"}, {"name": "label"}]}',
        lambda text: text[:-1] + ', "outputs": [{"name": "other"}]}',
        lambda text: text[:-1] + ', "parameters": {"binary_data_output": 1}}',
        lambda text: text[:-1] + ', "outputs": [{"name": "label", "parameters": {"classification": 2}}]}',
    ],
)  # fmt: skip
def test_what_the_protocol_forbids_is_refused(talk: Raw, change: Callable[[str], str]) -> None:
    text = json.dumps(v2_of(whole(2)))
    changed = change(text)
    assert changed != text
    made = posted(talk, INFER, changed.encode())
    assert (made.status, made.code) == (400, "malformed")


def test_the_last_of_two_names_counts_as_everywhere_else(talk: Raw) -> None:
    """Python, JavaScript and Go read it so too; whoever checks a request before us reads it as we do."""
    row = whole(1)[0]
    text = json.dumps(row)[:-1] + f', "income": {row["income"]}}}'
    twice = text.replace('"income": ', '"income": 1e9, "was": ', 1)
    assert (
        posted(talk, "/predict", twice.encode()).json["predictions"]
        == posted(talk, "/predict", row).json["predictions"]
    )


AGES = st.one_of(st.integers(0, 120), st.floats(60, 120), st.sampled_from([None, "-1", " 77 ", "7e1", -1, ""]))
INCOMES = st.one_of(
    st.floats(-1e6, 1e6), st.integers(-(10**6), 10**6), st.sampled_from(["1,234.5", " 3 ", "-0.0", "1e3"])
)
NIGHTS = st.one_of(st.integers(0, 60), st.sampled_from(["3", "14", 7.0]))
DATES = st.one_of(
    st.dates(date(1000, 1, 1)).map(str), st.sampled_from([None, "2024-02-28T10:00:00", "2024-02-28 10:00:00Z", ""])
)
WORDS = st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12))
REGIONS = st.sampled_from(["north", " south", "east "])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "age": AGES,
            "income": INCOMES,
            "nights": NIGHTS,
            "seen": DATES,
            "region": REGIONS,
            "channel": WORDS,
            "note": WORDS,
        }
    ),
    min_size=1,
    max_size=20,
)


def labels_of(made: Reply, path: tuple[str, ...]) -> list[tuple[str, float]]:
    """Give the label and the share of the second class of each row, whatever the form of the answer."""
    assert made.status == 200, made.body
    told = made.json
    if path == ("outputs",):
        found = {each["name"]: each["data"] for each in told["outputs"]}
        return list(zip(found["label"], found["probabilities"][1::2], strict=True))
    if path == ("probabilities",):
        return [(each["label"], each["probabilities"]["yes"]) for each in told["predictions"]]
    return [(each["label"], each["probability.yes"]) for each in told["predictions"]]


def as_csv(table: Sequence[Row]) -> bytes:
    out = io.StringIO(newline="")
    written = csv.writer(out)
    written.writerow(COLUMNS)
    written.writerows([["" if row[name] is None else row[name] for name in COLUMNS] for row in table])
    return out.getvalue().encode()


def typed_v2(table: Sequence[Row]) -> dict[str, Any]:
    """Write columns with the datatype that their values have; a column of several kinds goes as texts."""
    message = v2_of(table)
    for each in message["inputs"]:
        kinds = {type(value) for value in each["data"]} - {type(None)}
        each["datatype"] = "FP64" if kinds <= {int, float} else "BYTES"
        if each["datatype"] == "BYTES":
            each["data"] = [None if value is None else str(value) for value in each["data"]]
    return message


@pytest.mark.slow
@given(ROWS)
def test_every_form_gives_the_answers_that_the_release_gives_to_a_file(
    talk: Raw, predictor: Predictor, table: list[Row]
) -> None:
    table = [row if _stays(row) else row | {"nights": 0} for row in table]
    expected = predictor.predict(frame(table))
    both = list(zip(expected["label"].to_list(), expected["probability.yes"].cast(pl.Float64).to_list(), strict=True))
    lists = [[row[name] for name in COLUMNS] for row in table]
    named = {name: [row[name] for row in table] for name in COLUMNS}
    split = {"columns": list(reversed(COLUMNS)), "data": [row[::-1] for row in lists]}
    people, tables = ("probabilities",), ("predictions",)
    for path, body, where in (
        (INFER, typed_v2(table), ("outputs",)),
        ("/predict", table, people),
        ("/predict", {"rows": table}, people),
        ("/invocations", {"dataframe_split": split}, tables),
        ("/invocations", {"dataframe_records": table}, tables),
        ("/invocations", {"instances": table}, tables),
        ("/invocations", {"instances": lists}, tables),
        ("/invocations", {"inputs": named}, tables),
    ):
        assert labels_of(posted(talk, path, body), where) == both
    made = posted(talk, "/invocations", as_csv(table), content_type="text/csv; charset=utf-8")
    assert labels_of(made, tables) == both


def _stays(row: Row) -> bool:
    """Say whether a row keeps the rule of its contract."""
    try:
        age = float(str(row["age"]).strip() or "nan")
    except ValueError:
        return True
    return age < 0 or not float(row["nights"]) > age


def test_every_form_refuses_what_breaks_the_contract_with_the_same_words(talk: Raw) -> None:
    table = [row | {"region": "west", "income": "much"} for row in whole(2)]
    lists = [[row[name] for name in COLUMNS] for row in table]
    told = {
        tuple(posted(talk, path, body, **headers).json["faults"])
        for path, body, headers in (
            (INFER, typed_v2(table), {}),
            ("/predict", table, {}),
            ("/invocations", {"dataframe_split": {"columns": COLUMNS, "data": lists}}, {}),
            ("/invocations", as_csv(table), {"content_type": "text/csv"}),
        )
    }
    assert len(told) == 1
    (faults,) = told
    assert [fault.split("'")[1] for fault in faults] == ["income", "region"]


@pytest.mark.parametrize("absent", COLUMNS)
def test_a_column_that_is_not_there_is_named(talk: Raw, absent: str) -> None:
    table = [{name: value for name, value in row.items() if name != absent} for row in whole(2)]
    made = posted(talk, "/predict", [row | {absent.upper(): 1} for row in table])
    assert made.status == 422
    assert absent in made.json["faults"][0]


@pytest.mark.slow
def test_very_many_names_that_nobody_knows_take_no_time(talk: Raw) -> None:
    """To guess what was meant by each of them would take minutes."""
    row = {f"incom{number}": 1 for number in range(200_000)}
    start = time.monotonic()
    made = posted(talk, "/predict", row)
    assert (made.status, len(made.json["faults"])) == (422, len(COLUMNS))
    many = {
        "inputs": [{"name": f"incom{number}", "shape": [1], "datatype": "FP64", "data": [1]} for number in range(9_000)]
    }
    assert posted(talk, INFER, many).status == 422
    assert time.monotonic() - start < 20.0


def test_a_name_as_long_as_its_request_is_not_sent_back(talk: Raw) -> None:
    message = v2_of(whole(1))
    message["inputs"][0] |= {"name": "\x00" * 100_000, "shape": [2]}
    made = posted(talk, INFER, message)
    assert (made.status, len(made.body) < 2_000) == (400, True)


@pytest.mark.parametrize("path", ["/predict", "/invocations", INFER])
def test_a_text_is_at_most_64_ki_long_in_every_form(talk: Raw, path: str) -> None:
    for size, status in ((65_536, 200), (65_537, 400)):
        row = whole(1)[0] | {"note": "x" * size}
        body = {"/predict": row, "/invocations": {"instances": [row]}, INFER: v2_of([row])}[path]
        assert posted(talk, path, body).status == status
