"""What a receipt says was answered, as the outputs of the graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from holdtrue.data.traffic.receipt import Receipt

if TYPE_CHECKING:
    from holdtrue.release.interface import Interface

ANSWER = "label"  # the output that names the class
SHARES = "probabilities"


def recorded_outputs(receipt: Receipt, interface: "Interface") -> "dict[str, np.ndarray | Sequence[str]]":
    """Read every output of a receipt: an array (rows, places) for numbers, rows * places texts for texts."""
    data, at = receipt.outputs, 0
    found: dict[str, np.ndarray | Sequence[str]] = {}
    for output in interface.outputs:
        count = receipt.rows * output.places
        if output.type == "string":
            texts: list[str] = []
            for _ in range(count):
                size = int.from_bytes(data[at : at + 4], "little")
                texts.append(data[at + 4 : at + 4 + size].decode())
                at += 4 + size
            found[output.name] = texts
        else:
            found[output.name] = np.frombuffer(data, output.type, count, at).reshape(receipt.rows, output.places)
            at += count * np.dtype(output.type).itemsize
    return found
