"""Named rows in JSON, for people: `{"age": 40, "town": "Ulm"}`, a list of such rows, or `{"rows": [...]}`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdtrue.serving.ask import About, Answer, Ask, Problem, malformed
from holdtrue.serving.reader import Unfit, meant
from holdtrue.serving.wire.tensors import LONGEST_TEXT
from holdtrue.serving.wire.v2_plain import MOST_VALUES

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes, about: About) -> Ask:
    """Read rows; raises `Problem` or `Unfit` with what is wrong."""
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"the body is no JSON: {error}") from None
    if isinstance(given, dict) and len(given) == 1 and isinstance(given.get("rows"), list):
        given = given["rows"]
    rows = given if isinstance(given, list) else [given]
    return checked_texts(ask_of_rows(rows, about), len(body))


def ask_of_rows(rows: Sequence[Any], about: About) -> Ask:
    """Turn rows with names into columns."""
    if not rows or not all(type(row) is dict for row in rows):
        raise malformed('give rows as objects: {"column": value, ...}, or a list of them')
    if len(rows) * len(about.order) > MOST_VALUES:
        raise Problem(413, "too large", f"more than {MOST_VALUES:,} values in one request; send fewer rows at once")
    try:
        columns = {name: [row[name] for row in rows] for name in about.order}
    except KeyError:
        raise Unfit(_absent(rows, about)) from None
    if about.beside and any(about.beside in row for row in rows):
        columns[about.beside] = [row.get(about.beside) for row in rows]
    return Ask(rows=len(rows), columns=columns)


def checked_texts(ask: Ask, size_bytes: int) -> Ask:
    """Raise when a text is too long; a body that is short itself holds none."""
    if size_bytes > LONGEST_TEXT:
        for name, values in ask.columns.items():
            if any(type(value) is str and len(value) > LONGEST_TEXT for value in values):
                raise malformed(f"column {name[:80]!r}: a text is longer than {LONGEST_TEXT:,} characters")
    return ask


def _absent(rows: Sequence[dict[str, Any]], about: About) -> list[str]:
    """Name every column that a row lacks, with the first such row."""
    faults: list[str] = []
    for name in about.order:
        row = next((number for number, row in enumerate(rows, 1) if name not in row), None)
        if row is not None:
            given = [key for key in rows[row - 1] if key not in about.order]
            hint = meant(name, given) or "; write null where the value is not known"
            faults.append(f"column {name!r} is not there in row {row}{hint}")
    return faults


def write(ask: Ask, answer: Answer) -> bytes:
    """Write an answer for people: a label and its probabilities, or a value and its limits, for each row."""
    return _encode(
        {
            "prediction_id": answer.prediction,
            "model": answer.about.name,
            "release": answer.about.digest,
            "predictions": _people(answer),
        }
    )


def _people(answer: Answer) -> list[dict[str, Any]]:
    classes = answer.about.classes
    named = {name: answer.listed(name) for name in answer.arrays if name in answer.about.known}
    shares = named.pop("probabilities", None)
    first = [name for name in ("label", "decision", "value") if name in named]
    order = [*first, *(name for name in named if name not in first)]
    made = [
        {name: value[0] for name, value in zip(order, row, strict=True)}
        for row in zip(*(named[name] for name in order), strict=True)
    ]
    if shares is not None:
        for row, probabilities in zip(made, shares, strict=True):
            row["probabilities"] = dict(zip(classes, probabilities, strict=True))
    return made
