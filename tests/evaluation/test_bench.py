"""The benchmark: which work is timed, which updates count, and the values computed from them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dcfnet.config import TrackerConfig
from dcfnet.errors import ConfigError, InvalidBoxError
from dcfnet.result import Box
from dcfnet.tracker import MultiTracker, Tracker
from dcfnet_evaluation.bench.times import footage as footage_module
from dcfnet_evaluation.bench.times.cold_start import arguments_of, cold_starts, seconds_to_first_box
from dcfnet_evaluation.bench.times.contestants import BenchTracker, open_for_bench, open_multi
from dcfnet_evaluation.bench.times.figures import Interval, Spread, figures_of
from dcfnet_evaluation.bench.times.footage import Footage, decode, rendered_sequences, resized, size_of
from dcfnet_evaluation.bench.times.kinds import kinds_of
from dcfnet_evaluation.bench.times.laps import TimedPasses, time_trackers
from dcfnet_evaluation.bench.times.measure import BenchSettings, measure, reference_of, steps
from dcfnet_evaluation.bench.times.targets import (
    TargetsRun,
    parse_target_counts,
    spread_boxes,
    target_costs,
    time_targets,
)
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.selection import dcfnet_contenders
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_evaluation.trackers.contenders import Dcfnet, Python

from tests.evaluation.doubles import Failing, Identity, Vandal
from tests.train.footage import make_otb_sequence


@pytest.fixture
def sequence(dataset: Path) -> AnnotatedSequence:
    return read_otb(dataset / "Alpha")


@dataclass
class FakeClock:
    """A clock that advances only in trackers. log: names of the trackers in the order of their passes."""

    now: float = 0.0
    log: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now


class Worker(Identity):
    """Needs `init` seconds for init and `seconds[i]` for update i; the list repeats."""

    def __init__(self, name: str, clock: FakeClock, *seconds: float, init: float = 1.0) -> None:
        self.name, self.clock, self.seconds, self.first = name, clock, seconds, init

    def init(self, frame: np.ndarray, box: Box) -> None:
        super().init(frame, box)
        self.updates = 0
        self.clock.log.append(self.name)
        self.clock.now += self.first

    def update(self, frame: np.ndarray) -> Box:
        self.clock.now += self.seconds[self.updates % len(self.seconds)]
        self.updates += 1
        return self.box


def flat_footage(frames: int, name: str = "flat") -> Footage:
    return Footage(
        name, [np.full((48, 64, 3), i, np.uint8) for i in range(frames)], np.tile([20.0, 10, 8, 6], (frames, 1))
    )


def pass_of(statuses: str, psr: list[float] | None = None, seconds: list[float] | None = None) -> Pass:
    """A pass with the statuses "t" (tracked) or "l" (lost); the first letter is that of the first frame."""
    count = len(statuses)
    words = tuple({"t": "tracked", "l": "lost"}[letter] for letter in statuses)
    return Pass(
        0, np.ones((count, 4)), words, np.array(psr or [9.0] * count), np.array(seconds or [1.0] * count), (), {}
    )


def test_percentiles_are_over_the_updates_that_ran() -> None:
    seconds = np.random.default_rng(1).gamma(2, 0.01, 500)
    spread = Spread.of(np.concatenate([seconds, np.zeros(7)]))  # updates after an exception do not run
    ordered = np.sort(seconds) * 1000
    assert spread.updates == 500
    assert spread.max == ordered[-1]
    assert spread.p50 == pytest.approx((ordered[249] + ordered[250]) / 2)
    for per_cent, value in ((90, spread.p90), (99, spread.p99), (99.9, spread.p999)):
        place = per_cent / 100 * 499
        below = int(place)
        assert value == pytest.approx(ordered[below] + (place - below) * (ordered[below + 1] - ordered[below]))
    assert spread.tail == pytest.approx(spread.p99 / spread.p50)
    assert spread.mean == pytest.approx(ordered.mean())
    assert Spread.of(np.zeros(3)) == Spread(0, *[0.0] * 7)


def test_the_interval_is_of_the_median() -> None:
    assert Interval.of([1.5]) == Interval(1.5, 1.5, 1.5)
    interval = Interval.of([1.0, 1.1, 0.9, 5.0, 1.05, 0.95])
    assert interval.median == pytest.approx(1.025)
    assert 0.9 <= interval.low < 1.025 < interval.high <= 5
    assert interval == Interval.of([1.0, 1.1, 0.9, 5.0, 1.05, 0.95])  # the bootstrap is reproducible


def test_only_updates_after_the_warm_up_count() -> None:
    clock = FakeClock()
    worker = Worker("a", clock, 5.0, 5.0, *[0.25] * 7, init=2.0)
    timed_passes = time_trackers([BenchTracker("a", worker)], flat_footage(10), 0, repeats=2, warm_up=2, clock=clock)[
        "a"
    ]
    figures = figures_of({"flat": timed_passes})
    assert figures.spread == Spread(14, *[250.0] * 6, 1.0)
    assert (figures.fps, figures.init) == (4.0, 2000.0)
    assert figures.sequences["flat"].fps == 4.0
    assert figures.kinds == {}
    assert time_trackers([BenchTracker("a", worker)], flat_footage(3), 0, repeats=1, warm_up=1)["a"].passes[
        0
    ].seconds.shape == (3,)


def test_the_order_of_trackers_rotates() -> None:
    clock = FakeClock()
    trackers = [BenchTracker(name, Worker(name, clock, 1.0)) for name in "abc"]
    for turn in range(2):
        time_trackers(trackers, flat_footage(4), turn, repeats=2, warm_up=0, clock=clock)
    assert "".join(clock.log) == "abc" + "bca" + "cab" + "abc"


def test_stages_are_measured_in_additional_passes() -> None:
    clock = FakeClock()

    class Clocked(Worker):
        def stages(self, frames: int) -> dict[str, np.ndarray]:
            return {"crop": np.r_[9.0, 9.0, np.full(frames - 2, 0.5)]}

    trackers = [
        BenchTracker("a", Worker("a", clock, 1.0), Clocked("clocked", clock, 7.0)),
        BenchTracker("b", Identity()),
    ]
    timed_passes = time_trackers(trackers, flat_footage(5), 0, repeats=2, warm_up=1, clock=clock)
    assert clock.log == ["a", "a", "clocked"]
    figures = figures_of({"flat": timed_passes["a"]})
    assert figures.stages == {"crop": 500.0}
    assert figures.spread.max == 1000.0
    assert figures_of({"flat": timed_passes["b"]}).stages == {}
    bare = time_trackers(trackers, flat_footage(5), 0, repeats=1, warm_up=1, stages=False, clock=clock)
    assert bare["a"].clocked is None


def test_all_frames_are_decoded_before_any_tracker_runs(sequence: AnnotatedSequence) -> None:
    log: list[str] = []

    class LoggingFrames:
        def __init__(self, frames: object) -> None:
            self.frames = frames

        def __len__(self) -> int:
            return 12

        def size(self) -> int:
            return 0

        def read(self, index: int) -> np.ndarray:
            log.append("decode")
            return sequence.read(index)

    clock = FakeClock(log=log)
    logged = AnnotatedSequence("logged", LoggingFrames(sequence.frames), sequence.boxes)
    time_trackers([BenchTracker("a", Worker("a", clock, 1.0))], decode(logged, 5), 0, repeats=2, warm_up=1, clock=clock)
    assert log == ["decode"] * 5 + ["a", "a"]


def test_a_tracker_that_writes_into_its_frame_does_not_change_it_for_others() -> None:
    footage = flat_footage(4)
    time_trackers([BenchTracker("vandal", Vandal())], footage, 0, repeats=1, warm_up=0)
    assert [int(frame[0, 0, 0]) for frame in footage.frames] == [0, 1, 2, 3]


def test_frames_and_boxes_are_resized(sequence: AnnotatedSequence) -> None:
    resized_sequence = resized(sequence, (640, 120))
    footage = decode(resized_sequence, 3)
    assert {frame.shape for frame in footage.frames} == {(120, 640, 3)}
    np.testing.assert_allclose(footage.boxes, sequence.boxes[:3] * [2, 0.5, 2, 0.5])
    assert footage.start.box == Box(*resized_sequence.boxes[0])
    assert resized(sequence, None) is sequence
    assert (
        pickle.loads(pickle.dumps(resized_sequence)).read(2).tobytes() == footage.frames[2].tobytes()
    )  # the memory measurement runs in another process
    assert resized_sequence.frames.size() == sequence.frames.size()


def test_resized_boxes_are_on_the_target(sequence: AnnotatedSequence) -> None:
    """Oracle: template matching finds the pixels of the target in the resized frame."""
    import cv2

    x, y, w, h = np.round(sequence.boxes[0]).astype(int)
    target = sequence.read(0)[y : y + h, x : x + w]
    resized_sequence = resized(sequence, (640, 480))
    match = cv2.matchTemplate(resized_sequence.read(0), cv2.resize(target, None, fx=2, fy=2), cv2.TM_CCOEFF_NORMED)
    _, _, _, place = cv2.minMaxLoc(match)
    np.testing.assert_allclose(place, resized_sequence.boxes[0, :2], atol=1.5)


@pytest.mark.parametrize("text", ["640", "x", "640x", "0x360", "640x360x3", "-640x360", "640*360", "9000x9000", ""])
def test_an_invalid_size_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be WIDTHxHEIGHT, .* for example 640x360, or native"):
        size_of(text)
    assert (size_of("640x360"), size_of("native")) == ((640, 360), None)


def test_too_many_frames_for_the_memory_limit_are_an_error(
    sequence: AnnotatedSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footage_module, "MOST_BYTES", 1_000_000)
    with pytest.raises(
        SequenceError, match=r"Alpha: 12 frames of 320 x 240 px are 0\.0 GB decoded; the limit is 0\.0 GB; use --limit"
    ):
        decode(sequence)
    assert len(decode(sequence, 3).frames) == 3


def test_a_sequence_shorter_than_the_warm_up_is_an_error() -> None:
    for frames, message in ((11, "at most --warm-up 9"), (1, "leave out the sequence")):
        with pytest.raises(
            SequenceError, match=f"flat: has {frames} frames, so no update is left after --warm-up 10; .*{message}"
        ):
            time_trackers([BenchTracker("a", Identity())], flat_footage(frames), 0, repeats=1, warm_up=10)


def test_rendered_clips_are_equal_after_pickling() -> None:
    first, second = rendered_sequences(2, 5)
    assert (first.name, second.name, len(first)) == ("clip0", "clip1", 5)
    again = pickle.loads(pickle.dumps(second))
    np.testing.assert_array_equal(again.read(4), second.read(4))
    assert not np.array_equal(first.read(4), second.read(4))
    assert first.frames.size() == 0


def test_kinds_follow_the_update_interval() -> None:
    one_pass = pass_of("t" * 9)
    interval_1 = kinds_of(TrackerConfig(), one_pass).tolist()
    assert interval_1 == ["lesson"] * 8
    interval_2 = kinds_of(TrackerConfig(update_interval=2), one_pass).tolist()
    assert interval_2 == ["no lesson", "lesson"] * 4
    interval_4 = kinds_of(TrackerConfig(update_interval=4), one_pass).tolist()
    assert interval_4 == ["no lesson", "no lesson", "no lesson", "lesson"] * 2


def test_lost_frames_have_no_update_and_rejected_frames_do_not_count() -> None:
    config = TrackerConfig(update_interval=2)
    assert kinds_of(config, pass_of("ttlt")).tolist() == ["no lesson", "no lesson", "no lesson"]
    rejected = kinds_of(config, pass_of("tltt", [9.0, 0.0, 9.0, 9.0])).tolist()
    assert rejected == ["rejected", "no lesson", "lesson"]


@pytest.mark.parametrize("second_pass_distance", [0.025, 0.25])
def test_kinds_match_the_work_of_the_pipeline(sequence: AnnotatedSequence, second_pass_distance: float) -> None:
    """Oracle: the number of patches that the backbone gets in each frame."""
    from dcfnet.io.frame import Frame

    from tests.conftest import make_raw_pipeline

    config = TrackerConfig(patch_size=64, update_interval=3, min_psr=0.0, second_pass_distance=second_pass_distance)
    patches: list[list[int]] = []
    pipeline = make_raw_pipeline(
        **{key: getattr(config, key) for key in ("update_interval", "min_psr", "second_pass_distance")}
    )

    def counting(batch: np.ndarray) -> np.ndarray:
        patches[-1].append(len(batch))
        return batch

    object.__setattr__(pipeline, "backbone", counting)

    class Counted(Identity):
        def init(self, frame: Frame, box: Box) -> None:
            patches.append([])
            self.tracker = Tracker.of(pipeline)
            self.tracker.init(frame, box)

        def update(self, frame: Frame) -> object:  # type: ignore[override]
            patches.append([])
            return self.tracker.update(frame)

    timed_passes = time_trackers(
        [BenchTracker("raw", Counted(), None, config)], decode(sequence), 0, repeats=1, warm_up=0
    )["raw"]
    expected = {"no lesson": [3], "lesson": [3, 1], "no lesson, two looks": [3, 3], "lesson, two looks": [3, 3, 1]}
    kinds = kinds_of(config, timed_passes.passes[0])
    assert patches[1:] == [expected[kind] for kind in kinds]
    assert ("two looks" in " ".join(kinds)) == (second_pass_distance < 0.1)


def test_figures_by_kind_exclude_the_warm_up() -> None:
    config = TrackerConfig(update_interval=2)
    timed_passes = TimedPasses([pass_of("t" * 7, seconds=[9, 9, 9, 3, 1, 3, 1])] * 2, 2, None, config)
    kinds = figures_of({"s": timed_passes}).kinds
    assert {kind: (spread.updates, spread.p50) for kind, spread in kinds.items()} == {
        "no lesson": (4, 3000.0),
        "lesson": (4, 1000.0),
    }


def test_fps_and_ratio_are_medians_over_sequences() -> None:
    def timed_passes(*seconds_by_sequence: float) -> dict[str, TimedPasses]:
        return {f"s{i}": TimedPasses([pass_of("ttt", seconds=[1, s, s])], 0) for i, s in enumerate(seconds_by_sequence)}

    reference = timed_passes(0.1, 0.1, 0.1)
    figures = figures_of(timed_passes(0.1, 0.05, 0.01), reference)
    assert figures.fps == pytest.approx(20)
    assert figures.ratio is not None
    assert figures.ratio.median == pytest.approx(2)
    assert figures.ratio.low == pytest.approx(1)
    assert figures_of(reference).ratio is None


class FakeMultiTracker:
    """Tracks many targets; an update needs `fixed` + n * `per_target` seconds. Places with x < sky have no texture."""

    def __init__(self, clock: FakeClock, fixed: float = 0.0, per_target: float = 1.0, sky: int = 0) -> None:
        self.clock, self.fixed, self.per_target, self.sky = clock, fixed, per_target, sky
        self.boxes: dict[int, Box] = {}
        self.counts: list[int] = []
        self.next = 0

    def add(self, frame: np.ndarray, box: Box) -> int:
        if box.x < self.sky:
            raise InvalidBoxError(f"{box}: flat")
        self.next += 1
        self.boxes[self.next] = box
        return self.next

    def remove(self, target: int) -> None:
        del self.boxes[target]

    def update(self, frame: np.ndarray) -> Mapping[int, SimpleNamespace]:
        self.counts.append(len(self.boxes))
        self.clock.now += self.fixed + self.per_target * len(self.boxes)
        return {i: SimpleNamespace(status="lost" if i % 2 else "tracked") for i in self.boxes}


def test_many_targets_are_timed_together_and_removed_again() -> None:
    clock = FakeClock()
    many = FakeMultiTracker(clock, fixed=6.0, per_target=2.0)
    targets_run = time_targets(many, flat_footage(12), 4, warm_up=3, clock=clock)
    assert targets_run == TargetsRun(14.0, 0.5)
    assert many.counts == [4] * 11
    assert not many.boxes


def test_places_without_texture_are_skipped() -> None:
    many = FakeMultiTracker(FakeClock(), sky=20)
    time_targets(many, flat_footage(4), 3, warm_up=1)
    assert many.counts == [3] * 3
    with pytest.raises(
        SequenceError, match="flat: the first frame has 0 places with texture for 2 targets; use fewer --targets"
    ):
        time_targets(FakeMultiTracker(FakeClock(), sky=1000), flat_footage(4), 2, warm_up=1)


def test_targets_are_spread_around_the_true_box() -> None:
    truth = Box(300, 170, 40, 30)
    boxes = list(spread_boxes(truth, (640, 360), 12))
    assert boxes[0] == truth
    assert len({tuple(box) for box in boxes}) == 12
    for box in boxes:
        assert box.size == truth.size
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.w <= 640
        assert box.y + box.h <= 360
    assert max(one.iou(other) for i, one in enumerate(boxes[:8]) for other in boxes[:i]) < 0.2
    for box in spread_boxes(Box(-50, -50, 900, 30), (640, 360), 5):
        assert box.w == 900 or (box.x, box.w) == (0, 640)  # a box wider than the frame is unchanged only once


def test_the_cost_per_target_is_relative_to_one_target() -> None:
    sweep = {
        "s0": {1: [TargetsRun(4.0, 0.0)] * 3, 8: [TargetsRun(16.0, 0.5), TargetsRun(99.0, 0.5), TargetsRun(16.0, 0.5)]},
        "s1": {1: [TargetsRun(2.0, 0.0)] * 3, 8: [TargetsRun(8.0, 0.0)] * 3},
    }
    one, eight = target_costs(sweep)
    assert (one.targets, one.frame, one.each, one.ratio) == (1, 3000.0, 3000.0, Interval(1, 1, 1))
    assert (eight.targets, eight.frame, eight.each, eight.lost) == (8, 12000.0, 1500.0, 0.25)
    assert eight.ratio == Interval(0.5, 0.5, 0.5)
    assert parse_target_counts([4, 1, 1, 2]) == (1, 2, 4)
    for numbers in ([2, 4], [0, 1], [-1]):
        with pytest.raises(
            ConfigError, match=r"--targets .*must be none, or whole numbers of at least 1 that include 1"
        ):
            parse_target_counts(numbers)


def test_own_trackers_are_measured_completely(sequence: AnnotatedSequence) -> None:
    (contender,) = dcfnet_contenders([], None, None, "fast")
    bench_tracker = open_for_bench(contender)
    timed_passes = time_trackers([bench_tracker], decode(resized(sequence, (160, 120)), 9), 0, repeats=1, warm_up=1)[
        "dcfnet"
    ]
    figures = figures_of({"Alpha": timed_passes})
    assert set(figures.kinds) == {"lesson", "no lesson"}
    assert figures.stages["backbone"] > 0
    assert figures.sequences["Alpha"].failures == 0
    assert isinstance(contender, Dcfnet)
    many = open_multi(contender)
    assert isinstance(many, MultiTracker)
    targets_run = time_targets(many, decode(sequence, 4), 3, warm_up=1)
    assert targets_run.seconds > 0
    assert len(many) == 0


def test_other_trackers_are_measured_completely() -> None:
    contenders = [
        Python(name, f"tests.evaluation.doubles:{kind}") for name, kind in (("a", "Identity"), ("b", "Failing"))
    ]
    clips = rendered_sequences(2, 14)
    settings = BenchSettings(
        size=(96, 64), warm_up=1, repeats=2, memory=False, targets=(1,), cold_starts=1, reference="a"
    )
    progress_steps: list[str] = []
    figures = measure(clips, contenders, settings, progress_steps.append)
    assert progress_steps == ["clip0", "clip1", "clip0, many targets", "clip1, many targets", "cold start"]
    assert steps(clips, settings) == len(progress_steps)
    assert figures["a"].spread.updates == 2 * 2 * 12
    assert figures["a"].ratio == Interval(1, 1, 1)
    assert figures["a"].targets == ()
    assert figures["a"].cold_start is None
    failing = figures["b"].sequences["clip0"]
    assert failing.failures > 0
    assert failing.spread.updates == 2 * 7  # 8 updates run, the last one raises; the warm-up takes one
    assert isinstance(contenders[1].open(), Failing)


def test_the_reference_is_csrt_or_the_named_tracker() -> None:
    assert reference_of(["a", "CSRT"], None) == "CSRT"
    assert reference_of(["a"], None) is None
    assert reference_of(["a", "CSRT"], "a") == "a"
    with pytest.raises(
        ConfigError, match="--reference KCF: must be one of a, b; or add the tracker with --peer or --add"
    ):
        reference_of(["a", "b"], "KCF")
    with pytest.raises(ConfigError, match="two trackers have the name a; give"):
        reference_of(["a", "b", "a"], None)


def test_options_of_dcfnet_run_for_a_contender() -> None:
    fast, accurate = dcfnet_contenders([], None, None, "fast,accurate")
    paper, changed = dcfnet_contenders([Path("dcfnet")], "paper", None)[0], dcfnet_contenders([], None, ["scales=5"])[0]
    assert [isinstance(c, Dcfnet) and arguments_of(c) for c in (fast, accurate, paper, changed)] == [
        ["--preset", "fast"],
        ["--preset", "accurate"],
        ["--engine", "dcfnet", "--config", "paper"],
        None,
    ]
    assert arguments_of(Dcfnet()) == []
    assert arguments_of(Dcfnet(engine="opencv")) is None


def test_cold_start_ends_at_the_first_tracked_box(tmp_path: Path, sequence: AnnotatedSequence) -> None:
    make_otb_sequence(tmp_path / "clip", length=4)
    seconds = cold_starts(dcfnet_contenders([], None, None, "fast"), decode(sequence, 6), repeats=1)
    assert 0 < seconds["dcfnet"] < 60
    assert cold_starts([Python("a", "b:c")], decode(sequence, 2), repeats=3) == {}
    with pytest.raises(ConfigError, match=r"dcfnet-run wrote no tracked box.*none\.avi.*--cold-starts 0"):
        seconds_to_first_box(["none.avi", "--init", "1,2,30,40"])
