"""One way in which rows break their contract, as a sentence for people."""

from dataclasses import dataclass

from holdtrue.data.contract import Field
from holdtrue.data.dates import iso_of_seconds

MISSING = "are missing"
INFINITE = "are infinite"
FRACTION = "have a fraction"
TOO_LARGE = "are too large to keep every digit (make the column a category)"
UNKNOWN = "are none of the known categories"
HIDDEN = "(hidden: personal)"
LONGEST_SHOWN = 80
ONE = {
    "are": "is",
    "lie": "lies",
    "have": "has",
    "do": "does",
    "repeat": "repeats",
    "break": "breaks",
    "belong": "belongs",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Breach:
    """One way in which a table breaks its contract.

    Attributes:
        where: the column, rule or key, as a person would call it.
        columns: the columns it is about.
        what: what is wrong with each of `count` values, as the end of a sentence with a plural verb.
        count: how many values are wrong, of `rows` in all.
        first_row: the first wrong row, counted from 1 without the header; None when it is about the whole column.
        first_value: what stands there, or that it is hidden.
    """

    where: str
    columns: tuple[str, ...]
    what: str
    count: int
    rows: int
    first_row: int | None = None
    first_value: str = ""

    @property
    def sentence(self) -> str:
        if self.first_row is None:
            return f"{self.where}: {self.what}."
        verb, _, rest = self.what.partition(" ")
        what = f"{ONE.get(verb, verb)} {rest}".strip() if self.count == 1 else self.what
        first = f"the first is {self.first_value}" if self.first_value else "the first is"
        noun = "values" if len(self.columns) == 1 else "rows"
        return f"{self.where}: {self.count:,} of {self.rows:,} {noun} {what}; {first} in row {self.first_row:,}."


def shown(value: object, *, personal: bool) -> str:
    """Show a wrong value, shortened; what belongs to a person is not shown."""
    if personal:
        return HIDDEN
    if isinstance(value, int) and value.bit_length() > 8_000:  # Python does not write out much longer ones
        return "a number of more than 2,000 digits"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def unread(field: Field) -> str:
    return f"are no {field.kind}"


def unmatched(field: Field) -> str:
    return f"do not match the pattern {field.pattern!r}"


def outside(field: Field) -> str:
    """Say what a value that is too small or too large does."""
    low, high = (None if limit is None else _limit(field, limit) for limit in (field.low, field.high))
    if low is not None and high is not None:
        return f"lie outside [{low}, {high}]"
    return f"lie above {high}" if low is None else f"lie below {low}"


def _limit(field: Field, limit: float) -> str:
    return iso_of_seconds(limit) if field.kind == "date" else f"{limit:.15g}"
