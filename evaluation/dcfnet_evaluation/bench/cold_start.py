"""Cold start: from the start of a fresh dcfnet-run to its first tracked box in the file, the disk's cache warm."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from dcfnet.config import CONSTANTS
from dcfnet.errors import ConfigError
from dcfnet.model import load_model
from dcfnet.sinks import VideoSink

from dcfnet_evaluation.bench.footage import Footage
from dcfnet_evaluation.contenders import Contender, Dcfnet

PROGRAM = (sys.executable, "-c", "from dcfnet.cli import app; app(prog_name='dcfnet-run')")
FRAMES = 10  # of the video: the first tracked box comes with its second
FIRST_TRACKED = 3  # line of the boxes: a header, the box that was given, the first that was found
LOOK_EVERY = 0.001  # s, between two looks at the file
PATIENCE = 120.0  # s, after which a start is given up


def cold_starts(contenders: Sequence[Contender], footage: Footage, repeats: int) -> dict[str, float]:
    """Median seconds of each tracker that dcfnet-run can open, each started `repeats` times, in turns.

    One start before them does not count: it fills the disk's cache. Raises ConfigError for a start that fails.
    """
    arguments = {c.name: told for c in contenders if isinstance(c, Dcfnet) and (told := arguments_of(c)) is not None}
    if not arguments or not repeats:
        return {}
    with TemporaryDirectory() as folder:
        video = Path(folder) / "clip.avi"
        write_clip(footage, video)
        init = ",".join(str(value) for value in footage.start.box)
        found = _in_turns({name: [str(video), "--init", init, *told] for name, told in arguments.items()}, repeats)
    return {name: median(seconds) for name, seconds in found.items()}


def _in_turns(commands: Mapping[str, Sequence[str]], repeats: int) -> dict[str, list[float]]:
    seconds_to_first_box(next(iter(commands.values())))
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, arguments in commands.items():
            found[name].append(seconds_to_first_box(arguments))
    return found


def arguments_of(contender: Dcfnet) -> list[str] | None:
    """The options with which dcfnet-run opens the same tracker; None where it has none for it, as for --set."""
    if contender.engine != "auto":
        return None
    model = load_model(contender.model)
    chosen = ["--engine", str(contender.model)] if contender.model else []
    for option, known in (("--preset", model.presets), ("--config", CONSTANTS)):
        for name, config in known.items():
            if config == contender.config:
                return [*chosen, option, name]
    return chosen if contender.config is None else None


def write_clip(footage: Footage, video: Path) -> None:
    """The first frames as a video. Raises SinkError."""
    height, width = footage.frames[0].shape[:2]
    with VideoSink(video, 30, (width, height)) as sink:
        for frame in footage.frames[:FRAMES]:
            sink.write(frame)


def seconds_to_first_box(arguments: Sequence[str], program: Sequence[str] = PROGRAM) -> float:
    """Seconds until the program's --boxes hold a tracked box. Raises ConfigError with what it said instead."""
    with TemporaryDirectory() as folder:
        boxes = Path(folder) / "boxes.csv"
        command = [*program, *arguments, "--boxes", str(boxes)]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_bare())
        try:
            while _lines(boxes) < FIRST_TRACKED and process.poll() is None and time.perf_counter() < began + PATIENCE:
                time.sleep(LOOK_EVERY)
            seconds = time.perf_counter() - began
            if _lines(boxes) >= FIRST_TRACKED:
                return seconds
        finally:
            process.kill()
            _, said = process.communicate()
    raise ConfigError(f"dcfnet-run gave no box in {seconds:.0f} s ({said.strip():.300}); leave it out: --cold-starts 0")


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _bare() -> dict[str, str]:
    """The environment of the run, its terminal left out: nobody watches a progress bar."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "FORCE_COLOR")}
