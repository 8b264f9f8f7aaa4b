"""Hostile models: each breaks one rule, and says which words must be in the refusal."""

from collections.abc import Callable

import numpy as np
from made_release import graph
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

Harm = Callable[[ModelProto], object]


def model() -> ModelProto:
    return graph().model()


def data(made: ModelProto) -> bytes:
    return made.SerializeToString(deterministic=True)


def harmed(harm: Harm) -> bytes:
    made = model()
    harm(made)
    return data(made)


def constant(made: ModelProto) -> TensorProto:
    return made.graph.initializer[0]


def node(made: ModelProto, kind: str) -> NodeProto:
    return next(entry for entry in made.graph.node if entry.op_type == kind)


def external(tensor: TensorProto, place: str = "/etc/passwd") -> TensorProto:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    tensor.ClearField("raw_data")
    return tensor


def fresh(name: str = "w") -> TensorProto:
    return numpy_helper.from_array(np.zeros(1, dtype=np.float32), name)


def inner() -> GraphProto:
    """A subgraph that adds nothing but holds an external tensor."""
    made = helper.make_graph([], "inner", [], [])
    made.initializer.append(external(fresh()))
    return made


def value(name: str, size: int = 1) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [size])


def nested(depth: int) -> NodeProto:
    """An If within an If within an If: fifteen levels hold 32,768 of them."""
    made = helper.make_node("Identity", ["x"], ["y"])
    for _ in range(depth):
        branch = helper.make_graph([made], "branch", [], [value("y")])
        made = helper.make_node("If", ["age"], ["y"], then_branch=branch, else_branch=branch)
    return made


def loop() -> NodeProto:
    body = helper.make_graph([], "body", [value("i")], [value("c")])
    return helper.make_node("Loop", ["", "age"], ["y"], body=body)


def add(made: ModelProto, kind: str, domain: str = "") -> NodeProto:
    made.graph.node.append(helper.make_node(kind, ["age"], ["more"], domain=domain))
    return made.graph.node[-1]


def set_dims(tensor: TensorProto, *dims: int) -> None:
    del tensor.dims[:]
    tensor.dims.extend(dims)


def dual(tensor: TensorProto) -> None:
    tensor.float_data.append(1.0)


def moved(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.double_data.append(1.0)


def more(made: ModelProto, count: int) -> None:
    made.graph.node.extend(helper.make_node("Identity", ["age"], [f"m{index}"]) for index in range(count))


def sparse(made: ModelProto) -> None:
    entry = made.graph.sparse_initializer.add()
    entry.values.CopyFrom(external(fresh()))


def sparse_attribute(made: ModelProto) -> None:
    attribute = node(made, "Sigmoid").attribute.add(name="s", type=AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.values.CopyFrom(external(fresh()))


def training(made: ModelProto) -> None:
    made.training_info.add().algorithm.CopyFrom(inner())


def function(made: ModelProto) -> None:
    made.functions.add(name="f", domain="d").node.append(
        helper.make_node("Constant", [], ["y"], value=external(fresh()))
    )


def attributes_twice(made: ModelProto) -> None:
    label = node(made, "LabelEncoder")
    label.attribute.append(label.attribute[0])


# Each entry: the words of the refusal, and what is done to a good model.
HARMS: dict[str, tuple[str, Harm]] = {
    "an old IR": ("IR version", lambda made: setattr(made, "ir_version", 3)),
    "a future IR": ("IR version", lambda made: setattr(made, "ir_version", 99)),
    "no IR": ("IR version", lambda made: made.ClearField("ir_version")),
    "a future operator set": ("operator set", lambda made: setattr(made.opset_import[0], "version", 99)),
    "an old operator set": ("operator set", lambda made: setattr(made.opset_import[0], "version", 1)),
    "an operator set twice": ("imported twice", lambda made: made.opset_import.add(domain="", version=21)),
    "no operator set": ("not imported", lambda made: made.ClearField("opset_import")),
    "custom operators": ("domain 'com.evil'", lambda made: made.opset_import.add(domain="com.evil", version=1)),
    "a vendor's operators": ("domain", lambda made: made.opset_import.add(domain="com.microsoft", version=1)),
    "an operator not on the list": ("'ConstantOfShape' is not allowed", lambda made: add(made, "ConstantOfShape")),
    "an operator of another domain": ("'com.evil.Run'", lambda made: add(made, "Run", domain="com.evil")),
    "an operator that reads a file": ("'ImageDecoder'", lambda made: add(made, "ImageDecoder")),
    "an If": ("subgraph", lambda made: made.graph.node.append(nested(1))),
    "an If in an If, fifteen deep": ("subgraph", lambda made: made.graph.node.append(nested(15))),
    "a Loop": ("subgraph", lambda made: made.graph.node.append(loop())),
    "a graph in an attribute of a good operator": (
        "subgraph",
        lambda made: node(made, "Sigmoid").attribute.add(name="g", type=AttributeProto.GRAPH).g.CopyFrom(inner()),
    ),
    "external data": ("external data", lambda made: external(constant(made))),
    "external data above the folder": ("external data", lambda made: external(constant(made), "../../secret")),
    "external data by its entries alone": (
        "external data",
        lambda made: constant(made).external_data.add(key="location", value="x"),
    ),
    "external data in an attribute": (
        "external data",
        lambda made: (
            node(made, "Sigmoid").attribute.add(name="t", type=AttributeProto.TENSOR).t.CopyFrom(external(fresh()))
        ),
    ),
    "external data in a list of an attribute": (
        "external data",
        lambda made: (
            node(made, "Sigmoid").attribute.add(name="t", type=AttributeProto.TENSORS).tensors.append(external(fresh()))
        ),
    ),
    "external data in a subgraph": (
        "external data",
        lambda made: node(made, "Sigmoid").attribute.add(name="g", type=AttributeProto.GRAPH).g.CopyFrom(inner()),
    ),
    "external data in a sparse tensor": ("external data", sparse),
    "external data in a sparse attribute": ("external data", sparse_attribute),
    "external data in training information": ("external data", training),
    "external data in a function": ("external data", function),
    "a sparse tensor": ("sparse", sparse),
    "a sparse attribute": ("sparse", sparse_attribute),
    "training information": ("training information", training),
    "a function": ("functions", function),
    "a reference to a function's attribute": (
        "references",
        lambda made: setattr(node(made, "LabelEncoder").attribute[0], "ref_attr_name", "x"),
    ),
    "an attribute twice": ("two attributes of one name", attributes_twice),
    "quantisation": ("quantisation", lambda made: made.graph.quantization_annotation.add(tensor_name="x")),
    "data in two fields": ("twice", lambda made: dual(constant(made))),
    "data in a field of another type": ("not for its type", lambda made: moved(constant(made))),
    "too few bytes": ("sizes say", lambda made: set_dims(constant(made), 2, 1)),
    "too many bytes": ("sizes say", lambda made: setattr(constant(made), "raw_data", b"\0" * 8)),
    "no bytes": ("sizes say", lambda made: constant(made).ClearField("raw_data")),
    "a negative size": ("negative", lambda made: set_dims(constant(made), -1, -4)),
    "sizes whose product overflows": ("over the limit", lambda made: set_dims(constant(made), 2**32, 2**32)),
    "sizes whose product overflows to what is there": (
        "over the limit",
        lambda made: set_dims(constant(made), 2**62, 4, 1),
    ),
    "a hundred sizes": ("dimensions", lambda made: set_dims(constant(made), *[1] * 100)),
    "a type we never write": ("element type", lambda made: setattr(constant(made), "data_type", TensorProto.BFLOAT16)),
    "a type that does not exist": ("element type", lambda made: setattr(constant(made), "data_type", 99)),
    "a segment": ("segment", lambda made: setattr(constant(made).segment, "begin", 1)),
    "too many operators": ("over the limit", lambda made: more(made, 200_001)),
    "a name of a megabyte": ("a name of", lambda made: setattr(constant(made), "name", "x" * (1 << 20))),
    "a producer of a megabyte": ("producer_name", lambda made: setattr(made, "producer_name", "x" * (1 << 20))),
    "a note of a megabyte": ("doc_string", lambda made: setattr(made.graph, "doc_string", "x" * (1 << 20))),
    "a megabyte of metadata": (
        "metadata",
        lambda made: [made.metadata_props.add(key=f"{index}", value="x" * 1000) for index in range(1100)],
    ),
    "five million texts": (
        "text values",
        lambda made: node(made, "LabelEncoder").attribute[0].strings.extend([b""] * 5_000_001),
    ),
    "two constants of one name": ("name of another", lambda made: made.graph.initializer.append(constant(made))),
    "a constant named like an input": ("name of another", lambda made: setattr(constant(made), "name", "age")),
    "an input that nothing makes": ("before anything computes it", lambda made: setattr_input(made, "nowhere")),
    "operators in a circle": ("before anything computes it", lambda made: setattr_input(made, "label")),
    "one result made twice": (
        "two operators compute",
        lambda made: made.graph.node.append(helper.make_node("Identity", ["age"], ["label"])),
    ),
    "an output that nothing makes": ("nothing computes", lambda made: setattr(made.graph.output[0], "name", "x")),
    "another input": ("inputs of the graph", lambda made: setattr(made.graph.input[0], "name", "other")),
    "one more output": ("outputs of the graph", lambda made: made.graph.output.append(value("/n0.0"))),
    "an output of another type": (
        "outputs of the graph",
        lambda made: setattr(made.graph.output[0].type.tensor_type, "elem_type", TensorProto.DOUBLE),
    ),
    "an input with a fixed number of rows": (
        "inputs of the graph",
        lambda made: setattr(made.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 5),
    ),
    "an output of two open sizes": (
        "outputs of the graph",
        lambda made: made.graph.output[0].type.tensor_type.shape.dim[1].ClearField("dim_value"),
    ),
}


def setattr_input(made: ModelProto, name: str) -> None:
    made.graph.node[0].input[0] = name


GOOD = data(model())
# Bytes that are not a model, or not only one.
BYTES: dict[str, tuple[str, bytes]] = {
    "nothing": ("IR version", b""),
    "a pickle": (
        "not an ONNX model",
        b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93",
    ),
    "an old pickle": ("not an ONNX model", b"cposix\nsystem\n(S'true'\ntR."),
    "a zip": ("not an ONNX model", b"PK\x03\x04" + b"\0" * 64),
    "an HDF5 file": ("not an ONNX model", b"\x89HDF\r\n\x1a\n" + b"\0" * 64),
    "a script": ("not an ONNX model", b"#!/bin/sh\nexit 1\n"),
    "half a model": ("not an ONNX model", GOOD[: len(GOOD) // 2]),
    "all but the last byte": ("not an ONNX model", GOOD[:-1]),
    "a byte too many": ("not an ONNX model", GOOD + b"\0"),
    "an unknown field": ("more than an ONNX model", GOOD + b"\xfa\x7f\x03abc"),
    "a script after the model": ("ONNX model", GOOD + b"\n#!/bin/sh\n"),
    "a zip after the model": ("ONNX model", GOOD + b"PK\x03\x04" + b"\0" * 64),
    "a pickle in an unknown field before the model": ("more than an ONNX model", b"\xfa\x7f\x03cos" + GOOD),
    "two models": ("more than an ONNX model", GOOD + GOOD),
    "a field given twice": ("more than an ONNX model", GOOD + b"\x08\x0a"),
    "a number written longer than needed": ("more than an ONNX model", b"\x08\x8a\x00" + GOOD[2:]),
    "messages nested past the parser's depth": ("ONNX model", data(model()) + b"\x3a\x02\x0a\x00" * 3),
    "a model in the runtime's own format": (
        "own format",
        harmed(lambda made: setattr(made, "producer_name", "ORTM and more")),
    ),
    "random bytes": ("ONNX model", np.random.default_rng(1).bytes(4096)),
}
