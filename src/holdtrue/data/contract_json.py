"""A contract as plain JSON values, one way only; what is read is checked whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from dataclasses import field as dataclass_field
from math import isfinite
from typing import Any

from holdtrue.core.digest import Json
from holdtrue.core.errors import Misuse, nearest
from holdtrue.data.contract import Contract, Field, Freshness, Rule
from holdtrue.data.dates import iso_of_seconds, seconds_of_iso

SCHEMA = "holdtrue/contract/1"
DEFAULTS = {each.name: each.default for each in fields(Field) if each.default is not MISSING}


def to_dict(contract: Contract) -> dict[str, Json]:
    """Give the contract as JSON values, one way only; what is left out is the default.

    >>> to_dict(Contract(fields=(Field(name="age", kind="number", low=0.0),)))["fields"]
    [{'name': 'age', 'kind': 'number', 'low': 0}]
    """
    made: dict[str, Json] = {"schema": SCHEMA, "fields": [field_dict(field) for field in contract.fields]}
    if contract.rules:
        made["rules"] = [{"name": rule.name, "text": rule.text} for rule in contract.rules]
    if contract.key:
        made["key"] = list(contract.key)
    if contract.freshness:
        made["freshness"] = {
            "column": contract.freshness.column,
            "at_most_days": _plain(contract.freshness.at_most_days),
        }
    return made


def field_dict(field: Field) -> dict[str, Json]:
    """Give one column; what is left out is the default."""
    made: dict[str, Json] = {"name": field.name, "kind": field.kind}
    for name, default in DEFAULTS.items():
        value = getattr(field, name)
        if value == default:
            continue
        if name in ("low", "high"):
            value = _limit_text(value) if field.kind == "date" else _plain(value)
        made[name] = list(value) if isinstance(value, tuple) else value
    return made


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _limit_text(seconds: float) -> str | float:
    try:
        text = iso_of_seconds(seconds)
    except OverflowError:
        return seconds
    return text if seconds_of_iso(text) == seconds else seconds


def from_dict(value: object) -> Contract:
    """Build the contract that `to_dict` wrote, or that a person did; raises `Misuse` with all faults.

    The fields may also be a mapping from names to their settings.
    """
    reader = _Reader()
    top = reader.mapping(value, "the contract", ("schema", "fields", "rules", "key", "freshness"))
    if top.get("schema", SCHEMA) != SCHEMA:
        raise Misuse(
            f"This is a contract of the form {top['schema']!r}; this version reads {SCHEMA!r}.",
            do="Read it with the version that wrote it.",
        )
    entries = top.get("fields")
    if isinstance(entries, Mapping):
        entries = [{"name": name, **reader.mapping(entry, f"field {name!r}")} for name, entry in entries.items()]
    if not entries:
        reader.faults.append("fields: a contract has at least one; write for instance `age: {kind: number}`")
    made = [reader.field(entry, number) for number, entry in enumerate(reader.items(entries, "fields"), 1)]
    rules = [reader.rule(entry, number) for number, entry in enumerate(reader.items(top.get("rules"), "rules"), 1)]
    key = reader.read(_texts, top.get("key", ()), "key", ())
    fresh = reader.freshness(top.get("freshness"))
    known = tuple(field for field in made if field)
    try:
        # What names a field that was itself refused would only repeat its fault.
        whole = len(known) == len(made)
        contract = Contract(
            fields=known,
            rules=tuple(filter(None, rules)) if whole else (),
            key=key if whole else (),
            freshness=fresh if whole else None,
        )
    except Misuse as error:
        reader.faults += error.faults
        contract = None
    if contract is None or reader.faults:
        raise Misuse(
            f"The contract is not right in {len(reader.faults)} place{'s' if len(reader.faults) > 1 else ''}:",
            faults=reader.faults,
            do="The settings of a column are in docs/reference/contract.md.",
        )
    return contract


@dataclass(kw_only=True, slots=True)
class _Reader:
    """Reads plain values and collects what is wrong with them."""

    faults: list[str] = dataclass_field(default_factory=list[str])

    def mapping(self, value: object, where: str, known: Sequence[str] = ()) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self.faults.append(f"{where}: a mapping of settings is expected, got {value!r}")
            return {}
        made = {str(name): each for name, each in value.items()}
        if known:
            self.faults += [
                f"{where}: there is no setting {name!r}{nearest(name, known)}" for name in made if name not in known
            ]
        return made

    def items(self, value: object, where: str) -> list[object]:
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self.faults.append(f"{where}: a list is expected, got {value!r}")
            return []
        return list(value)

    def read(self, how: Callable[[object], Any], value: object, where: str, default: Any) -> Any:
        try:
            return how(value)
        except ValueError as error:
            self.faults.append(f"{where}: {error}")
            return default

    def field(self, value: object, number: int) -> Field | None:
        known = ("name", "kind", *DEFAULTS)
        before = len(self.faults)
        raw = self.mapping(value, f"field {number}")
        where = f"field {raw['name']!r}" if "name" in raw else f"field {number}"
        self.mapping(raw, where, known)
        self.faults += [f"{where}: {name} is missing" for name in ("name", "kind") if raw and name not in raw]
        given = {
            name: self.read(READERS[name], raw[name], f"{where}: {name}", None)
            for name in known
            if raw.get(name) is not None
        }
        if raw.get("kind") != "date":
            texts = [name for name in ("low", "high") if isinstance(raw.get(name), str)]
            self.faults += [f"{where}: {name} is a number here, got {raw[name]!r}" for name in texts]
        if len(self.faults) > before:
            return None
        try:
            return Field(**given)
        except Misuse as error:
            self.faults += [f"{where}: {fault}" for fault in error.faults]
            return None

    def rule(self, value: object, number: int) -> Rule | None:
        before = len(self.faults)
        raw = self.mapping(value, f"rule {number}", ("name", "text"))
        text = self.read(_text, raw.get("text", ""), f"rule {number}: text", "")
        name = self.read(_text, raw.get("name", text), f"rule {number}: name", "")
        return Rule(name=name, text=text) if len(self.faults) == before else None

    def freshness(self, value: object) -> Freshness | None:
        if value is None:
            return None
        before = len(self.faults)
        raw = self.mapping(value, "freshness", ("column", "at_most_days"))
        column = self.read(_text, raw.get("column"), "freshness: column", "")
        days = self.read(_number, raw.get("at_most_days"), "freshness: at_most_days", 0.0)
        return Freshness(column=column, at_most_days=days) if len(self.faults) == before else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text is expected, got {value!r}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"a list of texts is expected, got {value!r}")
    return tuple(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is expected, got {value!r}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"a number is expected, got {value!r}")
    return float(value)


def _limit(value: object) -> float:
    return seconds_of_iso(value) if isinstance(value, str) else _number(value)


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not known{nearest(str(value), words)}")
        return str(value)

    return read


READERS: Mapping[str, Callable[[object], Any]] = {
    "name": _text,
    "kind": _one_of("number", "category", "text", "date"),
    "integer": _truth,
    "nullable": _truth,
    "missing": _texts,
    "low": _limit,
    "high": _limit,
    "categories": _texts,
    "unseen": _one_of("allow", "refuse"),
    "unique": _truth,
    "pattern": _text,
    "formats": _texts,
    "decimal": _one_of(".", ","),
    "unreadable": _one_of("refuse", "missing"),
    "personal": _truth,
}
