"""Plots of an evaluation, for reports and papers. The only importer of matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, ScalarFormatter

from dcfnet_evaluation.metrics import ERROR_THRESHOLDS, OVERLAP_THRESHOLDS, PRECISION_PX
from dcfnet_evaluation.report.palette import LIGHT, Ground, colours, hexadecimal
from dcfnet_evaluation.scores import by_attribute, mean_score
from dcfnet_evaluation.sheet import Sheet
from dcfnet_evaluation.timing import Timing

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))  # seven, so that with six
MARKERS = "oDs^vPX"  # colours no two of 42 trackers look alike
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo")
WIDTH, HEIGHT = 5.2, 3.9  # inches: a column of a paper
MOST_INSIDE = 4  # names of a legend that a plot has room for
LINE = 0.19  # inches, of a name in a legend
PLAIN_TO = 10_000  # FPS up to which an axis says 1000 rather than 10^3

Draw: TypeAlias = Callable[[Ground], Figure]
Style: TypeAlias = Mapping[str, tuple[str, int]]  # tracker -> colour, its number


def success_plot(sheet: Sheet, ground: Ground = LIGHT) -> Figure:
    """Share of frames above each overlap, a curve a tracker, its area (AUC) in the legend."""
    figure, axes = empty_axes(ground, "overlap threshold", "share of frames above it", "Success")
    means = {name: mean_score(scores) for name, scores in sheet.scores.items()}
    _curves(axes, ground, OVERLAP_THRESHOLDS, {n: (mean.success, mean.auc) for n, mean in means.items()})
    return figure


def precision_plot(sheet: Sheet, ground: Ground = LIGHT) -> Figure:
    """Share of frames within each distance, a curve a tracker, its value at 20 px in the legend."""
    figure, axes = empty_axes(ground, "centre error threshold, px", "share of frames within it", "Precision")
    axes.axvline(PRECISION_PX, color=ground.grid, linewidth=1.2, zorder=1)
    means = {name: mean_score(scores) for name, scores in sheet.scores.items()}
    curves = {name: (mean.precisions, mean.precision) for name, mean in means.items()}
    _curves(axes, ground, ERROR_THRESHOLDS, curves)
    return figure


def speed_plot(sheet: Sheet, ground: Ground = LIGHT) -> Figure:
    """Success AUC over frames a second, a point a tracker that was timed."""
    figure, axes = empty_axes(ground, "frames a second, logarithmic", "success AUC", "Speed and accuracy")
    for name, (colour, number) in _style(sheet.scores).items():
        timing = sheet.timings.get(name)
        if timing and timing.fps:
            auc, marker = mean_score(sheet.scores[name]).auc, MARKERS[number % len(MARKERS)]
            axes.scatter([timing.fps], [auc], s=70, color=colour, marker=marker, edgecolors=ground.ink, label=name)
    logarithmic(axes)
    axes.set_ylim(0, 1)
    _legend(axes, ground)
    return figure


def attribute_plot(sheet: Sheet, attributes: Mapping[str, Sequence[str]], ground: Ground = LIGHT) -> Figure:
    """Success AUC over the sequences with each attribute, a row an attribute, a marker a tracker."""
    groups = {name: by_attribute(scores, attributes) for name, scores in sheet.scores.items()}
    rows = list(next(iter(groups.values())))
    figure, axes = empty_axes(ground, "success AUC", "", "By attribute", height=1.5 + 0.3 * len(rows))
    for name, (colour, number) in _style(sheet.scores).items():
        values = [mean_score(groups[name][row]).auc for row in rows]
        marker = MARKERS[number % len(MARKERS)]
        axes.scatter(values, range(len(rows)), s=55, color=colour, marker=marker, edgecolors=ground.ink, label=name)
    first = next(iter(groups.values()))
    axes.set_yticks(range(len(rows)), [f"{row} ({len(first[row])})" for row in rows], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    _legend(axes, ground)
    return figure


def stage_plot(timings: Mapping[str, Timing], ground: Ground = LIGHT) -> Figure:
    """Mean milliseconds of the parts of an update, a bar a tracker whose parts can be told apart."""
    known = {name: timing.stages for name, timing in timings.items() if timing.stages}
    figure, axes = empty_axes(ground, "mean of a frame, ms", "", "Where the time goes", height=1.9 + 0.5 * len(known))
    stages = list(dict.fromkeys(stage for found in known.values() for stage in found))
    left = np.zeros(len(known))
    for stage, (colour, number) in _style(stages).items():
        widths = np.array([found.get(stage, 0.0) for found in known.values()])
        hatch = HATCHES[number % len(HATCHES)]
        axes.barh(range(len(known)), widths, 0.5, left, label=stage, color=colour, hatch=hatch, edgecolor=ground.ground)
        left += widths
    axes.set_yticks(range(len(known)), list(known), parse_math=False)
    axes.set_ylim(len(known) - 0.5, -0.5)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(stages), 3), frameon=False, labelcolor=ground.ink
    )
    return figure


def svg(figure: Figure) -> bytes:
    """The plot as SVG, letters drawn as shapes so that no font is needed; the same bytes for the same figures."""
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "dcfnet", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def plots(sheet: Sheet, attributes: Mapping[str, Sequence[str]]) -> dict[str, Draw]:
    """The plots that the evaluation has the figures for, by name."""
    found: dict[str, Draw] = {
        "success": lambda ground: success_plot(sheet, ground),
        "precision": lambda ground: precision_plot(sheet, ground),
    }
    if any(timing.fps for timing in sheet.timings.values()):
        found["speed"] = lambda ground: speed_plot(sheet, ground)
    if any(attributes.values()):
        found["attributes"] = lambda ground: attribute_plot(sheet, attributes, ground)
    if any(timing.stages for timing in sheet.timings.values()):
        found["stages"] = lambda ground: stage_plot(sheet.timings, ground)
    return found


def logarithmic(axes: Axes) -> None:
    """The axis of frames a second, once the points are drawn."""
    axes.set_xscale("log")
    slow = axes.get_xlim()[1] < PLAIN_TO
    axes.xaxis.set_major_formatter(ScalarFormatter() if slow else LogFormatterSciNotation())
    axes.margins(x=0.15)


def empty_axes(ground: Ground, x: str, y: str, title: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Axes with their names, and nothing on them."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=ground.ground)
    axes = figure.add_subplot()
    axes.set_facecolor(ground.ground)
    axes.set_title(title, color=ground.ink, loc="left", fontweight="bold", fontsize=11)
    axes.set_xlabel(x, color=ground.ink)
    axes.set_ylabel(y, color=ground.ink)
    axes.tick_params(which="both", colors=ground.ink)
    axes.grid(color=ground.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_color(ground.grid)
        spine.set_visible(side in ("left", "bottom"))
    return figure, axes


def _curves(
    axes: Axes,
    ground: Ground,
    at: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    curves: Mapping[str, tuple[Sequence[float], float]],
) -> None:
    """A curve a tracker, the best first in the legend, as the benchmark's own plots have it."""
    style = _style(curves)
    for name, (values, figure) in sorted(curves.items(), key=lambda item: -item[1][1]):
        colour, number = style[name]
        axes.plot(
            at, values, color=colour, linestyle=LINES[number % len(LINES)], linewidth=2, label=f"{figure:.3f}  {name}"
        )
    axes.set_xlim(at[0], at[-1])
    axes.set_ylim(0, 1.01)
    _legend(axes, ground)


def _legend(axes: Axes, ground: Ground) -> None:
    """The names where they cover least; many of them below the plot."""
    figure = axes.get_figure(root=True)
    handles, labels = axes.get_legend_handles_labels()
    look = {"fontsize": 9, "labelcolor": ground.ink, "facecolor": ground.ground, "edgecolor": ground.grid}
    if figure is None or len(labels) <= MOST_INSIDE:
        legend = axes.legend(loc="best", **look)
    else:
        below = LINE * len(labels)
        figure.set_size_inches(WIDTH, figure.get_size_inches()[1] + below)
        legend = figure.legend(handles, labels, loc="outside lower left", **look)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are the user's: a dollar sign in one is a dollar sign


def _style(names: Sequence[str] | Mapping[str, object]) -> Style:
    chosen = colours(names)
    return {name: (hexadecimal(chosen[name]), number) for number, name in enumerate(names)}
