"""Rows whose truth is known: read out of receipts, in the order in which their labels came."""

import struct

import numpy as np
import pytest

from holdtrue.data.traffic.label import Label, Scalar
from holdtrue.data.traffic.receipt import Ids, Receipt
from holdtrue.pipeline.label_join import LabelJoin
from holdtrue.pipeline.labelled import HOUR_US, Labelled
from holdtrue.release.interface import Interface, Port
from holdtrue.serving.ask import About

IDS = Ids(5)
CLASSES = Interface(
    inputs=(),
    outputs=(
        Port(name="probabilities", type="float32", shape=(None, 2)),
        Port(name="decision", type="int64", shape=(None, 1)),
        Port(name="label", type="string", shape=(None, 1)),
    ),
)
ABOUT = About(name="m", version="1", digest="a" * 64, classes=(), columns={}, order=(), textual=frozenset(), outputs=())
NUMBERS = Interface(
    inputs=(), outputs=tuple(Port(name=name, type="float32", shape=(None, 1)) for name in ("value", "low", "high"))
)


def receipt(at_us: int, *shares: float) -> Receipt:
    """An answer of several rows, each with so large a share of the second class."""
    probabilities = struct.pack(f"<{2 * len(shares)}f", *(part for share in shares for part in (1 - share, share)))
    decisions = struct.pack(f"<{len(shares)}q", *(int(share > 0.5) for share in shares))
    words = b"".join(struct.pack("<I", 2 + (share > 0.5)) + (b"yes" if share > 0.5 else b"no") for share in shares)
    return made(at_us, len(shares), probabilities + decisions + words)


def made(at_us: int, rows: int, outputs: bytes) -> Receipt:
    return Receipt(
        id=IDS.next(at_us // 1000), time_us=at_us, release="a" * 64, route="champion", weight=1.0, batch=0, place=0,
        rows=rows, wire="rows", body=b"", outputs=outputs,
    )  # fmt: skip


def said(one: Receipt, value: Scalar, received_us: int, *, row: int = 0, source: str = "") -> Label:
    return Label(value=value, time_us=0, received_us=received_us, prediction=one.id, row=row, source=source)


def labels_of(one: Receipt, labels: list[Label]) -> dict[int, Label]:
    return LabelJoin(labels).labels_of(one, ABOUT)


def test_rows_come_in_the_order_of_their_labels_and_corrections_count() -> None:
    first, second = receipt(1_000_000, 0.9, 0.2), receipt(2_000_000, 0.6)
    labels = [
        said(first, "yes", 9_000_000),
        said(first, "no", 4_000_000, row=1),
        said(second, "yes", 3_000_000),
        said(second, "no", 5_000_000),  # it was not so
    ]
    seen = Labelled(CLASSES, ["no", "yes"])
    for one in (first, second, receipt(3_000_000, 0.1)):
        seen.add(one, labels_of(one, labels))
    found = seen.predictions()
    assert (seen.rows, found.rows, seen.odd) == (4, 3, 0)
    assert found.truth.tolist() == [0.0, 0.0, 1.0]
    assert found.probabilities is not None
    assert found.probabilities[:, 1].tolist() == pytest.approx([0.2, 0.6, 0.9])
    assert found.decisions is not None
    assert found.decisions.tolist() == [0, 1, 1]
    delay = seen.delay(2 * HOUR_US)
    assert delay is not None
    assert delay.half_s == pytest.approx(3.0)
    assert delay.to_come == 0.0  # the row that has none waits for longer than any label took


@pytest.mark.parametrize(("value", "truth"), [(1, 1.0), ("1", 1.0), (True, 1.0), (0.0, 0.0), (False, 0.0)])
def test_a_class_may_be_written_in_many_ways(value: Scalar, truth: float) -> None:
    one = receipt(1_000_000, 0.5)
    seen = Labelled(CLASSES, ["0", "1"])
    seen.add(one, labels_of(one, [said(one, value, 2_000_000)]))
    assert seen.predictions().truth.tolist() == [truth]


@pytest.mark.parametrize("value", ["maybe", 2, None])
def test_a_label_that_is_no_class_is_counted_and_left_out(value: Scalar) -> None:
    one = receipt(1_000_000, 0.5, 0.7)
    labels = [said(one, value, 2_000_000), said(one, "yes", 2_000_000, row=1)]
    seen = Labelled(CLASSES, ["no", "yes"])
    seen.add(one, labels_of(one, labels))
    assert (seen.odd, seen.predictions().rows) == (1, 1)


def test_numbers_have_their_interval_beside_them() -> None:
    one = made(1_000_000, 2, struct.pack("<6f", 5.0, 6.0, 4.0, 5.0, 6.0, 7.0))
    seen = Labelled(NUMBERS, ())
    seen.add(one, labels_of(one, [said(one, 6.5, 2_000_000, row=1)]))
    found = seen.predictions()
    assert found.truth.tolist() == [6.5]
    assert [np.asarray(each).tolist() for each in (found.values, found.low, found.high)] == [[6.0], [5.0], [7.0]]


def test_without_labels_there_are_no_rows() -> None:
    seen = Labelled(CLASSES, ["no", "yes"])
    seen.add(receipt(1_000_000, 0.5), {})
    assert (seen.rows, seen.predictions().rows, seen.delay(2_000_000)) == (1, 0, None)
