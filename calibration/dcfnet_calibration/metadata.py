"""Copies of a model with other metadata. The graph and the weights stay."""

from __future__ import annotations

from typing import Any

from dcfnet.model.file import Model, parse_model
from onnx import helper, load_from_string


def with_metadata(model: Model, key: str, value: str, name: str) -> Model:
    """The model with another value of one key, parsed again. name: shown in messages. Raises ModelError."""
    proto: Any = load_from_string(model.onnx)
    helper.set_model_props(proto, {entry.key: entry.value for entry in proto.metadata_props} | {key: value})
    return parse_model(proto.SerializeToString(), name)
