"""The answers of a release as one more column: what goes out may drift though no column that came in did by itself."""

from collections.abc import Sequence

import numpy as np

from holdtrue.data.traffic.receipt import Receipt
from holdtrue.pipeline.held_out import HeldOut
from holdtrue.pipeline.recorded import SHARES, recorded_outputs
from holdtrue.release.interface import Interface

ANSWERED = "(answer)"

Answers = np.ndarray | Sequence[str]


def of_held_out(past: HeldOut) -> Answers:
    """Give what was answered to the held-out rows.

    The probability of the positive class where there are two classes, the class where there are more, else the number.
    """
    found = past.predictions
    if found.probabilities is None:
        assert found.values is not None
        return found.values
    if len(found.classes) == 2:
        return found.probabilities[:, 1]
    return [found.classes[int(code)] for code in found.probabilities.argmax(axis=1)]


def of_receipt(receipt: Receipt, interface: Interface, classes: Sequence[str]) -> Answers:
    """Give what an open receipt says was answered, in the same form."""
    outputs = recorded_outputs(receipt, interface)
    if not classes:
        return np.asarray(outputs["value"], dtype=np.float64)[:, 0]
    shares = np.asarray(outputs[SHARES], dtype=np.float64)
    return shares[:, 1] if len(classes) == 2 else [classes[int(code)] for code in shares.argmax(axis=1)]


def together(parts: Sequence[Answers]) -> Answers:
    """Lay answers of several requests under each other."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if arrays:
        return np.concatenate(arrays)
    texts: list[str] = []
    for part in parts:
        texts += [str(text) for text in part]
    return texts
