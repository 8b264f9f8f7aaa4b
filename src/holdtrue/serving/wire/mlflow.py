"""What MLflow's scoring protocol and SageMaker send to `/invocations`: frames, instances, named inputs, or CSV.

The answer has the columns that the same release has as an MLflow model.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from holdtrue.serving.ask import About, Answer, Ask, Problem, malformed
from holdtrue.serving.wire.rows import ask_of_rows, checked_texts
from holdtrue.serving.wire.v2 import MOST_VALUES

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes, about: About) -> Ask:
    """Read a JSON body in one of the four forms; raises `Problem` or `Unfit` with what is wrong."""
    return checked_texts(_read(body, about), len(body))


def _read(body: bytes, about: About) -> Ask:
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"the body is no JSON: {error}") from None
    forms = [form for form in FORMS if isinstance(given, dict) and form in given]
    if len(forms) != 1:
        raise malformed(f"give exactly one of {', '.join(FORMS)}")
    value = given[forms[0]]
    if forms[0] == "dataframe_split":
        return _split(value, about)
    if isinstance(value, dict):
        return _named(value, about)
    if not isinstance(value, list) or not value:
        raise malformed(f"{forms[0]} is a list of rows, and not empty")
    return ask_of_rows(value, about) if isinstance(value[0], dict) else _table(about.order, value)


def read_csv(body: bytes, about: About) -> Ask:
    """Read CSV with a header line; its texts are read by the contract, as those of a file are."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise malformed("the CSV is not UTF-8") from None
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (ValueError, csv.Error) as error:
        reason = str(error) if isinstance(error, csv.Error) else "it needs a header line"
        raise malformed(f"the CSV cannot be read: {reason}") from None
    return checked_texts(_table(header, rows), len(body))


def _split(value: Any, about: About) -> Ask:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise malformed('dataframe_split is {"columns": [...], "data": [[...], ...]}')
    columns = value.get("columns", list(about.order))
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise malformed("dataframe_split: columns is a list of names")
    return _table(columns, value["data"])


def _table(columns: Sequence[str], rows: Sequence[Any]) -> Ask:
    """Turn rows without names into columns."""
    if not rows:
        raise malformed("there are no rows")
    if len(set(columns)) != len(columns):
        raise malformed("a column is named twice")
    if len(rows) * len(columns) > MOST_VALUES:
        raise Problem(413, "too large", f"more than {MOST_VALUES:,} values in one request; send fewer rows at once")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(columns):
            raise malformed(f"row {number} is no list of {len(columns)} values")
    return Ask(rows=len(rows), columns={name: [row[at] for row in rows] for at, name in enumerate(columns)})


def _named(value: dict[str, Any], about: About) -> Ask:
    """Turn `{"column": [values], ...}` into columns; a value alone is one row."""
    listed = {name: column if isinstance(column, list) else [column] for name, column in value.items()}
    counts = {len(column) for column in listed.values()}
    if len(counts) != 1 or 0 in counts:
        raise malformed("the columns of inputs have different lengths, or none")
    flat = {
        name: [each[0] if isinstance(each, list) and len(each) == 1 else each for each in column]
        for name, column in listed.items()
    }
    if sum(map(len, flat.values())) > MOST_VALUES:
        raise Problem(413, "too large", f"more than {MOST_VALUES:,} values in one request; send fewer rows at once")
    return Ask(rows=counts.pop(), columns={about.columns.get(name, name): column for name, column in flat.items()})


def write(ask: Ask, answer: Answer) -> bytes:
    """Write one record a row, as MLflow's server does for a table."""
    columns = _columns(answer)
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    made = [dict(zip(names, row, strict=True)) for row in rows]
    about = answer.about
    return _encode({"predictions": made, "prediction_id": answer.prediction, "release": about.digest})


def write_csv(answer: Answer) -> bytes:
    """Write the same columns as CSV with a header line."""
    columns = _columns(answer)
    out = io.StringIO(newline="")
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(zip(*columns.values(), strict=True))
    return out.getvalue().encode()


def _columns(answer: Answer) -> dict[str, list[Any]]:
    """Name the answers as `Predictor.predict` does."""
    made: dict[str, list[Any]] = {}
    for name in answer.about.known:
        rows = answer.listed(name)
        if name == "probabilities":
            for code, label in enumerate(answer.about.classes):
                made[f"probability.{label}"] = [row[code] for row in rows]
        else:
            made[name] = [row[0] for row in rows]
    first = [name for name in ("label", "decision") if name in made]
    return {name: made[name] for name in dict.fromkeys([*first, *made])}
