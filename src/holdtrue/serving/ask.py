"""What every protocol says, once it is read: columns of values in, and in which form the answer should go out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from holdtrue.serving.reader import Values

if TYPE_CHECKING:
    from holdtrue.serving.wire.tensors import Part
    from holdtrue.serving.wire.v2_plain import Plain


class Problem(Exception):
    """A request that gets no answer, as the sentence, the status and the faults its sender is told.

    `code` is a word for machines; it never changes, the sentences may.
    """

    def __init__(
        self, status: int, code: str, what: str, *, faults: Sequence[str] = (), retry_after_s: float | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.what = what
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s
        super().__init__(what)


def malformed(what: str, *faults: str) -> Problem:
    return Problem(400, "malformed", what, faults=faults)


@dataclass(kw_only=True, slots=True)
class Ask:
    """One request for predictions.

    Attributes:
        columns: values by column, each of `rows` length.
        id: what the client calls the request; given back.
        outputs: the outputs asked for, in order; empty for all.
        binary: those of them that go out as raw bytes.
        numbers: the columns of numbers together (columns, rows), in the model's order, where they came so.
    """

    rows: int
    columns: Mapping[str, Values]
    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: frozenset[str] = frozenset()
    numbers: "np.ndarray | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """One output of the graph, as the protocols call it."""

    name: str
    datatype: str  # of the Open Inference Protocol
    places: int


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a protocol must know of a model to speak about it.

    Attributes:
        columns: the column that each name of an input stands for; a column may be given by its own name or its port's.
        order: the columns in the order in which the metadata lists them.
        textual: columns of texts.
        plain: reads the requests that are written as most are.
        beside: a column that the endpoint wants to see and the model does not take, or nothing.
    """

    name: str
    version: str
    digest: str
    classes: tuple[str, ...]
    columns: Mapping[str, str]
    order: tuple[str, ...]
    textual: frozenset[str]
    outputs: tuple[Output, ...]
    known: Mapping[str, Output] = field(default_factory=dict[str, Output])
    plain: "Plain | None" = None
    beside: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The rows of one request among the answers of a batch: in `arrays`, from `start` to `stop`.

    `lists` and `parts` hold what was made of its outputs so far; they are the same for all answers of a batch.
    """

    prediction: str
    about: About
    arrays: "Mapping[str, np.ndarray]"
    start: int
    stop: int
    lists: "dict[str, list[list[Any]]]" = field(default_factory=dict[str, list[list[Any]]])
    parts: "dict[str, Part]" = field(default_factory=dict[str, "Part"])

    def listed(self, name: str) -> "list[list[Any]]":
        """Give one output as Python's values, a list for each row; the batch is turned once for all its answers."""
        rows = self.lists.get(name)
        if rows is None:
            rows = self.lists[name] = self.arrays[name].tolist()
        return rows[self.start : self.stop]

    def seen(self, route: str) -> dict[str, str | int]:
        """Say what a trace of its request should show."""
        about = self.about
        return {
            "holdtrue_model": about.name,
            "holdtrue_release": about.digest,
            "holdtrue_route": route,
            "holdtrue_prediction": self.prediction,
            "holdtrue_rows": self.stop - self.start,
        }
