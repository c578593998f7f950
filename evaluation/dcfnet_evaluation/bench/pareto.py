"""Speed against accuracy: scores and times joined by the tracker's name, and who is beaten in both by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcfnet.sinks import write_whole

from dcfnet_evaluation.bench.figures import Figures
from dcfnet_evaluation.bench.sheet import Bench, BenchError
from dcfnet_evaluation.bench.tables import NONE, digits, interval_text
from dcfnet_evaluation.scores import Score, mean_score
from dcfnet_evaluation.sheet import Sheet


@dataclass(frozen=True)
class Point:
    """One tracker: its figures, its mean score, and whether it is on the front."""

    name: str
    figures: Figures
    score: Score
    front: bool


@dataclass(frozen=True)
class Dot:
    """What a plot needs of a tracker. front: whether it is on the front."""

    name: str
    fps: float
    auc: float
    front: bool


def join(sheet: Sheet, bench: Bench) -> tuple[list[Point], list[str]]:
    """The trackers of both, the fastest first; and a line for each that only one of them has, which is left out.

    Raises BenchError where none is in both.
    """
    scored = {name: mean_score(scores) for name, scores in sheet.scores.items() if scores}
    timed = {name: figures for name, figures in bench.figures.items() if figures.fps}
    both = [name for name in timed if name in scored]
    if not both:
        told = f"{', '.join(scored) or 'none'} in the scores, {', '.join(timed) or 'none'} in the benchmark"
        raise BenchError(f"no tracker is in both: {told}; run both with the same --preset and --peers")
    on_front = front([(timed[name].fps, scored[name].auc) for name in both])
    points = [Point(name, timed[name], scored[name], on) for name, on in zip(both, on_front, strict=True)]
    lacking = [f"left out: {name}: only in the scores" for name in scored if name not in timed]
    lacking += [f"left out: {name}: only in the benchmark" for name in timed if name not in scored]
    return sorted(points, key=lambda point: -point.figures.fps), lacking


def front(pairs: Sequence[tuple[float, float]]) -> list[bool]:
    """Which of the pairs, more being better in both, no other beats: is as good in both, and better in one."""
    return [not any(a >= x and b >= y and (a, b) != (x, y) for a, b in pairs) for x, y in pairs]


def scatter_of(points: Sequence[Point]) -> list[Dot]:
    """The points as they are drawn."""
    return [Dot(point.name, point.figures.fps, point.score.auc, point.front) for point in points]


def page(points: Sequence[Point], sheet: Sheet, bench: Bench, file: Path) -> None:
    """Writes the table as Markdown, under the plots `FILE.svg` and `FILE-dark.svg`. Raises SinkError."""
    parts = [
        "# Speed and accuracy",
        picture(file.stem),
        markdown_table(points, bench.reference),
        provenance(sheet, bench),
    ]
    write_whole(("\n\n".join(parts) + "\n").encode(), file)


def picture(stem: str) -> str:
    """The plot, for readers on dark ground and on light."""
    return "\n".join(
        [
            "<picture>",
            f'  <source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">',
            f'  <img alt="Success AUC over frames a second, a point a tracker" src="{stem}.svg">',
            "</picture>",
        ]
    )


def markdown_table(points: Sequence[Point], reference: str | None) -> str:
    """A row a tracker, the fastest first; names on the front in bold."""
    ratio = [f"x {_cell(reference)}"] if reference else []
    heads = ["tracker", "FPS", *ratio, "p50 ms", "p99 ms", "AUC", "precision", "MB", "on the front"]
    rows = [heads, ["---", *["---:"] * (len(heads) - 2), "---"]]
    for point in points:
        figures, name = point.figures, _cell(point.name)
        ratios = [interval_text(figures.ratio)] if reference else []
        times = (digits(figures.spread.p50), digits(figures.spread.p99))
        scores = (f"{point.score.auc:.3f}", f"{point.score.precision:.3f}")
        memory = f"{figures.memory / 1e6:.0f}" if figures.memory else NONE
        first = f"**{name}**" if point.front else name
        rows.append([first, f"{figures.fps:.1f}", *ratios, *times, *scores, memory, "yes" if point.front else "no"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def provenance(sheet: Sheet, bench: Bench) -> str:
    """Where the figures are from, in a few sentences."""
    machine, run = bench.machine, bench.run
    size = " x ".join(map(str, run["size"])) + " px" if run["size"] else "their own size"
    scored = next(iter(sheet.scores.values()))
    limit = f", the first {sheet.run['limit']} frames of each" if sheet.run["limit"] else ""
    return "\n".join(
        [
            f"Speed: `{bench.command}`, {bench.date[:10]}, {machine['processor']}, {machine['cores']} cores; "
            f"frames of {size} decoded beforehand, whole updates; FPS are the median over {len(run['frames'])} "
            f"sequences of {run['dataset']}, p50 and p99 are of single updates, all trackers in turns in one run.",
            f"Accuracy: success AUC and precision at 20 px, {sheet.run['protocol'].upper()}, means over {len(scored)} "
            f"sequences of {sheet.run['dataset']}{limit}. On the front: no other is at least as fast and as accurate.",
        ]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
