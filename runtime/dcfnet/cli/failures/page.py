"""The page of all failures of a run: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from dcfnet.cli.failures.chart import charts, status_of
from dcfnet.cli.failures.pictures import RecordedFrame, large_picture, small_picture
from dcfnet.cli.failures.rule import UNCERTAIN_FRAMES, Cause
from dcfnet.config import TrackerConfig
from dcfnet.result import Reason

PAGE = "index.html"
RESULTS = "results.jsonl"
NEAR_BEFORE, NEAR_AFTER = 4, 3  # frames around the start of the failure that are all shown
FAR_BEFORE, FAR_AFTER = 4, 2  # frames shown of the others before and after them, at equal distances
MEANING = {
    Reason.LOW_PSR: "The response map has no clear peak (lost: PSR below min_psr; uncertain: below confident_psr).",
    Reason.UNLIKE: "PSR x peak is far below the typical value of this target (min_likeness).",
    Reason.OCCLUDED: "Something covers the target, or the box is elsewhere (min_strength).",
    Reason.LOW_CONFIDENCE: "The box is probably wrong: the confidence is low (lost_confidence, min_confidence).",
    Reason.OUT_OF_VIEW: "The centre of the target left the frame.",
    Reason.NO_TEXTURE: "The search region has one flat colour.",
    Reason.NO_FRAME: "The source gave no frame.",
    Reason.BAD_FRAME: "The frame could not be decoded, or is not valid.",
}
LONG_UNCERTAIN = f"The target was uncertain in {UNCERTAIN_FRAMES} frames in a row, until this one. "


@dataclass
class Failure:
    """A failure in the page.

    number: from 1. cause, start: why and in which frame it started. body: HTML of its pictures and charts.
    end: the first frame after it; None while it goes on.
    """

    number: int
    cause: Cause
    start: RecordedFrame
    body: str = ""
    end: int | None = None

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.number:04d}"


def failure_body(
    failure: Failure, frames: Sequence[RecordedFrame], response: bytes | None, config: TrackerConfig
) -> str:
    """HTML of the pictures around the start, the charts, and the response map. response: PNG."""
    start = failure.start.index
    strip = "\n".join(_figure(frame, failure) for frame in shown_frames(frames, start))
    drawn = "\n".join([charts(frames, start, config), _start(failure), _response(response)])
    return f'<div class="strip">\n{strip}\n</div>\n<div class="charts">\n{drawn}\n</div>'


def render(
    source: str, settings: Mapping[str, object], failures: Sequence[Failure], summary: str, ended: bool = False
) -> bytes:
    """The page. settings: name -> value. summary: one sentence. ended: whether the run has ended."""
    template = Template(files("dcfnet.cli.failures").joinpath("page.html").read_text(encoding="utf-8"))
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in settings.items())
    return template.substitute(
        source=escape(source),
        summary=escape(summary),
        contents=_contents(failures, ended),
        failures="\n".join(_section(failure, ended) for failure in failures),
        settings="\n".join(rows),
    ).encode()


def shown_frames(frames: Sequence[RecordedFrame], start: int) -> list[RecordedFrame]:
    """The frames of the strip: all near frame `start`, and some before and after them."""
    at = next(place for place, frame in enumerate(frames) if frame.index == start)
    near_first, near_last = max(at - NEAR_BEFORE, 0), min(at + NEAR_AFTER, len(frames) - 1)
    before = np.linspace(0, near_first, FAR_BEFORE + 1)
    after = np.linspace(near_last, len(frames) - 1, FAR_AFTER + 1)
    places = {*before.round().astype(int).tolist(), *range(near_first, near_last), *after.round().astype(int).tolist()}
    return [frames[place] for place in sorted(places)]


def _contents(failures: Sequence[Failure], ended: bool) -> str:
    """A table of the failures with links to them."""
    if not failures:
        return ""
    rows = [
        f'<tr><td><a href="#f{failure.name}">{failure.name}</a></td><td>{failure.start.index}</td>'
        f"<td>{failure.start.time:.2f} s</td><td>{_status(failure.start)}</td><td>{_end(failure, ended)}</td></tr>"
        for failure in failures
    ]
    heads = "".join(f"<th>{name}</th>" for name in ("failure", "frame", "time", "status", "end"))
    return f'<div class="scroll contents"><table>\n<tr>{heads}</tr>\n' + "\n".join(rows) + "\n</table></div>"


def _section(failure: Failure, ended: bool) -> str:
    start = failure.start
    heading = f"Failure {failure.name}: frame {start.index}, {start.time:.2f} s"
    meaning = LONG_UNCERTAIN if failure.cause is Cause.UNCERTAIN else ""
    if start.result:
        meaning += MEANING.get(start.result.reason, "")
    files_of = f'<a href="{failure.name}/{RESULTS}">{failure.name}/{RESULTS}</a>'
    facts = f"{_status(start)}. {escape(meaning)} End: {_end(failure, ended)}. All results: {files_of}."
    return f'<section id="f{failure.name}">\n<h2>{heading}</h2>\n<p>{facts}</p>\n{failure.body}\n</section>'


def _end(failure: Failure, ended: bool) -> str:
    if failure.end is not None:
        return f"frame {failure.end}"
    return "not before the end of the run" if ended else "not yet"


def _status(frame: RecordedFrame) -> str:
    status = status_of(frame)
    reason = f" ({frame.result.reason.value})" if frame.result else ""
    return f'<b class="{status.value}">{status.value}</b>{reason}'


def _figure(frame: RecordedFrame, failure: Failure) -> str:
    """A picture with the box, the frame number, the time and the status."""
    picture = small_picture(frame)
    kind = status_of(frame).value + " start" * (frame is failure.start)
    caption = f"<figcaption>frame {frame.index}, {frame.time:.2f} s<br>{_status(frame)}</figcaption>"
    if picture is None:
        return f'<figure class="{kind} gap"><div>no picture</div>{caption}</figure>'
    image = f'<img src="{_data_address(picture, "image/jpeg")}" alt="frame {frame.index} with the box">'
    return f'<figure class="{kind}"><a href="{failure.name}/{frame.name}">{image}</a>{caption}</figure>'


def _start(failure: Failure) -> str:
    """The whole stored picture of the start of the failure."""
    picture = large_picture(failure.start)
    if picture is None:
        return ""
    image = f'<img src="{_data_address(picture, "image/jpeg")}" alt="start of the failure">'
    return f"<figure>{image}<figcaption>Frame {failure.start.index}, the start of the failure.</figcaption></figure>"


def _response(response: bytes | None) -> str:
    if response is None:
        return ""
    image = f'<img src="{_data_address(response, "image/png")}" alt="response map">'
    caption = "Response map around the box in this frame. Bright is high; each map has its own range."
    return f'<figure class="response">{image}<figcaption>{caption}</figcaption></figure>'


def _data_address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
