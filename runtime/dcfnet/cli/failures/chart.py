"""Charts of the measures of a failure, as inline SVG without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TypeAlias

from dcfnet.cli.failures.pictures import RecordedFrame
from dcfnet.config import TrackerConfig
from dcfnet.result import Reason, Status

WIDTH, HEIGHT = 340, 140  # px; a telephone shows one chart per row at this size
LEFT, RIGHT, TOP, BOTTOM = 40, 332, 22, 112  # px, the sides of the plot in the chart
BAND = 5  # px, height of the band of the status
# In these frames no response was computed, or it is that of an earlier frame.
UNMEASURED = (Reason.NO_TEXTURE, Reason.NO_FRAME, Reason.BAD_FRAME, Reason.FROZEN_FRAME)

Point: TypeAlias = tuple[int, float]  # frame, value


@dataclass(frozen=True)
class Axes:
    """The ranges of a chart. first, last: frames. low, high: values."""

    first: int
    last: int
    low: float
    high: float

    def x(self, index: float) -> float:
        """Column of a frame, px of the chart."""
        return LEFT + (RIGHT - LEFT) * (index - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        """Row of a value, px of the chart."""
        return BOTTOM - (BOTTOM - TOP) * (value - self.low) / (self.high - self.low)


def charts(frames: Sequence[RecordedFrame], start: int, config: TrackerConfig) -> str:
    """The charts of peak, PSR, likeness and confidence, with the thresholds of the config. start: of the failure."""
    thresholds: dict[str, dict[str, float]] = {
        "peak": {},
        "psr": {"min_psr": config.min_psr, "confident_psr": config.confident_psr},
        "likeness": {},
        "confidence": {"min_confidence": config.min_confidence, "lost_confidence": config.lost_confidence},
    }
    return "\n".join(_chart(name, frames, start, lines) for name, lines in thresholds.items())


def measured(frames: Sequence[RecordedFrame], name: str) -> list[Point | None]:
    """Frame and value of a field of the results; None where it was not measured."""
    return [_point(frame, name) for frame in frames]


def _point(frame: RecordedFrame, name: str) -> Point | None:
    if frame.result is None or frame.result.reason in UNMEASURED:
        return None
    value = getattr(frame.result, name)
    return None if value is None else (frame.index, float(value))


def _chart(name: str, frames: Sequence[RecordedFrame], start: int, thresholds: Mapping[str, float]) -> str:
    """One chart, or "" if no frame has the value."""
    points = measured(frames, name)
    numbers = [point[1] for point in points if point]
    if not numbers:
        return ""
    low = min(0.0, *numbers)
    high = max(*numbers, *thresholds.values(), low + 1e-6)
    axes = Axes(frames[0].index, max(frames[-1].index, frames[0].index + 1), low, high)
    runs = [[point for point in run if point] for run in _without_gaps(points)]
    shown = f"{name}: {numbers[0]:.3g} in the first of these frames, {numbers[-1]:.3g} in the last"
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(shown)}">',
        _text(LEFT, TOP - 9, name, "name"),
        *(_text(LEFT - 4, axes.y(value) + 4, f"{value:.3g}", "end") for value in (low, high)),
        f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>',
        *(_threshold(label, value, axes, value == max(thresholds.values())) for label, value in thresholds.items()),
        f'<path class="start" d="M{axes.x(start):.1f} {TOP}V{BOTTOM}"/>',
        *(_line(run, axes) for run in runs),
        *_status_band(frames, axes),
        *_frame_numbers(axes, start),
    ]
    return "".join([*parts, "</svg>"])


def _without_gaps(points: Sequence[Point | None]) -> list[list[Point | None]]:
    """The parts of the points without None."""
    return [list(run) for exists, run in groupby(points, bool) if exists]


def _line(points: Sequence[Point], axes: Axes) -> str:
    """A line through points. A single point becomes a dot, because the line has round ends."""
    places = [f"{axes.x(index):.1f} {axes.y(value):.1f}" for index, value in points]
    return f'<path class="line" d="M{"L".join(places if len(places) > 1 else places * 2)}"/>'


def _threshold(label: str, value: float, axes: Axes, highest: bool) -> str:
    """A line with its name: above it for the highest threshold, below it for others, so that names do not overlap."""
    line = f'<path class="threshold" d="M{LEFT} {axes.y(value):.1f}H{RIGHT}"/>'
    return line + _text(RIGHT, axes.y(value) + (-3 if highest else 10), f"{label} {value:g}", "end threshold-name")


def _frame_numbers(axes: Axes, start: int) -> list[str]:
    """The numbers of the first and the last frame, and of the start of the failure if there is room."""
    ends = [_text(LEFT, HEIGHT - 6, f"frame {axes.first}", ""), _text(RIGHT, HEIGHT - 6, str(axes.last), "end")]
    middle = axes.x(start)
    return [*ends, _text(middle, HEIGHT - 6, str(start), "start")] if LEFT + 80 < middle < RIGHT - 45 else ends


def _status_band(frames: Sequence[RecordedFrame], axes: Axes) -> list[str]:
    """A band below the plot with the colour of the status of each frame."""
    parts = []
    for status, group in groupby(frames, status_of):
        run = list(group)
        left = max(axes.x(run[0].index - 0.5), LEFT)
        width = min(axes.x(run[-1].index + 0.5), RIGHT) - left
        box = f'x="{left:.1f}" y="{BOTTOM + 2}" width="{width:.1f}" height="{BAND}"'
        parts.append(f'<rect class="{status.value}" {box}/>')
    return parts


def status_of(frame: RecordedFrame) -> Status:
    """The status in a frame; the first frame of a run has no result, and its box is given."""
    return frame.result.status if frame.result else Status.TRACKED


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
