"""The rules a graph keeps before anything runs it: our operators, nothing outside the file, sizes as declared.

Works on bytes and gives back faults. Meant for the quarantine's child process, where hostile bytes may use up time and
memory; nothing here trusts a length, an index or a name.
"""

from collections.abc import Iterator, Mapping
from math import prod

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, checker

from holdtrue.features.graph import IR_VERSION, ML_OPSET, OPSET
from holdtrue.release.interface import Interface, port_of
from holdtrue.release.operators import OPERATORS

IR_VERSIONS = range(8, IR_VERSION + 1)
OPSETS = {"": range(17, OPSET + 1), "ai.onnx.ml": range(1, ML_OPSET + 1)}
MOST_NODES = 200_000
MOST_NAME_BYTES = 1 << 10
MOST_METADATA_BYTES = 1 << 20
MOST_TENSOR_BYTES = 1 << 31
MOST_DIMENSIONS = 8
MOST_TEXT_VALUES = 5_000_000
MOST_FAULTS = 20  # a hostile file can break a rule a million times; twenty say enough

# ONNX Runtime looks for this mark and then reads the bytes another way, past every rule of this file. A producer's name
# that begins with it stands exactly there.
ORT_FORMAT = b"ORTM"

# Bytes of one element, and the one typed field that may hold it instead of raw bytes.
STORED: dict[int, tuple[int, str]] = {
    TensorProto.FLOAT: (4, "float_data"),
    TensorProto.DOUBLE: (8, "double_data"),
    TensorProto.INT32: (4, "int32_data"),
    TensorProto.INT64: (8, "int64_data"),
    TensorProto.BOOL: (1, "int32_data"),
    TensorProto.STRING: (0, "string_data"),
}
FIELDS = ("raw_data", "float_data", "double_data", "int32_data", "int64_data", "uint64_data", "string_data")


def parse(data: bytes) -> tuple[ModelProto | None, list[str]]:
    """Parse a model whose every byte the parser understands and would write again the same way.

    That refuses truncated and lengthened files, files that are something else as well, unknown fields, and values
    given twice, of which two readers might take different ones.
    """
    if data[4:8] == ORT_FORMAT:
        return None, ["the bytes can also be read as a model in ONNX Runtime's own format, which we never write"]
    try:
        model = ModelProto.FromString(data)
    except DecodeError:
        return None, ["the bytes are not an ONNX model (they do not parse)"]
    model.DiscardUnknownFields()
    if model.SerializeToString(deterministic=True) != data:
        return None, ["the bytes hold more than an ONNX model: unknown fields, or bytes after the end"]
    return model, []


def faults_of(model: ModelProto, interface: Interface) -> list[str]:
    """List what breaks the rules, at most twenty faults; an empty list lets the graph go on to `shapes` and `trial`."""
    found: list[str] = []
    for fault in _all_faults(model, interface):
        if fault not in found:
            found.append(fault)
        if len(found) == MOST_FAULTS:
            break
    return found or _checker_faults(model)


def _checker_faults(model: ModelProto) -> list[str]:
    """Ask the format's own checker too; it knows each operator's attributes, and misses most of the rules here."""
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError, RuntimeError) as error:
        return [f"it is not valid ONNX: {str(error).strip().splitlines()[0][:200]}"]
    return []


def _all_faults(model: ModelProto, interface: Interface) -> Iterator[str]:
    if len(model.graph.node) > MOST_NODES:
        yield f"{len(model.graph.node):,} operators are over the limit of {MOST_NODES:,}"
        return
    yield from _header_faults(model)
    yield from (f"{what} not allowed" for what, there in _foreign(model).items() if there)
    broken = False
    for fault in _message_faults(model):
        broken = True
        yield fault
    if broken:  # names may be bytes and sizes may lie: what follows would read them
        return
    yield from _graph_faults(model.graph)
    yield from _edge_faults(model.graph, interface)


def _header_faults(model: ModelProto) -> Iterator[str]:
    if model.ir_version not in IR_VERSIONS:
        yield f"IR version {model.ir_version} is outside {IR_VERSIONS.start} to {IR_VERSIONS.stop - 1}"
    domains = [entry.domain for entry in model.opset_import]
    if len(set(domains)) != len(domains):
        yield "an operator set is imported twice"
    for entry in model.opset_import:
        known = OPSETS.get(entry.domain)
        if known is None:
            yield f"operators of the domain {entry.domain[:100]!r} are not allowed"
        elif entry.version not in known:
            yield f"operator set {entry.domain!r} {entry.version} is outside {known.start} to {known.stop - 1}"
    if "" not in domains:
        yield "the standard operator set is not imported"
    metadata = sum(len(entry.key) + len(entry.value) for entry in model.metadata_props)
    if metadata > MOST_METADATA_BYTES:
        yield f"{metadata:,} bytes of metadata are over the limit of {MOST_METADATA_BYTES:,}"


def _foreign(model: ModelProto) -> Mapping[str, bool]:
    """Tell which parts of the format the model uses that no release has."""
    return {
        "functions are": bool(model.functions),
        "training information is": bool(model.training_info),
        "sparse tensors are": bool(model.graph.sparse_initializer),
        "quantisation annotations are": bool(model.graph.quantization_annotation),
    }


def _message_faults(model: ModelProto) -> Iterator[str]:
    """Visit every message wherever it hides (attributes, subgraphs, functions), so no tensor is overlooked."""
    texts = 0
    for message in _messages(model):
        if isinstance(message, TensorProto):
            texts += len(message.string_data)
            yield from _tensor_faults(message)
        elif isinstance(message, AttributeProto):
            texts += len(message.strings)
            yield from _attribute_faults(message)
        yield from _name_faults(message)
    if texts > MOST_TEXT_VALUES:
        yield f"{texts:,} text values are over the limit of {MOST_TEXT_VALUES:,}"


def _messages(root: Message) -> Iterator[Message]:
    """Walk all messages below one; the parser has already bounded how deep they nest."""
    waiting = [root]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                waiting += [value] if isinstance(value, Message) else value


def _name_faults(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            texts = [value] if isinstance(value, str | bytes) else list(value)
            if any(isinstance(text, bytes) for text in texts):  # what the parser gives when it is not UTF-8
                yield f"a {field.name} is not UTF-8 text"
            longest = max(map(len, texts), default=0)
            if longest > MOST_NAME_BYTES:
                yield f"a {field.name} of {longest:,} characters is over the limit of {MOST_NAME_BYTES:,}"


def _attribute_faults(attribute: AttributeProto) -> Iterator[str]:
    if attribute.HasField("g") or attribute.graphs:
        yield f"the attribute {attribute.name[:100]!r} holds a subgraph (If, Loop, Scan); a release has none"
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        yield "sparse tensors are not allowed"
    if attribute.ref_attr_name:
        yield "references to attributes of functions are not allowed"


def _tensor_faults(tensor: TensorProto) -> Iterator[str]:
    name = tensor.name[:100]
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        yield f"the tensor {name!r} lies in another file (external data); a model is one file"
        return
    if tensor.data_type not in STORED:
        yield f"the tensor {name!r} has the element type {tensor.data_type}, which we never write"
        return
    if tensor.HasField("segment"):
        yield f"the tensor {name!r} is a segment of another"
    if any(size < 0 for size in tensor.dims):
        yield f"the tensor {name!r} has a negative size"
        return
    item_bytes, typed = STORED[tensor.data_type]
    if len(tensor.dims) > MOST_DIMENSIONS:
        yield f"the tensor {name!r} has {len(tensor.dims):,} dimensions; at most {MOST_DIMENSIONS} are allowed"
        return
    count = prod(tensor.dims)  # of Python integers: it cannot overflow
    filled = [field for field in FIELDS if len(getattr(tensor, field))]
    if count * max(item_bytes, 1) > MOST_TENSOR_BYTES:
        yield f"the tensor {name!r} declares {count:,} elements, over the limit"
    elif len(filled) > 1:
        yield f"the tensor {name!r} holds its data twice ({', '.join(filled)}); readers may take either"
    elif filled and filled[0] not in ("raw_data" if item_bytes else typed, typed):
        yield f"the tensor {name!r} holds its data in {filled[0]}, which is not for its type"
    else:
        raw = filled == ["raw_data"]
        held = len(tensor.raw_data) if raw else len(getattr(tensor, typed))
        expected = count * item_bytes if raw else count
        if held != expected:
            yield f"the tensor {name!r} holds {held:,} {'bytes' if raw else 'values'}; its sizes say {expected:,}"


def _graph_faults(graph: GraphProto) -> Iterator[str]:
    made = [entry.name for entry in (*graph.input, *graph.initializer)]
    ready = set(made)
    if len(ready) != len(made):
        yield "an input or a constant has the name of another"
    for node in graph.node:
        if node.op_type not in OPERATORS.get(node.domain, frozenset()):
            full = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            yield f"the operator {full[:200]!r} is not allowed"
        if len({attribute.name for attribute in node.attribute}) != len(node.attribute):
            yield f"the operator {node.name[:100]!r} has two attributes of one name; readers may take either"
        yield from _wiring_faults(node, ready)
    unmade = [entry.name[:100] for entry in graph.output if entry.name not in ready]
    if unmade:
        yield f"nothing computes the output {unmade[0]!r}"


def _wiring_faults(node: NodeProto, ready: set[str]) -> Iterator[str]:
    """Add a node's results to the ready names: every name is made once, and before it is used."""
    for name in node.input:
        if name and name not in ready:
            yield f"an operator uses {name[:100]!r} before anything computes it"
    for name in node.output:
        if name in ready:
            yield f"two operators compute {name[:100]!r}"
        if name:
            ready.add(name)


def _edge_faults(graph: GraphProto, interface: Interface) -> Iterator[str]:
    sides: Mapping[str, tuple[object, object]] = {
        "inputs": (tuple(map(port_of, graph.input)), interface.inputs),
        "outputs": (tuple(map(port_of, graph.output)), interface.outputs),
    }
    for side, (declared, promised) in sides.items():
        if declared != promised:
            yield f"the {side} of the graph are not those signature.json names"
    for port in interface.inputs:
        if port.type not in ("float64", "string") or port.shape != (None, 1):
            yield f"the input {port.name[:100]!r} is not a typed column"
