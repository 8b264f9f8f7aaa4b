"""What goes wrong on purpose: columns that drift, labels that lie, rows that somebody slips in, a machine that dies.

    drift:TIME:COLUMN*1.5    from TIME on; also COLUMN+10, COLUMN-3, and COLUMN=value
    noise:TIME:20%           this share of the labels says something else
    poison:TIME:10%          for this share of the rows a copy is asked for too, and labelled wrongly
    outage:TIME:6h           the machine is dead for so long; comes back at once when that is left out

TIME is a date, or a share of the rows that are lived through, such as `50%`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from holdtrue.core.errors import Misuse, nearest
from holdtrue.data.contract import Contract
from holdtrue.data.dates import seconds_of_iso
from holdtrue.data.parse import parse
from holdtrue.pipeline.simulation.rows import SECOND_US, Rows, span_us
from holdtrue.spec.quantity import share

Kind = Literal["drift", "noise", "poison", "outage"]
KINDS: tuple[str, ...] = get_args(Kind)
TIME = r"(?P<time>\d+(?:\.\d+)?\s*%|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z|[+-]\d{2}:\d{2})?)"
WHOLE = re.compile(rf"(?P<kind>\w+):{TIME}(?::(?P<rest>.+))?")
CHANGE = re.compile(r"(?P<column>.+?)\s*(?P<act>[*+=-])\s*(?P<value>[^*+=]+)")
POISONER = "poisoner"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        when: a moment in microseconds, or a share of the rows as a float.
        act: what is done to the column: `*`, `+`, `-` or `=` and the value.
        part: the share of rows or labels it strikes.
        length_us: how long an outage lasts.
    """

    kind: Kind
    when: int | float
    text: str
    column: str = ""
    act: str = ""
    value: str = ""
    part: float = 0.0
    length_us: int = 0

    def at_us(self, live: Rows) -> int:
        """Say when it begins."""
        if isinstance(self.when, int):
            return self.when
        return int(live.time_us[min(round(self.when * len(live)), len(live) - 1)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What is asked for and said, in the order of time.

    Attributes:
        rows: those that really happened, and copies that somebody slipped in; `truth` is what the labels say.
        origin: the place of each among the rows that happened; -1 for a copy.
    """

    rows: Rows
    origin: Int64[np.ndarray, " rows"]


def read_fault(text: str) -> Fault:
    """Read a fault as the command line has it; raises `Misuse`."""
    found = WHOLE.fullmatch(text.strip())
    kind = text.partition(":")[0].strip()
    if kind not in KINDS:
        raise Misuse(f"The fault {text!r} is no {', '.join(KINDS)}{nearest(kind, KINDS)}")
    if found is None:
        raise _unreadable(text, "it has no time", kind)
    when, rest = _when(found["time"], text, kind), found["rest"] or ""
    fault = Fault(kind=_kind(kind), when=when, text=text)
    match kind:
        case "drift":
            change = CHANGE.fullmatch(rest.strip())
            if change is None or (change["act"] != "=" and _number(change["value"]) is None):
                raise _unreadable(text, "it does not say how which column changes", kind)
            value = change["value"].strip()
            return replace(fault, column=change["column"].strip(), act=change["act"], value=value)
        case "outage":
            length_us = span_us(rest) if rest else 0
            if length_us is None:
                raise _unreadable(text, f"{rest!r} is no length of time", kind)
            return replace(fault, length_us=length_us)
        case _:
            part = share(rest)
            part = _number(part) if isinstance(part, str) else part
            if not isinstance(part, float) or not 0 < part <= 1:
                raise _unreadable(text, f"{rest!r} is no share between 0 and 1", kind)
            return replace(fault, part=part)


def struck(live: Rows, faults: Sequence[Fault], contract: Contract, *, classes: Sequence[str], seed: int) -> Traffic:
    """Let the faults strike what happens; gives what is asked for and said. The same seed gives the same."""
    for fault in faults:
        if fault.kind == "drift":
            live = replace(live, raw=_drifted(live, fault, contract))
    chance = np.random.default_rng(seed)
    said, copies, lies = list(live.truth), list[int](), list[Any]()
    for fault in faults:
        if fault.kind not in ("noise", "poison"):
            continue
        known = np.array([value is not None for value in live.truth], dtype=bool)
        chosen = (live.time_us >= fault.at_us(live)) & known & (chance.random(len(live)) < fault.part)
        for place in np.flatnonzero(chosen).tolist():
            lie = _lie(live, place, chance, is_class=bool(classes))
            if fault.kind == "noise":
                said[place] = lie
            else:
                copies.append(place)
                lies.append(lie)
    index = np.concatenate([np.arange(len(live)), np.array(copies, dtype=np.int64)])
    made = replace(live.take(index), truth=[*said, *lies])
    origin = np.concatenate([np.arange(len(live)), np.full(len(copies), -1)]).astype(np.int64)
    order = np.argsort(made.time_us, kind="stable")
    return Traffic(rows=made.take(order), origin=origin[order])


def _lie(live: Rows, place: int, chance: np.random.Generator, *, is_class: bool) -> Any:
    """Give another class, or the number of another row."""
    others = sorted({value for value in live.truth if value is not None}) if is_class else live.truth
    others = [value for value in others if value is not None and (not is_class or value != live.truth[place])]
    return others[int(chance.integers(len(others)))] if others else live.truth[place]


def _drifted(live: Rows, fault: Fault, contract: Contract) -> pl.DataFrame:
    name = fault.column
    if name not in contract.names:
        raise Misuse(
            f"The fault {fault.text!r} changes {name!r}, which the model does not see{nearest(name, contract.names)}"
        )
    struck_rows: Bool[np.ndarray, " rows"] = live.time_us >= fault.at_us(live)
    raw, field = live.raw.get_column(name), contract.field(name)
    if fault.act == "=":
        return live.raw.with_columns(_put(raw, struck_rows, [fault.value] * len(raw)))
    if field.kind != "number":
        raise Misuse(
            f"The fault {fault.text!r} counts with {name!r}, which is a {field.kind}.",
            do=f"Give it a value: drift:TIME:{name}=VALUE",
        )
    values = parse(contract.only([name]), live.raw.select(name)).get_column(name)
    by = _number(fault.value)
    assert by is not None
    changed = values * by if fault.act == "*" else values + (by if fault.act == "+" else -by)
    changed = changed.round() if field.integer else changed
    # A cell that cannot be read stays as it is.
    told = [None if value is None else _written(value) for value in changed.to_list()]
    return live.raw.with_columns(_put(raw, struck_rows & changed.is_not_null().to_numpy(), told))


def _put(raw: pl.Series, where: Bool[np.ndarray, " rows"], texts: Sequence[str | None]) -> pl.Series:
    """Put texts into some cells; a column of whole numbers may become one of any numbers."""
    kind = pl.Float64 if raw.dtype.is_numeric() else pl.String
    made = pl.Series(raw.name, texts, dtype=pl.String)
    try:
        return raw.cast(kind).zip_with(pl.Series(~where), made.cast(kind))
    except pl.exceptions.InvalidOperationError:
        raise Misuse(f"The column {raw.name!r} holds numbers, and {texts[0]!r} is none.") from None


def _written(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _when(text: str, whole: str, kind: str) -> int | float:
    if text.endswith("%"):
        part = float(text[:-1]) / 100
        if not part < 1:
            raise _unreadable(whole, f"{text} of the rows is after all of them", kind)
        return part
    try:
        return round(seconds_of_iso(text) * SECOND_US)
    except ValueError as error:
        raise _unreadable(whole, str(error), kind) from None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _kind(text: str) -> Kind:
    return next(kind for kind in get_args(Kind) if kind == text)


def _unreadable(text: str, why: str, kind: str) -> Misuse:
    forms = {
        "drift": "drift:2017-01-01:COLUMN*1.5, drift:2017-01-01:COLUMN=value",
        "noise": "noise:2017-01-01:20%",
        "poison": "poison:2017-01-01:10%",
        "outage": "outage:2017-01-01, outage:2017-01-01:6h",
    }
    return Misuse(f"The fault {text!r} cannot be read: {why}.", do=f"Write it so: {forms[kind]}")
