"""Convolutions in int8: Q/DQ nodes put into an exported graph by ONNX Runtime's own quantiser.

    cpu        u8 activations, s8 weights, int32 bias: ONNX Runtime's CPU makes one integer convolution of each
    tensorrt   symmetric s8 activations and weights, zero points 0, float bias: what TensorRT's parser takes

In both the normalisation, the input and the output stay float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dcfnet.errors import ConfigError, MissingDependencyError
from dcfnet.model import parse_model
from onnx import ModelProto, TensorProto, checker, load_from_string

from dcfnet_export.naming import CONVOLUTION, INPUT, convolutions
from dcfnet_export.ranges import RELU, Ranges, RangesError

FORMS = ("cpu", "tensorrt")


def quantise(onnx: bytes, ranges: Ranges, layers: Sequence[str], form: str, per_channel: bool = True) -> bytes:
    """The model with these convolutions in int8; the same inputs give the same bytes.

    onnx: a model that dcfnet-export wrote, float32. layers: names of convolutions, "conv0" and so on; with none the
    model comes back as it is. form: one of FORMS. per_channel: one scale for each output channel of the weights,
    else one for all. Names, types and dynamic axes of input and output stay, and so does the metadata.
    Raises ModelError for a file that is no model, RangesError for ranges of other weights or that lack a tensor, and
    ConfigError for another form, a convolution that is not there, or a model that is not float32 throughout.
    """
    ranges.check_model(parse_model(onnx, "the model to quantise").weights_sha256)
    proto = load_from_string(onnx)
    _check(proto, ranges, layers, form)
    if not layers:
        return onnx
    quantiser = _quantiser(load_from_string(onnx), ranges, layers, form, per_channel)
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    made = _tidied(quantiser.model.model, proto)
    checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _check(proto: ModelProto, ranges: Ranges, layers: Sequence[str], form: str) -> None:
    if form not in FORMS:
        raise ConfigError(f"no form {form!r}; there are {', '.join(FORMS)}")
    check_float32(proto)
    there = convolutions(proto.graph)
    unknown = [name for name in layers if name not in there]
    if unknown:
        raise ConfigError(f"no convolution {', '.join(unknown)}; there are {', '.join(there)}")
    missing = [name for name in calibrated(proto) if name not in ranges.tensors]
    if missing:
        raise RangesError(f"there is no range of {', '.join(missing)}; measure anew with dcfnet-calibrate ranges")


def check_float32(proto: ModelProto) -> None:
    """Raises ConfigError for a graph in which something is int8 or half precision already."""
    if any(node.op_type in ("QuantizeLinear", "Cast") for node in proto.graph.node):
        raise ConfigError("the model is of a lower precision already; give the float32 one")


def calibrated(proto: ModelProto) -> list[str]:
    """Names of the tensors whose ranges int8 is made from: the patches, then what convolutions and ReLUs give."""
    kinds = (CONVOLUTION, RELU)
    return [INPUT, *(node.output[0] for node in proto.graph.node if node.name.startswith(kinds))]


def _quantiser(proto: ModelProto, ranges: Ranges, layers: Sequence[str], form: str, per_channel: bool) -> Any:
    """ONNX Runtime's quantiser, ready to run; it works on `proto` itself."""
    try:
        from onnxruntime.quantization.calibrate import TensorData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", "cpu") from error
    cpu = form == "cpu"
    # On the CPU an integer convolution needs its output quantised, too; the ReLU between two goes into its clipping.
    # TensorRT keeps more of the values when nothing is quantised but what a convolution reads.
    operators = ["Conv", "Relu"] if cpu else ["Conv"]
    nodes = [*layers, *(node.name for node in proto.graph.node if cpu and node.op_type == "Relu")]
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    return QDQQuantizer(
        proto,
        per_channel,
        cpu,  # weights of 7 bits: without VNNI a CPU adds pairs of products in 16 bits and cuts what is above
        TensorProto.INT8,
        TensorProto.UINT8 if cpu else TensorProto.INT8,
        {name: TensorData(lowest=np.float32(a), highest=np.float32(b)) for name, (a, b) in ranges.tensors.items()},
        nodes,
        [],
        operators,
        {} if cpu else symmetric | {"OpTypesToExcludeOutputQuantization": ["Conv"]},
    )


def _tidied(made: ModelProto, original: ModelProto) -> ModelProto:
    """The quantised model without what the quantiser notes of itself, and with the original's metadata."""
    del made.metadata_props[:]
    made.metadata_props.extend(original.metadata_props)
    made.producer_name, made.producer_version = original.producer_name, original.producer_version
    made.ir_version = original.ir_version
    del made.graph.value_info[:]
    return made
