"""Rules across columns: a small language of comparisons that is parsed here and nowhere executed as code.

    rule   = each {("and" | "or") each}, with "not" and parentheses; "and" binds closer than "or"
    each   = value {sign value}, where sign is == = != <> < <= > >= and chains read as usual: 0 <= a <= b
           | value "is" ["not"] "missing"
           | value ["not"] "in" ( value, value, ... )
    value  = number | 'text' | column | "column with blanks" | `column`, joined by + - * / % and parentheses

A text beside a date is read as an ISO date; dates differ by days. A missing value makes what is asked of it unknown,
and what is unknown breaks no rule: write `is not missing` to ask for the value.
"""

import operator
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from holdtrue.core.errors import Misuse, nearest
from holdtrue.data.dates import DAY_S, seconds_of_iso

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["number", "category", "text", "date"]
Nature = Literal["number", "date", "text", "truth"]
Operation = Callable[[Any, Any], Any]

# A rule comes from a file: neither its length nor its depth may exhaust the stack, ours or that of the query engine.
MOST_TOKENS = 300
MOST_DEPTH = 40
TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    |'(?P<text>(?:[^']|'')*)'
    |"(?P<quoted>[^"]+)"|`(?P<ticked>[^`]+)`
    |(?P<name>[^\W\d]\w*(?:\.\w+)*)
    |(?P<sign>==|!=|<=|>=|<>|[-+*/%<>=(),]))""",
    re.VERBOSE,
)
WORDS = frozenset({"and", "or", "not", "is", "in", "missing"})
COMPARISONS: Mapping[str, Operation] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC: Mapping[str, Operation] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


@runtime_checkable
class Terms(Protocol):
    """What a rule is built of, for a table (polars) or for one row (rule_cells.py).

    Whatever these give must know the signs of Python (+ - * / % == != < <= > >= & | ~), `is_null` and `is_not_null`.
    """

    def constant(self, value: float | str) -> Any: ...
    def column(self, name: str) -> Any: ...
    def finite(self, value: Any) -> Any: ...


class _Table:
    def constant(self, value: float | str) -> "pl.Expr":
        import polars as pl

        return pl.lit(value)

    def column(self, name: str) -> "pl.Expr":
        import polars as pl

        return pl.col(name)

    def finite(self, value: "pl.Expr") -> "pl.Expr":
        import polars as pl

        return pl.when(value.is_finite()).then(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleExpression:
    """A rule ready to run on typed columns: true, false or null (unknown) for each row."""

    holds: "pl.Expr"
    columns: Set[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    value: Any
    nature: Nature
    literal: str | None = None  # the characters of a text, so that a date beside it can read them


def rule_expression(text: str, kinds: Mapping[str, Kind]) -> RuleExpression:
    """Parse a rule over typed columns; raises `Misuse` whose faults say what is wrong with the text.

    >>> sorted(rule_expression("adults + children > 0", {"adults": "number", "children": "number"}).columns)
    ['adults', 'children']
    >>> rule_expression("adlts > 0", {"adults": "number"})
    Traceback (most recent call last):
    holdtrue.core.errors.Misuse: The rule cannot be read:
      there is no column 'adlts'; did you mean 'adults'? In `adlts > 0`
    """
    holds, columns = read_rule(text, kinds, _Table())
    return RuleExpression(holds=holds, columns=columns)


def read_rule(text: str, kinds: Mapping[str, Kind], terms: Terms) -> tuple[Any, frozenset[str]]:
    """Build a rule of other terms; says which columns it speaks of, and raises as `rule_expression` does."""
    try:
        reader = _Reader(tokens=_tokens(text), kinds=kinds, terms=terms)
        part = reader.either()
        if reader.peek():
            raise ValueError(f"{reader.peek()!r} is not expected there.")
        if part.nature != "truth":
            raise ValueError("a rule compares, as in a > 0.")
    except ValueError as error:
        raise Misuse("The rule cannot be read:", faults=[f"{error} In `{text[:200]}`"]) from None
    return part.value, frozenset(reader.columns)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    text = text.rstrip()
    place = 0
    while place < len(text):
        found = TOKEN.match(text, place)
        if not found:
            raise ValueError(f"it makes no sense from character {place + 1} on.")
        kind = str(found.lastgroup)
        word = found[kind]
        if kind in ("quoted", "ticked"):
            kind = "name"
        elif kind == "name" and word.lower() in WORDS:
            kind, word = "word", word.lower()
        elif kind == "text":
            word = word.replace("''", "'")
        tokens.append((kind, word))
        place = found.end()
    if len(tokens) > MOST_TOKENS:
        raise ValueError(f"a rule has at most {MOST_TOKENS} words and signs.")
    return tokens


@dataclass(kw_only=True, slots=True)
class _Reader:
    """Recursive descent: one method for each level of the grammar, the loosest first."""

    tokens: list[tuple[str, str]]
    kinds: Mapping[str, Kind]
    terms: Terms
    place: int = 0
    depth: int = 0
    columns: set[str] = field(default_factory=set[str])

    def peek(self, ahead: int = 0) -> str:
        """The next word or sign; names, numbers and texts are never taken for one."""
        place = self.place + ahead
        if place >= len(self.tokens):
            return ""
        kind, word = self.tokens[place]
        return word if kind in ("word", "sign") else f"{kind} {word}"

    def take(self, *wanted: str) -> str:
        """Step over the next word or sign if it is one of these."""
        word = self.peek()
        if word and word in wanted:
            self.place += 1
            return word
        return ""

    def need(self, wanted: str) -> None:
        if not self.take(wanted):
            raise ValueError(f"{wanted!r} is expected {f'before {self.peek()!r}' if self.peek() else 'at the end'}.")

    def either(self) -> _Part:
        part = self.both()
        while self.take("or"):
            part = _joined(part, self.both(), operator.or_)
        return part

    def both(self) -> _Part:
        part = self.denied()
        while self.take("and"):
            part = _joined(part, self.denied(), operator.and_)
        return part

    def denied(self) -> _Part:
        if not self.take("not"):
            return self.comparison()
        self.deeper()
        part = self.denied()
        self.depth -= 1
        if part.nature != "truth":
            raise ValueError("`not` needs a comparison.")
        return _Part(value=~part.value, nature="truth")

    def comparison(self) -> _Part:
        left = self.sum()
        if self.take("is"):
            denied = self.take("not")
            self.need("missing")
            return _Part(value=left.value.is_not_null() if denied else left.value.is_null(), nature="truth")
        if self.peek() == "in" or (self.peek() == "not" and self.peek(1) == "in"):
            return self.membership(left)
        whole: _Part | None = None
        while sign := self.take(*COMPARISONS):
            right = self.sum()
            each = self.compared(left, sign, right)
            whole = each if whole is None else _joined(whole, each, operator.and_)
            left = right
        return whole or left

    def membership(self, left: _Part) -> _Part:
        denied = self.take("not")
        self.need("in")
        self.need("(")
        found = self.compared(left, "==", self.sum())
        while self.take(","):
            found = _joined(found, self.compared(left, "==", self.sum()), operator.or_)
        self.need(")")
        return _Part(value=~found.value, nature="truth") if denied else found

    def sum(self) -> _Part:
        part = self.product()
        while sign := self.take("+", "-"):
            part = self.calculated(part, sign, self.product())
        return part

    def product(self) -> _Part:
        part = self.single()
        while sign := self.take("*", "/", "%"):
            part = self.calculated(part, sign, self.single())
        return part

    def single(self) -> _Part:
        self.deeper()
        try:
            if self.take("-"):
                return self.calculated(_Part(value=self.terms.constant(0.0), nature="number"), "-", self.single())
            if self.take("("):
                part = self.either()
                self.need(")")
                return part
            return self.named()
        finally:
            self.depth -= 1

    def named(self) -> _Part:
        if self.place >= len(self.tokens):
            raise ValueError("the rule stops where a value is expected.")
        kind, word = self.tokens[self.place]
        self.place += 1
        if kind == "number":
            return _Part(value=self.terms.constant(float(word)), nature="number")
        if kind == "text":
            return _Part(value=self.terms.constant(word), nature="text", literal=word)
        if kind != "name":
            quoted = f'; the column is written "{word}", in quotes' if word in self.kinds else ""
            raise ValueError(f"{word!r} stands where a value is expected{quoted}.")
        if word not in self.kinds:
            raise ValueError(f"there is no column {word!r}{nearest(word, [*self.kinds])}{_stop(word, self.kinds)}")
        self.columns.add(word)
        of_kind = self.kinds[word]
        return _Part(value=self.terms.column(word), nature="text" if of_kind == "category" else of_kind)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise ValueError(f"a rule is at most {MOST_DEPTH} levels deep.")

    def compared(self, left: _Part, sign: str, right: _Part) -> _Part:
        left, right = self.dated(left, right), self.dated(right, left)
        if "truth" in (left.nature, right.nature):
            raise ValueError("a comparison is not compared again.")
        if left.nature != right.nature:
            raise ValueError(f"a {left.nature} is compared with a {right.nature}.")
        if left.nature == "text" and sign not in ("==", "=", "!=", "<>"):
            raise ValueError(f"texts have no order; {sign!r} needs numbers or dates.")
        return _Part(value=COMPARISONS[sign](left.value, right.value), nature="truth")

    def dated(self, part: _Part, beside: _Part) -> _Part:
        """Read a text beside a date as a date."""
        if part.literal is None or beside.nature != "date":
            return part
        return _Part(value=self.terms.constant(seconds_of_iso(part.literal)), nature="date")

    def calculated(self, left: _Part, sign: str, right: _Part) -> _Part:
        left, right = self.dated(left, right), self.dated(right, left)
        natures = (left.nature, right.nature)
        if natures == ("number", "number"):
            value = ARITHMETIC[sign](left.value, right.value)
            # What is divided by zero is unknown, not larger than every number.
            return _Part(value=self.terms.finite(value) if sign in "/%" else value, nature="number")
        if natures == ("date", "date") and sign == "-":
            return _Part(value=(left.value - right.value) / DAY_S, nature="number")
        if natures == ("date", "number") and sign in "+-":
            return _Part(value=ARITHMETIC[sign](left.value, right.value * DAY_S), nature="date")
        raise ValueError(f"{sign!r} does not work between a {left.nature} and a {right.nature}.")


def _stop(word: str, kinds: Mapping[str, Kind]) -> str:
    return "" if nearest(word, [*kinds]).endswith("?") else "."


def _joined(left: _Part, right: _Part, how: Operation) -> _Part:
    if left.nature != "truth" or right.nature != "truth":
        raise ValueError("`and` and `or` stand between comparisons.")
    return _Part(value=how(left.value, right.value), nature="truth")
