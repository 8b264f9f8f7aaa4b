"""A release in a worker: typed rows through its graph, many requests at once.

What is answered may depend on which rows went through the graph together (a matrix product rounds differently when it
has more rows), so a receipt names its batch, and a replay runs the same batch again.
"""

import json
from collections.abc import Callable, Sequence
from struct import Struct
from time import perf_counter
from typing import Any

import numpy as np

from holdtrue.data.contract_json import from_dict
from holdtrue.features.ports import port
from holdtrue.features.runtime import session
from holdtrue.release.interface import Port, read_interface
from holdtrue.serving.ask import About, Output
from holdtrue.serving.odd import read_odd
from holdtrue.serving.packing import NUMBERS, TEXTS
from holdtrue.serving.plan import Plan
from holdtrue.serving.reader import Reader, Typed
from holdtrue.serving.wire.v2_plain import plain_of

DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "string": "BYTES"}
WARM_RUNS = 50


class Model:
    """Answers typed rows with one release.

    Attributes:
        about: what the protocols must know to speak about it.
        reader: reads requests by its contract.
        row_s: how long one row alone takes in the graph, as measured when it was loaded.
    """

    def __init__(self, plan: Plan, *, beside: str = "", clock: Callable[[], float] = perf_counter) -> None:
        """Load a release; `beside` is a column that requests have for the endpoint, not for the graph."""
        interface = read_interface(plan.interface)
        contract = from_dict(json.loads(plan.contract))
        column_of = {port(name): name for name in contract.names}
        self.plan = plan
        self.reader = Reader(contract, wanted=[column_of[each.name] for each in interface.inputs], odd=read_odd)
        port_of = {column: name for name, column in column_of.items()}
        types = {each.name: np.dtype(each.type) for each in interface.inputs if each.type != "string"}
        self._numbers = tuple(port_of[name] for name in self.reader.numbers)
        self._texts = tuple(port_of[name] for name in self.reader.texts)
        self._narrow = {name: kind for name, kind in types.items() if kind != np.float64}
        self.about = about_of(plan, beside=beside)
        self._outputs = [output.name for output in self.about.outputs]
        self._session = session(plan.model)
        self.row_s = self._warm(clock)

    def run(self, batch: Sequence[Typed]) -> "dict[str, np.ndarray]":
        """Answer the rows of several requests, in order; each output has the shape (rows, places)."""
        answers: Sequence[Any] = self._session.run(self._outputs, self._feed(batch))
        return dict(zip(self._outputs, answers, strict=True))

    def _feed(self, batch: Sequence[Typed]) -> "dict[str, np.ndarray]":
        """Lay the columns of several requests under each other."""
        rows = sum([typed.rows for typed in batch])
        numbers = _numbers(batch, len(self._numbers), rows)
        texts = _texts(batch, len(self._texts), rows)
        if self.plan.packed:
            fed: dict[str, np.ndarray] = {NUMBERS: numbers} if self._numbers else {}
            return fed | {TEXTS: texts} if self._texts else fed
        columns = np.ascontiguousarray(numbers.T)
        fed = dict(zip(self._numbers, columns.reshape(*columns.shape, 1), strict=True))
        for name, kind in self._narrow.items():
            fed[name] = fed[name].astype(kind)
        return fed | {name: texts[:, place : place + 1] for place, name in enumerate(self._texts)}

    def _warm(self, clock: Callable[[], float]) -> float:
        """Run golden rows until the runtime has made its buffers; gives the time of one row alone."""
        golden = self.plan.golden
        numbers = [[_number(golden[name][0])] for name in self.reader.numbers]
        texts = [[str(golden[name][0] or "")] for name in self.reader.texts]
        one = Typed(rows=1, numbers=[value[0] for value in numbers], texts=texts)
        took: list[float] = []
        for _ in range(WARM_RUNS):
            before = clock()
            self.run([one])
            took.append(clock() - before)
            if sum(took) > 1.0:
                break
        return float(np.median(took[len(took) // 2 :]))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _numbers(batch: Sequence[Typed], columns: int, rows: int) -> "np.ndarray":
    """Give the numbers of a batch: (rows, columns)."""
    if not columns:
        return np.empty((rows, 0))
    if rows == len(batch):
        # A row as bytes is laid beside the others three times as fast as a list of numbers is.
        row = Struct(f"{columns}d").pack
        return np.frombuffer(b"".join([row(*typed.numbers) for typed in batch])).reshape(rows, columns)
    parts = [np.asarray(typed.numbers, dtype=np.float64).reshape(columns, typed.rows).T for typed in batch]
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)


def _texts(batch: Sequence[Typed], columns: int, rows: int) -> "np.ndarray":
    """Give the texts of a batch: (rows, columns)."""
    words = np.empty((rows, columns), dtype=object)
    for place in range(columns):
        if len(batch) == 1:
            words[:, place] = batch[0].texts[place]
        else:
            words[:, place] = [text for typed in batch for text in typed.texts[place]]
    return words


def about_of(plan: Plan, *, beside: str = "") -> About:
    """Say what the protocols must know of a release, without loading its graph."""
    interface = read_interface(plan.interface)
    column_of = {port(name): name for name in from_dict(json.loads(plan.contract)).names}
    outputs = tuple(_output(made) for made in interface.outputs)
    textual = frozenset(column_of[each.name] for each in interface.inputs if each.type == "string")
    order = tuple(column_of[each.name] for each in interface.inputs)
    return About(
        name=plan.name,
        version=plan.version,
        digest=plan.digest,
        classes=plan.classes,
        # By the column's own name too, unless the input of another column is called so.
        columns={**{name: name for name in order}, **{named.name: column_of[named.name] for named in interface.inputs}},
        order=order,
        textual=textual,
        outputs=outputs,
        known={output.name: output for output in outputs},
        beside="" if beside in order else beside,
        plain=plain_of(order, textual) if beside in ("", *order) else None,
    )


def _output(made: Port) -> Output:
    return Output(name=made.name, datatype=DATATYPES[made.type], places=made.places)
