"""One tree of errors: each says what was wrong, where, and what to do, and knows its exit code."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import ClassVar


class HoldtrueError(Exception):
    """Something failed. `faults` lists every place at once; `do` is the next thing to try.

    >>> print(DataFault("The table has 1 fault:", faults=["column 'age': 2 values are negative"], do="Clean it."))
    The table has 1 fault:
      column 'age': 2 values are negative
    Clean it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, faults: Sequence[str] = (), do: str = "") -> None:
        self.what = what
        self.faults = tuple(faults)
        self.do = do
        super().__init__("\n".join([what, *(f"  {fault}" for fault in self.faults), *([do] if do else [])]))


class Misuse(HoldtrueError):
    """The command or the project file asks for something impossible."""

    exit_code: ClassVar[int] = 2


class DataFault(HoldtrueError):
    """The data cannot be used as they are."""


class Busy(HoldtrueError):
    """Another process holds what is needed."""


class Refused(HoldtrueError):
    """Turned away for safety: a bad signature, an unknown format, bytes that changed."""

    exit_code: ClassVar[int] = 5


def nearest(name: str, known: Sequence[str]) -> str:
    """Name the known word that was probably meant, as the end of a sentence.

    >>> nearest("lightgmb", ["lightgbm", "logistic"])
    "; did you mean 'lightgbm'?"
    >>> nearest("xyz", ["lightgbm", "logistic"])
    '; known: lightgbm, logistic'
    """
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""
