"""The work of dcfnet-run: tracks targets from the first frame of a source to its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2

from dcfnet.cli.box_outputs import open_boxes
from dcfnet.cli.failures.recorder import FailureRecorder
from dcfnet.cli.log import say, tell_event
from dcfnet.cli.options import RunOptions, check_options, plan_targets, unused_live_options
from dcfnet.cli.outputs import is_bag_file, locked
from dcfnet.cli.progress import RunProgress
from dcfnet.cli.summary import Summary, check_frozen, describe_box_error, track
from dcfnet.cli.target import WINDOW, draw_box
from dcfnet.cli.targets.run_targets import RunTargets, TargetPlan
from dcfnet.cli.targets.starts import numbered
from dcfnet.cli.telemetry.observers import Observer, observed, open_observers
from dcfnet.config import TrackerConfig
from dcfnet.config.version import __version__
from dcfnet.errors import ConfigError, EngineError, InvalidBoxError, SourceError
from dcfnet.io.frame import Frame, frame_size
from dcfnet.io.live.options import LiveOptions
from dcfnet.io.sinks.target_row import TargetRow
from dcfnet.io.sinks.video import VideoSink, annotate_targets
from dcfnet.io.source_frame import FrameSource, SourceFrame
from dcfnet.io.sources import is_stored, open_source
from dcfnet.model.file import SHIPPED
from dcfnet.tracker import MultiTracker


def run(options: RunOptions, summary: Summary | None = None) -> Summary:
    """The work of dcfnet-run. Raises DcfnetError for all errors that the user can correct.

    summary: an empty one, for a caller that needs it after an interruption.
    """
    summary = summary or Summary()
    check_options(options)
    plan = plan_targets(options)
    live = LiveOptions(options.every_frame, options.reconnect, tell=lambda line: say(line, "source", logging.WARNING))
    with open_observers(options.metrics) as observers:
        tracker = open_tracker(options)
        with closing(open_source(options.source, options.levels, live, options.topic)) as source:
            tell_event("run_started", {"source": source.name, "tracker": repr(tracker), "version": __version__})
            track_source(options, tracker, source, plan, summary, observers)
    return summary


def track_source(
    options: RunOptions,
    tracker: MultiTracker,
    source: FrameSource,
    plan: TargetPlan,
    summary: Summary,
    observers: Sequence[Observer] = (),
) -> None:
    """Tracks from the first frame of the source to its end, and counts in the summary."""
    if source.live and options.detections:
        raise ConfigError(
            f"--detections: {source.name} is live, so its frames have no fixed numbers; record it first, or give the "
            "boxes to MultiTracker.correct"
        )
    for note in source.report.notes:
        say(f"{source.name}: {note}", "note")
    frames = iter(source)
    first = next(frames)
    for option in unused_live_options(options) if first.delay is None else []:
        say(f"{source.name}: {option} is not used; it is for cameras and streams, and no frame is skipped here", "note")
    if first.pixels is None:  # no source does this
        raise SourceError(f"{source.name}: the first frame {first.problem}")
    if not plan.starts and not options.detections:
        plan = replace(plan, starts=numbered([draw_box(first.pixels)]))
    targets, summary.several = RunTargets(tracker, plan), options.ids
    results = with_start(source, first.pixels, track(targets, chain([first], frames), summary))
    boxes = options.boxes if options.boxes and not is_bag_file(options.boxes) else None
    files = [file for file in (options.output, boxes, options.record) if file]
    with locked(files), open_recording(options.record, tracker) as recording:
        write_results(options, source, tracker, observed(results, summary, [*observers, *recording]))
    summary.problems += source.report.problems + targets.problems
    summary.died = source.report.died
    check_frozen(source, summary)


@contextmanager
def open_recording(file: Path | None, tracker: MultiTracker) -> Iterator[list[Observer]]:
    """The recording of --record, as a list; empty without a file.

    Raises SinkError, and MissingDependencyError without the extra `foxglove`.
    """
    if file is None:
        yield []
        return
    from dcfnet.cli.telemetry.recording import Recording  # an extra

    with Recording(file, tracker.response_maps) as recording:
        yield [recording]


def check_page_source(options: RunOptions) -> None:
    """Reads the first frame of the source of --web, so that its error ends the program. Raises SourceError.

    A camera, a stream or a pipe is opened by the page only: it may not open twice.
    """
    if options.source and is_stored(options.source):
        with closing(open_source(options.source, options.levels, topic=options.topic)) as source:
            next(iter(source))


def open_tracker(options: RunOptions) -> MultiTracker:
    """The tracker of a model or an engine. With `rebuild`, a rejected engine is built again, once."""
    engine = options.engine
    if engine is not None and os.path.isdir(engine) and str(engine) not in SHIPPED:
        raise EngineError(f"{engine}: is a folder; give a model (.onnx) or an engine (.engine) in it")
    given = (engine, options.device, settings_of(options))
    opened = partial(MultiTracker, *given, preset=options.preset, threads=options.threads)
    try:
        return opened()
    except EngineError as error:
        if engine is None or not options.rebuild:
            raise
        say(str(error), "note", logging.WARNING)
    from dcfnet.engines.make import rebuild as rebuild_engine

    passport = rebuild_engine(engine)
    say(f"{engine}: built again with {passport.flavour} {passport.version}", "note")
    return opened()


def settings_of(options: RunOptions) -> str | TrackerConfig | dict[str, Any] | None:
    """The argument `config` of the tracker: --config, changed by --set. Raises ConfigError."""
    if not options.settings:
        return options.config
    if options.config is not None:
        return TrackerConfig.named(options.config).assign(options.settings)
    return TrackerConfig().parse(options.settings)


def with_start(
    source: FrameSource, first: Frame, results: Iterator[tuple[SourceFrame, list[TargetRow]]]
) -> Iterator[tuple[SourceFrame, list[TargetRow]]]:
    """The results. If a target cannot start in the first frame, the error names the source."""
    try:
        started = next(results)
    except InvalidBoxError as error:
        raise InvalidBoxError(f"{source.name}: {describe_box_error(error, source, first)}") from error
    return chain([started], results)


def write_results(
    options: RunOptions,
    source: FrameSource,
    tracker: MultiTracker,
    results: Iterator[tuple[SourceFrame, list[TargetRow]]],
) -> None:
    """Writes and shows the results while they are computed."""
    first = next(results)
    picture = first[0].pixels
    assert picture is not None
    with ExitStack() as stack:
        size, live = frame_size(picture), first[0].delay is not None
        recorder = stack.enter_context(open_recorder(options, source, tracker)) if options.failures else None
        video = stack.enter_context(VideoSink(options.output, source.fps, size)) if options.output else None
        boxes = stack.enter_context(open_boxes(options, live)) if options.boxes else None
        if options.show:
            stack.callback(cv2.destroyAllWindows)
        name = source.name if options.source == "-" or "://" in source.name else Path(source.name).name
        progress = RunProgress(stack, name, source.length)
        for index, (frame, rows) in enumerate(chain([first], results)):
            picture = picture if frame.pixels is None else frame.pixels  # a hole shows the frame before it
            if boxes:
                boxes.add(index, frame, rows)
            if video:
                video.write(annotate_targets(picture, rows, options.ids), frame.time)
            if recorder:
                recorder.add(index, frame, rows[0].box, rows[0].result)
            progress.advance()
            if options.show and not show(annotate_targets(picture, rows, options.ids)):
                break


def open_recorder(options: RunOptions, source: FrameSource, tracker: MultiTracker) -> FailureRecorder:
    """The recorder of --record-failures. Raises SinkError."""
    assert options.failures is not None
    settings = {
        "dcfnet": __version__,
        "start of the run": datetime.now().astimezone().isoformat(timespec="seconds"),
        "source": f"{source.name}, {source.fps:g} frames per second",
        "first box": ",".join(f"{value:g}" for value in options.init[0]) if options.init else "drawn",
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
