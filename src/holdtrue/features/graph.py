"""A small builder of ONNX graphs: names are counted, so the same calls give the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from holdtrue.features.ports import port

IR_VERSION = 10
OPSET = 21
ML_OPSET = 3  # tree ensembles as attributes: what every runtime of the last five years reads

NUMBER = TensorProto.DOUBLE
TEXT = TensorProto.STRING


@dataclass(kw_only=True, slots=True)
class Graph:
    """Collects nodes, constants, inputs and outputs; `model()` gives the checked result.

    Inputs are columns of shape (rows, 1): NUMBER (NaN is missing; dates are seconds since 1970 UTC) or TEXT
    (the empty string is missing).
    """

    nodes: list[NodeProto] = field(default_factory=list[NodeProto])
    constants: list[TensorProto] = field(default_factory=list[TensorProto])
    inputs: list[ValueInfoProto] = field(default_factory=list[ValueInfoProto])
    outputs: list[ValueInfoProto] = field(default_factory=list[ValueInfoProto])

    def input(self, column: str, kind: int) -> str:
        """Declare a column and give its name in the graph (see `port`)."""
        name = port(column)
        self.inputs.append(helper.make_tensor_value_info(name, kind, [None, 1]))
        return name

    def constant(self, value: "np.ndarray | np.generic") -> str:
        """Keep an array (its dtype decides the tensor's) and give its name."""
        name = f"/c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output; gives the output's name. An attribute that is None is left out."""
        return self.split(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def split(self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> tuple[str, ...]:
        """Add an operator with several outputs."""
        number = len(self.nodes)
        names = tuple(f"/n{number}.{index}" for index in range(outputs))
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"/n{number}", domain=domain, **kept))
        return names

    def cast(self, name: str, kind: int) -> str:
        return self.node("Cast", name, to=kind)

    def take(self, matrix: str, places: Sequence[int]) -> str:
        """Pick columns of a matrix."""
        return self.node("Gather", matrix, self.constant(np.array(places, dtype=np.int64)), axis=1)

    def output(self, name: str, source: str, kind: int, shape: Sequence[int | None]) -> None:
        """Give a tensor its public name."""
        self.nodes.append(helper.make_node("Identity", [source], [name], name=f"/n{len(self.nodes)}"))
        self.outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def model(self) -> ModelProto:
        graph = helper.make_graph(self.nodes, "holdtrue", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="holdtrue")
        checker.check_model(made)
        return made
