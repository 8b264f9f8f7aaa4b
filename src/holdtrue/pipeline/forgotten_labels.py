"""Labels whose business key names a person who is forgotten: they are found, and taken out of the log."""

import time
from collections.abc import Iterator

from holdtrue.core.errors import Busy, Misuse, Refused
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.label import Label
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.data.traffic.recover import recover
from holdtrue.data.traffic.resolve import spelt
from holdtrue.data.traffic.retention import LabelsGone
from holdtrue.data.traffic.retention import erase_labels as erase
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.label_join import key_columns, plain_cell
from holdtrue.pipeline.replay import Again, traffic_of

WAIT_S, AGAIN_S = 120.0, 0.5


def erase_labels(keeper: Keeper, person: str, *, column: str, subject: str) -> LabelsGone:
    """Take out of the log every label whose key names a person; must be done before the person's key goes.

    A key names the person in `column`, and in each column by which a request of the person, sealed for `subject`, does.
    Raises `Busy` when another process is at the log for too long.
    """
    traffic = traffic_of(keeper)
    if not traffic.is_dir():
        return LabelsGone()
    named = {name for label in labels(traffic, faults=[]) for name in _naming(label, person)}
    mine = named & {column}
    if subject and named - mine:
        mine |= set(_confirmed(keeper, named - mine, person, subject))
    if not mine:
        return LabelsGone()
    recover(traffic)
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            compact(traffic)
            return erase(traffic, lambda label: any(spelt(label.key.get(name)) == person for name in mine))
        except Busy:
            if time.monotonic() > until_s:
                raise
            time.sleep(AGAIN_S)


def is_in_labels(keeper: Keeper, column: str) -> bool:
    """Say whether the key of any label has a column."""
    traffic = traffic_of(keeper)
    return traffic.is_dir() and any(column in label.key for label in labels(traffic, faults=[]))


def _naming(label: Label, person: str) -> Iterator[str]:
    return (name for name, value in label.key.items() if spelt(value) == person)


def _confirmed(keeper: Keeper, named: set[str], person: str, subject: str) -> Iterator[str]:
    """Give the columns by which requests of a person name that person: a booking 7 is not the guest 7."""
    again = Again(keeper)
    for receipt in receipts(traffic_of(keeper), faults=[]):
        if receipt.subject == subject:
            try:
                yield from _named_in(again.reveal(receipt), again, named, person)
            except (Refused, Misuse):  # forgotten before, or its release is gone
                continue


def _named_in(receipt: Receipt, again: Again, named: set[str], person: str) -> Iterator[str]:
    about = again.ready(receipt.release)[1].about
    for name in sorted(named):
        columns = key_columns(receipt, about, [name])
        if name in columns and all(spelt(plain_cell(cell)) in (person, None) for cell in columns[name]):
            yield name
