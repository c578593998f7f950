"""Counts int8 product pairs that overflow 16 bits: python benchmarks/int8_overflow.py RANGES SEQUENCES.

Without VNNI an x86 CPU adds pairs of u8 x s8 products in 16 bits, with saturation. The script counts overflows on
held-out patches of the model `dcfnet`, for pairs of neighbouring input channels, with weights of 8 and of 7 bits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from dcfnet.backbones.loading import load_model
from dcfnet.lifecycle.opening import open_pipeline
from dcfnet_calibration.patches import collect
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_export.precision.ranges import Ranges

STRIDE = {"conv0": 1, "conv1": 2}  # of the model `dcfnet`


def activations(patches: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The input of each convolution, float32 (N, C, H, W), and its weights, float32 (O, C, k, k), by its name."""
    proto = onnx.load_from_string(load_model("dcfnet").onnx)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("relu0", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (relu,) = session.run(["relu0"], {"patches": patches})
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return {"conv0": patches, "conv1": relu}, {name: weights[f"{name}.weight"] for name in STRIDE}


def overflow_share(values: np.ndarray, weights: np.ndarray, stride: int) -> float:
    """Share of pairs whose sum exceeds 16 bits. int32 values of u8 (N, C, H, W), weights of s8 (O, C, k, k)."""
    channels, side = weights.shape[1:3]
    overflows = total = 0
    for row, column, first in np.ndindex(side, side, channels // 2):
        rows, columns = (slice(at, values.shape[2] - side + at + 1, stride) for at in (row, column))
        pair = slice(2 * first, 2 * first + 2)
        sums = np.einsum("nchw,oc->onhw", values[:, pair, rows, columns], weights[:, pair, row, column])
        overflows, total = overflows + int((np.abs(sums) > 32767).sum()), total + sums.size
    return overflows / total


def main(ranges: Path, sequences: Path) -> None:
    measured = Ranges.read(ranges)
    patches = collect(open_dataset("otb", sequences), open_pipeline("dcfnet"), 20, held_out=True).search
    inputs, weights = activations(patches)
    for (name, values), tensor in zip(inputs.items(), ("patches", "relu0"), strict=True):
        low, high = measured.tensors[tensor]
        scale = (high - low) / 255
        levels = np.clip(np.round(values / scale) - round(low / scale), 0, 255).astype(np.int32)
        for bits, top in ((8, 127), (7, 63)):
            largest = np.abs(weights[name]).max(axis=(1, 2, 3), keepdims=True)
            quantised = np.round(weights[name] / largest * top).astype(np.int32)
            share = overflow_share(levels, quantised, STRIDE[name])
            print(f"{name}, weights of {bits} bits: {share:.2g} of the pairs overflow")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
