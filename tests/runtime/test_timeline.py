"""The line of time: any answers of a decoder give frames in order, without a flood of missing frames."""

from __future__ import annotations

import numpy as np
import pytest
from dcfnet.io.decoding.decoder import Decoded
from dcfnet.io.decoding.timeline import LONGEST_HOLE, Timeline
from hypothesis import given
from hypothesis import strategies as st

FPS = 10.0
PIXELS = np.zeros((2, 2, 3), np.uint8)
ERROR = Decoded(None)


def frame(time: float | None, skipped: int | None = None) -> Decoded:
    return Decoded(PIXELS, time, skipped=skipped)


def arranged(*answers: Decoded) -> list[float | str]:
    """The time of each frame; "-" for a frame without pixels."""
    found = Timeline(FPS).arrange(answers)
    return [round(one.time, 3) if one.pixels is not None else "-" for one in found]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([frame(5.0), frame(5.1), frame(5.2)], [0, 0.1, 0.2]),
        ([frame(None), frame(None)], [0, 0.1]),
        ([frame(0.0), frame(0.7), frame(0.8)], [0, 0.7, 0.8]),  # a variable rate
        ([frame(0.0), frame(0.0), frame(0.1)], [0, 0, 0.1]),  # the same time twice
        ([frame(0.0), frame(0.9), frame(0.0), frame(0.1)], [0, 0.9, 1.0, 1.1]),  # two recordings
        ([frame(0.0), ERROR, frame(0.3)], [0, "-", "-", 0.3]),
        ([frame(0.0), frame(0.5), ERROR, frame(1.2, 1)], [0, 0.5, "-", 1.2]),  # a hole in a variable rate
        ([frame(0.0), frame(0.1), ERROR, frame(0.2), frame(0.4)], [0, 0.1, 0.2, "-", 0.4]),  # the error came early
        ([frame(0.0), ERROR, *(frame(t / 10) for t in range(1, 40)), frame(9.0)], [t / 10 for t in range(40)] + [9.0]),
        ([frame(0.0), frame(0.3, 2)], [0, 0.3]),  # no error: the packets were not frames
        ([frame(0.0), ERROR, frame(9e9), frame(9e9 + 0.1)], [0, "-", 0.2, 0.3]),  # a wrong time stamp
        ([frame(0.0), ERROR, frame(0.4), frame(0.2), frame(0.5)], [0, "-", "-", "-", 0.4, 0.5]),  # a stray
        ([frame(None), ERROR, frame(None), ERROR], [0, "-", 0.2, "-"]),
        ([ERROR, ERROR], ["-", "-"]),
        ([], []),
    ],
)
def test_frames_are_placed(answers: list[Decoded], expected: list[float | str]) -> None:
    assert arranged(*answers) == expected


TIMES = st.none() | st.floats(0, 1e12) | st.integers(0, 50).map(lambda tenth: tenth / 10)
ANSWERS = st.lists(st.just(ERROR) | st.builds(frame, TIMES, st.none() | st.integers(0, 1000)), max_size=30)


@given(ANSWERS)
def test_times_never_decrease_and_nothing_is_flooded(answers: list[Decoded]) -> None:
    timeline = Timeline(FPS)
    found = list(timeline.arrange(answers))
    times = [one.time for one in found]
    assert times == sorted(times)
    decoded = sum(answer.pixels is not None for answer in answers)
    assert sum(one.pixels is not None for one in found) == decoded - timeline.strays
    assert len(found) - decoded <= len(answers) * LONGEST_HOLE * FPS
