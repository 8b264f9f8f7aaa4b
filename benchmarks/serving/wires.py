"""Bodies of requests and answers, as each protocol writes them.

The Open Inference Protocol has a tensor for each column of a release ("json", and "binary" with its extension). Peers
whose model is our own wrapper may also be asked with two tensors, all numbers and all words ("packed"): that is how
somebody who only has that peer would lay it out, and it saves it most of the parsing.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensors = Mapping[str, np.ndarray]
DATATYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "object": "BYTES"}
DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    content: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """One way to ask: tensors of (rows, 1) become a body; an answer becomes tensors again."""

    says: str
    path: str | None = None  # where it is not the one that the server answers predictions at
    encode: Callable[[Tensors], Body]
    decode: Callable[[Mapping[str, str], bytes], dict[str, np.ndarray]]


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def packed(tensors: Tensors) -> dict[str, np.ndarray]:
    """Lay all numbers side by side in one tensor, and all words in another."""
    kinds = {"numbers": "f", "words": "O"}
    parts = {name: [value for value in tensors.values() if value.dtype.kind == kind] for name, kind in kinds.items()}
    return {name: np.concatenate(part, axis=1) for name, part in parts.items() if part}


def _v2_json(tensors: Tensors) -> Body:
    inputs = [
        {
            "name": name,
            "shape": list(values.shape),
            "datatype": DATATYPES[values.dtype.name],
            "data": values.ravel().tolist(),
        }
        for name, values in tensors.items()
    ]
    return Body(content=compact({"inputs": inputs}), headers={"Content-Type": "application/json"})


def _raw(values: np.ndarray) -> bytes:
    if values.dtype.kind != "O":
        return values.tobytes()
    words = [str(word).encode() for word in values.ravel()]
    return b"".join(struct.pack("<I", len(word)) + word for word in words)


def _v2_binary(tensors: Tensors) -> Body:
    parts = {name: _raw(values) for name, values in tensors.items()}
    inputs = [
        {
            "name": name,
            "shape": list(values.shape),
            "datatype": DATATYPES[values.dtype.name],
            "parameters": {"binary_data_size": len(parts[name])},
        }
        for name, values in tensors.items()
    ]
    head = compact({"inputs": inputs, "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", LENGTH: str(len(head))}
    return Body(content=head + b"".join(parts.values()), headers=headers)


def _words(raw: bytes) -> list[str]:
    words: list[str] = []
    place = 0
    while place < len(raw):
        (size,) = struct.unpack_from("<I", raw, place)
        words.append(raw[place + 4 : place + 4 + size].decode())
        place += 4 + size
    return words


def _tensor(output: Mapping[str, Any], raw: bytes | None) -> np.ndarray:
    dtype = DTYPES[output["datatype"]]
    if raw is None:
        values = np.array(output["data"], dtype=dtype)
    elif dtype == "object":
        values = np.array(_words(raw), dtype=object)
    else:
        values = np.frombuffer(raw, dtype=dtype)
    return values.reshape(output["shape"])


def _v2_answer(headers: Mapping[str, str], content: bytes) -> dict[str, np.ndarray]:
    found = {name.lower(): value for name, value in headers.items()}.get(LENGTH.lower())
    end = len(content) if found is None else int(found)
    made: dict[str, np.ndarray] = {}
    for output in json.loads(content[:end])["outputs"]:
        size = (output.get("parameters") or {}).get("binary_data_size")
        raw = None if size is None else content[end : end + size]
        end += size or 0
        made[output["name"]] = _tensor(output, raw)
    return made


def _mlflow(tensors: Tensors) -> Body:
    """Write a split table."""
    rows = [list(row) for row in zip(*(values[:, 0].tolist() for values in tensors.values()), strict=True)]
    said = {"dataframe_split": {"columns": list(tensors), "data": rows}}
    return Body(content=compact(said), headers={"Content-Type": "application/json"})


def _mlflow_answer(headers: Mapping[str, str], content: bytes) -> dict[str, np.ndarray]:
    """Read what a model gave: arrays by name, or a record for each row, as Holdtrue's models do."""
    said = json.loads(content)["predictions"]
    if isinstance(said, list):
        shares = [name for name in said[0] if name.startswith("probability.")]
        said = {
            "probabilities": [[row[name] for name in shares] for row in said],
            **{name: [row[name] for row in said] for name in ("decision", "label")},
        }
    made = {name: np.array(values) for name, values in said.items()}
    return {name: values.astype(object) if values.dtype.kind == "U" else values for name, values in made.items()}


V2_JSON = Wire(says="Open Inference Protocol, JSON, a tensor a column", encode=_v2_json, decode=_v2_answer)
V2_BINARY = Wire(says="Open Inference Protocol, binary tensors, one a column", encode=_v2_binary, decode=_v2_answer)
V2_PACKED = Wire(
    says="Open Inference Protocol, JSON, all numbers in one tensor and all words in another",
    encode=lambda tensors: _v2_json(packed(tensors)),
    decode=_v2_answer,
)
MLFLOW_JSON = Wire(
    says="MLflow's scoring protocol, JSON, a split table", path="/invocations", encode=_mlflow, decode=_mlflow_answer
)
