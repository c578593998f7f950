"""What the rounding of the engine native-fp16 costs in tracking: python benchmarks/tensor_cores.py SEQUENCES...

No GPU is needed. ONNX Runtime runs the model `dcfnet` with the weights of the engine, rounded as there, and rounds the
intermediate maps to float16; the products and sums are float32. `tests/runtime/cuda/test_native_fp16.py` compares its
features with those of the kernel. The rest is as for `dcfnet-export --verify`: the reference is float32 in ONNX
Runtime, the control is float32 in OpenCV's engine. Boxes are compared on passes from the first frame to the end.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from dcfnet.backbones.cvdnn import CvDnnBackbone
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.backbones.tensor_convolutions import channel_scales
from dcfnet.config import DEFAULT_PRESET
from dcfnet.devices.cpu import CpuBackend
from dcfnet.model.backbone import Backbone
from dcfnet.model.layers import read_layers
from dcfnet.tracker import Tracker
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.passes import run_passes
from dcfnet_evaluation.scores.metrics import overlaps
from dcfnet_evaluation.sequences import AnnotatedSequence
from dcfnet_export.verify import MARGINS, verify
from dcfnet_train.footage.videos import open_sequences
from numpy.typing import NDArray
from onnx import TensorProto, helper, load_from_string, numpy_helper

INTERMEDIATE = "relu0"  # the maps between the convolutions


def rounded(onnx: bytes, scales: NDArray[np.float32]) -> bytes:
    """The model with rounded weights and intermediate maps, in float32. scales: of the intermediate channels."""
    proto = load_from_string(onnx)
    factors = {"conv0.weight": scales[:, None, None, None], "conv1.weight": 1 / scales[:, None, None]}
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name in factors:
            exact = values * factors[tensor.name]
            values = exact.astype(np.float16).astype(np.float32)
            if tensor.name == "conv0.weight":  # the kernel adds two float16
                values = values + (exact - values).astype(np.float16).astype(np.float32)
        elif tensor.name == "conv0.bias":
            values = values * scales
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes, narrow, wide = list(proto.graph.node), f"{INTERMEDIATE}.half", f"{INTERMEDIATE}.float"
    place = next(index for index, node in enumerate(nodes) if node.output[0] == INTERMEDIATE) + 1
    for node in nodes[place:]:
        node.input[:] = [wide if name == INTERMEDIATE else name for name in node.input]
    nodes[place:place] = [
        helper.make_node("Cast", [INTERMEDIATE], [narrow], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [narrow], [wide], to=TensorProto.FLOAT),
    ]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    content: bytes = proto.SerializeToString()
    return content


def compare_boxes(trackers: Mapping[str, Tracker], sequences: Sequence[AnnotatedSequence]) -> None:
    """Prints, for each tracker but the first, how its boxes differ from those of the first."""
    shared: dict[str, list[NDArray[np.float64]]] = {name: [] for name in list(trackers)[1:]}
    shifts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in shared}
    for sequence in sequences:
        passes = run_passes(trackers, sequence, 0)
        first, *others = (passes[name].boxes for name in trackers)
        for name, boxes in zip(shared, others, strict=True):
            shared[name].append(overlaps(first, boxes))
            shifts[name].append(np.abs(boxes - first).max(axis=1))
            if (below := np.flatnonzero(shared[name][-1] < 0.5)).size:
                print(f"{name}: {sequence.name}: overlap below 0.5 in {below.size} frames, from frame {below[0]} on")
    for name in shared:
        overlap, shift = np.concatenate(shared[name]), np.concatenate(shifts[name])
        print(
            f"{name}: {len(shift)} boxes, equal {np.mean(shift == 0):.3f}, within 0.5 px {np.mean(shift <= 0.5):.3f}, "
            f"within 2 px {np.mean(shift <= 2):.3f}; overlap: mean {overlap.mean():.4f}, "
            f"below 0.5 {np.mean(overlap < 0.5):.4f}"
        )


def main(folders: list[str]) -> None:
    model = load_model("dcfnet")
    config, (first, _) = model.preset(DEFAULT_PRESET), read_layers(model)[0]
    on_tensor_cores = replace(model, onnx=rounded(model.onnx, channel_scales(first)))
    reference, control = OrtBackbone(model, threads=1), CvDnnBackbone(model)
    backbones: dict[str, Backbone] = {"native-fp16": OrtBackbone(on_tensor_cores, threads=1)}
    described = (model.mean, model.stride, model.folded, model.levels, model.confidence)
    trackers = {
        name: Tracker.of(Pipeline.build(config, CpuBackend(), backbone, *described))
        for name, backbone in {"float32": reference, "float32, OpenCV": control, **backbones}.items()
    }
    for folder in folders:
        sequences = open_sequences(folder)
        print(f"{len(sequences)} sequences", flush=True)
        for name, result in verify(model, reference, control, backbones, sequences, config).items():
            comparison, lost = result.comparison, [f"{each.sequence} from {each.frame}" for each in result.divergences]
            objections = result.objections("fp16", MARGINS["fp16"])
            print(
                f"{name}: features {result.feature_error:.1e}, worst peak {result.peak_shift:.3f} cells, "
                f"AUC {result.reference:.4f}, difference {comparison.difference:+.4f} "
                f"({comparison.low:+.4f} to {comparison.high:+.4f}), "
                f"OpenCV {result.control - result.reference:+.4f}; other targets: {lost}; {objections or 'accepted'}",
                flush=True,
            )
        compare_boxes(trackers, sequences)


if __name__ == "__main__":
    main(sys.argv[1:])
