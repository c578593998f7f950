"""The work of dcfnet-run: tracks one target from the first frame of a source to its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2

from dcfnet.cli.failures.recorder import FailureRecorder
from dcfnet.cli.outputs import check_outputs
from dcfnet.cli.progress import RunProgress
from dcfnet.cli.summary import Summary, check_frozen, describe_frame, track
from dcfnet.cli.target import WINDOW, draw_box, has_display, parse_box
from dcfnet.config.version import __version__
from dcfnet.errors import EngineError, InvalidBoxError, SinkError, SourceError
from dcfnet.io.boxes import FORMATS, BoxWriter
from dcfnet.io.frame import Frame, frame_size
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.source_frame import FrameSource, SourceFrame
from dcfnet.io.sources import open_source
from dcfnet.io.video import VideoSink, annotate
from dcfnet.model.file import SHIPPED
from dcfnet.result import Box, Result
from dcfnet.tracker import Tracker
from dcfnet.tracking.geometry import target_box


@dataclass(frozen=True)
class RunOptions:
    """The options of dcfnet-run, as its help describes them. levels: --range. layout: --format.

    failures: --record-failures. reconnect: seconds.
    """

    source: str
    init: str | None = None
    engine: Path | None = None
    config: str | None = None
    output: Path | None = None
    boxes: Path | None = None
    layout: str = "csv"
    device: str = "auto"
    show: bool = False
    preset: str | None = None
    rebuild: bool = False
    levels: str = "first"
    threads: int | None = None
    failures: Path | None = None
    every_frame: bool = False
    reconnect: float = 30.0


def run(options: RunOptions, summary: Summary | None = None) -> Summary:
    """The work of dcfnet-run. Raises DcfnetError for all errors that the user can correct.

    summary: an empty one, for a caller that needs it after an interruption.
    """
    summary = summary or Summary()
    given_box = parse_box(options.init) if options.init is not None else None
    outputs = [file for file in (options.output, options.boxes) if file]
    check_outputs(options.source, options.engine, outputs, options.failures)
    if options.layout not in FORMATS:
        raise SinkError(f"--format {options.layout}: must be one of {', '.join(FORMATS)}")
    if options.show and not has_display():
        raise SinkError("--show: there is no display; use --output and watch the video afterwards")
    live = LiveOptions(options.every_frame, options.reconnect, tell=tell)
    tracker = open_tracker(options)
    with closing(open_source(options.source, options.levels, live)) as source:
        track_source(options, tracker, source, given_box, summary)
    return summary


def tell(line: str) -> None:
    """Prints a line on standard error while the run goes on."""
    print(f"dcfnet-run: {line}", file=sys.stderr, flush=True)


def track_source(
    options: RunOptions, tracker: Tracker, source: FrameSource, given_box: Box | None, summary: Summary
) -> None:
    """Tracks from the first frame of the source to its end, and counts in the summary."""
    for note in source.report.notes:
        tell(f"{source.name}: {note}")
    frames = iter(source)
    first = next(frames)
    box = start(tracker, source, first, given_box)
    write_results(options, source, tracker, first, track(tracker, first, box, frames, summary))
    summary.problems += source.report.problems
    summary.died = source.report.died
    check_frozen(source, summary)


def open_tracker(options: RunOptions) -> Tracker:
    """The tracker of a model or an engine. With `rebuild`, a rejected engine is built again, once."""
    engine = options.engine
    if engine is not None and engine.is_dir() and str(engine) not in SHIPPED:
        raise EngineError(f"{engine}: is a folder; give a model (.onnx) or an engine (.engine) in it")
    try:
        return Tracker(engine, options.device, options.config, preset=options.preset, threads=options.threads)
    except EngineError as error:
        if engine is None or not options.rebuild:
            raise
        print(f"dcfnet-run: {error}", file=sys.stderr)
    from dcfnet.engines.make import rebuild as rebuild_engine

    passport = rebuild_engine(engine)
    print(f"dcfnet-run: {engine}: built again with {passport.flavour} {passport.version}", file=sys.stderr)
    return Tracker(engine, options.device, options.config, preset=options.preset, threads=options.threads)


def start(tracker: Tracker, source: FrameSource, first: SourceFrame, given: Box | None) -> Box:
    """Starts the tracker in the first frame, and returns the box. Raises InvalidBoxError that describes the frame."""
    if first.pixels is None:  # no source does this
        raise SourceError(f"{source.name}: the first frame {first.problem}")
    box = target_box(given or draw_box(first.pixels), frame_size(first.pixels))
    try:
        tracker.init(first.pixels, box)
    except InvalidBoxError as error:
        raise InvalidBoxError(f"{source.name}: {error}. {describe_frame(source, first.pixels)}") from error
    return box


def write_results(
    options: RunOptions,
    source: FrameSource,
    tracker: Tracker,
    first: SourceFrame,
    results: Iterator[tuple[SourceFrame, Box, Result | None]],
) -> None:
    """Writes and shows the results while they are computed."""
    assert first.pixels is not None
    picture = first.pixels
    with ExitStack() as stack:
        size, live = frame_size(first.pixels), first.delay is not None
        recorder = stack.enter_context(open_recorder(options, source, tracker)) if options.failures else None
        video = stack.enter_context(VideoSink(options.output, source.fps, size)) if options.output else None
        writer = stack.enter_context(BoxWriter(options.boxes, options.layout, live)) if options.boxes else None
        if options.show:
            stack.callback(cv2.destroyAllWindows)
        name = source.name if options.source == "-" or "://" in source.name else Path(source.name).name
        progress = RunProgress(stack, name, source.length)
        for index, (frame, box, result) in enumerate(results):
            picture = picture if frame.pixels is None else frame.pixels  # a hole shows the frame before it
            if writer:
                writer.write(index, box, result, frame.time, frame.delay)
            if video:
                video.write(annotate(picture, box, result), frame.time)
            if recorder:
                recorder.add(index, frame, box, result)
            progress.advance()
            if options.show and not show(annotate(picture, box, result)):
                break


def open_recorder(options: RunOptions, source: FrameSource, tracker: Tracker) -> FailureRecorder:
    """The recorder of --record-failures. Raises SinkError."""
    assert options.failures is not None
    settings = {
        "dcfnet": __version__,
        "start of the run": datetime.now().astimezone().isoformat(timespec="seconds"),
        "source": f"{source.name}, {source.fps:g} frames per second",
        "first box": options.init or "drawn",
        "tracker": repr(tracker),
        "preset": options.preset or "default",
        "levels": options.levels,
    }
    maps = tracker.response_maps
    return FailureRecorder(options.failures, source.name, settings, tracker.config, lambda frame: maps(frame)[0])


def show(frame: Frame) -> bool:
    """Shows the frame. False if the user wants to stop."""
    cv2.imshow(WINDOW, frame)
    return cv2.waitKey(1) not in (ord("q"), 27)
