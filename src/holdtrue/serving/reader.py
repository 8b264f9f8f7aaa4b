"""What a request says becomes typed columns, exactly as the contract reads a file, or every fault at once.

A cell that is plainly right (a number in its range, a text that was seen before) is recognised here at the cost of a
look-up. Every other one goes to odd.py, which asks the same code that reads files, and remembers the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, inf, isnan, nan
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from jaxtyping import Float64

from holdtrue.core.errors import nearest
from holdtrue.data.breach import FRACTION, INFINITE, MISSING, TOO_LARGE, UNKNOWN, Breach, outside, shown
from holdtrue.data.contract import EXACT, Contract, Field
from holdtrue.data.rule_cells import columns_of, rule_cells

Values: TypeAlias = "Sequence[Any] | np.ndarray"
MOST_REMEMBERED = 10_000  # texts of one column; a client that sends ever new ones must not fill the memory
LONGEST_REMEMBERED = 64
MOST_MEANT = 100
# What Unicode calls white space, as the engine that reads files does; Python also strips four separators of ASCII.
BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class Unfit(Exception):
    """A request does not keep the contract; `faults` names every column."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


@dataclass(frozen=True, kw_only=True, slots=True)
class Typed:
    """The rows of one request, ready for the graph.

    Attributes:
        numbers: one row: its numbers in a list; more: an array (columns, rows). NaN is missing.
        texts: a list of texts for each text column. The empty one is missing.
    """

    rows: int
    numbers: "list[float] | Float64[np.ndarray, 'columns rows']"
    texts: list[list[str]]


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a cell, as the end of a sentence with a plural verb."""

    what: str


Cell: TypeAlias = "float | str | Wrong | None"


@runtime_checkable
class Odd(Protocol):
    """Reads cells of one column that are not plainly right: typed (None: missing), or what is wrong with them."""

    def __call__(self, field: Field, values: Sequence[Any], /) -> list[Cell]: ...


@dataclass(frozen=True, slots=True)
class _Number:
    """A column of numbers; `low` and `high` are the range in which a value is plainly right."""

    field: Field
    name: str
    low: float
    high: float
    whole: bool
    known: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Text:
    field: Field
    name: str
    known: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    text: str
    columns: frozenset[str]
    holds: Callable[[Mapping[str, Any]], bool | None]


class Reader:
    """Reads requests by one contract.

    `numbers` and `texts` name the columns in the order in which `Typed` has them, which is that of `wanted`.
    """

    def __init__(self, contract: Contract, *, wanted: Sequence[str], odd: Odd) -> None:
        """Take what a row must hold to be answered: the columns in `wanted`, which the graph asks for."""
        only = contract.only(wanted)
        kept = replace(only, fields=tuple(sorted(only.fields, key=lambda field: wanted.index(field.name))))
        # A date in milliseconds and a number that means missing are not plainly what they seem.
        self._plain = not any(field.missing_numbers or "epoch_ms" in field.formats for field in kept.fields)
        self._numbers = tuple(_number(field) for field in kept.fields if field.numeric)
        self._texts = tuple(_Text(field, field.name, {}) for field in kept.fields if not field.numeric)
        self._lows = np.array([[column.low] for column in self._numbers])
        self._highs = np.array([[column.high] for column in self._numbers])
        self._may_miss = np.array([[column.field.nullable] for column in self._numbers], dtype=bool)
        self._wholes = [place for place, column in enumerate(self._numbers) if column.whole]
        self.numbers = tuple(column.name for column in self._numbers)
        self.texts = tuple(column.name for column in self._texts)
        self.contract = kept
        self._names = kept.names
        self._odd = odd
        self._rules = tuple(
            _Rule(rule.name, rule.text, frozenset(columns_of(rule.text, kept.kinds)), rule_cells(rule.text, kept.kinds))
            for rule in kept.rules
        )

    def read(self, columns: Mapping[str, Values], rows: int, numbers: "np.ndarray | None" = None) -> Typed:
        """Read columns of `rows` values each; columns of other names are left alone. Raises `Unfit`.

        `numbers` are the columns of numbers once more, as `Typed` has them, where somebody has them together.
        """
        if rows == 1 and self._plain:
            typed = self._read_one(columns)
            if typed is not None:
                return typed
        return self._read_all(columns, rows, numbers if self._plain else None)

    def _read_one(self, columns: Mapping[str, Values]) -> Typed | None:
        """Read a single row whose every cell is plainly right; None when one is not."""
        try:
            numbers = self._plain_row(columns)
            texts = [[text.known[columns[text.name][0]]] for text in self._texts]
        except (KeyError, IndexError, TypeError, OverflowError):
            return None
        if numbers is None or (self._rules and not self._rules_hold(numbers, texts)):
            return None
        return Typed(rows=1, numbers=numbers, texts=texts)

    def _plain_row(self, columns: Mapping[str, Values]) -> list[float] | None:
        numbers: list[float] = []
        for number in self._numbers:
            value = columns[number.name][0]
            kind = type(value)
            if (kind is float or kind is int) and number.low <= value <= number.high:
                if number.whole and value != floor(value):
                    return None
                numbers.append(value)
            elif kind is str:
                numbers.append(number.known[value])
            elif number.field.nullable and (value is None or isnan(value)):
                numbers.append(nan)
            else:
                return None
        return numbers

    def _rules_hold(self, numbers: list[float], texts: list[list[str]]) -> bool:
        cells: dict[str, Any] = dict(zip(self.numbers, numbers, strict=True))
        cells |= {name: text[0] for name, text in zip(self.texts, texts, strict=True)}
        return not any(rule.holds(_missing_as_none(cells, rule.columns)) is False for rule in self._rules)

    def _read_all(self, columns: Mapping[str, Values], rows: int, numbers: "np.ndarray | None") -> Typed:
        absent = [name for name in self._names if name not in columns]
        if absent:
            given = [name for name in columns if name not in self._names]
            raise Unfit([f"column {name!r} is not there{meant(name, given)}" for name in absent])
        matrix, breaches = self._read_matrix(columns, rows, numbers)
        texts: list[list[str]] = []
        for text in self._texts:
            read, wrong = self._read_texts(text, columns[text.name])
            texts.append(read)
            breaches += _breaches(text.field, wrong, columns[text.name])
        if not breaches and self._rules:
            breaches += self._broken_rules(matrix, texts, rows)
        if breaches:
            raise Unfit([breach.sentence for breach in breaches])
        return Typed(rows=rows, numbers=matrix[:, 0].tolist() if rows == 1 else matrix, texts=texts)

    def _read_matrix(
        self, columns: Mapping[str, Values], rows: int, together: "np.ndarray | None"
    ) -> "tuple[np.ndarray, list[Breach]]":
        """Read all columns of numbers; only those in which something is amiss are looked at one by one."""
        unread: dict[int, dict[int, str]] = {}
        matrix = self._lay_out(columns, rows, unread) if together is None else together
        if not unread and not self._wholes and ((matrix >= self._lows) & (matrix <= self._highs)).all():
            return matrix, []
        amiss = ~((matrix >= self._lows) & (matrix <= self._highs))
        amiss &= ~(np.isnan(matrix) & self._may_miss)
        wholes = matrix[self._wholes]
        amiss[self._wholes] |= (wholes != np.floor(wholes)) & np.isfinite(wholes)
        breaches: list[Breach] = []
        for place in sorted({*np.flatnonzero(amiss.any(axis=1)).tolist(), *unread}):
            field = self._numbers[place].field
            wrong = unread.get(place, {})
            for what, found in _wrong_numbers(field, matrix[place]):
                for row in np.flatnonzero(found).tolist():
                    wrong.setdefault(row, what)
            breaches += _breaches(field, wrong, columns[field.name])
            if not wrong and place in unread:
                _remember(self._numbers[place].known, columns[field.name], matrix[place].tolist())
        return matrix, breaches

    def _lay_out(self, columns: Mapping[str, Values], rows: int, unread: dict[int, dict[int, str]]) -> "np.ndarray":
        """Put the columns of numbers under each other; `unread` learns what is wrong with cells that are no numbers."""
        matrix = np.empty((len(self._numbers), rows))
        for place, number in enumerate(self._numbers):
            plain = _plain_numbers(columns[number.name])
            if plain is None:
                matrix[place], unread[place] = self._read_odd_numbers(number, columns[number.name])
            else:
                matrix[place] = plain if self._plain else _meant_numbers(number.field, plain)
        return matrix

    def _read_odd_numbers(self, column: _Number, values: Values) -> "tuple[np.ndarray, dict[int, str]]":
        """Give typed numbers where some are not written as numbers, and what is wrong in which row."""
        wrong: dict[int, str] = {}
        typed = np.empty(len(values))
        for row, read in enumerate(self._cells(column.field, values, column.known)):
            if isinstance(read, Wrong):
                wrong[row] = read.what
            typed[row] = read if isinstance(read, float) else np.nan
        return typed, wrong

    def _read_texts(self, column: _Text, values: Values) -> tuple[list[str], dict[int, str]]:
        field, known = column.field, column.known
        if type(values) is list:
            try:
                seen = list(map(known.get, values))
            except TypeError:  # a list or an object, which is no text
                seen = [None]
            if None not in seen:
                return cast(list[str], seen), {}
        wrong: dict[int, str] = {}
        typed: list[str] = []
        for row, read in enumerate(self._cells(field, values, known)):
            if isinstance(read, Wrong):
                wrong[row] = read.what
            elif not read and not field.nullable:
                wrong[row] = MISSING
            typed.append(read if isinstance(read, str) else "")
        if not wrong:
            _remember(known, values, typed)
        return typed, wrong

    def _cells(self, field: Field, values: Values, known: Mapping[str, Any]) -> list[Cell]:
        """Read every cell: from memory, at once where that is sure, and the rest together by `odd`."""
        quick = not field.numeric and field.pattern is None
        refused = frozenset(field.categories or ()) if field.unseen == "refuse" else None
        read: list[Cell] = []
        odd: dict[int, Any] = {}
        for row, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
            found: Cell = known.get(value) if type(value) is str else None
            if found is None and value is not None:
                if quick and type(value) is str:
                    text = value.strip(BLANKS)
                    found = None if text in field.missing_texts else text
                    if refused is not None and text not in refused and found is not None:
                        found = Wrong(UNKNOWN)
                else:
                    odd[row] = value
            read.append(found)
        if odd:
            for row, found in zip(odd, self._odd(field, list(odd.values())), strict=True):
                read[row] = found
        return read

    def _broken_rules(self, matrix: np.ndarray, texts: list[list[str]], rows: int) -> list[Breach]:
        columns = dict(zip(self.numbers, matrix.tolist(), strict=True)) | dict(zip(self.texts, texts, strict=True))
        breaches: list[Breach] = []
        for rule in self._rules:
            spoken_of = {name: columns[name] for name in rule.columns}
            broken = [
                row
                for row in range(rows)
                if rule.holds(_missing_as_none({name: spoken_of[name][row] for name in spoken_of}, rule.columns))
                is False
            ]
            if broken:
                names = tuple(name for name in self.contract.names if name in rule.columns)
                first = ", ".join(
                    f"{name}={shown(columns[name][broken[0]], personal=self.contract.field(name).personal)}"
                    for name in names
                )
                breaches.append(
                    Breach(
                        where=f"rule {rule.name!r}",
                        columns=names if len(names) > 1 else (*names, ""),
                        what=f"break `{rule.text}`",
                        count=len(broken),
                        rows=rows,
                        first_row=broken[0] + 1,
                        first_value=first,
                    )
                )
        return breaches


def _number(field: Field) -> _Number:
    low = -inf if field.low is None else field.low
    high = inf if field.high is None else field.high
    most = EXACT if field.integer else 1.7976931348623157e308
    return _Number(field, field.name, max(low, -most), min(high, most), field.integer, {})


def meant(name: str, given: Sequence[str]) -> str:
    # To compare words takes long, and a request can have very many.
    meant = nearest(name, [each for each in given[:MOST_MEANT] if len(each) <= 2 * len(name)])
    return meant if meant.endswith("?") else ""


def _missing_as_none(cells: Mapping[str, Any], columns: frozenset[str]) -> dict[str, Any]:
    return {
        name: None if (value := cells[name]) == "" or (isinstance(value, float) and isnan(value)) else value
        for name in columns
    }


def _plain_numbers(values: Values) -> "np.ndarray | None":
    """Give values that are numbers or missing as float64; None when one is something else."""
    if isinstance(values, np.ndarray):
        return values if values.dtype.kind in "fiu" else None
    if not set(map(type, values)) <= {float, int, type(None)}:
        return None
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number of more than 308 digits
        return None


def _meant_numbers(field: Field, typed: "np.ndarray") -> "np.ndarray":
    """Take numbers for what they mean: milliseconds for seconds, and some for missing."""
    typed = typed.astype(np.float64)
    if "epoch_ms" in field.formats:
        typed = typed / 1000.0
    return np.where(np.isin(typed, field.missing_numbers), np.nan, typed) if field.missing_numbers else typed


def _wrong_numbers(field: Field, typed: "np.ndarray") -> "list[tuple[str, np.ndarray]]":
    """Say each way in which typed numbers break the contract, and where."""
    found: list[tuple[str, np.ndarray]] = []
    if not field.nullable:
        found.append((MISSING, np.isnan(typed)))
    found.append((INFINITE, np.isinf(typed)))
    finite = np.isfinite(typed)
    if field.low is not None or field.high is not None:
        low, high = -inf if field.low is None else field.low, inf if field.high is None else field.high
        found.append((outside(field), finite & ((typed < low) | (typed > high))))
    if field.integer:
        found.append((FRACTION, finite & (typed != np.floor(typed))))
        found.append((TOO_LARGE, finite & (np.abs(typed) > EXACT)))
    return found


def _remember(known: dict[str, Any], values: Values, typed: Sequence[Any]) -> None:
    """Keep what texts became, so that they are plainly right the next time."""
    for value, number in zip(values, typed, strict=True):
        if type(value) is str and len(value) <= LONGEST_REMEMBERED:
            if len(known) >= MOST_REMEMBERED:
                known.clear()
            known[value] = number


def _breaches(field: Field, wrong: Mapping[int, str], values: Values) -> list[Breach]:
    """Gather what is wrong in a column: each way once, with its count and its first row."""
    made: list[Breach] = []
    for what in dict.fromkeys(wrong.values()):
        rows = [row for row, each in wrong.items() if each == what]
        first = min(rows)
        value = values[first].item() if isinstance(values, np.ndarray) else values[first]
        made.append(
            Breach(
                where=f"column {field.name!r}",
                columns=(field.name,),
                what=what,
                count=len(rows),
                rows=len(values),
                first_row=first + 1,
                first_value="" if what == MISSING else shown(value, personal=field.personal),
            )
        )
    return made
