"""dcfnet-run: tracks targets in a video. Only this module and `arguments` import typer."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import replace

import cv2
import typer

from dcfnet.cli import arguments
from dcfnet.cli.exit_codes import ExitCode, exit_code
from dcfnet.cli.log import is_structured, say, set_layout, tell_event
from dcfnet.cli.options import (
    BIRTH_SCORE,
    MIN_SCORE,
    RECONNECT,
    UPLOAD_LIMIT,
    WEB_PORT,
    RunOptions,
    check_page_options,
)
from dcfnet.cli.outputs import STDOUT
from dcfnet.cli.session import check_page_source, open_tracker, run
from dcfnet.cli.summary import Summary
from dcfnet.cli.target import parse_box
from dcfnet.io.addresses import without_secrets

NO_SOURCE = "is missing; give a video, a folder of images or a camera, or --web"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    source: arguments.Source = None,
    init: arguments.Init = None,
    engine: arguments.Engine = None,
    rebuild: arguments.Rebuild = False,
    preset: arguments.Preset = None,
    config: arguments.Config = None,
    settings: arguments.Settings = None,
    output: arguments.Output = None,
    boxes: arguments.Boxes = None,
    format_: arguments.Format = None,
    levels: arguments.Range = "first",
    device: arguments.Device = "auto",
    threads: arguments.Threads = None,
    failures: arguments.Failures = None,
    every_frame: arguments.EveryFrame = False,
    reconnect: arguments.Reconnect = RECONNECT,
    show: arguments.Show = False,
    targets: arguments.Targets = None,
    detections: arguments.DetectionFile = None,
    min_score: arguments.MinScore = MIN_SCORE,
    births: arguments.Births = None,
    birth_score: arguments.BirthScore = BIRTH_SCORE,
    deaths: arguments.Deaths = None,
    without_box: arguments.WithoutBox = 0,
    topic: arguments.Topic = None,
    web: arguments.Web = False,
    web_port: arguments.WebPort = WEB_PORT,
    upload_limit: arguments.UploadLimit = UPLOAD_LIMIT,
    metrics: arguments.Metrics = None,
    record: arguments.Record = None,
    log: arguments.Log = "text",
    version: arguments.Version = False,
) -> None:
    """Tracks targets through a video. Without --init, draw the box of one target in the first frame with the mouse.

    Exit codes: 0 complete, 1 error, 2 unknown option or missing argument, 3 partial (frames of the source, or targets,
    are missing), 4 a camera or stream ended, 130 interrupted, 141 the reader of the output ended.
    """
    if source is None and not web:
        raise typer.BadParameter(NO_SOURCE, param_hint="SOURCE")
    given = (source or "", (), engine, config, output, boxes, format_, device, show, preset, rebuild, levels)
    rules = (targets, detections, min_score, births, birth_score, deaths, without_box)
    more = (metrics, record, topic, tuple(settings or ()), web_port, upload_limit)
    options = RunOptions(*given, threads, failures, every_frame, reconnect, *rules, *more)
    prepare(log)
    if code := open_page(options, init) if web else run_and_report(options, init or []):
        raise typer.Exit(code)


def open_page(options: RunOptions, init: list[str] | None) -> ExitCode:
    """Serves the page of --web until it is interrupted. Returns the exit code."""

    def work() -> ExitCode:
        check_page_options(options, init)
        check_page_source(options)
        from dcfnet.cli.web.server import serve_page  # an extra

        given = (options.source or None, options.levels, options.web_port, options.upload_limit, options.topic)
        serve_page(open_tracker(options), *given)
        return ExitCode.COMPLETE

    return exit_code(work, lambda: None)


def run_and_report(options: RunOptions, init: list[str]) -> ExitCode:
    """Runs with the boxes of `init`, and prints errors, losses and the summary. Returns the exit code."""
    summary, to_stderr = Summary(), options.boxes == STDOUT

    def work() -> ExitCode:
        run(replace(options, init=tuple(map(parse_box, init))), summary)
        for problem in (*summary.problems, *filter(None, [summary.died])):
            say(f"{without_secrets(options.source)}: {problem}", "problem", logging.WARNING)
        code = ExitCode.DIED if summary.died else ExitCode.PARTIAL if summary.problems else ExitCode.COMPLETE
        tell_end(summary, code, to_stderr)
        return code

    def interrupted() -> None:
        if summary.frames:
            tell_end(summary, ExitCode.INTERRUPTED, to_stderr)

    return exit_code(work, interrupted)


def tell_end(summary: Summary, code: ExitCode, to_stderr: bool) -> None:
    """Writes the summary: a line on standard output or error, or an event."""
    if not is_structured():
        typer.echo(summary.text(), err=to_stderr)
    counts = {"frames": summary.frames, "lost": summary.lost, "undecoded": summary.undecoded, "frozen": summary.frozen}
    speed = {"updates": summary.updates, "seconds": round(summary.seconds, 3), "fps": round(summary.fps, 1)}
    tell_event("run_ended", {"exit_code": int(code), **counts, **speed, "targets": summary.targets})


def prepare(log: str) -> None:
    """Prepares this process for a run. log: the layout of messages."""
    set_layout(log)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM also closes the video properly
    quieten_opencv()


def quieten_opencv() -> None:
    """Turns off warnings of OpenCV and FFmpeg, which name no remedy; the messages of this program do."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
