"""Accuracy against speed: joins scores and times by tracker, and finds the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcfnet.io.files import write_atomically

from dcfnet_evaluation.bench.sheet import Bench, BenchError
from dcfnet_evaluation.bench.tables import NONE, digits, interval_text
from dcfnet_evaluation.bench.times.figures import Figures
from dcfnet_evaluation.scores import Score, mean_score
from dcfnet_evaluation.scores.sheet import Sheet


@dataclass(frozen=True)
class Point:
    """A tracker: figures, mean score, and whether it is on the Pareto front."""

    name: str
    figures: Figures
    score: Score
    front: bool


@dataclass(frozen=True)
class Dot:
    """The values of a tracker in the plot. front: whether it is on the Pareto front."""

    name: str
    fps: float
    auc: float
    front: bool


def join_results(sheet: Sheet, bench: Bench) -> tuple[list[Point], list[str]]:
    """The trackers in both files, the fastest first, and a message for each tracker in only one of them.

    Raises BenchError if no tracker is in both.
    """
    scored = {name: mean_score(scores) for name, scores in sheet.scores.items() if scores}
    timed = {name: figures for name, figures in bench.figures.items() if figures.fps}
    both = [name for name in timed if name in scored]
    if not both:
        names_text = f"{', '.join(scored) or 'none'} in the scores, {', '.join(timed) or 'none'} in the benchmark"
        raise BenchError(f"no tracker is in both: {names_text}; run both with the same --preset and --peers")
    on_front = front([(timed[name].fps, scored[name].auc) for name in both])
    points = [Point(name, timed[name], scored[name], on) for name, on in zip(both, on_front, strict=True)]
    lacking = [f"left out: {name}: only in the scores" for name in scored if name not in timed]
    lacking += [f"left out: {name}: only in the benchmark" for name in timed if name not in scored]
    return sorted(points, key=lambda point: -point.figures.fps), lacking


def front(pairs: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each pair is on the Pareto front: no other pair is at least as high in both values and higher in one."""
    return [
        not any(other_x >= x and other_y >= y and (other_x, other_y) != (x, y) for other_x, other_y in pairs)
        for x, y in pairs
    ]


def to_dots(points: Sequence[Point]) -> list[Dot]:
    """The values of the points for the plot."""
    return [Dot(point.name, point.figures.fps, point.score.auc, point.front) for point in points]


def write_page(points: Sequence[Point], sheet: Sheet, bench: Bench, file: Path) -> None:
    """Writes a Markdown page with the plots `FILE.svg` and `FILE-dark.svg` and the table. Raises SinkError."""
    parts = [
        "# Speed and accuracy",
        picture_html(file.stem),
        markdown_table(points, bench.reference),
        provenance(sheet, bench),
    ]
    write_atomically(("\n\n".join(parts) + "\n").encode(), file)


def picture_html(stem: str) -> str:
    """HTML of the plot, for light and dark pages."""
    return "\n".join(
        [
            "<picture>",
            f'  <source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">',
            f'  <img alt="Success AUC against frames per second, a point for each tracker" src="{stem}.svg">',
            "</picture>",
        ]
    )


def markdown_table(points: Sequence[Point], reference: str | None) -> str:
    """A row for each tracker, the fastest first. Trackers on the front are bold."""
    ratio = [f"x {_escape(reference)}"] if reference else []
    heads = ["tracker", "FPS", *ratio, "p50 ms", "p99 ms", "AUC", "precision", "MB", "on the front"]
    rows = [heads, ["---", *["---:"] * (len(heads) - 2), "---"]]
    for point in points:
        figures, name = point.figures, _escape(point.name)
        ratios = [interval_text(figures.ratio)] if reference else []
        times = (digits(figures.spread.p50), digits(figures.spread.p99))
        scores = (f"{point.score.auc:.3f}", f"{point.score.precision:.3f}")
        memory = f"{figures.memory / 1e6:.0f}" if figures.memory else NONE
        first = f"**{name}**" if point.front else name
        rows.append([first, f"{figures.fps:.1f}", *ratios, *times, *scores, memory, "yes" if point.front else "no"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def provenance(sheet: Sheet, bench: Bench) -> str:
    """Sentences with the origin of the values."""
    machine, run = bench.machine, bench.run
    size = " x ".join(map(str, run["size"])) + " px" if run["size"] else "native size"
    scored = next(iter(sheet.scores.values()))
    limit = f", the first {sheet.run['limit']} frames of each" if sheet.run["limit"] else ""
    return "\n".join(
        [
            f"Speed: `{bench.command}`, {bench.date[:10]}, {machine['processor']}, {machine['cores']} cores; "
            f"frames of {size}, decoded before the run; times are of whole calls of `update`. FPS is the median over "
            f"{len(run['frames'])} sequences of {run['dataset']}; p50 and p99 are over single calls. "
            "All trackers ran in turns in one run.",
            f"Accuracy: success AUC and precision at 20 px, {sheet.run['protocol'].upper()}, means over {len(scored)} "
            f"sequences of {sheet.run['dataset']}{limit}. "
            "A tracker is on the front if no other is at least as fast and as accurate.",
        ]
    )


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
