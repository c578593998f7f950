"""The kernels of places and decisions against `step` on the host, to the bit, with scripted peaks and grey levels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dcfnet
import numpy as np
import pytest
from dcfnet.devices.cuda.frame import PLACE, CudaFrame
from dcfnet.devices.cuda.kernels.decisions import GRID_SIDE
from dcfnet.devices.cuda.kernels.program import DECISIONS
from dcfnet.devices.cuda.kernels.sections import Sections
from dcfnet.devices.cuda.sampling import GRID, patch_places, texture_grids
from dcfnet.devices.records import HOST, OUTCOME, REPEAT, SEARCH, SECOND, TARGET, UPDATE, VIEW, VIEW_SIDE, Targets
from dcfnet.filter.response import Peak
from dcfnet.io.texture import COARSE_SAMPLES, FLAT_RANGE, Texture, mean_levels
from dcfnet.model.confidence import Confidence
from dcfnet.result import Reason, Result, Status
from dcfnet.tracking import light, rotation
from dcfnet.tracking.geometry import size_limits, to_centre_grid
from dcfnet.tracking.pipeline import Pipeline
from dcfnet.tracking.redetection import first_filter, present_filter, searches
from dcfnet.tracking.state import TrackState
from dcfnet.tracking.status import decided_results
from dcfnet.tracking.steps import step

from tests.runtime.cuda.host import HostKernels
from tests.runtime.cuda.standin import ndarray

TARGETS, FRAMES = 250, 8
CONFIGS: dict[str, dict[str, Any]] = {
    "balanced": {"preset": "balanced"},
    "fast": {"preset": "fast"},
    "occlusions": {"config": {"min_strength": 0.3, "lost_after": 2, "lost_confidence": 0.9}},
    "whole frame": {"config": {"min_strength": 0.3, "redetection_patches": 2, "lost_after": 3, "lost_confidence": 0.6}},
    "turns": {"config": {"rotation_step": 10.0}},
    "no redetection": {"config": {"redetection_rings": 0, "scales": 5, "squareness": 0.0}},
    "one patch": {"config": {"margin": 8, "update_interval": 1, "squareness": 1.0, "second_pass_distance": 0.1}},
}


UNSEEN = {Reason.LOW_PSR, Reason.UNLIKE, Reason.OCCLUDED, Reason.OUT_OF_VIEW}


@dataclass
class Script:
    """What each search of each target returns: peaks (passes, N, 7), and levels int32 (N, 3, 3) as of `extremes`.

    places: of each call of `detect` and `update`, with the rows of its targets. by_host: rows that the host searched
    in another light, at other angles or at other positions.
    """

    peaks: np.ndarray
    levels: np.ndarray
    searches: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    updates: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    by_host: set[int] = field(default_factory=set)
    calls: np.ndarray = field(default_factory=lambda: np.zeros(TARGETS, int))


@dataclass(frozen=True)
class ScriptedFilters:
    """Replaces filters: their searches return the peaks of the script."""

    script: Script
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Any) -> ScriptedFilters:
        return ScriptedFilters(self.script, self.rows[rows])

    def put(self, rows: Any, part: Any) -> ScriptedFilters:
        return self

    def decide(self, *_: Any) -> None: ...

    def detect(self, programs: Any, places: Any) -> Any:
        self.script.searches.append((self.rows, places))
        peaks = self.script.peaks[self.script.calls[self.rows].clip(0, 1), self.rows]
        self.script.calls[self.rows] += 1

        def read(rows: Any = None) -> Any:
            part = peaks if rows is None else peaks[rows]
            return part[:, 0].astype(np.intp), Peak(part[:, 1:3], *part[:, 3:].T)

        return read

    def update(self, programs: Any, places: Any) -> ScriptedFilters:
        self.script.updates.append((self.rows, places))
        return self


class ScriptedBackend:
    """Replaces a backend: the texture of all targets is that of the script."""

    name = "scripted"

    def __init__(self) -> None:
        self.script: Any = None

    def frame(self, given: Any) -> Any:
        return given

    def check_texture(self, frames: Any, sources: Any, centres: Any, regions: Any) -> Any:
        low, high, sums = np.moveaxis(self.script.levels, 1, 0)
        shown = [frames[source] for source in sources]
        colours = np.array([min(frame.channels, 3) for frame in shown])
        black = np.array([frame.colours.black for frame in shown])
        self.script.grids = texture_grids(frames, sources, centres, regions)
        levels = mean_levels(sums.sum(axis=1), colours, black)
        return lambda: Texture((high - low).max(axis=1) > FLAT_RANGE, levels)

    def patch_places(self, *arguments: Any) -> Any:
        return patch_places(*arguments)

    def read_pixels(self, frame: Any, rows: slice, columns: slice) -> Any:
        return frame.pixels._values[rows, columns]


def frames_of(rng: np.random.Generator) -> list[CudaFrame]:
    """A colour frame of another scene in each call, and a noisy NV12 frame, whose grey levels begin at 16."""
    colour = np.repeat(np.repeat(rng.integers(0, 256, (8, 8, 3), np.uint8), 60, axis=0), 80, axis=1)
    luma, chroma = rng.integers(0, 256, (720, 1280), np.uint8), np.empty((360, 640, 2), np.uint8)
    nv12 = dcfnet.Nv12(luma, chroma.reshape(360, 1280))
    return [
        CudaFrame(ndarray(colour)),
        CudaFrame(ndarray(luma), None, ndarray(chroma), nv12.colours),
    ]


def initial_targets(rng: np.random.Generator, pipeline: Pipeline, frames: list[CudaFrame]) -> np.ndarray:
    targets = np.zeros(TARGETS, TARGET)
    source = rng.integers(0, 2, TARGETS)
    size, frame_size = np.exp(rng.uniform(1.2, 5.5, (TARGETS, 2))), np.array([f.shape[1::-1] for f in frames])[source]
    targets["centre"] = targets["confident_centre"] = to_centre_grid(rng.uniform(0, 1, (TARGETS, 2)) * (frame_size - 1))
    for name in ("size", "initial_size", "confident_size"):
        targets[name] = size
    targets["frame_size"], targets["source"], targets["light"] = frame_size, source, 1
    targets["size_limits"] = size_limits(size, frame_size.astype(float), pipeline.config.scale_limits())
    targets["size_limits"][::4] = 0.98, 1.01  # these targets reach a limit
    targets["updates"], targets["level"] = rng.integers(0, 4, TARGETS), rng.choice([0, 100], TARGETS)
    targets["doubtful_frames"] = rng.integers(0, 8, TARGETS) if pipeline.confidence else 0
    if pipeline.config.searches_whole_frame():
        targets["positions_searched"] = rng.integers(0, 3, TARGETS)
        targets["candidate_frames"] = np.where(targets["positions_searched"], rng.integers(0, 2, TARGETS), 0)
    return targets


def scripted(rng: np.random.Generator, scales: int) -> Script:
    """Mostly small moves with clear peaks."""
    peaks = np.empty((2, TARGETS, 7))
    peaks[..., 0] = rng.integers(0, scales, (2, TARGETS))
    peaks[..., 1:3] = rng.normal(0, 2.5, (2, TARGETS, 2)) * rng.choice([1, 6], (2, TARGETS, 1), p=[0.9, 0.1])
    peaks[..., 3] = rng.choice([0.6, 0.2, 0.03, 0], (2, TARGETS), p=[0.8, 0.1, 0.08, 0.02]) * rng.uniform(
        0.8, 1.2, TARGETS
    )
    peaks[..., 4] = rng.choice([12, 6.2, 4, 0], (2, TARGETS), p=[0.8, 0.1, 0.08, 0.02]) * rng.uniform(0.9, 1.1, TARGETS)
    peaks[..., 5] = rng.uniform(10, 50, (2, TARGETS))
    peaks[..., 6] = rng.choice([0.5, 0.05, -0.1], (2, TARGETS), p=[0.8, 0.15, 0.05]) * rng.uniform(0.8, 1.2, TARGETS)
    levels = np.empty((TARGETS, 3, 3), np.int32)
    levels[:, 0] = rng.integers(0, 60, (TARGETS, 3))
    levels[:, 1] = levels[:, 0] + rng.choice([3, 8, 9, 90], (TARGETS, 1), p=[0.02, 0.02, 0.06, 0.9])
    brightness = rng.choice([100, 20, 8], (TARGETS, 1), p=[0.85, 0.1, 0.05]) + rng.integers(-5, 5, (TARGETS, 3))
    levels[:, 2] = COARSE_SAMPLES**2 * brightness
    return Script(peaks, levels)


@dataclass
class Device:
    """The kernels on the host, for TARGETS targets."""

    kernels: HostKernels
    pipeline: Pipeline
    grids: Any = None

    def run(self, frames: list[CudaFrame], targets: np.ndarray, before: np.ndarray, script: Script, turn: int) -> Any:
        """One search pass: the places (N, P), and the sections that `decide` wrote."""
        sections, count = Sections.searched(len(targets), self.pipeline.patches_per_target), len(targets)
        buffer, found = np.zeros(sections.nbytes, np.uint8), np.zeros(Sections.found(count).nbytes, np.uint8)
        given, rules = sections.records(buffer), self.pipeline.rules.view(np.uint8)
        given["places"][:, 0] = np.concatenate([frames[index].place for index in targets["source"]])
        given["targets"][:], given["before"][:] = targets, before
        self.grids, levels = np.zeros(count, GRID), np.zeros((count, 3, 3), np.int32)
        raw, results, number = sections.of(buffer), Sections.found(count).of(found), np.int32(count)
        inputs = (rules, raw["targets"], raw["before"], raw["places"])
        self.kernels.launch("place_searches", 1, count, (*inputs, self.grids.view(np.uint8), levels, number))
        np.testing.assert_array_equal(levels, np.tile([[[255], [0], [0]]], (count, 1, 3)))
        outputs = (results["targets"], results["outcomes"], results["updates"], number)
        views = np.zeros((count, VIEW_SIDE**2), np.uint8)
        patches = np.int32(self.pipeline.patches_per_target)
        read = (raw["before"], raw["places"], views, patches, number)
        self.kernels.launch("read_views", count, VIEW_SIDE**2, read)
        peaks = np.ascontiguousarray(script.peaks[turn])
        self.kernels.launch("decide", 1, count, (*inputs, script.levels, peaks, views, *outputs))
        return given["places"], Sections.found(count).records(found)


@pytest.fixture(params=CONFIGS)
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    """The pipeline of a CPU on a scripted backend. All have a fit for the confidence, except for `fast`."""
    tracker = dcfnet.Tracker("dcfnet", device="cpu", **CONFIGS[request.param])
    weights = {"likeness": 1.0, "log_likeness": 0.7, "peak": 3.0, "log_psr": 1.5, "log_typical": 0.6}
    confidence = None if request.param == "fast" else Confidence(-2.0, weights)
    return dataclasses.replace(tracker._pipeline, backend=ScriptedBackend(), confidence=confidence)  # type: ignore[arg-type]


@pytest.fixture
def device(host_kernels: HostKernels, pipeline: Pipeline) -> Device:
    return Device(host_kernels.program(DECISIONS.source(), DECISIONS.options()), pipeline)


def places_equal(found: np.ndarray, expected: np.ndarray) -> None:
    for name in PLACE.names or ():
        np.testing.assert_array_equal(found[name].reshape(-1), expected[name].reshape(-1), name)


def on_host(pipeline: Pipeline, state: TrackState, frames: Any, script: Script) -> tuple[TrackState, list[Result]]:
    """`step` with the script. The searches of light.py, rotation.py and redetection are marked."""

    def with_present_filters(pipeline: Any, state: TrackState, *rest: Any) -> TrackState:
        return state

    def marked(real: Any) -> Any:
        def search(pipeline: Any, state: TrackState, *rest: Any) -> Any:
            script.by_host.update(state.filters.rows.tolist())  # type: ignore[attr-defined]
            return real(pipeline, state, *rest)

        return search

    with pytest.MonkeyPatch.context() as patch:
        for module in (light, rotation, present_filter, searches):
            patch.setattr(module, "search", marked(module.search))  # type: ignore[attr-defined]
        patch.setattr(first_filter, "as_sure", lambda state: state)
        patch.setattr(first_filter, "learnt_anew", with_present_filters)
        pipeline.backend.script = script  # type: ignore[attr-defined]
        return step(pipeline, state, frames)


def compare(result: Result, expected: Result) -> None:
    """All to the bit, except for the confidence, whose logarithms differ between NumPy and C."""
    if expected.confidence is None:
        assert result.confidence is None
    else:
        assert result.confidence == pytest.approx(expected.confidence, rel=1e-12, abs=1e-15)
    assert dataclasses.replace(result, confidence=None) == dataclasses.replace(expected, confidence=None)


def state_of(targets: Targets, filters: Any) -> TrackState:
    return TrackState(targets, filters, np.zeros((len(targets), 0, 0), np.uint8))


def both_passes(device: Device, frames: Any, targets: np.ndarray, before: np.ndarray, script: Script) -> Any:
    """What `Sections.found` has after both passes, the rows of a second pass, and the places of their patches."""
    places, found = device.run(frames, targets, before, script, 0)
    places_equal(places, script.searches[0][1])
    np.testing.assert_array_equal(device.grids, script.grids)  # type: ignore[attr-defined]
    sections = {name: found[name].copy() for name in ("targets", "outcomes", "updates")}
    first = sections["outcomes"].copy()
    far = np.flatnonzero(first["flags"] == SECOND)
    first["flags"] = np.where(first["flags"] == SECOND, before["flags"] | SECOND, 0)
    places, found = device.run(frames, targets, first, script, 1)
    for name, values in sections.items():
        values[far] = found[name][far]
    return sections.values(), far, places[far]


def test_decisions_equal_those_of_the_host(device: Device, pipeline: Pipeline, rng: np.random.Generator) -> None:
    """Targets with their own histories. If the host must decide about a target, its result is the next state."""
    frames, scales, seen, second_passes, learnt, by_host = frames_of(rng), len(pipeline.scales), set(), 0, 0, 0
    whole_frame = pipeline.config.searches_whole_frame()
    targets, numbers = initial_targets(rng, pipeline, frames), np.arange(TARGETS)
    before = np.zeros(TARGETS, OUTCOME)
    before["flags"] = SEARCH | VIEW if whole_frame else SEARCH
    for turn in range(FRAMES):
        frames = frames_of(rng) if turn % 3 == 2 else frames
        script = scripted(rng, scales)
        state, results = on_host(pipeline, state_of(targets, ScriptedFilters(script, numbers)), frames, script)
        (after, outcomes, updates), far, places = both_passes(device, frames, targets, before, script)
        decided = outcomes["flags"] & HOST == 0
        left = set(numbers[~decided].tolist())
        assert script.by_host <= left
        # The host also looks for a cut in the first frame without the target.
        assert all(whole_frame and results[row].reason in UNSEEN for row in left - script.by_host)
        same = np.isin(far, numbers[decided])
        expected = {
            row: part
            for rows, every in script.searches[1:]
            for row, part in zip(rows, every.reshape(len(rows), -1), strict=True)
        }
        places_equal(
            places[same], np.array([expected[row] for row in far[same]]).reshape(-1) if same.any() else places[same]
        )
        for name in TARGET.names or ():
            np.testing.assert_array_equal(after[name][decided], state.targets[name][decided], name)
        largest = pipeline.largest_regions(after["size"][decided])
        np.testing.assert_array_equal(outcomes["reach"][decided], largest)
        for row, result in enumerate(decided_results(outcomes, with_confidence=pipeline.confidence is not None)):
            if decided[row]:
                compare(result, results[row])
                seen.add((result.status, result.reason))
        wanted = np.flatnonzero(outcomes["flags"] & UPDATE)
        rows, template = script.updates[0] if script.updates else (wanted[:0], updates[:0])
        mine = np.isin(rows, numbers[decided])
        np.testing.assert_array_equal(wanted, rows[mine])
        places_equal(updates[wanted], template[mine])
        second_passes, learnt, by_host = second_passes + same.sum(), learnt + len(wanted), by_host + len(script.by_host)
        targets = np.where(decided, after, state.targets)
        for name in ("angle", "turn_side", "turn_frames"):  # frames with a target that turns do not get to the kernels
            targets[name] = 0
    assert min(second_passes, learnt, by_host) > TARGETS // 50
    assert not whole_frame or np.all([targets[name].any() for name in ("view", "sure_response")])
    usual = {Reason.FOUND, Reason.LOW_PSR, Reason.OUT_OF_VIEW, Reason.UNLIKE, Reason.NO_TEXTURE, Reason.SCALE_LIMIT}
    assert (Status.LOST, Reason.LOW_CONFIDENCE) in seen or pipeline.config.lost_after > 2
    unsure = set() if pipeline.confidence is None else {Reason.LOW_CONFIDENCE}
    covered = {Reason.OCCLUDED} if pipeline.config.min_strength else set()
    by_host_alone = {Reason.UNLIKE, Reason.OCCLUDED} if whole_frame else set()
    by_host_alone |= {Reason.UNLIKE} if pipeline.config.rotation_step else set()  # its peak is weak
    assert {reason for _, reason in seen} == (usual | unsure | covered) - by_host_alone


@pytest.mark.parametrize("pipeline", ["balanced"], indirect=True)
def test_a_frame_of_another_size_and_a_tiny_target_are_left_to_the_host(
    device: Device, pipeline: Pipeline, rng: np.random.Generator
) -> None:
    frames = frames_of(rng)
    targets, before = initial_targets(rng, pipeline, frames)[:4], np.zeros(4, OUTCOME)
    targets["source"], targets["frame_size"], before["flags"] = 0, (640, 480), SEARCH
    targets["frame_size"][1, 0] += 1
    targets["size"][2] = (2.5, 20)
    script = scripted(rng, len(pipeline.scales))
    script = SimpleNamespace(peaks=script.peaks[:, :4], levels=script.levels[:4])  # type: ignore[assignment]
    found = device.run(frames, targets, before, script, 0)[1]
    assert ((found["outcomes"]["flags"] == REPEAT) == [False, True, True, False]).all()
    np.testing.assert_array_equal(found["targets"][1:3], targets[1:3])
    assert not found["updates"][1:3].view(np.uint8).any()


def test_the_grid_of_a_texture_check_has_room(rng: np.random.Generator) -> None:
    frame = CudaFrame(ndarray(np.empty((1080, 1920, 3), np.uint8)))
    regions = rng.uniform(1, 400, (4000, 2))
    grids = texture_grids([frame], np.zeros(4000, int), rng.uniform(0, 1000, (4000, 2)), regions)
    assert max(grids["columns"].max(), grids["rows"].max()) == GRID_SIDE
