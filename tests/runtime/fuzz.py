"""Random sequences of calls of both trackers, on raw pixels: a state machine for Hypothesis.

Promises that it checks: no error that the docstrings do not name, no number that is not finite, a result for every
target whose camera has a frame and for no other, and no change of the state by a rejected frame or a failed call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from dcfnet import MultiTracker, Nv12, Result, Rgb, Status, Tracker
from dcfnet.errors import (
    CapacityError,
    ConfigError,
    InvalidBoxError,
    InvalidFrameError,
    NotInitialisedError,
    UnknownTargetError,
)
from dcfnet.lifecycle.tracker_lifecycle import TrackerLifecycle
from dcfnet.result import Reason
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.conftest import make_raw_pipeline

CAPACITY = 4
INPUT_ERRORS = (InvalidFrameError, InvalidBoxError)
REJECTED = (Reason.NO_FRAME, Reason.BAD_FRAME, Reason.NO_TEXTURE)
SIZES = ((64, 48), (48, 64), (96, 80), (16, 200), (5, 5), (1, 1), (2, 300))  # (width, height)


@dataclass(frozen=True, eq=False)
class Given:
    """A frame for a tracker. valid: whether it is an image."""

    name: str
    pixels: Any = field(repr=False)
    valid: bool


def _noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(width + channels).integers(0, 256, (height, width, channels), dtype=np.uint8)


def _valid(width: int, height: int) -> Iterator[tuple[str, Any]]:
    noise = _noise(width, height)
    locked = noise.copy()
    locked.flags.writeable = False
    yield from (("noise", noise), ("other noise", noise[::-1, ::-1]), ("read-only", locked), ("grey", noise[..., 0]))
    yield from (("one channel", noise[..., :1]), ("BGRA", _noise(width, height, 4)), ("Rgb", Rgb(noise)))
    yield from ((f"all {value}", np.full_like(noise, value)) for value in (0, 255))
    yield "half black", noise * (np.arange(width) < width // 2).astype(np.uint8)[:, None]
    yield "every second pixel", np.repeat(np.repeat(noise, 2, 0), 2, 1)[::2, ::2]
    if width % 2 == height % 2 == 0:
        yield "Nv12", Nv12(noise[..., 0], _noise(width // 2, height // 2, 2))


def _invalid() -> Iterator[tuple[str, Any]]:
    noise = _noise(64, 48)
    yield from (("None", None), ("empty", noise[:0]), ("no number", np.full((48, 64, 3), np.nan)))
    yield from ((str(dtype), noise.astype(dtype)) for dtype in (np.float32, np.uint16, np.int8, np.bool_))
    yield from (("two channels", noise[..., :2]), ("channels first", noise.transpose(2, 0, 1)))
    yield from (("four axes", noise[None]), ("no axis", np.array(3, np.uint8)), ("Rgb of floats", Rgb(noise / 255)))


@cache
def frames() -> list[Given]:
    """All frames that a trial chooses from."""
    valid = [Given(f"{name} {size}", pixels, True) for size in SIZES for name, pixels in _valid(*size)]
    return valid + [Given(name, pixels, False) for name, pixels in _invalid()]


USUAL = st.sampled_from([given for given in frames() if given.name.endswith(f"noise {SIZES[0]}")])
FRAMES = st.one_of(USUAL, st.sampled_from(frames()))
INSIDE: st.SearchStrategy[Any] = st.tuples(*[st.floats(-1, 40), st.floats(-1, 30)], *[st.floats(3, 40)] * 2)
BOXES: st.SearchStrategy[Any] = st.one_of(
    INSIDE,
    INSIDE,
    st.tuples(*[st.floats()] * 4),
    st.sampled_from([(), (1, 2, 3), (10**400, 1, 2, 3), "abcd", None, np.full(4, np.inf)]),
)
SOURCES = st.sampled_from([0, 0, 0, 1, 2, -7, 2**40, "0", 1.5])


def snapshot(tracker: Any) -> dict[str, bytes]:
    """All arrays of the tracker's state, and its ids."""
    state = tracker._state
    arrays = {} if state is None else {**state.host_arrays(), **state.filters.arrays.by_name()}
    return {name: array.tobytes() for name, array in arrays.items()} | {"ids": repr(ids(tracker)).encode()}


def ids(tracker: Any) -> list[int]:
    """The ids of a MultiTracker; [] for a Tracker."""
    return list(getattr(tracker, "_ids", []))


@contextmanager
def unchanged(tracker: Any, *errors: type[Exception]) -> Iterator[None]:
    """One of these errors may be raised; the state is then the same as before."""
    before = snapshot(tracker)
    try:
        yield
    except errors:
        assert snapshot(tracker) == before


def check(result: Result) -> None:
    """All numbers of a result are finite, its box is not empty, and its status fits its reason."""
    numbers = (*result.box, result.peak, result.psr, result.apce, result.likeness)
    assert all(map(np.isfinite, numbers)), result
    assert min(result.box.size) > 0, result
    assert result.reason not in REJECTED or result.status is Status.LOST, result


def check_answer(result: Result, given: Given) -> None:
    """An image is not called a bad frame unless it makes the target too small, and another object always is."""
    check(result)
    if not given.valid:
        assert result.reason in (Reason.NO_FRAME, Reason.BAD_FRAME), (given.name, result)
    else:
        assert result.reason is not Reason.NO_FRAME, (given.name, result)


class Calls(RuleBasedStateMachine):
    """Calls of one Tracker and one MultiTracker that share a pipeline."""

    trials = calls = 0  # of this process

    @initialize(given=USUAL, box=INSIDE, camera_motion=st.booleans(), rotation=st.sampled_from([0.0, 12.0]))
    def open(self, given: Given, box: Any, camera_motion: bool, rotation: float) -> None:
        pipeline = _pipeline(camera_motion, rotation)
        self.one, self.sources = Tracker.of(pipeline), dict[int, Any]()
        self.many = MultiTracker.__new__(MultiTracker)
        TrackerLifecycle.__init__(self.many, pipeline, CAPACITY)
        self.one.init(given.pixels, box)
        self.sources[self.many.add(given.pixels, box)] = 0

    def teardown(self) -> None:
        type(self).trials += 1

    @invariant()
    def count(self) -> None:
        """Runs after every call."""
        type(self).calls += 1

    @rule(given=FRAMES, box=BOXES)
    def init(self, given: Given, box: Any) -> None:
        with unchanged(self.one, *INPUT_ERRORS):
            self.one.init(given.pixels, box)
            assert given.valid, given.name

    @rule(given=FRAMES, later=st.booleans())
    def update(self, given: Given, later: bool) -> None:
        before = snapshot(self.one)
        call: Callable[[Any], Result] = self.one.update
        if later:
            call = lambda pixels: self.one.update_async(pixels).result(60)  # noqa: E731
        try:
            result = call(given.pixels)
        except NotInitialisedError:
            assert self.one._state is None
            return
        check_answer(result, given)
        if result.reason in REJECTED:
            assert snapshot(self.one) == before

    @rule(given=FRAMES, box=BOXES, source=SOURCES)
    def add(self, given: Given, box: Any, source: Any) -> None:
        full = len(self.sources) == CAPACITY
        with unchanged(self.many, *INPUT_ERRORS, ConfigError, CapacityError):
            target = self.many.add(given.pixels, box, source)
            assert given.valid
            assert not full
            assert target not in self.sources
            self.sources[target] = source
        assert ids(self.many) == list(self.sources)

    @rule(given=st.dictionaries(SOURCES.filter(lambda source: isinstance(source, int)), FRAMES, max_size=3))
    def update_many(self, given: dict[int, Given]) -> None:
        before = snapshot(self.many)
        results = self.many.update({source: frame.pixels for source, frame in given.items()})
        expected = [target for target, source in self.sources.items() if source in given]
        assert list(results) == expected
        for target, result in results.items():
            check_answer(result, given[self.sources[target]])
        if all(result.reason in REJECTED for result in results.values()):
            assert snapshot(self.many) == before

    @rule(given=FRAMES)
    def update_the_first_camera(self, given: Given) -> None:
        results = self.many.update(given.pixels)
        assert list(results) == [target for target, source in self.sources.items() if source == 0]
        for result in results.values():
            check_answer(result, given)

    @rule(number=st.integers(-1, 6))
    def remove(self, number: int) -> None:
        with unchanged(self.many, UnknownTargetError):
            self.many.remove(number)
            del self.sources[number]
        assert ids(self.many) == list(self.sources)

    @rule(wanted=st.integers(0, 5))
    def close(self, wanted: int) -> None:
        if wanted:  # most of the time there is a target
            return
        self.one.close()
        self.many.close()
        self.sources.clear()
        assert ids(self.many) == []


@cache
def _pipeline(camera_motion: bool, rotation: float) -> Any:
    return make_raw_pipeline(
        patch_size=32, scales=3, redetection_rings=1, camera_motion=camera_motion, rotation_step=rotation
    )
