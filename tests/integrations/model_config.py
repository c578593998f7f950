"""Triton's ModelConfig, reduced to the fields that config.pbtxt uses. Reads the text format as strictly as Triton.

Names and types are those of model_config.proto (github.com/triton-inference-server/common).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, text_format

ENUMS = {
    "DataType": ["TYPE_INVALID", "TYPE_UINT8", "TYPE_UINT64", "TYPE_FP64", "TYPE_STRING"],
    "GroupKind": ["KIND_AUTO", "KIND_GPU", "KIND_CPU"],
    "ControlKind": [
        "CONTROL_SEQUENCE_START",
        "CONTROL_SEQUENCE_READY",
        "CONTROL_SEQUENCE_END",
        "CONTROL_SEQUENCE_CORRID",
    ],
}
MESSAGES = {  # a star: repeated
    "Input": {"name": "string", "data_type": "DataType", "dims": "int64*", "optional": "bool"},
    "Output": {"name": "string", "data_type": "DataType", "dims": "int64*"},
    "Oldest": {"max_candidate_sequences": "int32", "max_queue_delay_microseconds": "uint64"},
    "Control": {"kind": "ControlKind", "bool_false_true": "bool*", "data_type": "DataType"},
    "ControlInput": {"name": "string", "control": "Control*"},
    "SequenceBatching": {
        "max_sequence_idle_microseconds": "uint64",
        "oldest": "Oldest",
        "control_input": "ControlInput*",
    },
    "InstanceGroup": {"count": "int32", "kind": "GroupKind"},
    "Parameter": {"string_value": "string"},
    "ParametersEntry": {"key": "string", "value": "Parameter"},  # Triton: map<string, ModelParameter> parameters
    "ModelConfig": {
        "name": "string",
        "backend": "string",
        "max_batch_size": "int32",
        "input": "Input*",
        "output": "Output*",
        "sequence_batching": "SequenceBatching",
        "instance_group": "InstanceGroup*",
        "parameters": "ParametersEntry*",
    },
}
FIELD = descriptor_pb2.FieldDescriptorProto


def read(file: Path) -> dict[str, Any]:
    """The configuration as Triton hands it to a model: JSON with the names of the fields."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_description())
    config = message_factory.GetMessageClass(pool.FindMessageTypeByName("ModelConfig"))()
    text_format.Parse(file.read_text(), config)
    read = json_format.MessageToDict(config, preserving_proto_field_name=True)
    return {**read, "parameters": {entry["key"]: entry["value"] for entry in read["parameters"]}}


def _description() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = message.field.add(name=field, number=number)
            added.label = FIELD.LABEL_REPEATED if kind.endswith("*") else FIELD.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            if kind in ENUMS or kind in MESSAGES:
                added.type_name = f".{kind}"
                added.type = FIELD.TYPE_ENUM if kind in ENUMS else FIELD.TYPE_MESSAGE
            else:
                added.type = getattr(FIELD, f"TYPE_{kind.upper()}")
    return file
