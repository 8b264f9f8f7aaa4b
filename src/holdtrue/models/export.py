"""One graph from typed columns to the answer: encoding, learner, correction, decision or interval."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from onnx import TensorProto
from threadpoolctl import threadpool_limits

from holdtrue.core.digest import Json
from holdtrue.features.encoder import Encoder, transform
from holdtrue.features.graph import Graph
from holdtrue.models.answers import Correction, Decision, Interval
from holdtrue.models.learner import Fitted

Reference = Callable[[pl.DataFrame], Mapping[str, np.ndarray]]
"""Answers typed rows: the outputs of a graph by name, and maybe `slack` (see `Decision.slack`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """All that a graph does around what the learner learnt.

    Attributes:
        classes: the names of the classes in the order of their codes; empty for regression.
        correction, decision: of probabilities; unused for regression.
        interval: around values; unused for classification.
    """

    encoder: Encoder
    classes: tuple[str, ...] = ()
    correction: Correction = field(default_factory=Correction)
    decision: Decision = field(default_factory=Decision)
    interval: Interval = field(default_factory=Interval)

    def to_dict(self) -> dict[str, Json]:
        return {**asdict(self), "encoder": self.encoder.to_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Deployed":
        """Read what `to_dict` wrote, also after a journey through JSON."""
        costs = value["decision"]["costs"]
        return cls(
            encoder=Encoder.from_dict(value["encoder"]),
            classes=tuple(value["classes"]),
            correction=Correction(**value["correction"]),
            decision=Decision(
                threshold=value["decision"]["threshold"],
                costs=None if costs is None else tuple(tuple(line) for line in costs),
            ),
            interval=Interval(**value["interval"]),
        )


def assemble(deployed: Deployed, fitted: Fitted) -> bytes:
    """Write the graph; the same arguments give the same bytes.

    Classification gives `probabilities` (rows, classes), `decision` (rows, 1), the code of the decided class, and
    `label` (rows, 1), its name. Regression gives `value`, `low` and `high`, each (rows, 1).
    """
    graph = Graph()
    inputs = {column: graph.input(column, kind) for column, kind in deployed.encoder.columns.items()}
    answer = fitted.emit(graph, deployed.encoder.emit(graph, inputs))
    if deployed.classes:
        probabilities = deployed.correction.emit(graph, answer, len(deployed.classes))
        decision = deployed.decision.emit(graph, probabilities)
        label = graph.node(
            "LabelEncoder",
            decision,
            domain="ai.onnx.ml",
            keys_int64s=list(range(len(deployed.classes))),
            values_strings=list(deployed.classes),
        )
        graph.output("probabilities", probabilities, TensorProto.FLOAT, [None, len(deployed.classes)])
        graph.output("decision", decision, TensorProto.INT64, [None, 1])
        graph.output("label", label, TensorProto.STRING, [None, 1])
    else:
        low, high = deployed.interval.emit(graph, answer)
        for name, tensor in (("value", answer), ("low", low), ("high", high)):
            graph.output(name, tensor, TensorProto.FLOAT, [None, 1])
    return graph.model().SerializeToString(deterministic=True)


def reference(deployed: Deployed, fitted: Fitted) -> Reference:
    """Give what the graph must equal: the fitted object itself, and numpy in float64 for what follows it."""
    return lambda frame: reference_predict(deployed, fitted, frame)


def reference_predict(deployed: Deployed, fitted: Fitted, frame: pl.DataFrame) -> Mapping[str, np.ndarray]:
    """Answer rows without the exported graph; only the encoding is the graph's, which training used as well."""
    with threadpool_limits(limits=1):
        answer = fitted.predict(transform(deployed.encoder, frame))
    if not deployed.classes:
        values = answer[:, 0]
        low, high = deployed.interval.apply(values)
        return {"value": answer, "low": low.reshape(-1, 1), "high": high.reshape(-1, 1)}
    probabilities = deployed.correction.apply(answer)
    codes = deployed.decision.apply(probabilities)
    return {
        "probabilities": probabilities,
        "decision": codes.reshape(-1, 1),
        "label": np.array(deployed.classes, dtype=object)[codes].reshape(-1, 1),
        "slack": deployed.decision.slack(probabilities),
    }
