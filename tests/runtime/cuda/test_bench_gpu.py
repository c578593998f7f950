"""dcfnet-bench gpu on the stand-in, with a simulated clock: each copy, kernel and wait takes a fixed time."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dcfnet.backbones.loading import load_model
from dcfnet.config import PRESETS
from dcfnet.result import Box
from dcfnet_evaluation.bench.cli import app
from dcfnet_evaluation.bench.gpu.energy import meter
from dcfnet_evaluation.bench.gpu.roofline import Peak, Sizes, floor_ms, step
from dcfnet_evaluation.rendered import Clip, render_clip
from typer.testing import CliRunner

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.memory import Stream
from tests.runtime.cuda.standin import standin

UPLOAD, DOWNLOAD, KERNEL, WAIT = 3.0, 5.0, 1.0, 7.0  # ms


@pytest.fixture(scope="module")
def clip() -> Clip:
    return render_clip(length=5, width=240, height=180, occluder=False)


@pytest.fixture
def bench(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of `dcfnet-bench gpu` on the stand-in. Its attribute `clock.now` is the simulated time, ms."""
    module = importlib.import_module("dcfnet_evaluation.bench.gpu.speed")
    clock = SimpleNamespace(now=0.0)

    def taking(function: Any, duration: float) -> Any:
        def timed(*arguments: Any, **options: Any) -> Any:
            clock.now += duration
            return function(*arguments, **options)

        return timed

    class Event(type(fake.cuda.Event())):  # type: ignore[misc]
        def record(self) -> None:
            super().record()
            self.time = clock.now

    monkeypatch.setattr(fake.cuda, "Event", lambda **_: Event(fake.state.copies))
    monkeypatch.setattr(fake.cuda, "get_elapsed_time", lambda begin, end: end.time - begin.time)
    monkeypatch.setattr(fake.cuda.runtime, "memcpy2DAsync", taking(fake.cuda.runtime.memcpy2DAsync, UPLOAD))
    monkeypatch.setattr(fake.cuda.runtime, "memcpyAsync", taking(fake.cuda.runtime.memcpyAsync, DOWNLOAD))
    monkeypatch.setattr(fake, "asnumpy", taking(fake.asnumpy, DOWNLOAD))
    monkeypatch.setattr(Stream, "synchronize", taking(Stream.synchronize, WAIT))
    monkeypatch.setattr(module, "clock", clock, raising=False)
    device = sys.modules["dcfnet.devices.cuda.device"].CudaDevice
    monkeypatch.setattr(device, "launch_blocks", taking(device.launch_blocks, KERNEL))
    timing = importlib.import_module("dcfnet_evaluation.bench.gpu.timing")
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now / 1e3))
    monkeypatch.setattr(module, "Copies", timing.Copies, raising=False)
    return module


def swept(bench: Any, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
    """The rows of `sweep`."""
    return list(bench.sweep(*arguments, **options))


def medians(row: dict[str, Any], kind: str = "without_update") -> dict[str, float]:
    """Time -> median of one kind of frame, ms."""
    return {name: times["p50"] for name, times in row["ms"][kind].items()}


def test_an_update_is_split_into_the_times_of_trtexec(bench: Any, clip: Clip) -> None:
    """Without captures, so that every kernel is counted. Each search pass uploads the frame and the patch places."""
    row = swept(
        bench,
        clip,
        [bench.Load(1)],
        updates=6,
        warm_up=3,
        subject=bench.Subject(preset="fast", backend={"captures": False}),
    )[0]
    median = medians(row)
    assert median["d2h"] == DOWNLOAD
    assert median["h2d"] >= UPLOAD
    assert median["h2d"] % UPLOAD == 0
    assert median["host"] == pytest.approx(median["enqueue"] + DOWNLOAD)
    assert median["device"] == pytest.approx(median["h2d"] + median["compute"] + median["d2h"], abs=KERNEL * 20)
    assert median["compute"] >= 5 * KERNEL
    assert row["target_frames_per_ms"] == pytest.approx(1 / row["mean_ms"]["device"], abs=0.006)
    assert row["updates"] == 6


def test_enqueue_does_not_include_waits_of_the_host(bench: Any, clip: Clip) -> None:
    """With captures there is one wait, for the peaks. Their download is part of the graph."""
    (row,) = swept(bench, clip, [bench.Load(1)], updates=4, warm_up=3, subject=bench.Subject(preset="fast"))
    median = medians(row)
    assert median["d2h"] == 0
    assert median["host"] == pytest.approx(median["enqueue"] + WAIT)


def test_frames_on_the_device_are_not_uploaded(
    bench: Any, clip: Clip, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this test an upload takes 1 ms per byte."""
    real = fake.state.copies.memcpy2DAsync

    def taking_bytes(to: int, pitch: int, start: int, source_pitch: int, width: int, height: int, *rest: int) -> None:
        bench.clock.now += width * height
        real(to, pitch, start, source_pitch, width, height, *rest)

    monkeypatch.setattr(fake.cuda.runtime, "memcpy2DAsync", taking_bytes)
    loads = [bench.Load(1, 1, memory) for memory in ("host", "pinned", "device")]
    host, pinned, device = swept(bench, clip, loads, updates=4, warm_up=2, subject=bench.Subject(preset="fast"))
    assert medians(host)["h2d"] == medians(pinned)["h2d"] > medians(device)["h2d"]


def test_the_floor_is_computed_for_the_batch_and_the_device(bench: Any, clip: Clip) -> None:
    """The stand-in reports the clocks of an H100 and compute capability 8.6."""
    row = swept(bench, clip, [bench.Load(2, 3)], updates=2, warm_up=1, subject=bench.Subject(preset="fast"))[0]
    model = load_model("dcfnet")
    sizes, box = Sizes.of(model, model.preset("fast"), np.float16), clip.box(0)
    region = box.w * 3 * box.h * 3
    peak = Peak.of("8.6", 132, 1.98e9, 2.619e9, 5120)
    assert row["floor_ms"] == pytest.approx(floor_ms(step(sizes, 6, region), peak), abs=1e-5)
    assert row["measured_over_floor"] == pytest.approx(row["mean_ms"]["device"] / row["floor_ms"], rel=0.01)


def test_the_type_of_the_patches_can_be_chosen(bench: Any, clip: Clip) -> None:
    rows = []
    for patches, dtype in ((None, np.float16), ("float32", np.float32)):
        subject = bench.Subject(preset="fast", patches=patches)
        assert bench.started(clip, bench.Load(1), subject)._pipeline.patch_dtype == dtype
        rows += swept(bench, clip, [bench.Load(1)], updates=1, warm_up=1, subject=subject)
    assert rows[0]["floor_ms"] < rows[1]["floor_ms"]  # float16 patches have half as many bytes
    assert [row.get("patches") for row in rows] == [None, "float32"]


def test_a_device_that_does_not_report_its_clocks_has_no_floor(bench: Any, fake: Any, clip: Clip) -> None:
    fake.cuda.runtime.cudaDevAttrMemoryClockRate = 0
    row = swept(bench, clip, [bench.Load(1)], updates=1, warm_up=0, subject=bench.Subject(preset="fast"))[0]
    assert "floor_ms" not in row
    assert "error" not in row


def test_every_stream_has_the_requested_number_of_targets(bench: Any, clip: Clip) -> None:
    tracker = bench.started(clip, bench.Load(2, 3), bench.Subject(preset="fast"))
    assert sorted(tracker._state.source.tolist()) == [0, 0, 1, 1, 2, 2]
    assert len({tuple(centre) for centre in tracker._state.centre.tolist()}) == 2


def test_too_many_targets_for_the_frame_are_an_error_of_that_row(
    bench: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scene is grey except for one region with texture."""
    monkeypatch.setattr(bench, "TRIES", 2)
    scene = np.full((300, 400, 3), 90, np.uint8)
    scene[100:116, 200:216] = rng.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
    grey = Clip(3, lambda index: scene, lambda index: Box(200, 100, 16, 16))
    one, many = swept(bench, grey, [bench.Load(1), bench.Load(60)], updates=1, warm_up=0)
    assert "error" not in one
    pattern = r"60 targets: the frame has \d+ places with texture; use fewer targets"
    assert re.search(pattern, many["error"]), many["error"]


def test_frames_with_and_without_an_update_of_the_filter_are_timed_apart(bench: Any, clip: Clip) -> None:
    """One frame in four updates the filter of `fast`: more kernels. A median of all frames would not show it."""
    subject = bench.Subject(preset="fast", backend={"captures": False})
    (row,) = swept(bench, clip, [bench.Load(1)], updates=24, warm_up=2, subject=subject)
    plain, updating = medians(row), medians(row, "with_update")
    assert updating["device"] > plain["device"] + 5 * KERNEL
    assert plain["device"] < row["mean_ms"]["device"] < updating["device"]
    assert row["execution"] == "call by call"


def test_no_event_is_recorded_in_the_measured_time(bench: Any, fake: Any, clip: Clip, monkeypatch: Any) -> None:
    """The host's time is that of the tracker alone: here each event takes 100 ms of it."""
    real = fake.cuda.Event

    def slow(**options: Any) -> Any:
        event = real(**options)
        record = event.record

        def recorded() -> None:
            bench.clock.now += 100
            record()

        event.record = recorded
        return event

    (quick,) = swept(bench, clip, [bench.Load(1, 1, "device")], updates=8, warm_up=3)
    monkeypatch.setattr(fake.cuda, "Event", lambda disable_timing=False: (real if disable_timing else slow)())
    (row,) = swept(bench, clip, [bench.Load(1, 1, "device")], updates=8, warm_up=3)
    assert medians(row)["host"] == medians(quick)["host"] < 100


def test_the_methods_of_the_device_are_restored_after_an_error(
    bench: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = bench.started(clip, bench.Load(1))._pipeline.backend._device
    with pytest.raises(RuntimeError), bench.Copies(device).watched():
        raise RuntimeError
    assert "upload" not in vars(device)


def test_a_load_that_exceeds_the_memory_does_not_stop_the_others(
    host_kernels: HostKernels, use_cupy: Any, clip: Clip
) -> None:
    use_cupy(standin(host_kernels, memory=30_000_000))
    bench = importlib.import_module("dcfnet_evaluation.bench.gpu.speed")
    rows = swept(bench, clip, [bench.Load(1), bench.Load(64)], updates=1, warm_up=0)
    assert rows[0]["mean_ms"]["device"] == 2.0
    assert "no memory left" in rows[1]["error"]


class Nvml(SimpleNamespace):
    """Replaces pynvml. The counter grows by 1.5 J per reading and fails after two readings."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__(readings=0)

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's name
        pass

    def nvmlDeviceGetHandleByPciBusId(self, bus: bytes) -> bytes:  # noqa: N802
        assert bus == b"0000:01:00.0"
        return bus

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: bytes) -> int:  # noqa: N802
        self.readings += 1
        if self.readings > 2:
            raise self.NVMLError("Not Supported")
        return 10_000 + 1_500 * self.readings


def test_energy_is_reported_if_nvml_has_a_counter(bench: Any, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    loads = [bench.Load(2), bench.Load(2)]
    with_energy, without = swept(bench, clip, loads, updates=5, warm_up=1, subject=bench.Subject(preset="fast"))
    assert with_energy["millijoules_per_target_frame"] == 150.0  # 1.5 J for 5 updates of 2 targets
    assert "millijoules_per_target_frame" not in without


def test_energy_is_not_reported_without_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert meter("0000:01:00.0")() is None


def test_the_command_writes_a_row_for_every_load(fake: Any, tmp_path: Path) -> None:
    file = tmp_path / "new" / "gpu.json"
    options = ["--targets", "1,2", "--streams", "1,2", "--frames", "host,device", "--size", "160x120"]
    options += ["--updates", "1", "--warm-up", "0", "--output", str(file)]
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["gpu", *options])
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["preset"] in PRESETS
    loads = [(row["targets"], row["streams"], row["memory"]) for row in report["rows"]]
    assert loads == [(t, s, m) for t in (1, 2) for s in (1, 2) for m in ("host", "device")]
    assert {"host", "enqueue", "device", "h2d", "compute", "d2h"} == set(report["rows"][0]["mean_ms"])
    assert "x floor" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", "disk"], "--frames disk: must be among host, pinned, device"),
        (["--targets", "0"], "--targets 0: must be whole numbers of at least 1"),
        (["--targets", "many"], "--targets many: give whole numbers, separated by commas"),
        (["--size", "native"], "--size native: rendered frames have no native size; give WIDTHxHEIGHT"),
    ],
)
def test_invalid_options_are_an_error(fake: Any, tmp_path: Path, options: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["gpu", *options, "--output", str(tmp_path / "gpu.json")])
    assert result.exit_code == 1
    assert f"dcfnet-bench: {message}" in result.output
    assert not list(tmp_path.iterdir())


def test_a_missing_gpu_is_an_error(fake: Any, tmp_path: Path) -> None:
    fake.cuda.runtime.getDeviceCount = lambda: 0
    result = CliRunner().invoke(app, ["gpu", "--output", str(tmp_path / "gpu.json")])
    assert result.exit_code == 1
    assert "dcfnet-bench: there is no GPU, or CUDA_VISIBLE_DEVICES hides it; use device='cpu'" in result.output


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["gpu"], indirect=True)
def test_the_times_of_a_gpu_are_consistent(place: str, clip: Clip) -> None:
    bench = importlib.import_module("dcfnet_evaluation.bench.gpu.speed")
    loads = [bench.Load(targets, 1, memory) for targets in (1, 16) for memory in ("host", "pinned", "device")]
    for row in swept(bench, clip, loads, updates=30, warm_up=10):
        assert "error" not in row
        median = medians(row)
        assert 0 < median["enqueue"] < median["host"]
        assert 0 < median["d2h"] < median["device"]
        assert 0 < median["h2d"] < median["device"]
        assert row.get("measured_over_floor", 2) > 1
