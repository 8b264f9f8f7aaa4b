"""Labels as people and systems send them: what turned out true, for a prediction or for a business key."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdtrue.core.errors import Misuse
from holdtrue.data.dates import seconds_of_iso
from holdtrue.data.traffic.label import Label, pack_label
from holdtrue.serving.ask import Problem, malformed

MOST = 10_000  # labels of one request
LONGEST = 256
FIELDS = ("prediction_id", "row", "key", "value", "time", "id", "source")

_decode = msgspec.json.Decoder().decode


def read_labels(body: bytes, *, now_us: int, caller: str) -> list[Label]:
    """Read one label, a list of them, or `{"labels": [...]}`; raises `Problem` with every fault at once."""
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"the body is no JSON: {error}") from None
    if isinstance(given, dict) and len(given) == 1 and isinstance(given.get("labels"), list):
        given = given["labels"]
    entries = given if isinstance(given, list) else [given]
    if not entries:
        raise malformed("there are no labels")
    if len(entries) > MOST:
        raise Problem(413, "too large", f"send at most {MOST:,} labels at once")
    labels, faults = read_entries(entries, now_us=now_us, caller=caller)
    if faults:
        raise Problem(422, "label", "these labels cannot be kept, so none was", faults=faults[:100])
    return labels


def read_entries(entries: Sequence[Any], *, now_us: int, caller: str) -> tuple[list[Label], list[str]]:
    """Read labels as plain values; gives what could be read, and every fault with the place of its label."""
    labels: list[Label] = []
    faults: list[str] = []
    for place, entry in enumerate(entries, 1):
        try:
            label = _read(entry, now_us, caller)
            pack_label(label)
            labels.append(label)
        except (ValueError, Misuse) as error:
            faults.append(f"label {place}: {error.what if isinstance(error, Misuse) else error}")
    return labels, faults


def _read(entry: Any, now_us: int, caller: str) -> Label:
    if not isinstance(entry, dict):
        raise ValueError('a label is {"prediction_id": ..., "value": ...}')
    unknown = [str(name) for name in entry if name not in FIELDS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(FIELDS)}")
    if "value" not in entry:
        raise ValueError("it has no value")
    value = entry["value"]
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError("its value is a text, a number, true, false or null")
    return Label(
        value=value,
        time_us=_time(entry.get("time"), now_us),
        received_us=now_us,
        prediction=_text(entry, "prediction_id"),
        row=_row(entry.get("row", 0)),
        key=_key(entry.get("key", {})),
        idempotency=_text(entry, "id"),
        source=_text(entry, "source"),
        caller=caller,
    )


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{name} is a text of at most {LONGEST} characters")
    return value


def _row(value: Any) -> int:
    """Read the number of a row; 3.0 is the integer 3 in JSON.

    >>> _row(3.0)
    3
    """
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError("row counts the rows of the prediction from 0")
    return value


def _key(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > 16:
        raise ValueError('key is {"column": value}, with at most 16 columns')
    if any(isinstance(each, dict | list) for each in value.values()):
        raise ValueError("the values of a key are texts, numbers, true, false or null")
    return value


def _time(value: Any, now_us: int) -> int:
    """Read when it became true: ISO 8601 or seconds since 1970; now when it is left out."""
    if value is None:
        return now_us
    seconds = seconds_of_iso(value) if isinstance(value, str) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) < 1e12:
        raise ValueError("time is ISO 8601, or seconds since 1970")
    return int(seconds * 1e6)
