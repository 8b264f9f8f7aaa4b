"""The bodies that routes take and give, as JSON Schema (2020-12): what the description of the routes refers to."""

from typing import Any

from holdtrue.serving.labelling import LONGEST
from holdtrue.serving.labelling import MOST as MOST_LABELS
from holdtrue.serving.wire.mlflow import FORMS
from holdtrue.serving.wire.tensors import DATATYPES
from holdtrue.serving.wire.v2 import LONGEST_ID, MOST_INPUTS, MOST_PARAMETERS, MOST_VALUES

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
TEXTS: Schema = {"type": "array", "items": TEXT}
NUMBERS: Schema = {"type": "object", "additionalProperties": {"type": "number"}}
PARAMETERS: Schema = {"type": ["object", "null"]}


def whole(**properties: Schema) -> Schema:
    """Describe an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def several(one: Schema, name: str, **limits: int) -> Schema:
    """Describe one of a kind, a list of them, or the list under a name."""
    many = {"type": "array", "items": one, "minItems": 1, **limits}
    return {"anyOf": [one, many, {**whole(**{name: many}), "additionalProperties": False}]}


def known(name: str) -> Schema:
    """Refer to a schema of the description."""
    return {"$ref": f"#/components/schemas/{name}"}


ERROR: Schema = {
    "type": "object",
    "required": ["error", "code", "request_id"],
    "properties": {"error": TEXT, "code": TEXT, "request_id": TEXT, "faults": TEXTS},
}
TENSOR: Schema = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": TEXT,
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": MOST_VALUES},
            "minItems": 1,
            "maxItems": 2,
        },
        "datatype": {"enum": list(DATATYPES)},
        "data": {"type": "array"},
        "parameters": PARAMETERS,
    },
}
INFER: Schema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string", "maxLength": LONGEST_ID},
        "parameters": {**PARAMETERS, "maxProperties": MOST_PARAMETERS},
        "inputs": {"type": "array", "items": TENSOR, "minItems": 1, "maxItems": MOST_INPUTS},
        "outputs": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": TEXT, "parameters": PARAMETERS},
            },
        },
    },
}
LABEL: Schema = {
    "type": "object",
    "required": ["value"],
    "properties": {
        "prediction_id": {"type": "string", "pattern": "^([0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15})?$"},
        "row": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "key": {"type": "object", "maxProperties": 16, "additionalProperties": SCALAR},
        "value": SCALAR,
        "time": {
            "description": "When it became true: ISO 8601, or seconds since 1970; now when it is left out.",
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number", "exclusiveMinimum": -1e12, "exclusiveMaximum": 1e12},
                {"type": "null"},
            ],
        },
        "id": {"type": "string", "maxLength": LONGEST},
        "source": {"type": "string", "maxLength": LONGEST},
    },
    "additionalProperties": False,
    # For a prediction or for a business key, never both.
    "oneOf": [
        {"required": ["prediction_id"], "properties": {"prediction_id": {"minLength": 1}}},
        {"required": ["key"], "properties": {"key": {"minProperties": 1}}},
    ],
}
_TABLE: Schema = {"type": "array", "items": {"type": "array"}, "minItems": 1}
_RECORDS: Schema = {"type": "array", "items": {"type": "object"}, "minItems": 1}
_NAMED: Schema = {"type": "object", "minProperties": 1}
# One of the four forms in which MLflow's clients send rows.
FRAMES: Schema = {
    "type": "object",
    "properties": {
        "dataframe_split": {"type": "object", "required": ["data"], "properties": {"columns": TEXTS, "data": _TABLE}},
        "dataframe_records": {"anyOf": [_RECORDS, _TABLE, _NAMED]},
        "instances": {"anyOf": [_RECORDS, _TABLE, _NAMED]},
        "inputs": {"anyOf": [_NAMED, _RECORDS, _TABLE]},
    },
    "oneOf": [{"required": [name]} for name in FORMS],
}
TRAFFIC: Schema = {
    "type": "object",
    "required": ["weights"],
    "properties": {
        "weights": {
            "description": "Releases or aliases, and the shares of the requests that they get.",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "number", "minimum": 0, "exclusiveMaximum": 1e9},
        },
        "model": TEXT,
        "shadow": TEXTS,
        "sticky": TEXT,
        "champion": TEXT,
        "bandit": FLAG,
        "reason": TEXT,
        "actor": TEXT,
    },
    "additionalProperties": False,
}
SHARED = {
    "Error": ERROR,
    "Infer": INFER,
    "Label": LABEL,
    "Labels": several(known("Label"), "labels", maxItems=MOST_LABELS),
    "Frames": FRAMES,
    "Traffic": TRAFFIC,
}
BODIES = {"labels": "Labels", "infer": "Infer", "invocations": "Frames", "traffic": "Traffic"}

_TENSORS: Schema = {"type": "array", "items": whole(name=TEXT, datatype=TEXT, shape={"type": "array"})}
_ROUTING = whole(weights=NUMBERS, shadow=TEXTS, sticky=TEXT, champion=TEXT, bandit=FLAG, loaded=TEXTS)
# What a route answers, by its name, when all is well.
ANSWERS: dict[str, Schema] = {
    "live": whole(live={"const": True}),
    "ready": whole(ready={"const": True}),
    "model_ready": whole(name=TEXT, ready={"const": True}),
    "server": whole(name=TEXT, version=TEXT, extensions=TEXTS),
    "model": whole(name=TEXT, versions=TEXTS, platform=TEXT, inputs=_TENSORS, outputs=_TENSORS),
    "openapi": whole(openapi=TEXT, info={"type": "object"}, paths={"type": "object"}),
    "predict": whole(prediction_id=TEXT, model=TEXT, release=TEXT, predictions=_RECORDS),
    "invocations": whole(prediction_id=TEXT, release=TEXT, predictions=_RECORDS),
    "infer": whole(model_name=TEXT, model_version=TEXT, outputs=_TENSORS),
    "labels": whole(kept=COUNT),
    "status": whole(
        url=TEXT,
        pid=COUNT,
        workers={"type": "array", "items": COUNT},
        restarts=COUNT,
        follows=TEXT,
        models={"type": "object", "additionalProperties": _ROUTING},
        counters=NUMBERS,
    ),
    "traffic": whole(model=TEXT, weights=NUMBERS, shadow=TEXTS),
    "reload": whole(workers={"type": "array", "items": COUNT}),
    "stop": whole(ending={"const": True}),
}
# The media types of an answer; JSON where none are named.
KINDS = {
    "metrics": ("text/plain",),
    "docs": ("text/html",),
    "predict": ("application/json", "text/csv"),
    "invocations": ("application/json", "text/csv"),
    "infer": ("application/json", "application/octet-stream"),
}
