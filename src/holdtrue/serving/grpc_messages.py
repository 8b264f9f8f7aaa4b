"""The messages of the Open Inference Protocol over gRPC, and the names of its calls.

They live in a pool of their own, so that a client library that brings its own copy can be used in the same process.
Names and numbers are those of https://github.com/kserve/open-inference-protocol, with Triton's additions.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# message -> its fields as `number name type`; `*` many, `{}` by name, `?` one of several.
SCHEMA: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": "1 name string, 2 version string",
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions string*",
    "ModelMetadataRequest": "1 name string, 2 version string",
    "TensorMetadata": "1 name string, 2 datatype string, 3 shape int64*",
    "ModelMetadataResponse": (
        "1 name string, 2 versions string*, 3 platform string, 4 inputs TensorMetadata*, 5 outputs TensorMetadata*"
    ),
    "InferParameter": (
        "1 bool_param bool?, 2 int64_param int64?, 3 string_param string?, 4 double_param double?,"
        " 5 uint64_param uint64?"
    ),
    "InferTensorContents": (
        "1 bool_contents bool*, 2 int_contents int32*, 3 int64_contents int64*, 4 uint_contents uint32*,"
        " 5 uint64_contents uint64*, 6 fp32_contents float*, 7 fp64_contents double*, 8 bytes_contents bytes*"
    ),
    "InferInputTensor": (
        "1 name string, 2 datatype string, 3 shape int64*, 4 parameters InferParameter{},"
        " 5 contents InferTensorContents"
    ),
    "InferRequestedOutputTensor": "1 name string, 2 parameters InferParameter{}",
    "ModelInferRequest": (
        "1 model_name string, 2 model_version string, 3 id string, 4 parameters InferParameter{},"
        " 5 inputs InferInputTensor*, 6 outputs InferRequestedOutputTensor*, 7 raw_input_contents bytes*"
    ),
    # The same bytes as the one above, with the messages in it left as they came.
    "OpenInferRequest": (
        "1 model_name string, 2 model_version string, 3 id string, 4 parameters bytes*, 5 inputs bytes*,"
        " 6 outputs bytes*, 7 raw_input_contents bytes*"
    ),
    "InferOutputTensor": (
        "1 name string, 2 datatype string, 3 shape int64*, 4 parameters InferParameter{},"
        " 5 contents InferTensorContents"
    ),
    "ModelInferResponse": (
        "1 model_name string, 2 model_version string, 3 id string, 4 parameters InferParameter{},"
        " 5 outputs InferOutputTensor*, 6 raw_output_contents bytes*"
    ),
    "ModelStreamInferResponse": "1 error_message string, 2 infer_response ModelInferResponse",
    "RepositoryIndexRequest": "1 repository_name string, 2 ready bool",
    "ModelIndex": "1 name string, 2 version string, 3 state string, 4 reason string",
    "RepositoryIndexResponse": "1 models ModelIndex*",
}


Message: TypeAlias = Any  # protobuf makes the types of messages when the program runs


def _file() -> descriptor_pb2.FileDescriptorProto:
    made = descriptor_pb2.FileDescriptorProto(name="holdtrue/inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in SCHEMA.items():
        message = made.message_type.add(name=name)
        for line in fields.split(", ") if fields else ():
            number, field, kind = line.split()
            _add(message, int(number), field, kind)
    return made


def _add(message: descriptor_pb2.DescriptorProto, number: int, name: str, kind: str) -> None:
    field_type = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=number, label=field_type.LABEL_OPTIONAL)
    bare = kind.rstrip("*?{}")
    if kind.endswith("{}"):
        # A field by name is a list of pairs, each a message of its own.
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add(entry, 1, "key", "string")
        _add(entry, 2, "value", bare)
        bare = f"{message.name}.{entry.name}"
    elif kind.endswith("?"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if kind.endswith(("*", "{}")):
        field.label = field_type.LABEL_REPEATED
    if bare in SCHEMA or "." in bare:
        field.type = field_type.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{bare}"
    else:
        field.type = field_type.Type.Value(f"TYPE_{bare.upper()}")


def _kinds() -> Mapping[str, Callable[..., Message]]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in SCHEMA}


KINDS = _kinds()
