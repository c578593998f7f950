"""Patches for calibration, their ranges, and the cost of layers in int8."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.errors import ConfigError
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_calibration.cli import app
from dcfnet_calibration.patches import HARD, KINDS, PLAIN, collect
from dcfnet_calibration.ranges import METHODS, measure_ranges
from dcfnet_calibration.sensitivity import Cost, layer_costs, most_sensitive
from dcfnet_evaluation.sequences import AnnotatedSequence, Frames, SequenceError
from dcfnet_export.precision import convert
from dcfnet_export.precision.quantise import FORMS, quantise
from dcfnet_export.precision.ranges import Ranges
from typer.testing import CliRunner

from tests.export.test_quantise import measured


@dataclass
class RecordingFrames:
    """Frames that record the indices of the read frames."""

    frames: Frames
    indices: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frames)

    def size(self) -> int:
        return self.frames.size()

    def read(self, index: int) -> np.ndarray:
        self.indices.append(index)
        return self.frames.read(index)


def test_views_are_spread_over_sequences_and_frames_and_the_last_quarter_is_held_out(
    sequences: list[AnnotatedSequence], pipeline: Pipeline
) -> None:
    for held_out, frames in ((False, range(12)), (True, range(12, 16))):
        recorded = [replace(sequence, frames=RecordingFrames(sequence.frames)) for sequence in sequences]
        views = collect(recorded, pipeline, 26, held_out=held_out)
        assert views.search.shape == views.template.shape == (26, 3, 80, 80)
        read = [sequence.frames.indices for sequence in recorded]  # type: ignore[attr-defined]
        assert [len(indices) for indices in read] == [9, 9, 8]
        assert all(indices == sorted(indices) and set(indices) <= set(frames) for indices in read)
        assert all(len(set(indices)) >= min(len(frames), 8) for indices in read)


def test_the_views_depend_on_the_seed(sequences: list[AnnotatedSequence], pipeline: Pipeline) -> None:
    first, again, other = (collect(sequences, pipeline, 12, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.search, again.search)
    assert first.kinds == again.kinds
    assert not np.array_equal(first.search, other.search)


def test_hard_views_have_the_properties_of_their_kind(sequences: list[AnnotatedSequence], pipeline: Pipeline) -> None:
    views = collect(sequences, pipeline, 150)
    kinds = np.array(views.kinds)
    assert set(kinds) == {PLAIN, *KINDS}
    assert abs((kinds != PLAIN).mean() - HARD) < 0.1
    searches = {kind: views.search[kinds == kind] for kind in set(kinds)}
    light = {kind: (patches.transpose(0, 2, 3, 1) + pipeline.mean).mean() for kind, patches in searches.items()}
    assert light["low light"] < 0.3 * light[PLAIN]
    assert all((views.template[i] + pipeline.mean[:, None, None]).mean() > 60 for i in range(150))

    def detail(patches: np.ndarray) -> float:
        return float(np.mean([cv2.Laplacian(patch[1], cv2.CV_32F).std() for patch in patches]))

    assert detail(searches["blur"]) < 0.6 * detail(searches[PLAIN])
    outside = {
        kind: np.mean([(patch == 0).all(axis=0).mean() for patch in patches]) for kind, patches in searches.items()
    }
    assert outside["border"] > 0.2 > outside[PLAIN]


def test_sequences_without_usable_boxes_are_skipped_and_refused_if_all_are(
    sequences: list[AnnotatedSequence], pipeline: Pipeline
) -> None:
    nowhere = replace(sequences[0], name="Nowhere", boxes=np.full_like(sequences[0].boxes, np.nan))
    tiny = replace(sequences[0], name="Tiny", boxes=sequences[0].boxes * [1, 1, 0.01, 0.01])
    views = collect([nowhere, sequences[1], tiny], pipeline, 5)
    assert len(views) == 5
    with pytest.raises(
        SequenceError, match="no usable box in Nowhere, Tiny: a target of at least 3 px is needed in several frames"
    ):
        collect([nowhere, tiny], pipeline, 5)


def test_ranges_match_the_activations(sequences: list[AnnotatedSequence], pipeline: Pipeline) -> None:
    patches, model = collect(sequences, pipeline, 20).search, load_model("dcfnet")
    ranges = {method: measure_ranges(model, patches, method) for method in METHODS}
    extremes = measured(model.onnx, patches)
    assert list(ranges["minmax"].tensors) == list(extremes.tensors)
    for name, ends in extremes.tensors.items():
        np.testing.assert_allclose(ranges["minmax"].tensors[name], ends, rtol=1e-4, atol=1e-4)
        low, high = ranges["percentile"].tensors[name]
        width = (ends[1] - ends[0]) / 100
        assert ends[0] - width <= low < high <= ends[1] + width
    assert all(measurement.tensors["relu0"][0] == 0 for measurement in ranges.values())
    assert ranges["percentile"].tensors["conv1"][1] < 0.95 * extremes.tensors["conv1"][1]
    assert (ranges["entropy"].weights_sha256, ranges["entropy"].patches) == (model.weights_sha256, 20)
    with pytest.raises(ConfigError, match="no method 'mean'; there are minmax, percentile, entropy"):
        measure_ranges(model, patches, "mean")


@pytest.mark.parametrize("form", FORMS)
def test_the_cost_of_layers_matches_their_int8_files(
    sequences: list[AnnotatedSequence], pipeline: Pipeline, form: str
) -> None:
    model, measured_views = load_model("dcfnet"), collect(sequences, pipeline, 16)
    ranges, views = (
        measure_ranges(model, measured_views.search, "minmax"),
        collect(sequences, pipeline, 12, held_out=True),
    )
    calls: list[None] = []
    costs = layer_costs(model, ranges, views, pipeline, form, lambda: calls.append(None))
    assert [cost.layers for cost in costs] == [("conv0",), ("conv1",), ("conv0", "conv1")]
    assert len(calls) == 3
    for cost in costs:
        assert 0.001 < cost.error < 0.1
        assert cost.shifts.shape == (12,)
        assert np.median(cost.shifts) < 0.1
        size = len(quantise(model.onnx, ranges, cost.layers, form))
        assert cost.kilobytes == (len(model.onnx) - size) / 1024
    assert costs[2].error > max(costs[0].error, costs[1].error)


def cost(name: str, error: float, kilobytes: float) -> Cost:
    return Cost((name,), error, np.zeros(1), kilobytes)


@pytest.mark.parametrize(
    ("costs", "sensitive"),
    [
        # shares of squared errors 9/25 and 16/25, of bytes 1/10 and 9/10: 0.36 > 0.1, 0.64 < 0.9
        ([cost("conv0", 0.3, 1), cost("conv1", 0.4, 9)], ("conv0",)),
        ([cost("conv0", 0.1, 5), cost("conv1", 0.4, 5)], ("conv1",)),
        ([cost("conv0", 0.3, 5), cost("conv1", 0.3, 5)], ()),
        ([cost("conv0", 0.3, 5)], ()),  # a single convolution stays in int8
        # both forms count: 0.09 + 0.01 and 0.04 + 0.16, with equal bytes
        ([cost("conv0", 0.3, 5), cost("conv1", 0.2, 5), cost("conv0", 0.1, 5), cost("conv1", 0.4, 5)], ("conv1",)),
        ([cost("conv0", 0.3, 1), cost("conv1", 0.4, 9), Cost(("conv0", "conv1"), 9, np.zeros(1), 10)], ("conv0",)),
    ],
)
def test_a_convolution_is_sensitive_if_it_costs_more_than_it_saves(
    costs: list[Cost], sensitive: tuple[str, ...]
) -> None:
    assert most_sensitive(costs) == sensitive


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.exit_code, result.output


def test_the_command_writes_ranges_for_int8(footage: Path, tmp_path: Path) -> None:
    code, text = run("ranges", footage, "--patches", 12, "--preset", "fast", "--output", tmp_path / "r.json")
    assert code == 0, text
    ranges, content = Ranges.read(tmp_path / "r.json"), load_model("dcfnet").onnx
    assert (ranges.method, ranges.patches) == ("percentile", 12)
    assert set(ranges.sensitive) < {"conv0", "conv1"}
    assert f"mixed precision keeps out of int8: {', '.join(ranges.sensitive) or 'none'}" in text
    assert "12 patches of 3 sequences, percentile" in text
    for form in FORMS:
        assert len(quantise(content, ranges, ["conv0", "conv1"], form)) < 0.5 * len(content)
    (tmp_path / "int8.onnx").write_bytes(quantise(content, ranges, ["conv1"], "cpu"))
    code, text = run("ranges", footage, "--patches", 8, "--model", tmp_path / "int8.onnx", "--output", tmp_path / "x")
    assert code == 1
    assert "already has a lower precision; use the float32 model" in " ".join(text.split())
    (tmp_path / "folded.onnx").write_bytes(convert(load_model("dcfnet"), "fp32", "cpu", folded=["mean"]).onnx)
    code, text = run("ranges", footage, "--patches", 8, "--model", tmp_path / "folded.onnx", "--output", tmp_path / "x")
    assert code == 1
    assert "folded.onnx: mean folded into the graph; use a file without --fold" in " ".join(text.split())
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--method", "mean"], "no method 'mean'"),
        (["--sequences", "Z"], "no sequence Z"),
        (["--layout", "mine"], "no layout 'mine'"),
        (["--preset", "best"], "--preset best: "),
        (["--model", "none.onnx"], "none.onnx: no such file"),
        (["--model", "deep"], "deep.onnx: has 2 feature levels, and int8 supports one; use fp32 or fp16"),
    ],
)
def test_a_mistake_is_reported(footage: Path, tmp_path: Path, args: list[str], shown: str) -> None:
    code, text = run("ranges", footage, "--patches", 8, "--output", tmp_path / "r.json", *args)
    assert code == 1
    assert shown in text
    assert not (tmp_path / "r.json").exists()


def test_the_commands_load_no_torch() -> None:
    code = "import sys, dcfnet_calibration.cli; print('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "False"
