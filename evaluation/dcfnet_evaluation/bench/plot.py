"""The plot of accuracy against speed, in the style of the report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from dcfnet.io.files import write_atomically

from dcfnet_evaluation.bench.pareto import Dot
from dcfnet_evaluation.report.palette import DARK, LIGHT, Theme, colours, hexadecimal
from dcfnet_evaluation.report.plots import empty_axes, logarithmic, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

OFF_FRONT = 0.55  # opacity of a tracker that is not on the front
Extent = tuple[float, float, float, float]  # left, bottom, right, top, display pixels

GAP = 7  # points between a dot and its label
ROOM = 0.12  # margin above and below the range of AUC, as a share of the range
# Places of a label, as (horizontal, vertical) steps from its dot; the most readable ones first.
PLACES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 2), (0, -2), (2, 2), (-2, -2))
HORIZONTAL: tuple[Literal["center", "left", "right"], ...] = ("center", "left", "right")  # alignment for step 0, 1, -1
VERTICAL: tuple[Literal["center", "bottom", "top"], ...] = ("center", "bottom", "top")


def write_plots(dots: Sequence[Dot], stem: Path) -> None:
    """Writes STEM.svg for light pages and STEM-dark.svg for dark pages. Raises SinkError."""
    for theme, end in ((LIGHT, ".svg"), (DARK, "-dark.svg")):
        write_atomically(svg(pareto_plot(dots, theme)), stem.with_name(stem.name + end))


def pareto_plot(dots: Sequence[Dot], theme: Theme = LIGHT) -> Figure:
    """Success AUC against frames per second: a labelled dot for each tracker, and a line through the Pareto front."""
    title = "Speed and accuracy: no tracker is above and to the right of the line"
    figure, axes = empty_axes(theme, "frames per second, logarithmic", "success AUC", title, height=4.4)
    figure.set_size_inches(7.2, 4.4)
    axes.plot(
        *_front_corners(_on_front(dots)),
        color=theme.ink,
        linewidth=1.2,
        linestyle=(0, (4, 2)),
        alpha=0.7,
        zorder=2,
        label="_",
    )
    chosen = colours([dot.name for dot in dots])
    for dot in dots:
        size, marker, opacity = (90, "o", 1.0) if dot.front else (60, "s", OFF_FRONT)
        colour = hexadecimal(chosen[dot.name])
        axes.scatter(
            [dot.fps], [dot.auc], s=size, color=colour, marker=marker, alpha=opacity, edgecolors=theme.ink, zorder=3
        )
    logarithmic(axes)
    low, high = min(dot.auc for dot in dots), max(dot.auc for dot in dots)
    room = ROOM * max(high - low, 0.05)
    axes.set_ylim(low - room, high + room)
    _draw_labels(figure, axes, dots, theme)
    return figure


def _on_front(dots: Sequence[Dot]) -> list[Dot]:
    return sorted((dot for dot in dots if dot.front), key=lambda dot: dot.fps)


def _front_corners(on_front: Sequence[Dot]) -> tuple[list[float], list[float]]:
    """Corners of the line through the front, slowest first: each step goes down, then right."""
    x, y = [on_front[0].fps], [on_front[0].auc]
    for before, after in pairwise(on_front):
        x += [before.fps, after.fps]
        y += [after.auc, after.auc]
    return x, y


def _draw_labels(figure: Figure, axes: Axes, dots: Sequence[Dot], theme: Theme) -> None:
    """Draws each label at a place where it covers no dot, line or other label, if there is such a place."""
    figure.draw_without_rendering()  # drawing computes the layout
    reach = figure.dpi * GAP / 72
    middles = axes.transData.transform([(dot.fps, dot.auc) for dot in dots])
    taken: list[Extent] = [(x - reach / 2, y - reach / 2, x + reach / 2, y + reach / 2) for x, y in middles]
    corners = axes.transData.transform(np.transpose(_front_corners(_on_front(dots))))
    taken += [(a[0] - 1, b[1] - 1, b[0] + 1, a[1] + 1) for a, b in pairwise(corners)]  # each segment goes down or right
    for dot in sorted(dots, key=lambda dot: not dot.front):
        label = _add_label(axes, dot, theme)
        for place in (*PLACES, PLACES[0]):
            extent = _move_label(label, place)
            inside = axes.bbox.x0 <= extent[0] and extent[2] <= axes.bbox.x1
            if inside and not any(_overlap(extent, other) for other in taken):
                break
        taken.append(extent)


def _add_label(axes: Axes, dot: Dot, theme: Theme) -> Annotation:
    weight = "bold" if dot.front else "normal"
    style: dict[str, Any] = {"color": theme.ink, "fontsize": 9, "fontweight": weight, "zorder": 4, "parse_math": False}
    return axes.annotate(dot.name, (dot.fps, dot.auc), (0, 0), textcoords="offset points", **style)


def _move_label(label: Annotation, place: tuple[int, int]) -> Extent:
    """Moves the label to a place beside its dot; returns the area that it covers."""
    horizontal, vertical = place
    gap = GAP if 0 in place else 0.7 * GAP  # the same distance diagonally
    label.set_position((gap * horizontal, gap * vertical))
    label.set_horizontalalignment(HORIZONTAL[int(np.sign(horizontal))])
    label.set_verticalalignment(VERTICAL[int(np.sign(vertical))])
    x0, y0, x1, y1 = label.get_window_extent().extents
    return x0, y0, x1, y1


def _overlap(one: Extent, other: Extent) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
