"""Answers to rows that come again: kept for one release, and only where a replay gives the same bits.

A graph may round a row differently when other rows went with it. So only what a row got alone is kept: an answer that
is given again counts as a run of its own, and a replay runs the row alone too. A row that was seen once, in a batch
with others, goes alone when it comes again; rows that never come again cost nothing but their key.
"""

from struct import pack
from typing import TYPE_CHECKING, final

from holdtrue.serving.reader import Typed

if TYPE_CHECKING:
    import numpy as np


@final
class Cache:
    """At most `rows` rows, of which those go first that were not asked for the longest."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._kept: dict[bytes, dict[str, np.ndarray] | None] = {}  # None: seen, and not yet alone

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: bytes) -> "tuple[bool, dict[str, np.ndarray] | None]":
        """Say whether a row was seen before, and what it got alone; from now on it was seen."""
        kept = self._kept
        seen = key in kept
        found = kept.pop(key, None)
        kept[key] = found  # the last one of the dictionary is the one asked for last
        if len(kept) > self._rows:
            del kept[next(iter(kept))]
        return seen, found

    def keep(self, key: bytes, arrays: "dict[str, np.ndarray]") -> None:
        """Keep what a row got alone."""
        if key in self._kept:
            self._kept[key] = arrays


def key_of(typed: Typed) -> bytes:
    """Give the bytes of what the graph sees of one row: rows with the same bytes get the same answer.

    >>> one, other = (Typed(rows=1, numbers=[0.0], texts=[[text]]) for text in ("a", "b"))
    >>> key_of(one) == key_of(Typed(rows=1, numbers=[0.0], texts=[["a"]])), key_of(one) == key_of(other)
    (True, False)
    """
    texts = [text[0].encode("utf-8", "surrogatepass") for text in typed.texts]
    numbers = typed.numbers
    return pack(f"{len(numbers)}d{len(texts)}I", *numbers, *map(len, texts)) + b"".join(texts)
