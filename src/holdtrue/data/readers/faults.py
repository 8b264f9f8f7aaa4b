"""What is wrong with a source: every place is counted, the first twenty are shown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from holdtrue.core.errors import DataFault

SHOWN = 20


@dataclass(kw_only=True, slots=True)
class Faults:
    """Gathers faults of one source while it is read.

    >>> faults = Faults(where="a.csv")
    >>> faults.add("row 3 has 1 field where 2 are expected")
    >>> faults.check(do="Repair the file.")
    Traceback (most recent call last):
    ...
    holdtrue.core.errors.DataFault: a.csv has 1 fault:
      row 3 has 1 field where 2 are expected
    Repair the file.
    """

    where: str
    shown: list[str] = field(default_factory=list[str])
    count: int = 0

    def add(self, text: str) -> None:
        self.count += 1
        if self.count <= SHOWN:
            self.shown.append(text)

    def take(self, other: "Faults") -> None:
        """Add what was gathered elsewhere."""
        self.shown = [*self.shown, *other.shown][:SHOWN]
        self.count += other.count

    def check(self, *, do: str) -> None:
        """Raise `DataFault` if anything was added."""
        if self.count:
            raise self.error(do=do)

    def error(self, *, do: str) -> DataFault:
        hidden = self.count - len(self.shown)
        more = [f"and {hidden:,} more"] if hidden else []
        noun = "fault" if self.count == 1 else "faults"
        return DataFault(f"{self.where} has {self.count:,} {noun}:", faults=[*self.shown, *more], do=do)


def crop(text: str, length: int = 80) -> str:
    """Quote a piece of data for a message.

    >>> crop("a" * 100, 5)
    "'aaaaa…'"
    """
    return repr(text if len(text) <= length else f"{text[:length]}…")


def close_to(name: str, known: Sequence[str]) -> str:
    """Name the known word that was probably meant, or the first few, as the end of a sentence.

    >>> close_to("hotel.csv", ["hotels.csv", "adult.csv"])
    "; did you mean 'hotels.csv'?"
    >>> close_to("x", ["hotels.csv", "adult.csv"])
    '; there are adult.csv, hotels.csv'
    """
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    few = sorted(known)[:5]
    more = f" and {len(known) - len(few)} more" if len(known) > len(few) else ""
    return f"; there are {', '.join(few)}{more}" if few else ""
