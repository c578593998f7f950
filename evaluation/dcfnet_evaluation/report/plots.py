"""Plots of an evaluation, for reports and papers. No other module imports matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, ScalarFormatter

from dcfnet_evaluation.report.palette import LIGHT, Theme, colours, hexadecimal
from dcfnet_evaluation.scores import by_attribute, mean_score
from dcfnet_evaluation.scores.metrics import ERROR_THRESHOLDS, OVERLAP_THRESHOLDS, PRECISION_PX
from dcfnet_evaluation.scores.sheet import Sheet
from dcfnet_evaluation.scores.timing import Timing
from dcfnet_evaluation.scores.trust import Trust

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))  # 7 line styles and
MARKERS = "oDs^vPX"  # markers with 6 colours distinguish 42 trackers
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo")
WIDTH, HEIGHT = 5.2, 3.9  # inches: a column of a paper
MOST_INSIDE = 4  # longest legend inside a plot
LINE = 0.19  # inches, height of a line in a legend
PLAIN_TO = 10_000  # FPS below which an axis shows 1000 instead of 10^3

Draw: TypeAlias = Callable[[Theme], Figure]
Style: TypeAlias = Mapping[str, tuple[str, int]]  # name -> (colour, index)


def success_plot(sheet: Sheet, theme: Theme = LIGHT) -> Figure:
    """Success curve of each tracker; the legend shows its AUC."""
    figure, axes = empty_axes(theme, "overlap threshold", "share of frames above threshold", "Success")
    means = {name: mean_score(scores) for name, scores in sheet.scores.items()}
    _draw_curves(axes, theme, OVERLAP_THRESHOLDS, {n: (mean.success, mean.auc) for n, mean in means.items()})
    return figure


def precision_plot(sheet: Sheet, theme: Theme = LIGHT) -> Figure:
    """Precision curve of each tracker; the legend shows its value at 20 px."""
    figure, axes = empty_axes(theme, "centre error threshold, px", "share of frames within threshold", "Precision")
    axes.axvline(PRECISION_PX, color=theme.grid, linewidth=1.2, zorder=1)
    means = {name: mean_score(scores) for name, scores in sheet.scores.items()}
    curves = {name: (mean.precisions, mean.precision) for name, mean in means.items()}
    _draw_curves(axes, theme, ERROR_THRESHOLDS, curves)
    return figure


def speed_plot(sheet: Sheet, theme: Theme = LIGHT) -> Figure:
    """Success AUC against frames per second, a point for each tracker with times."""
    figure, axes = empty_axes(theme, "frames per second, logarithmic", "success AUC", "Speed and accuracy")
    for name, (colour, number) in _styles(sheet.scores).items():
        timing = sheet.timings.get(name)
        if timing and timing.fps:
            auc, marker = mean_score(sheet.scores[name]).auc, MARKERS[number % len(MARKERS)]
            axes.scatter([timing.fps], [auc], s=70, color=colour, marker=marker, edgecolors=theme.ink, label=name)
    logarithmic(axes)
    axes.set_ylim(0, 1)
    _draw_legend(axes, theme)
    return figure


def attribute_plot(sheet: Sheet, attributes: Mapping[str, Sequence[str]], theme: Theme = LIGHT) -> Figure:
    """Success AUC over the sequences of each attribute: a row for each attribute, a marker for each tracker."""
    groups = {name: by_attribute(scores, attributes) for name, scores in sheet.scores.items()}
    rows = list(next(iter(groups.values())))
    figure, axes = empty_axes(theme, "success AUC", "", "By attribute", height=1.5 + 0.3 * len(rows))
    for name, (colour, number) in _styles(sheet.scores).items():
        values = [mean_score(groups[name][row]).auc for row in rows]
        marker = MARKERS[number % len(MARKERS)]
        axes.scatter(values, range(len(rows)), s=55, color=colour, marker=marker, edgecolors=theme.ink, label=name)
    first = next(iter(groups.values()))
    axes.set_yticks(range(len(rows)), [f"{row} ({len(first[row])})" for row in rows], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    _draw_legend(axes, theme)
    return figure


def reliability_plot(trust: Mapping[str, Trust], theme: Theme = LIGHT) -> Figure:
    """Share of good frames against the confidence, a curve for each tracker with a probability.

    The area of a marker grows with the number of frames. The diagonal is a perfect confidence.
    """
    figure, axes = empty_axes(theme, "confidence", "share of frames with an overlap above 0.5", "Reliability")
    axes.plot([0, 1], [0, 1], color=theme.grid, linewidth=1.2, zorder=1)
    for name, (colour, number) in _styles(trust).items():
        if not trust[name].bins:
            continue
        confidence, share, frames = np.array(trust[name].bins).T
        label = f"{name} (error {trust[name].error:.3f})"
        axes.plot(confidence, share, color=colour, linestyle=LINES[number % len(LINES)], label=label)
        sizes = 10 + 150 * frames / frames.sum()
        axes.scatter(
            confidence, share, sizes, color=colour, marker=MARKERS[number % len(MARKERS)], edgecolors=theme.ink
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _draw_legend(axes, theme)
    return figure


def stage_plot(timings: Mapping[str, Timing], theme: Theme = LIGHT) -> Figure:
    """Mean time of the stages of an update, ms, a bar for each tracker that records stages."""
    by_tracker = {name: timing.stages for name, timing in timings.items() if timing.stages}
    figure, axes = empty_axes(
        theme, "mean time of an update, ms", "", "Time of the stages", height=1.9 + 0.5 * len(by_tracker)
    )
    stages = list(dict.fromkeys(stage for stage_times in by_tracker.values() for stage in stage_times))
    left = np.zeros(len(by_tracker))
    for stage, (colour, number) in _styles(stages).items():
        widths = np.array([stage_times.get(stage, 0.0) for stage_times in by_tracker.values()])
        hatch = HATCHES[number % len(HATCHES)]
        axes.barh(
            range(len(by_tracker)),
            widths,
            0.5,
            left,
            label=stage,
            color=colour,
            hatch=hatch,
            edgecolor=theme.background,
        )
        left += widths
    axes.set_yticks(range(len(by_tracker)), list(by_tracker), parse_math=False)
    axes.set_ylim(len(by_tracker) - 0.5, -0.5)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(stages), 3), frameon=False, labelcolor=theme.ink
    )
    return figure


def svg(figure: Figure) -> bytes:
    """The plot as SVG. Text is drawn as shapes, so no font is needed. Equal plots give equal bytes."""
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "dcfnet", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def plots(sheet: Sheet, attributes: Mapping[str, Sequence[str]]) -> dict[str, Draw]:
    """Name -> function that draws the plot, for all plots that the evaluation has values for."""
    drawings: dict[str, Draw] = {
        "success": lambda theme: success_plot(sheet, theme),
        "precision": lambda theme: precision_plot(sheet, theme),
    }
    if any(timing.fps for timing in sheet.timings.values()):
        drawings["speed"] = lambda theme: speed_plot(sheet, theme)
    if any(each.bins for each in sheet.trust.values()):
        drawings["reliability"] = lambda theme: reliability_plot(sheet.trust, theme)
    if any(attributes.values()):
        drawings["attributes"] = lambda theme: attribute_plot(sheet, attributes, theme)
    if any(timing.stages for timing in sheet.timings.values()):
        drawings["stages"] = lambda theme: stage_plot(sheet.timings, theme)
    return drawings


def logarithmic(axes: Axes) -> None:
    """Makes the x axis logarithmic. Call it after the points are drawn."""
    axes.set_xscale("log")
    slow = axes.get_xlim()[1] < PLAIN_TO
    axes.xaxis.set_major_formatter(ScalarFormatter() if slow else LogFormatterSciNotation())
    axes.margins(x=0.15)


def empty_axes(theme: Theme, x: str, y: str, title: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Empty axes with a title and labels."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.background)
    axes = figure.add_subplot()
    axes.set_facecolor(theme.background)
    axes.set_title(title, color=theme.ink, loc="left", fontweight="bold", fontsize=11)
    axes.set_xlabel(x, color=theme.ink)
    axes.set_ylabel(y, color=theme.ink)
    axes.tick_params(which="both", colors=theme.ink)
    axes.grid(color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_color(theme.grid)
        spine.set_visible(side in ("left", "bottom"))
    return figure, axes


def _draw_curves(
    axes: Axes,
    theme: Theme,
    thresholds: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    curves: Mapping[str, tuple[Sequence[float], float]],
) -> None:
    """Draws a curve for each tracker. The legend is sorted from best to worst, as in the plots of the benchmark."""
    style = _styles(curves)
    for name, (values, figure) in sorted(curves.items(), key=lambda item: -item[1][1]):
        colour, number = style[name]
        axes.plot(
            thresholds,
            values,
            color=colour,
            linestyle=LINES[number % len(LINES)],
            linewidth=2,
            label=f"{figure:.3f}  {name}",
        )
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.set_ylim(0, 1.01)
    _draw_legend(axes, theme)


def _draw_legend(axes: Axes, theme: Theme) -> None:
    """Draws the legend where it covers least; a long legend is below the plot."""
    figure = axes.get_figure(root=True)
    handles, labels = axes.get_legend_handles_labels()
    style = {"fontsize": 9, "labelcolor": theme.ink, "facecolor": theme.background, "edgecolor": theme.grid}
    if figure is None or len(labels) <= MOST_INSIDE:
        legend = axes.legend(loc="best", **style)
    else:
        below = LINE * len(labels)
        figure.set_size_inches(WIDTH, figure.get_size_inches()[1] + below)
        legend = figure.legend(handles, labels, loc="outside lower left", **style)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names of the user can contain dollar signs


def _styles(names: Sequence[str] | Mapping[str, object]) -> Style:
    chosen = colours(names)
    return {name: (hexadecimal(chosen[name]), number) for number, name in enumerate(names)}
