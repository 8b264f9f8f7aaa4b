"""A rule over the typed cells of one row, without a table: where rows come one at a time, a table costs too much."""

import operator
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from math import floor, isfinite
from typing import Any

from holdtrue.data.rules import Kind, read_rule

Cells = Mapping[str, Any]
Value = float | str | bool | None  # None is missing, and what is asked of it is unknown


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A part of a rule that knows its value in a row; the signs of Python join two of them into one."""

    at: Callable[[Cells], Any]

    def is_null(self) -> "Cell":
        return Cell(lambda row: self.at(row) is None)

    def is_not_null(self) -> "Cell":
        return Cell(lambda row: self.at(row) is not None)

    def __and__(self, other: "Cell") -> "Cell":
        return Cell(lambda row: _both(self.at(row), other.at(row)))

    def __or__(self, other: "Cell") -> "Cell":
        return Cell(lambda row: _either(self.at(row), other.at(row)))

    def __invert__(self) -> "Cell":
        return Cell(lambda row: None if (value := self.at(row)) is None else not value)

    def __add__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.add, other)

    def __sub__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.sub, other)

    def __mul__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.mul, other)

    def __truediv__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.truediv, other)

    def __mod__(self, other: "Cell | float") -> "Cell":
        return _joined(self, _remainder, other)

    def __eq__(self, other: object) -> "Cell":  # pyright: ignore[reportIncompatibleMethodOverride]  # a sentence, as in polars
        return _joined(self, operator.eq, other)

    def __ne__(self, other: object) -> "Cell":  # pyright: ignore[reportIncompatibleMethodOverride]  # a sentence, as in polars
        return _joined(self, operator.ne, other)

    def __lt__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.lt, other)

    def __le__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.le, other)

    def __gt__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.gt, other)

    def __ge__(self, other: "Cell | float") -> "Cell":
        return _joined(self, operator.ge, other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # nothing that compares to a sentence has a hash


def _joined(left: Cell, how: Callable[[Any, Any], Any], right: object) -> Cell:
    first = left.at
    second: Callable[[Cells], Any] = right.at if isinstance(right, Cell) else lambda _: right

    def value(row: Cells) -> Any:
        one, two = first(row), second(row)
        if one is None or two is None:
            return None
        try:
            return how(one, two)
        except ZeroDivisionError:
            return float("nan")  # which `finite` makes unknown

    return Cell(value)


def _remainder(one: float, two: float) -> float:
    """Divide as the query engine does, rounding and all: what is left of whole divisors below the quotient."""
    quotient = one / two
    return one - floor(quotient) * two if isfinite(quotient) else float("nan")


def _both(one: bool | None, two: bool | None) -> bool | None:
    if one is False or two is False:
        return False
    return None if one is None or two is None else True


def _either(one: bool | None, two: bool | None) -> bool | None:
    if one or two:
        return True
    return None if one is None or two is None else False


class _Terms:
    def constant(self, value: float | str) -> Cell:
        return Cell(lambda _: value)

    def column(self, name: str) -> Cell:
        return Cell(lambda row: row[name])

    def finite(self, value: Cell) -> Cell:
        return Cell(lambda row: found if (found := value.at(row)) is not None and isfinite(found) else None)


def rule_cells(text: str, kinds: Mapping[str, Kind]) -> Callable[[Cells], bool | None]:
    """Give what a rule says of one row of typed cells, None where it is unknown; raises as `rule_expression` does.

    >>> holds = rule_cells("adults + children > 0", {"adults": "number", "children": "number"})
    >>> holds({"adults": 0.0, "children": 1.0}), holds({"adults": 0.0, "children": None})
    (True, None)
    """
    whole, _ = read_rule(text, kinds, _Terms())
    return whole.at


def columns_of(text: str, kinds: Mapping[str, Kind]) -> Set[str]:
    """Name the columns a rule speaks of; raises as `rule_expression` does."""
    return read_rule(text, kinds, _Terms())[1]
