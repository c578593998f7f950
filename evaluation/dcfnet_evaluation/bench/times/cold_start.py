"""Cold start: time from the start of dcfnet-run to its first tracked box in the file, with a warm disk cache."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from dcfnet.backbones.loading import load_model
from dcfnet.config import CONSTANTS
from dcfnet.errors import ConfigError
from dcfnet.io.sinks.video import VideoSink

from dcfnet_evaluation.bench.times.footage import Footage
from dcfnet_evaluation.trackers.contenders import Contender, Dcfnet

PROGRAM = (sys.executable, "-c", "from dcfnet.cli.run import app; app(prog_name='dcfnet-run')")
FRAMES = 10  # length of the video; the second frame gives the first tracked box
FIRST_TRACKED = 3  # line of the first tracked box, after the header and the init box
POLL_INTERVAL = 0.001  # s, between two reads of the file
TIMEOUT = 120.0  # s


def cold_starts(contenders: Sequence[Contender], footage: Footage, repeats: int) -> dict[str, float]:
    """Median cold start, seconds, of each tracker that dcfnet-run can open; `repeats` starts of each, in turns.

    An additional first start is not counted: it fills the disk cache. Raises ConfigError if a start fails.
    """
    arguments = {
        c.name: options for c in contenders if isinstance(c, Dcfnet) and (options := arguments_of(c)) is not None
    }
    if not arguments or not repeats:
        return {}
    with TemporaryDirectory() as folder:
        video = Path(folder) / "clip.avi"
        write_clip(footage, video)
        init = ",".join(str(value) for value in footage.start.box)
        times = _time_in_turns(
            {name: [str(video), "--init", init, *options] for name, options in arguments.items()}, repeats
        )
    return {name: median(seconds) for name, seconds in times.items()}


def _time_in_turns(commands: Mapping[str, Sequence[str]], repeats: int) -> dict[str, list[float]]:
    seconds_to_first_box(next(iter(commands.values())))
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, arguments in commands.items():
            times[name].append(seconds_to_first_box(arguments))
    return times


def arguments_of(contender: Dcfnet) -> list[str] | None:
    """Options of dcfnet-run for the same tracker; None if there are none, for example after --set."""
    if contender.engine != "auto":
        return None
    model = load_model(contender.model)
    options = ["--engine", str(contender.model)] if contender.model else []
    for option, named_configs in (("--preset", model.presets), ("--config", CONSTANTS)):
        for name, config in named_configs.items():
            if config == contender.config:
                return [*options, option, name]
    return options if contender.config is None else None


def write_clip(footage: Footage, video: Path) -> None:
    """Writes the first frames as a video. Raises SinkError."""
    height, width = footage.frames[0].shape[:2]
    with VideoSink(video, 30, (width, height)) as sink:
        for frame in footage.frames[:FRAMES]:
            sink.write(frame)


def seconds_to_first_box(arguments: Sequence[str], program: Sequence[str] = PROGRAM) -> float:
    """Seconds until the --boxes file contains a tracked box. Raises ConfigError, with the error output, on failure."""
    with TemporaryDirectory() as folder:
        boxes = Path(folder) / "boxes.csv"
        command = [*program, *arguments, "--boxes", str(boxes)]
        start_time = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_environment()
        )
        try:
            while (
                _count_lines(boxes) < FIRST_TRACKED
                and process.poll() is None
                and time.perf_counter() < start_time + TIMEOUT
            ):
                time.sleep(POLL_INTERVAL)
            seconds = time.perf_counter() - start_time
            if _count_lines(boxes) >= FIRST_TRACKED:
                return seconds
        finally:
            process.kill()
            _, error_output = process.communicate()
    raise ConfigError(
        f"dcfnet-run wrote no tracked box in {seconds:.0f} s ({error_output.strip():.300}); "
        "skip this measurement with --cold-starts 0"
    )


def _count_lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _environment() -> dict[str, str]:
    """The environment without the terminal settings, so that dcfnet-run draws no progress bar."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "FORCE_COLOR")}
