"""Folds the steps around the network into its graph: the subtraction of the mean, and the cosine window.

This is for use of the file from other code. With both, the input is pixels and the output is windowed features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dcfnet.errors import ConfigError
from dcfnet.filter.windows import cosine_window
from dcfnet.model.file import FOLDABLE, Model
from onnx import ModelProto, checker, helper, load_from_string, numpy_helper

from dcfnet_export.naming import INPUT, OUTPUT

CENTRED, UNWINDOWED = "centred", "unwindowed"


def fold(model: Model, names: Sequence[str]) -> bytes:
    """The graph of the model with the steps `names` of FOLDABLE. The caller updates the metadata.

    With the window, the input has the patch size of the config. Raises ConfigError for an unknown name.
    """
    unknown = [name for name in names if name not in FOLDABLE]
    if unknown:
        raise ConfigError(f"cannot fold {', '.join(unknown)} into the graph; there are {', '.join(FOLDABLE)}")
    proto = load_from_string(model.onnx)
    if "mean" in names:
        _fold_mean(proto, model)
    if "window" in names:
        _fold_window(proto, model)
    checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _fold_mean(proto: ModelProto, model: Model) -> None:
    for node in proto.graph.node:
        node.input[:] = [CENTRED if tensor == INPUT else tensor for tensor in node.input]
    # The mean is an integer, so it is exact in float16 too.
    dtype = helper.tensor_dtype_to_np_dtype(proto.graph.input[0].type.tensor_type.elem_type)
    proto.graph.initializer.append(numpy_helper.from_array(model.mean.reshape(1, 3, 1, 1).astype(dtype), "mean"))
    proto.graph.node.insert(0, helper.make_node("Sub", [INPUT, "mean"], [CENTRED], name=CENTRED))


def _fold_window(proto: ModelProto, model: Model) -> None:
    patch, features = model.config.patch_size, model.config.patch_size // model.stride
    hann = cosine_window(features)
    window = np.outer(hann, hann).astype(np.float32)[None, None]
    for node in proto.graph.node:
        node.output[:] = [UNWINDOWED if tensor == OUTPUT else tensor for tensor in node.output]
    proto.graph.initializer.append(numpy_helper.from_array(window, "window"))
    proto.graph.node.append(helper.make_node("Mul", [UNWINDOWED, "window"], [OUTPUT], name="windowed"))
    for end, side in ((proto.graph.input[0], patch), (proto.graph.output[0], features)):
        for axis in (2, 3):
            end.type.tensor_type.shape.dim[axis].dim_value = side
