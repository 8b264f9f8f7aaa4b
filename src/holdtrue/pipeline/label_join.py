"""What is true of the rows of a prediction: labels by its id, and by the business keys that its rows name.

Everybody who holds answers against labels joins them here, so that all count the same ones. Receipts come one at a
time; memory grows with the labels alone, of which each takes part in what is true now.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, final

import numpy as np

from holdtrue.core.errors import Misuse
from holdtrue.data.traffic.label import Label, Scalar
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.data.traffic.resolve import Current, by_target, current_of, key_target
from holdtrue.serving.ask import About, Problem
from holdtrue.serving.forms import ask_of
from holdtrue.serving.reader import Unfit, Values


@final
class LabelJoin:
    """Labels by what they are for.

    Attributes:
        any: whether there are labels.
        has_keys: whether any of them is for a business key. If none is, no body of a request has to be read for it.
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        """Take labels in whatever order they come."""
        self._heard = by_target(labels)
        names = {tuple(sorted(heard[0].key)) for target, heard in self._heard.items() if isinstance(target, str)}
        self._names = tuple(sorted(names))
        self.any = bool(self._heard)
        self.has_keys = bool(names)

    def may_know(self, receipt: Receipt) -> bool:
        """Say whether anything may be known of a prediction, without a look at what was asked."""
        return self.has_keys or self.count_by_id(receipt) > 0

    def count_by_id(self, receipt: Receipt) -> int:
        """Count the rows that have a label by the id of the prediction; that needs no look at what was asked either."""
        return sum((receipt.id, row) in self._heard for row in range(receipt.rows))

    def labels_of(self, receipt: Receipt, about: About) -> dict[int, Label]:
        """Give the label that counts for each row that has one; the receipt must be open to read."""
        return {row: one.label for row, one in self.currents_of(receipt, about).items()}

    def currents_of(self, receipt: Receipt, about: About) -> dict[int, Current]:
        """Give all that was said of each row that has a label.

        A row that has one by the id and one by a key has both, in the order in which they were received: the later
        corrects the earlier, as if both had named the row in the same way.
        """
        found: dict[int, list[Label]] = {}
        for row in range(receipt.rows):
            if (heard := self._heard.get((receipt.id, row))) is not None:
                found[row] = heard
        for row, heard in self._by_key(receipt, about) if self.has_keys else ():
            found[row] = [*found.get(row, ()), *heard]
        return {row: current_of(found[row]) for row in sorted(found)}

    def _by_key(self, receipt: Receipt, about: About) -> Iterator[tuple[int, list[Label]]]:
        for names in self._names:
            columns = key_columns(receipt, about, names)
            for row in range(receipt.rows if columns else 0):
                key = {name: plain_cell(columns[name][row]) for name in names}
                if all(value not in (None, "") for value in key.values()):
                    heard = self._heard.get(key_target(key))
                    if heard is not None:
                        yield row, heard


def key_columns(receipt: Receipt, about: About, names: Iterable[str]) -> "dict[str, Values]":
    """Read columns of an open receipt, those too that the release does not take; nothing where one is not there."""
    found: dict[str, Values] = {}
    for name in names:
        beside = "" if name in about.order else name
        try:
            # The fast reader of plain requests reads nothing but what the graph takes.
            ask = ask_of(receipt.wire, receipt.body, replace(about, beside=beside, plain=None))
        except (Problem, Unfit, Misuse, ImportError):  # who reads the rows says what is wrong with them
            return {}
        if name not in ask.columns or ask.rows != receipt.rows:
            return {}
        found[name] = ask.columns[name]
    return found


def plain_cell(value: Any) -> Scalar:
    """Give a cell of a request as a label would have it; None for what no key can hold.

    >>> plain_cell(np.int64(7)), plain_cell(float("nan")), plain_cell([7])
    (7, None, None)
    """
    value = value.item() if isinstance(value, np.generic) else value
    is_missing = isinstance(value, float) and math.isnan(value)
    return None if is_missing or not isinstance(value, str | int | float) else value
