"""The report of an evaluation: one page that needs nothing but itself, and its plots as files for papers."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from dcfnet.sinks import write_whole

from dcfnet_evaluation.metrics import OVERLAP_THRESHOLDS
from dcfnet_evaluation.passes import failures
from dcfnet_evaluation.published import PublishedMean, PublishedScores
from dcfnet_evaluation.records import Evaluation
from dcfnet_evaluation.report import grids, plots
from dcfnet_evaluation.report.footage import Scene, scenes
from dcfnet_evaluation.report.moments import MISSED, unaware_share, worst_moments
from dcfnet_evaluation.report.palette import DARK, LIGHT
from dcfnet_evaluation.scores import by_attribute, mean_score
from dcfnet_evaluation.sequences import AnnotatedSequence
from dcfnet_evaluation.sheet import Sheet, has_truth

REPORT = "report.html"
REPORT_BYTES = 10_000_000  # a page that mail and issue trackers still take; clips that would exceed it are left out
SCENES = 12  # sequences of which the worst moment is shown
PROTOCOLS = {
    "ope": "OPE: one pass over each sequence, from its first frame",
    "tre": "TRE: up to 20 passes over each sequence, from frames spread over it",
    "sre": "SRE: 12 passes over each sequence, from first boxes shifted and scaled",
}


@dataclass(frozen=True)
class Plot:
    """A plot for light and dark pages, as data: addresses, and what it shows in words."""

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
    """Writes report.html and the plots (success.svg, precision.svg and so on) into the folder; returns the page.

    sequences: those of the evaluation, in any order. published: scores of others, whose means over the same sequences
    stand beside.
    Raises SequenceError for frames that cannot be read, OSError for files that cannot be written.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    chosen = [by_name[name] for name in evaluation.conditions.sequences if has_truth(by_name[name])]
    sheet = Sheet.of(evaluation, chosen)
    pictures = {name: _both(name, draw, folder) for name, draw in plots.plots(sheet, _attributes(chosen)).items()}
    facts, lacking = published.means(evaluation.conditions.sequences) if published else ([], {})
    context = _context(evaluation, chosen, sheet, facts) | {"lacking": list(lacking)}
    context["plots"] = {name: replace(plot, alt=_alt(name, sheet)) for name, plot in pictures.items()}
    first = next(iter(evaluation.passes))
    moments = worst_moments(evaluation.passes[first], chosen)
    page = _fill(context, scenes(evaluation, by_name, moments[:SCENES]))
    write_whole(page, folder / REPORT)
    return folder / REPORT


def data_address(content: bytes, kind: str) -> str:
    """The content as an address that needs no network; kind: its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _fill(context: Mapping[str, Any], found: Iterable[Scene]) -> bytes:
    """The page, with as many clips, of the worst moments first, as its size allows."""
    shown = list(found)
    page = _render(context, shown)
    for i in reversed(range(len(shown))):
        if len(page) <= REPORT_BYTES:
            break
        shown[i] = replace(shown[i], clip=b"")
        page = _render(context, shown)
    return page


def _render(context: Mapping[str, Any], shown: Sequence[Scene]) -> bytes:
    loader = jinja2.PackageLoader("dcfnet_evaluation.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["webp"] = lambda content: data_address(content, "image/webp")
    page = environment.get_template("report.html.jinja").render(context, scenes=shown)
    return page.encode()


def _context(
    evaluation: Evaluation, chosen: Sequence[AnnotatedSequence], sheet: Sheet, published: Sequence[PublishedMean]
) -> dict[str, Any]:
    """What the page says, but for pictures."""
    records = evaluation.passes
    unaware = {name: unaware_share(found, chosen) for name, found in records.items()}
    groups = {name: by_attribute(scores, _attributes(chosen)) for name, scores in sheet.scores.items()}
    passes = [done for record in next(iter(records.values())).values() for done in record.passes]
    broken = {
        (tracker, name): failures(record.passes)
        for tracker, found in records.items()
        for name, record in found.items()
        if failures(record.passes)
    }
    return {
        "conditions": evaluation.conditions,
        "protocol": PROTOCOLS.get(evaluation.conditions.protocol, evaluation.conditions.protocol),
        "machine": evaluation.machine,
        "serial": evaluation.serial,
        "passes": len(passes),
        "frames": sum(len(done.boxes) for done in passes),
        "failures": broken,
        "thresholds": len(OVERLAP_THRESHOLDS),
        "missed": MISSED,
        "accuracy": grids.accuracy_grid(sheet, unaware, published),
        "times": grids.times_grid(sheet) if sheet.timings else None,
        "clock": grids.clock_grid(sheet) if sheet.against_clock else None,
        "stages": grids.stages_grid(sheet),
        "attributes": grids.attributes_grid(groups) if any(_attributes(chosen).values()) else None,
        "per_sequence": grids.sequences_grid(sheet),
        "published": bool(published),
    }


def _attributes(chosen: Sequence[AnnotatedSequence]) -> dict[str, tuple[str, ...]]:
    return {sequence.name: sequence.attributes for sequence in chosen}


def _both(name: str, draw: plots.Draw, folder: Path) -> Plot:
    """The plot for the page, written as a file too."""
    light, dark = plots.svg(draw(LIGHT)), plots.svg(draw(DARK))
    write_whole(light, folder / f"{name}.svg")
    kind = "image/svg+xml"
    return Plot(name, data_address(light, kind), data_address(dark, kind), alt="")


def _alt(name: str, sheet: Sheet) -> str:
    """What a plot shows, for those who do not see it."""
    means = {tracker: mean_score(scores) for tracker, scores in sheet.scores.items()}
    said = {
        "success": lambda: [f"{tracker} AUC {mean.auc:.3f}" for tracker, mean in means.items()],
        "precision": lambda: [f"{tracker} {mean.precision:.3f} at 20 px" for tracker, mean in means.items()],
        "speed": lambda: [
            f"{t} {found.fps:.1f} FPS, AUC {means[t].auc:.3f}" for t, found in sheet.timings.items() if found.fps
        ],
    }
    titles = {
        "success": "Success plot",
        "precision": "Precision plot",
        "speed": "Success AUC over frames a second",
        "attributes": "Success AUC by attribute; the table below has the same figures",
        "stages": "Time of the parts of a frame; the table below has the same figures",
    }
    return ": ".join(filter(None, [titles[name], "; ".join(said[name]()) if name in said else ""]))
