"""The roofline against independent counts: from the shapes of ONNX, and from the arrays of a run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.devices.cpu import CpuBackend
from dcfnet.model.backbone import Backbone
from dcfnet.model.file import Model
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.steps import init
from dcfnet.tracking.steps import step as tracking_step
from dcfnet_evaluation.bench.gpu.roofline import Peak, Sizes, Work, floor_ms, step
from dcfnet_evaluation.rendered import Clip

CONFIGS: dict[str, dict[str, Any]] = {
    "update in every frame": {"patch_size": 48, "update_interval": 1},
    "two solver steps, five scales": {"patch_size": 60, "update_interval": 1, "solver_steps": 2, "scales": 5},
    "no penalty": {"patch_size": 48, "update_interval": 1, "background_penalty": 0.0},
    "no colours": {"patch_size": 48, "update_interval": 1, "colour_share": 0.0},
}


class Counted(np.ndarray):
    """An array that counts the operations of its matrix products and of those of the arrays derived from it."""

    operations = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [array.view(np.ndarray) if isinstance(array, Counted) else array for array in inputs]
        if "out" in options:
            options["out"] = tuple(array.view(np.ndarray) for array in options["out"])
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul:
            both_complex = all(np.iscomplexobj(array) for array in plain)
            assert both_complex or not any(np.iscomplexobj(array) for array in plain)
            Counted.operations += (8 if both_complex else 2) * result.size * plain[0].shape[-1]
        return np.asarray(result).view(Counted)


class CountingBackend(CpuBackend):
    """The CPU backend, with counts of the bytes of its inputs and outputs."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()

    def asarray(self, values: np.ndarray) -> Any:
        return super().asarray(values).view(Counted)

    def sample_patches(self, *arguments: Any) -> Any:
        patches = super().sample_patches(*arguments)
        self.bytes["patches"] += patches.nbytes
        return patches

    def read_peaks(self, maps: Any, position_maps: Any, first_maps: Any, penalty: float) -> Any:
        self.bytes["responses"] += maps.nbytes
        plain = (array.view(np.ndarray) for array in (maps, position_maps, first_maps))
        return super().read_peaks(*plain, penalty)


class CountingBackbone(Backbone):
    """A backbone that counts the bytes of its features. dtype: of its patches."""

    def __init__(self, model: Model, dtype: Any, counts: Counter[str]) -> None:
        self.input_dtype, self._network, self._counts = dtype, OrtBackbone(model), counts

    def __call__(self, patches: Any) -> Any:
        features = self._network(np.asarray(patches))
        self._counts["features"] += features.nbytes
        return features.view(Counted)


def run(clip: Clip, model: Model, config: Any, targets: int, dtype: Any) -> tuple[CountingBackend, Any]:
    """One step of `targets` targets with patches of one dtype; returns the counts and the state."""
    backend = CountingBackend()
    backbone = CountingBackbone(model, dtype, backend.bytes)
    pipeline = Pipeline.build(config, backend, backbone, model.mean, model.stride)
    state = init(pipeline, [clip.frame(0)], [clip.box(0)] * targets, [0] * targets)
    backend.bytes.clear()
    Counted.operations = 0
    return backend, tracking_step(pipeline, state, [clip.frame(1)])[0]


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("targets", "dtype"), [(1, np.float32), (3, np.float16)])
def test_bytes_and_operations_match_a_run(clip: Clip, changes: dict[str, Any], targets: int, dtype: Any) -> None:
    model = load_model("dcfnet")
    config = model.config.replace(**{"min_psr": 0.0, "second_pass_distance": 100.0, **changes})
    backend, state = run(clip, model, config, targets, dtype)
    sizes, patches = Sizes.of(model, config, dtype), targets * config.scales
    stages = step(sizes, targets, 1000)
    assert backend.bytes["patches"] == stages["crop"].writes
    assert backend.bytes["features"] == stages["network"].writes
    assert backend.bytes["responses"] == sizes.inverse(patches).writes == sizes.peaks(patches).reads
    answers = sizes.respond(patches, targets).operations + sizes.respond(targets, targets).operations
    products = stages["transform"].operations + stages["respond"].operations - answers + stages["solve"].operations
    products += stages["colours"].operations
    assert Counted.operations == products > 0
    filters = state.filters.arrays
    assert filters.numerator.nbytes == targets * sizes.spectrum
    arrays = {id(a): a for a in (filters.numerator, filters.denominator, filters.filter_f, filters.focused_f)}
    written = sum(array.nbytes for array in arrays.values())
    assert written == stages["solve"].writes


@pytest.mark.parametrize("side", [48, 108])
def test_backbone_operations_match_the_onnx_graph(side: int) -> None:
    """Oracle: shape inference of ONNX. Zero weights, most of the normalisation, need no operation."""
    model = load_model("dcfnet")
    proto = onnx.load_from_string(model.onnx)
    for axis, length in zip(proto.graph.input[0].type.tensor_type.shape.dim, (1, 3, side, side), strict=True):
        axis.dim_value = length
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {v.name: [axis.dim_value for axis in v.type.tensor_type.shape.dim] for v in inferred.value_info}
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    expected = sum(
        2 * np.count_nonzero(weights[node.input[1]]) * shapes[node.output[0]][2] * shapes[node.output[0]][3]
        for node in proto.graph.node
        if node.op_type == "Conv"
    )
    sizes = Sizes.of(model, model.config.replace(patch_size=side))
    assert sizes.network(5).operations == pytest.approx(5 * expected, rel=1e-3)  # a weight can be 0 by chance
    weight_bytes = sum(array.nbytes for array in weights.values())
    assert sizes.network(1).reads == weight_bytes + 3 * side * side * 4
    assert Sizes.of(model, sizes.config, np.float16).network(1).reads == weight_bytes + 3 * side * side * 2


def test_filter_updates_count_with_their_frequency() -> None:
    model = load_model("dcfnet")
    frequent, rare = (
        step(Sizes.of(model, model.config.replace(update_interval=interval)), 4, 900.0) for interval in (1, 4)
    )
    for name in frequent:
        saved = frequent[name].operations - rare[name].operations
        per_update = {"solve": frequent["solve"].operations, "respond": 0, "crop": 0}.get(name)
        if per_update is not None:
            assert saved == per_update * 3 / 4
    assert rare["crop"].reads == 4 * 900 * 3 * 1.25


def test_a_floor_is_bound_by_memory_or_by_arithmetic() -> None:
    peak = Peak(bandwidth=1e12, rate=1e13)
    assert Work(6e9, 4e9, 1e9).seconds(peak) == 0.01
    assert Work(1e6, 1e6, 1e12).seconds(peak) == 0.1
    assert floor_ms({"a": Work(6e9, 4e9, 1e9), "b": Work(0, 0, 1e12)}, peak) == pytest.approx(110)


@pytest.mark.parametrize(
    ("properties", "bandwidth", "rate"),
    [  # NVIDIA's data sheets: H100 SXM, A100 40 GB, RTX 4090, T4
        (("9.0", 132, 1.98e9, 2.619e9, 5120), 3.35e12, 66.9e12),
        (("8.0", 108, 1.41e9, 1.215e9, 5120), 1.555e12, 19.5e12),
        (("8.9", 128, 2.52e9, 10.501e9, 384), 1.008e12, 82.6e12),
        (("7.5", 40, 1.59e9, 5.001e9, 256), 0.32e12, 8.1e12),
    ],
)
def test_peaks_match_the_data_sheets(properties: Any, bandwidth: float, rate: float) -> None:
    peak = Peak.of(*properties)
    assert peak.bandwidth == pytest.approx(bandwidth, rel=0.01)
    assert peak.rate == pytest.approx(rate, rel=0.01)
