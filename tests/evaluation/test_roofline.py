"""The roofline against counts that share no code with it: of ONNX's own shapes, and of arrays in a run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from dcfnet.backbones.ort import OrtBackbone
from dcfnet.cpu import CpuBackend
from dcfnet.model import Model, load_model
from dcfnet.pipeline import Pipeline
from dcfnet.steps import init
from dcfnet.steps import step as tracked
from dcfnet_evaluation.bench.roofline import Peak, Sizes, Work, floor_ms, step
from dcfnet_evaluation.rendered import Clip

CONFIGS: dict[str, dict[str, Any]] = {
    "lessons in every frame": {"patch_size": 48, "learn_every": 1},
    "one step more, five scales": {"patch_size": 60, "learn_every": 1, "solver_steps": 2, "scales": 5},
    "no penalty": {"patch_size": 48, "learn_every": 1, "background_penalty": 0.0},
    "no colours": {"patch_size": 48, "learn_every": 1, "colour_share": 0.0},
}


class Counted(np.ndarray):
    """An array whose products of matrices are counted, as operations: the counts of all that came of it."""

    operations = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [each.view(np.ndarray) if isinstance(each, Counted) else each for each in inputs]
        if "out" in options:
            options["out"] = tuple(each.view(np.ndarray) for each in options["out"])
        made = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul:
            both = all(np.iscomplexobj(each) for each in plain)
            assert both or not any(np.iscomplexobj(each) for each in plain)
            Counted.operations += (8 if both else 2) * made.size * plain[0].shape[-1]
        return np.asarray(made).view(Counted)


class CountingBackend(CpuBackend):
    """Of the host, with counts of what goes in and out of it."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()

    def asarray(self, values: np.ndarray) -> Any:
        return super().asarray(values).view(Counted)

    def cut(self, *given: Any) -> Any:
        patches = super().cut(*given)
        self.bytes["patches"] += patches.nbytes
        return patches

    def read(self, maps: Any, placed: Any, penalty: float) -> Any:
        self.bytes["responses"] += maps.nbytes
        return super().read(maps.view(np.ndarray), placed.view(np.ndarray), penalty)


def run(clip: Clip, model: Model, config: Any, targets: int, taken: Any) -> tuple[CountingBackend, Any]:
    """One step of so many targets, of patches of a type, with what it took."""
    backend, network = CountingBackend(), OrtBackbone(model)

    def backbone(patches: Any) -> Any:
        features = network(np.asarray(patches))
        backend.bytes["features"] += features.nbytes
        return features.view(Counted)

    backbone.takes = taken  # type: ignore[attr-defined]
    made = Pipeline.build(config, backend, backbone, model.mean, model.stride)
    state = init(made, [clip.frame(0)], [clip.box(0)] * targets, [0] * targets)
    backend.bytes.clear()
    Counted.operations = 0
    return backend, tracked(made, state, [clip.frame(1)])[0]


@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("targets", "taken"), [(1, np.float32), (3, np.float16)])
def test_bytes_and_operations_are_those_of_a_run(clip: Clip, changes: dict[str, Any], targets: int, taken: Any) -> None:
    model = load_model()
    config = model.config.replace(**{"min_psr": 0.0, "look_again": 100.0, **changes})
    backend, state = run(clip, model, config, targets, taken)
    sizes, patches = Sizes.of(model, config, taken), targets * config.scales
    stages = step(sizes, targets, 1000)
    assert backend.bytes["patches"] == stages["crop"].writes
    assert backend.bytes["features"] == stages["network"].writes
    assert backend.bytes["responses"] == sizes.inverse(patches).writes == sizes.peaks(patches).reads
    answers = sizes.respond(patches, targets).operations
    products = stages["transform"].operations + stages["respond"].operations - answers + stages["solve"].operations
    products += stages["colours"].operations
    assert Counted.operations == products > 0
    filters = state.filters.arrays
    assert filters.numerator.nbytes == targets * sizes.spectrum
    made = {id(a): a for a in (filters.numerator, filters.denominator, filters.filter_f, filters.focused_f)}
    written = sum(array.nbytes for array in made.values())
    assert written == stages["solve"].writes


@pytest.mark.parametrize("side", [48, 108])
def test_operations_of_the_network_are_those_of_its_graph(side: int) -> None:
    """By ONNX's own inference of shapes; most weights of the normalisation are zeros, which nobody multiplies by."""
    model = load_model()
    proto = onnx.load_from_string(model.onnx)
    for axis, length in zip(proto.graph.input[0].type.tensor_type.shape.dim, (1, 3, side, side), strict=True):
        axis.dim_value = length
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {v.name: [axis.dim_value for axis in v.type.tensor_type.shape.dim] for v in inferred.value_info}
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    expected = sum(
        2 * np.count_nonzero(weights[node.input[1]]) * shapes[node.output[0]][2] * shapes[node.output[0]][3]
        for node in proto.graph.node
        if node.op_type == "Conv"
    )
    sizes = Sizes.of(model, model.config.replace(patch_size=side))
    assert sizes.network(5).operations == pytest.approx(5 * expected, rel=1e-3)  # a weight may be nothing by chance
    held = sum(array.nbytes for array in weights.values())
    assert sizes.network(1).reads == held + 3 * side * side * 4
    assert Sizes.of(model, sizes.config, np.float16).network(1).reads == held + 3 * side * side * 2


def test_lessons_count_as_often_as_they_come() -> None:
    model = load_model()
    each, rarely = (step(Sizes.of(model, model.config.replace(learn_every=often)), 4, 900.0) for often in (1, 4))
    for name in each:
        saved = each[name].operations - rarely[name].operations
        lesson = {"solve": each["solve"].operations, "respond": 0, "crop": 0}.get(name)
        if lesson is not None:
            assert saved == lesson * 3 / 4
    assert rarely["crop"].reads == 4 * 900 * 3 * 1.25


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
def test_peaks_are_those_of_data_sheets(properties: Any, bandwidth: float, rate: float) -> None:
    peak = Peak.of(*properties)
    assert peak.bandwidth == pytest.approx(bandwidth, rel=0.01)
    assert peak.rate == pytest.approx(rate, rel=0.01)
