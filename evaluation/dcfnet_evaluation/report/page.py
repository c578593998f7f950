"""The report of an evaluation: one self-contained HTML page, and its plots as SVG files for papers."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from dcfnet.io.files import write_atomically

from dcfnet_evaluation.passes import failures
from dcfnet_evaluation.passes.published import PublishedMean, PublishedScores
from dcfnet_evaluation.passes.records import Evaluation
from dcfnet_evaluation.report import grids, plots
from dcfnet_evaluation.report.footage import Scene, scenes
from dcfnet_evaluation.report.moments import MISSED, unaware_share, worst_moments
from dcfnet_evaluation.report.palette import DARK, LIGHT
from dcfnet_evaluation.scores import by_attribute, mean_score
from dcfnet_evaluation.scores.metrics import OVERLAP_THRESHOLDS
from dcfnet_evaluation.scores.sheet import Sheet, has_truth
from dcfnet_evaluation.sequences import AnnotatedSequence

REPORT = "report.html"
REPORT_BYTES = 10_000_000  # limit for mail and issue trackers; clips beyond it are left out
SCENES = 12  # sequences whose worst moment is shown
PROTOCOLS = {
    "ope": "OPE: one pass over each sequence, from its first frame",
    "tre": "TRE: up to 20 passes over each sequence, from frames at equal distances",
    "sre": "SRE: 12 passes over each sequence, from shifted and scaled first boxes",
}


@dataclass(frozen=True)
class Plot:
    """A plot for light and dark pages. light, dark: data: addresses. alt: description in words."""

    name: str
    light: str
    dark: str
    alt: str


def write_report(
    evaluation: Evaluation,
    sequences: Sequence[AnnotatedSequence],
    folder: Path,
    published: PublishedScores | None = None,
) -> Path:
    """Writes report.html and the plots (success.svg, precision.svg and others) into the folder; returns the page.

    sequences: those of the evaluation, in any order. published: published scores; their means over the same sequences
    are shown beside the others.
    Raises SequenceError if a frame cannot be read, and OSError if a file cannot be written.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    chosen = [by_name[name] for name in evaluation.conditions.sequences if has_truth(by_name[name])]
    sheet = Sheet.of(evaluation, chosen)
    pictures = {name: _draw_plot(name, draw, folder) for name, draw in plots.plots(sheet, _attributes(chosen)).items()}
    published_means, lacking = published.means(evaluation.conditions.sequences) if published else ([], {})
    context = _context(evaluation, chosen, sheet, published_means) | {"lacking": list(lacking)}
    context["plots"] = {name: replace(plot, alt=_alt_text(name, sheet)) for name, plot in pictures.items()}
    first = next(iter(evaluation.passes))
    moments = worst_moments(evaluation.passes[first], chosen)
    page = _render_limited(context, scenes(evaluation, by_name, moments[:SCENES]))
    write_atomically(page, folder / REPORT)
    return folder / REPORT


def data_address(content: bytes, kind: str) -> str:
    """The content as a data: address. kind: media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _render_limited(context: Mapping[str, Any], all_scenes: Iterable[Scene]) -> bytes:
    """Renders the page. Drops clips, those of the least bad moments first, until it is small enough."""
    page_scenes = list(all_scenes)
    page = _render(context, page_scenes)
    for i in reversed(range(len(page_scenes))):
        if len(page) <= REPORT_BYTES:
            break
        page_scenes[i] = replace(page_scenes[i], clip=b"")
        page = _render(context, page_scenes)
    return page


def _render(context: Mapping[str, Any], page_scenes: Sequence[Scene]) -> bytes:
    loader = jinja2.PackageLoader("dcfnet_evaluation.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["webp"] = lambda content: data_address(content, "image/webp")
    page = environment.get_template("report.html.jinja").render(context, scenes=page_scenes)
    return page.encode()


def _context(
    evaluation: Evaluation, chosen: Sequence[AnnotatedSequence], sheet: Sheet, published: Sequence[PublishedMean]
) -> dict[str, Any]:
    """The variables of the page template, without plots and scenes."""
    records = evaluation.passes
    unaware = {name: unaware_share(by_sequence, chosen) for name, by_sequence in records.items()}
    groups = {name: by_attribute(scores, _attributes(chosen)) for name, scores in sheet.scores.items()}
    passes = [one_pass for record in next(iter(records.values())).values() for one_pass in record.passes]
    failed = {
        (tracker, name): failures(record.passes)
        for tracker, by_sequence in records.items()
        for name, record in by_sequence.items()
        if failures(record.passes)
    }
    return {
        "conditions": evaluation.conditions,
        "protocol": PROTOCOLS.get(evaluation.conditions.protocol, evaluation.conditions.protocol),
        "machine": evaluation.machine,
        "serial": evaluation.serial,
        "passes": len(passes),
        "frames": sum(len(one_pass.boxes) for one_pass in passes),
        "failures": failed,
        "thresholds": len(OVERLAP_THRESHOLDS),
        "missed": MISSED,
        "accuracy": grids.accuracy_grid(sheet, unaware, published),
        "trust": grids.trust_grid(sheet.trust) if sheet.trust else None,
        "times": grids.times_grid(sheet) if sheet.timings else None,
        "clock": grids.clock_grid(sheet) if sheet.against_clock else None,
        "stages": grids.stages_grid(sheet),
        "attributes": grids.attributes_grid(groups) if any(_attributes(chosen).values()) else None,
        "per_sequence": grids.sequences_grid(sheet),
        "published": bool(published),
    }


def _attributes(chosen: Sequence[AnnotatedSequence]) -> dict[str, tuple[str, ...]]:
    return {sequence.name: sequence.attributes for sequence in chosen}


def _draw_plot(name: str, draw: plots.Draw, folder: Path) -> Plot:
    """Draws a plot for light and dark pages, and writes the light one as a file."""
    light, dark = plots.svg(draw(LIGHT)), plots.svg(draw(DARK))
    write_atomically(light, folder / f"{name}.svg")
    kind = "image/svg+xml"
    return Plot(name, data_address(light, kind), data_address(dark, kind), alt="")


def _alt_text(name: str, sheet: Sheet) -> str:
    """Description of a plot in words, for readers who cannot see it."""
    means = {tracker: mean_score(scores) for tracker, scores in sheet.scores.items()}
    values = {
        "success": lambda: [f"{tracker} AUC {mean.auc:.3f}" for tracker, mean in means.items()],
        "precision": lambda: [f"{tracker} {mean.precision:.3f} at 20 px" for tracker, mean in means.items()],
        "reliability": lambda: [
            f"{tracker} calibration error {trust.error:.3f}" for tracker, trust in sheet.trust.items() if trust.bins
        ],
        "speed": lambda: [
            f"{t} {timing.fps:.1f} FPS, AUC {means[t].auc:.3f}" for t, timing in sheet.timings.items() if timing.fps
        ],
    }
    titles = {
        "success": "Success plot",
        "precision": "Precision plot",
        "speed": "Success AUC against frames per second",
        "reliability": "Share of good frames against the confidence",
        "attributes": "Success AUC by attribute; the table below has the same values",
        "stages": "Time of the stages of an update; the table below has the same values",
    }
    return ": ".join(filter(None, [titles[name], "; ".join(values[name]()) if name in values else ""]))
