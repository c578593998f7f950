"""Convolutions in int8: the quantiser of ONNX Runtime inserts Q/DQ nodes into an exported graph.

    cpu        u8 activations, s8 weights, int32 bias: ONNX Runtime fuses each into one integer convolution on a CPU
    tensorrt   symmetric s8 activations and weights, zero points 0, float bias, as the parser of TensorRT requires

In both forms, the normalisation, the input and the output stay float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dcfnet.errors import ConfigError, MissingDependencyError
from dcfnet.model.file import Model, parse_model
from onnx import ModelProto, TensorProto, checker, load_from_string

from dcfnet_export.naming import CONVOLUTION, INPUT, convolutions
from dcfnet_export.precision.ranges import RELU, Ranges, RangesError

FORMS = ("cpu", "tensorrt")


def quantise(onnx: bytes, ranges: Ranges, layers: Sequence[str], form: str, per_channel: bool = True) -> bytes:
    """The model with these convolutions in int8. The same arguments produce the same bytes.

    onnx: a float32 model of dcfnet-export. layers: names of convolutions, "conv0" and so on; without layers, the model
    is unchanged. form: one of FORMS. per_channel: one scale per output channel of the weights, else one for all.
    Names, types and dynamic axes of input and output stay, and so do the metadata.
    Raises ModelError if `onnx` is not a model. Raises RangesError if the ranges are of other weights or lack a tensor.
    Raises ConfigError for an unknown form or convolution, or if the model is not entirely float32.
    """
    ranges.check_model(parse_model(onnx, "the model to quantise").weights_sha256)
    proto = load_from_string(onnx)
    _check(proto, ranges, layers, form)
    if not layers:
        return onnx
    quantiser = _quantiser(load_from_string(onnx), ranges, layers, form, per_channel)
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    quantised = _tidied(quantiser.model.model, proto)
    checker.check_model(quantised, full_check=True)
    content: bytes = quantised.SerializeToString(deterministic=True)
    return content


def _check(proto: ModelProto, ranges: Ranges, layers: Sequence[str], form: str) -> None:
    if form not in FORMS:
        raise ConfigError(f"no form {form!r}; there are {', '.join(FORMS)}")
    check_float32(proto)
    known = convolutions(proto.graph)
    unknown = [name for name in layers if name not in known]
    if unknown:
        raise ConfigError(f"no convolution {', '.join(unknown)}; there are {', '.join(known)}")
    missing = [name for name in calibrated(proto) if name not in ranges.tensors]
    if missing:
        raise RangesError(f"no range of {', '.join(missing)}; measure the ranges again with dcfnet-calibrate ranges")


def check_levels(model: Model) -> None:
    """Raises ConfigError for a model that cannot have int8 convolutions, because it has several feature levels."""
    if model.levels:
        raise ConfigError(
            f"{model.name}: has {len(model.levels)} feature levels, and int8 supports one; use fp32 or fp16, or a "
            "model with one level, such as dcfnet"
        )


def check_float32(proto: ModelProto) -> None:
    """Raises ConfigError if a part of the graph is already int8 or half precision."""
    if any(node.op_type in ("QuantizeLinear", "Cast") for node in proto.graph.node):
        raise ConfigError("the model already has a lower precision; use the float32 model")


def calibrated(proto: ModelProto) -> list[str]:
    """Names of the tensors that need ranges for int8: the patches, then the outputs of convolutions and ReLUs."""
    kinds = (CONVOLUTION, RELU)
    return [INPUT, *(node.output[0] for node in proto.graph.node if node.name.startswith(kinds))]


def _quantiser(proto: ModelProto, ranges: Ranges, layers: Sequence[str], form: str, per_channel: bool) -> Any:
    """The quantiser of ONNX Runtime, ready to run. It changes `proto` in place."""
    try:
        from onnxruntime.quantization.calibrate import TensorData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", "cpu") from error
    cpu = form == "cpu"
    # On the CPU, an integer convolution also needs a quantised output; its clipping includes the ReLU after it.
    # TensorRT is more accurate if only the inputs of convolutions are quantised.
    operators = ["Conv", "Relu"] if cpu else ["Conv"]
    nodes = [*layers, *(node.name for node in proto.graph.node if cpu and node.op_type == "Relu")]
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    return QDQQuantizer(
        proto,
        per_channel,
        cpu,  # 7-bit weights: a CPU without VNNI adds pairs of products in 16 bits, with saturation
        TensorProto.INT8,
        TensorProto.UINT8 if cpu else TensorProto.INT8,
        {name: TensorData(lowest=np.float32(a), highest=np.float32(b)) for name, (a, b) in ranges.tensors.items()},
        nodes,
        [],
        operators,
        {} if cpu else symmetric | {"OpTypesToExcludeOutputQuantization": ["Conv"]},
    )


def _tidied(quantised: ModelProto, original: ModelProto) -> ModelProto:
    """The quantised model without the notes of the quantiser, and with the metadata of the original."""
    del quantised.metadata_props[:]
    quantised.metadata_props.extend(original.metadata_props)
    quantised.producer_name, quantised.producer_version = original.producer_name, original.producer_version
    quantised.ir_version = original.ir_version
    del quantised.graph.value_info[:]
    return quantised
