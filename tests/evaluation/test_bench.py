"""The benchmark's arithmetic: what is inside the clock, what counts, and what is made of it."""

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
from dcfnet.geometry import Box
from dcfnet.tracker import MultiTracker, Tracker
from dcfnet_evaluation.bench import footage as footage_module
from dcfnet_evaluation.bench.cold_start import arguments_of, cold_starts, seconds_to_first_box
from dcfnet_evaluation.bench.contestants import Contestant, enter, open_multi
from dcfnet_evaluation.bench.figures import Interval, Spread, figures_of
from dcfnet_evaluation.bench.footage import Footage, decode, rendered_sequences, resized, size_of
from dcfnet_evaluation.bench.kinds import kinds_of
from dcfnet_evaluation.bench.laps import Laps, run_laps
from dcfnet_evaluation.bench.measure import Manner, measure, reference_of, steps
from dcfnet_evaluation.bench.targets import Stretch, costs_of, counts_of, run_stretch, spread_boxes
from dcfnet_evaluation.contenders import Dcfnet, Python
from dcfnet_evaluation.datasets.otb import read_otb
from dcfnet_evaluation.passes import Pass
from dcfnet_evaluation.selection import dcfnets
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

from tests.evaluation.doubles import Failing, Identity, Vandal
from tests.train.footage import make_otb_sequence


@pytest.fixture
def sequence(dataset: Path) -> AnnotatedSequence:
    return read_otb(dataset / "Alpha")


@dataclass
class FakeClock:
    """A clock that stands still unless a tracker works. log: who did what, in order."""

    now: float = 0.0
    log: list[str] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now


class Worker(Identity):
    """Takes the given seconds for init and for update 0, 1, 2, ..., over and over."""

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
    """A pass of whose frames statuses tell t(racked) or l(ost); the first letter is that of the first frame."""
    count = len(statuses)
    words = tuple({"t": "tracked", "l": "lost"}[letter] for letter in statuses)
    return Pass(
        0, np.ones((count, 4)), words, np.array(psr or [9.0] * count), np.array(seconds or [1.0] * count), (), {}
    )


def test_percentiles_are_those_of_numpy_over_the_updates_that_were_made() -> None:
    seconds = np.random.default_rng(1).gamma(2, 0.01, 500)
    spread = Spread.of(np.concatenate([seconds, np.zeros(7)]))  # a broken tracker makes no updates
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
    assert interval == Interval.of([1.0, 1.1, 0.9, 5.0, 1.05, 0.95])  # the same every time


def test_only_updates_are_inside_the_clock_and_the_warm_up_does_not_count() -> None:
    clock = FakeClock()
    worker = Worker("a", clock, 5.0, 5.0, *[0.25] * 7, init=2.0)
    laps = run_laps([Contestant("a", worker)], flat_footage(10), 0, repeats=2, warm_up=2, clock=clock)["a"]
    figures = figures_of({"flat": laps})
    assert figures.spread == Spread(14, *[250.0] * 6, 1.0)
    assert (figures.fps, figures.init) == (4.0, 2000.0)
    assert figures.sequences["flat"].fps == 4.0
    assert figures.kinds == {}
    assert run_laps([Contestant("a", worker)], flat_footage(3), 0, repeats=1, warm_up=1)["a"].passes[
        0
    ].seconds.shape == (3,)


def test_trackers_take_turns_in_an_order_that_rotates() -> None:
    clock = FakeClock()
    contestants = [Contestant(name, Worker(name, clock, 1.0)) for name in "abc"]
    for turn in range(2):
        run_laps(contestants, flat_footage(4), turn, repeats=2, warm_up=0, clock=clock)
    assert "".join(clock.log) == "abc" + "bca" + "cab" + "abc"


def test_stages_are_of_passes_of_their_own() -> None:
    clock = FakeClock()

    class Clocked(Worker):
        def stages(self, frames: int) -> dict[str, np.ndarray]:
            return {"crop": np.r_[9.0, 9.0, np.full(frames - 2, 0.5)]}

    contestants = [
        Contestant("a", Worker("a", clock, 1.0), Clocked("clocked", clock, 7.0)),
        Contestant("b", Identity()),
    ]
    laps = run_laps(contestants, flat_footage(5), 0, repeats=2, warm_up=1, clock=clock)
    assert clock.log == ["a", "a", "clocked"]
    figures = figures_of({"flat": laps["a"]})
    assert figures.stages == {"crop": 500.0}
    assert figures.spread.max == 1000.0
    assert figures_of({"flat": laps["b"]}).stages == {}
    bare = run_laps(contestants, flat_footage(5), 0, repeats=1, warm_up=1, stages=False, clock=clock)
    assert bare["a"].clocked is None


def test_all_frames_are_decoded_before_any_tracker_runs(sequence: AnnotatedSequence) -> None:
    log: list[str] = []

    class Telling:
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
    told = AnnotatedSequence("told", Telling(sequence.frames), sequence.boxes)
    run_laps([Contestant("a", Worker("a", clock, 1.0))], decode(told, 5), 0, repeats=2, warm_up=1, clock=clock)
    assert log == ["decode"] * 5 + ["a", "a"]


def test_a_tracker_that_draws_into_its_frame_spoils_no_other() -> None:
    footage = flat_footage(4)
    run_laps([Contestant("vandal", Vandal())], footage, 0, repeats=1, warm_up=0)
    assert [int(frame[0, 0, 0]) for frame in footage.frames] == [0, 1, 2, 3]


def test_frames_are_stretched_and_boxes_with_them(sequence: AnnotatedSequence) -> None:
    stretched = resized(sequence, (640, 120))
    footage = decode(stretched, 3)
    assert {frame.shape for frame in footage.frames} == {(120, 640, 3)}
    np.testing.assert_allclose(footage.boxes, sequence.boxes[:3] * [2, 0.5, 2, 0.5])
    assert footage.start.box == Box(*stretched.boxes[0])
    assert resized(sequence, None) is sequence
    assert pickle.loads(pickle.dumps(stretched)).read(2).tobytes() == footage.frames[2].tobytes()  # for memory
    assert stretched.frames.size() == sequence.frames.size()


def test_stretched_boxes_stay_on_the_target(sequence: AnnotatedSequence) -> None:
    """The oracle is the picture: the target's own pixels, found again in the stretched frame."""
    import cv2

    x, y, w, h = np.round(sequence.boxes[0]).astype(int)
    target = sequence.read(0)[y : y + h, x : x + w]
    stretched = resized(sequence, (640, 480))
    found = cv2.matchTemplate(stretched.read(0), cv2.resize(target, None, fx=2, fy=2), cv2.TM_CCOEFF_NORMED)
    _, _, _, place = cv2.minMaxLoc(found)
    np.testing.assert_allclose(place, stretched.boxes[0, :2], atol=1.5)


@pytest.mark.parametrize("text", ["640", "x", "640x", "0x360", "640x360x3", "-640x360", "640*360", "9000x9000", ""])
def test_a_size_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 640x360, or native"):
        size_of(text)
    assert (size_of("640x360"), size_of("native")) == ((640, 360), None)


def test_more_frames_than_memory_holds_are_refused(
    sequence: AnnotatedSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footage_module, "MOST_BYTES", 1_000_000)
    with pytest.raises(SequenceError, match=r"Alpha: 12 frames of 320 x 240 px are 0\.0 GB.*--limit"):
        decode(sequence)
    assert len(decode(sequence, 3).frames) == 3


def test_a_sequence_that_the_warm_up_eats_is_told() -> None:
    for frames, told in ((11, "--warm-up 9"), (1, "leave it out")):
        with pytest.raises(SequenceError, match=f"flat: its {frames} frames leave no update.*{told}"):
            run_laps([Contestant("a", Identity())], flat_footage(frames), 0, repeats=1, warm_up=10)


def test_rendered_clips_are_the_same_in_another_process() -> None:
    first, second = rendered_sequences(2, 5)
    assert (first.name, second.name, len(first)) == ("clip0", "clip1", 5)
    again = pickle.loads(pickle.dumps(second))
    np.testing.assert_array_equal(again.read(4), second.read(4))
    assert not np.array_equal(first.read(4), second.read(4))
    assert first.frames.size() == 0


def test_kinds_follow_the_turns_of_the_config() -> None:
    done = pass_of("t" * 9)
    every = kinds_of(TrackerConfig(), done).tolist()
    assert every == ["lesson"] * 8
    halves = kinds_of(TrackerConfig(learn_every=2), done).tolist()
    assert halves == ["no lesson", "lesson"] * 4
    quarters = kinds_of(TrackerConfig(learn_every=4), done).tolist()
    assert quarters == ["no lesson", "no lesson", "no lesson", "lesson"] * 2


def test_a_lost_frame_has_no_lesson_and_a_rejected_one_no_turn() -> None:
    config = TrackerConfig(learn_every=2)
    assert kinds_of(config, pass_of("ttlt")).tolist() == ["no lesson", "no lesson", "no lesson"]
    rejected = kinds_of(config, pass_of("tltt", [9.0, 0.0, 9.0, 9.0])).tolist()
    assert rejected == ["rejected", "no lesson", "lesson"]


@pytest.mark.parametrize("look_again", [0.025, 0.25])
def test_kinds_are_those_of_the_pipeline(sequence: AnnotatedSequence, look_again: float) -> None:
    """The second opinion: how many patches the backbone was given in each frame."""
    from dcfnet.backend import Frame

    from tests.conftest import make_raw_pipeline

    config = TrackerConfig(patch_size=64, learn_every=3, min_psr=0.0, look_again=look_again)
    patches: list[list[int]] = []
    pipeline = make_raw_pipeline(**{key: getattr(config, key) for key in ("learn_every", "min_psr", "look_again")})

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

    laps = run_laps([Contestant("raw", Counted(), None, config)], decode(sequence), 0, repeats=1, warm_up=0)["raw"]
    expected = {"no lesson": [3], "lesson": [3, 1], "no lesson, two looks": [3, 3], "lesson, two looks": [3, 3, 1]}
    kinds = kinds_of(config, laps.passes[0])
    assert patches[1:] == [expected[kind] for kind in kinds]
    assert ("two looks" in " ".join(kinds)) == (look_again < 0.1)


def test_figures_by_kind_leave_the_warm_up_out() -> None:
    config = TrackerConfig(learn_every=2)
    laps = Laps([pass_of("t" * 7, seconds=[9, 9, 9, 3, 1, 3, 1])] * 2, 2, None, config)
    kinds = figures_of({"s": laps}).kinds
    assert {kind: (spread.updates, spread.p50) for kind, spread in kinds.items()} == {
        "no lesson": (4, 3000.0),
        "lesson": (4, 1000.0),
    }


def test_fps_and_ratio_are_medians_over_sequences() -> None:
    def laps(*each: float) -> dict[str, Laps]:
        return {f"s{i}": Laps([pass_of("ttt", seconds=[1, s, s])], 0) for i, s in enumerate(each)}

    reference = laps(0.1, 0.1, 0.1)
    figures = figures_of(laps(0.1, 0.05, 0.01), reference)
    assert figures.fps == pytest.approx(20)
    assert figures.ratio is not None
    assert figures.ratio.median == pytest.approx(2)
    assert figures.ratio.low == pytest.approx(1)
    assert figures_of(reference).ratio is None


class Many:
    """Follows many targets; a frame takes `fixed` and `each` seconds a target. Left half of the frame: flat sky."""

    def __init__(self, clock: FakeClock, fixed: float = 0.0, each: float = 1.0, sky: int = 0) -> None:
        self.clock, self.fixed, self.each, self.sky = clock, fixed, each, sky
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
        self.clock.now += self.fixed + self.each * len(self.boxes)
        return {i: SimpleNamespace(status="lost" if i % 2 else "tracked") for i in self.boxes}


def test_many_targets_are_timed_together_and_removed_again() -> None:
    clock = FakeClock()
    many = Many(clock, fixed=6.0, each=2.0)
    stretch = run_stretch(many, flat_footage(12), 4, warm_up=3, clock=clock)
    assert stretch == Stretch(14.0, 0.5)
    assert many.counts == [4] * 11
    assert not many.boxes


def test_places_that_show_nothing_are_passed_over() -> None:
    many = Many(FakeClock(), sky=20)
    run_stretch(many, flat_footage(4), 3, warm_up=1)
    assert many.counts == [3] * 3
    with pytest.raises(SequenceError, match="flat: shows something to follow in 0 places, not in 2"):
        run_stretch(Many(FakeClock(), sky=1000), flat_footage(4), 2, warm_up=1)


def test_targets_are_spread_over_the_frame_around_the_truth() -> None:
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
        assert box.w == 900 or (box.x, box.w) == (0, 640)  # one that is wider than the frame is given as it is, once


def test_the_cost_of_a_target_is_compared_to_that_of_one() -> None:
    sweep = {
        "s0": {1: [Stretch(4.0, 0.0)] * 3, 8: [Stretch(16.0, 0.5), Stretch(99.0, 0.5), Stretch(16.0, 0.5)]},
        "s1": {1: [Stretch(2.0, 0.0)] * 3, 8: [Stretch(8.0, 0.0)] * 3},
    }
    one, eight = costs_of(sweep)
    assert (one.targets, one.frame, one.each, one.ratio) == (1, 3000.0, 3000.0, Interval(1, 1, 1))
    assert (eight.targets, eight.frame, eight.each, eight.lost) == (8, 12000.0, 1500.0, 0.25)
    assert eight.ratio == Interval(0.5, 0.5, 0.5)
    assert counts_of([4, 1, 1, 2]) == (1, 2, 4)
    for numbers in ([2, 4], [0, 1], [-1]):
        with pytest.raises(ConfigError, match="from 1 on"):
            counts_of(numbers)


def test_our_own_trackers_run_through_all_of_it(sequence: AnnotatedSequence) -> None:
    (contender,) = dcfnets([], None, None, "fast")
    contestant = enter(contender)
    laps = run_laps([contestant], decode(resized(sequence, (160, 120)), 9), 0, repeats=1, warm_up=1)["dcfnet"]
    figures = figures_of({"Alpha": laps})
    assert set(figures.kinds) == {"lesson", "no lesson"}
    assert figures.stages["backbone"] > 0
    assert figures.sequences["Alpha"].failures == 0
    assert isinstance(contender, Dcfnet)
    many = open_multi(contender)
    assert isinstance(many, MultiTracker)
    stretch = run_stretch(many, decode(sequence, 4), 3, warm_up=1)
    assert stretch.seconds > 0
    assert len(many) == 0


def test_a_whole_measurement_of_trackers_of_others() -> None:
    contenders = [
        Python(name, f"tests.evaluation.doubles:{kind}") for name, kind in (("a", "Identity"), ("b", "Failing"))
    ]
    clips = rendered_sequences(2, 14)
    manner = Manner(size=(96, 64), warm_up=1, repeats=2, memory=False, targets=(1,), cold_starts=1, reference="a")
    told: list[str] = []
    figures = measure(clips, contenders, manner, told.append)
    assert told == ["clip0", "clip1", "clip0, many targets", "clip1, many targets", "cold start"]
    assert steps(clips, manner) == len(told)
    assert figures["a"].spread.updates == 2 * 2 * 12
    assert figures["a"].ratio == Interval(1, 1, 1)
    assert figures["a"].targets == ()
    assert figures["a"].cold_start is None
    broken = figures["b"].sequences["clip0"]
    assert broken.failures > 0
    assert broken.spread.updates == 2 * 7  # the one of the warm-up, six more answers, and what it raised
    assert isinstance(contenders[1].open(), Failing)


def test_the_reference_is_csrt_or_the_one_that_is_named() -> None:
    assert reference_of(["a", "CSRT"], None) == "CSRT"
    assert reference_of(["a"], None) is None
    assert reference_of(["a", "CSRT"], "a") == "a"
    with pytest.raises(ConfigError, match="--reference KCF: does not run; there are a, b; add it"):
        reference_of(["a", "b"], "KCF")
    with pytest.raises(ConfigError, match="two trackers are named a"):
        reference_of(["a", "b", "a"], None)


def test_dcfnet_run_is_asked_for_what_it_can_open() -> None:
    fast, accurate = dcfnets([], None, None, "fast,accurate")
    paper, changed = dcfnets([], "paper", None)[0], dcfnets([], None, ["scales=5"])[0]
    assert [isinstance(c, Dcfnet) and arguments_of(c) for c in (fast, accurate, paper, changed)] == [
        ["--preset", "fast"],
        ["--preset", "accurate"],
        ["--config", "paper"],
        None,
    ]
    assert arguments_of(Dcfnet()) == []
    assert arguments_of(Dcfnet(engine="opencv")) is None


def test_cold_start_ends_with_the_first_tracked_box(tmp_path: Path, sequence: AnnotatedSequence) -> None:
    make_otb_sequence(tmp_path / "clip", length=4)
    found = cold_starts(dcfnets([], None, None, "fast"), decode(sequence, 6), repeats=1)
    assert 0 < found["dcfnet"] < 60
    assert cold_starts([Python("a", "b:c")], decode(sequence, 2), repeats=3) == {}
    with pytest.raises(ConfigError, match=r"dcfnet-run gave no box.*none\.avi.*--cold-starts 0"):
        seconds_to_first_box(["none.avi", "--init", "1,2,30,40"])
