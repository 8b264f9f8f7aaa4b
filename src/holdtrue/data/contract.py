"""What every row must satisfy, column by column and across columns: agreed once, checked everywhere."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from holdtrue.core.errors import Misuse, nearest
from holdtrue.data.dates import format_fault
from holdtrue.data.rule_cells import columns_of
from holdtrue.data.rules import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)
EXACT = 2.0**53  # whole numbers above this are not all there in a float64
NOT_A_NUMBER = ("nan", "NaN", "NAN", "-nan", "-NaN", "+nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """What one column holds.

    Attributes:
        kind: how the column is read. `number` and `date` become Float64 (a date is seconds since 1970 UTC);
            `category` and `text` stay text without the blanks around it.
        integer: only whole numbers are right.
        nullable: a value may be missing.
        missing: texts that mean missing, beside the empty one.
        low, high: the smallest and largest value that is right.
        categories: the known values; None leaves the set open.
        unseen: whether a value outside `categories` breaks the contract.
        unique: no value appears twice.
        pattern: a regular expression that the whole text must match (the syntax of Rust's regex: no look-around).
        formats: how dates are written, in the letters of strptime, or "epoch" and "epoch_ms"; the first that fits
            wins. None means ISO 8601.
        decimal: the decimal mark of numbers that come as text; the other mark groups thousands.
        unreadable: what a text is where a number or a date should be: a breach, or a missing value.
        personal: the values belong to a person and are shown nowhere.
    """

    name: str
    kind: Kind
    integer: bool = False
    nullable: bool = True
    missing: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = None
    unseen: Literal["allow", "refuse"] = "allow"
    unique: bool = False
    pattern: str | None = None
    formats: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    unreadable: Literal["refuse", "missing"] = "refuse"
    personal: bool = False

    def __post_init__(self) -> None:
        faults = [fault for check in _CHECKS for fault in check(self)]
        if faults:
            raise Misuse(f"The field {self.name!r} cannot be as it is described:", faults=faults)

    @property
    def numeric(self) -> bool:
        """Whether its typed values are numbers."""
        return self.kind in ("number", "date")

    @property
    def missing_texts(self) -> tuple[str, ...]:
        """Every text that means missing."""
        return ("", *self.missing, *(NOT_A_NUMBER if self.numeric else ()))

    @property
    def missing_numbers(self) -> list[float]:
        """The texts that mean missing, as numbers: -999 is missing also where it is written -999.0."""
        numbers: list[float] = []
        for token in self.missing:
            with suppress(ValueError):
                numbers.append(float(token))
        return numbers


def _wrong_kind(field: Field) -> list[str]:
    if field.kind not in KINDS:
        return [f"kind {field.kind!r} is not known{nearest(str(field.kind), KINDS)}"]
    given: dict[str, tuple[object, tuple[Kind, ...]]] = {
        "integer": (field.integer, ("number",)),
        "low": (field.low is not None, ("number", "date")),
        "high": (field.high is not None, ("number", "date")),
        "categories": (field.categories is not None, ("category",)),
        "unseen: refuse": (field.unseen == "refuse", ("category",)),
        "pattern": (field.pattern is not None, ("category", "text")),
        "formats": (field.formats, ("date",)),
        "decimal: ','": (field.decimal == ",", ("number",)),
        "unreadable: missing": (field.unreadable == "missing", ("number", "date")),
    }
    return [
        f"{name} belongs to a {' or '.join(kinds)}, and this is a {field.kind}"
        for name, (present, kinds) in given.items()
        if present and field.kind not in kinds
    ]


def _wrong_range(field: Field) -> list[str]:
    ends = {"low": field.low, "high": field.high}
    faults = [f"{name} must be a finite number" for name, end in ends.items() if end is not None and not isfinite(end)]
    if not faults and field.low is not None and field.high is not None and field.low > field.high:
        faults.append(f"low {field.low:g} lies above high {field.high:g}")
    return faults


def _wrong_set(field: Field) -> list[str]:
    faults: list[str] = []
    if field.unseen == "refuse" and field.categories is None:
        faults.append("unseen: refuse needs the list of categories")
    if field.categories is not None:
        if not field.categories:
            faults.append("categories is empty; leave it out for an open set")
        if len(set(field.categories)) < len(field.categories):
            faults.append("a category stands in the list twice")
        both = sorted(set(field.categories) & set(field.missing))
        faults += [f"{value!r} is a category and also means missing" for value in both]
        faults += [
            f"the category {value!r} has blanks around it" for value in field.categories if value != value.strip()
        ]
    return faults


def _wrong_text(field: Field) -> list[str]:
    faults = [] if field.name.strip() else ["a column needs a name"]
    faults += [fault for each in field.formats if (fault := format_fault(each))]
    if field.pattern is not None:
        import polars as pl

        try:
            pl.Series([""]).str.contains(whole(field.pattern))
        except pl.exceptions.ComputeError as error:
            reason = str(error).split("error:")[-1].strip().splitlines()[0]
            faults.append(f"the pattern {field.pattern!r} is no regular expression: {reason}")
    return faults


_CHECKS: tuple[Callable[[Field], list[str]], ...] = (_wrong_kind, _wrong_range, _wrong_set, _wrong_text)


def whole(pattern: str) -> str:
    """Anchor a pattern at both ends."""
    return rf"\A(?:{pattern})\z"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A sentence that holds for every row, such as `checkout >= checkin`; see rules.py for the language."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Freshness:
    """The latest date in a column is at most so many days old."""

    column: str
    at_most_days: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """The columns of a table in order, the rules across them, and what names a row.

    >>> Contract(fields=(Field(name="age", kind="number"),), key=("id",))
    Traceback (most recent call last):
    holdtrue.core.errors.Misuse: The contract cannot hold:
      key: there is no field 'id'; known: age
    """

    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    key: tuple[str, ...] = ()
    freshness: Freshness | None = None

    def __post_init__(self) -> None:
        faults = [*_repeated_names(self), *_wrong_references(self), *_wrong_rules(self)]
        if faults:
            raise Misuse("The contract cannot hold:", faults=faults)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return {field.name: field.kind for field in self.fields}

    def field(self, name: str) -> Field:
        """Find a column; raises `Misuse` with the nearest known name."""
        for field in self.fields:
            if field.name == name:
                return field
        raise Misuse(f"The contract has no column {name!r}{nearest(name, self.names)}")

    def only(self, names: Collection[str]) -> "Contract":
        """Keep some columns, and of the rest what speaks of these alone: what a row must hold to be predicted."""
        kept = tuple(field for field in self.fields if field.name in names)
        kinds = {field.name: field.kind for field in kept}
        return Contract(
            fields=kept,
            rules=tuple(rule for rule in self.rules if columns_of(rule.text, self.kinds) <= kinds.keys()),
            key=self.key if set(self.key) <= kinds.keys() else (),
            freshness=self.freshness if self.freshness and self.freshness.column in kinds else None,
        )


def _repeated_names(contract: Contract) -> list[str]:
    names = [*contract.names]
    titles = [rule.name for rule in contract.rules]
    return [
        *(
            f"the field {name!r} is described {names.count(name)} times"
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ),
        *(f"{titles.count(name)} rules are named {name!r}" for name in dict.fromkeys(titles) if titles.count(name) > 1),
    ]


def _wrong_references(contract: Contract) -> list[str]:
    kinds = contract.kinds
    faults = [f"key: there is no field {name!r}{nearest(name, [*kinds])}" for name in contract.key if name not in kinds]
    fresh = contract.freshness
    if fresh is not None:
        if fresh.column not in kinds:
            faults.append(f"freshness: there is no field {fresh.column!r}{nearest(fresh.column, [*kinds])}")
        elif kinds[fresh.column] != "date":
            faults.append(f"freshness: {fresh.column!r} is a {kinds[fresh.column]}, not a date")
        if not fresh.at_most_days > 0 or not isfinite(fresh.at_most_days):
            faults.append(f"freshness: at_most_days must be above 0, got {fresh.at_most_days:g}")
    return faults


def _wrong_rules(contract: Contract) -> list[str]:
    faults: list[str] = []
    for rule in contract.rules:
        try:
            columns_of(rule.text, contract.kinds)
        except Misuse as error:
            faults += [f"rule {rule.name!r}: {fault}" for fault in error.faults]
    return faults
