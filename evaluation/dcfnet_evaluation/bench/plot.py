"""The plot of speed against accuracy; drawn with the report's axes, so that the two look alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from dcfnet.sinks import write_whole

from dcfnet_evaluation.bench.pareto import Dot
from dcfnet_evaluation.report.palette import DARK, LIGHT, Ground, colours, hexadecimal
from dcfnet_evaluation.report.plots import empty_axes, logarithmic, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

OFF_FRONT = 0.55  # opacity of a tracker that another beats in both
Extent = tuple[float, float, float, float]  # left, bottom, right, top, dots of the drawing

GAP = 7  # points, between a dot and its name
ROOM = 0.12  # of the range of AUC, above and below it
# Where a name may stand, as (horizontal, vertical) steps from its dot, those that read best first.
PLACES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 2), (0, -2), (2, 2), (-2, -2))
ALIGNED: tuple[Literal["center", "left", "right"], ...] = ("center", "left", "right")  # by step 0, 1, -1
STOOD: tuple[Literal["center", "bottom", "top"], ...] = ("center", "bottom", "top")


def write_plots(dots: Sequence[Dot], stem: Path) -> None:
    """Writes STEM.svg for light ground and STEM-dark.svg for dark. Raises SinkError."""
    for ground, end in ((LIGHT, ".svg"), (DARK, "-dark.svg")):
        write_whole(svg(pareto_plot(dots, ground)), stem.with_name(stem.name + end))


def pareto_plot(dots: Sequence[Dot], ground: Ground = LIGHT) -> Figure:
    """Success AUC over frames a second, a named dot a tracker, a line through those on the front."""
    title = "Speed and accuracy: nothing lies above and to the right of the line"
    figure, axes = empty_axes(ground, "frames a second, logarithmic", "success AUC", title, height=4.4)
    figure.set_size_inches(7.2, 4.4)
    axes.plot(
        *_stairs(_on_front(dots)),
        color=ground.ink,
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
            [dot.fps], [dot.auc], s=size, color=colour, marker=marker, alpha=opacity, edgecolors=ground.ink, zorder=3
        )
    logarithmic(axes)
    low, high = min(dot.auc for dot in dots), max(dot.auc for dot in dots)
    room = ROOM * max(high - low, 0.05)
    axes.set_ylim(low - room, high + room)
    _name(figure, axes, dots, ground)
    return figure


def _on_front(dots: Sequence[Dot]) -> list[Dot]:
    return sorted((dot for dot in dots if dot.front), key=lambda dot: dot.fps)


def _stairs(on_front: Sequence[Dot]) -> tuple[list[float], list[float]]:
    """Corners of the front, slowest first: as fast as the next, no better than it."""
    x, y = [on_front[0].fps], [on_front[0].auc]
    for before, after in pairwise(on_front):
        x += [before.fps, after.fps]
        y += [after.auc, after.auc]
    return x, y


def _name(figure: Figure, axes: Axes, dots: Sequence[Dot], ground: Ground) -> None:
    """Writes each name where it covers no dot, no line and no other name, as far as there is such a place."""
    figure.draw_without_rendering()  # the layout is made when it is drawn
    reach = figure.dpi * GAP / 72
    middles = axes.transData.transform([(dot.fps, dot.auc) for dot in dots])
    taken: list[Extent] = [(x - reach / 2, y - reach / 2, x + reach / 2, y + reach / 2) for x, y in middles]
    corners = axes.transData.transform(np.transpose(_stairs(_on_front(dots))))
    taken += [(a[0] - 1, b[1] - 1, b[0] + 1, a[1] + 1) for a, b in pairwise(corners)]  # each goes down or right
    for dot in sorted(dots, key=lambda dot: not dot.front):
        label = _label(axes, dot, ground)
        for place in (*PLACES, PLACES[0]):
            extent = _put(label, place)
            inside = axes.bbox.x0 <= extent[0] and extent[2] <= axes.bbox.x1
            if inside and not any(_overlap(extent, other) for other in taken):
                break
        taken.append(extent)


def _label(axes: Axes, dot: Dot, ground: Ground) -> Annotation:
    weight = "bold" if dot.front else "normal"
    look: dict[str, Any] = {"color": ground.ink, "fontsize": 9, "fontweight": weight, "zorder": 4, "parse_math": False}
    return axes.annotate(dot.name, (dot.fps, dot.auc), (0, 0), textcoords="offset points", **look)


def _put(label: Annotation, place: tuple[int, int]) -> Extent:
    """Moves the name to its place beside the dot; what it then covers."""
    horizontal, vertical = place
    gap = GAP if 0 in place else 0.7 * GAP  # round the corner it is as far
    label.set_position((gap * horizontal, gap * vertical))
    label.set_horizontalalignment(ALIGNED[int(np.sign(horizontal))])
    label.set_verticalalignment(STOOD[int(np.sign(vertical))])
    x0, y0, x1, y1 = label.get_window_extent().extents
    return x0, y0, x1, y1


def _overlap(one: Extent, other: Extent) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
