"""The typed columns a model takes and gives: `signature.json`, which the graph must declare word for word."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from holdtrue.core.digest import Json
from holdtrue.core.errors import Refused

if TYPE_CHECKING:
    from onnx import ValueInfoProto

SCHEMA = "holdtrue/signature/1"
# The numbers are onnx.TensorProto's; repeated here so that reading an interface needs no tensor library.
TYPES = {1: "float32", 7: "int64", 8: "string", 11: "float64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """One named tensor at the edge of the graph; in `shape`, None is the number of rows."""

    name: str
    type: str
    shape: tuple[int | None, ...]

    @property
    def places(self) -> int:
        """The number of values one row has here."""
        return prod(size for size in self.shape[1:] if size is not None)

    def to_dict(self) -> dict[str, Json]:
        return {"name": self.name, "type": self.type, "shape": list(self.shape)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """What a model takes and gives.

    Attributes:
        tolerance: how far a replayed golden row may lie from the stored answer on another processor, as a share of
            the answer (or absolutely, for answers under 1).
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    tolerance: float = 1e-5

    def to_dict(self) -> dict[str, Json]:
        return {
            "schema": SCHEMA,
            "inputs": [port.to_dict() for port in self.inputs],
            "outputs": [port.to_dict() for port in self.outputs],
            "tolerance": self.tolerance,
        }

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False).encode()


def read_interface(data: bytes) -> Interface:
    """Read a `signature.json`; raises `Refused` for anything but what `to_json` writes."""
    try:
        value = json.loads(data)
        made = Interface(
            inputs=_ports(value["inputs"]), outputs=_ports(value["outputs"]), tolerance=float(value["tolerance"])
        )
        same = made.to_json() == data
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise Refused(f"signature.json cannot be read: {error}.") from None
    names = [port.name for port in (*made.inputs, *made.outputs)]
    if not same or len(set(names)) != len(names):
        raise Refused("signature.json is not as Holdtrue writes it, or names a column twice.")
    if not 0 <= made.tolerance <= 0.01:
        raise Refused(f"signature.json allows a tolerance of {made.tolerance}; at most 0.01 means anything.")
    return made


def _ports(value: Sequence[dict[str, object]]) -> tuple[Port, ...]:
    made: list[Port] = []
    for entry in value:
        name, kind, shape = entry["name"], entry["type"], entry["shape"]
        if not isinstance(name, str) or kind not in TYPES.values() or not isinstance(shape, list):
            raise ValueError(f"{entry!r} is not a typed column")
        rows, *rest = shape
        if rows is not None or not all(isinstance(size, int) and size > 0 for size in rest):
            raise ValueError(f"column {name!r} has the shape {shape}; only the first size, the rows, may be open")
        made.append(Port(name=name, type=str(kind), shape=(None, *rest)))
    return tuple(made)


def interface_of(model: bytes, *, tolerance: float = 1e-5) -> Interface:
    """Read off a graph of ours what it takes and gives."""
    import onnx

    graph = onnx.ModelProto.FromString(model).graph
    inputs, outputs = (tuple(map(port_of, side)) for side in (graph.input, graph.output))
    return Interface(inputs=inputs, outputs=outputs, tolerance=tolerance)


def port_of(declared: "ValueInfoProto") -> Port:
    """Read one declared input or output; an unknown element type is shown as its number."""
    tensor = declared.type.tensor_type
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim]
    return Port(name=declared.name, type=TYPES.get(tensor.elem_type, f"type {tensor.elem_type}"), shape=tuple(sizes))
