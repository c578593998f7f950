"""The options of a run: their values, their checks, and the targets that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dcfnet.backbones.loading import ENGINE
from dcfnet.cli.outputs import BAG, check_outputs, is_bag_file
from dcfnet.cli.target import display_fault
from dcfnet.cli.targets.births import BirthRule, DeathRule
from dcfnet.cli.targets.detections import read_detections
from dcfnet.cli.targets.duplicates import DuplicateRule
from dcfnet.cli.targets.run_targets import TargetPlan
from dcfnet.cli.targets.starts import numbered, read_starts
from dcfnet.errors import ConfigError, SinkError
from dcfnet.io.sinks.boxes import FORMATS, WITH_IDS
from dcfnet.io.sinks.coco import COCO
from dcfnet.result import Box

MIN_SCORE, BIRTH_SCORE = 0.0, 0.5  # for scores from 0 to 1
BIRTHS = 3  # frames with detections: one or two wrong detections start no target
RECONNECT = 30.0  # s
DEATHS = 60  # frames: 2 s of usual video
WEB_PORT = 8000
UPLOAD_LIMIT = 500  # MB: several minutes of video of a telephone


@dataclass(frozen=True)
class RunOptions:
    """The options of dcfnet-run, as its help describes them. levels: --range. layout: --format; None is csv.
    settings: --set.

    init: boxes of the first frame, frame pixels. starts: --targets. failures: --record-failures. reconnect: seconds.
    births: None is BIRTHS without `init` and `starts`, else 0. deaths: None is DEATHS with births, else 0.
    """

    source: str
    init: tuple[Box, ...] = ()
    engine: Path | None = None
    config: str | None = None
    output: Path | None = None
    boxes: Path | None = None
    layout: str | None = None
    device: str = "auto"
    show: bool = False
    preset: str | None = None
    rebuild: bool = False
    levels: str = "first"
    threads: int | None = None
    failures: Path | None = None
    every_frame: bool = False
    reconnect: float = RECONNECT
    starts: Path | None = None
    detections: Path | None = None
    min_score: float = MIN_SCORE
    births: int | None = None
    birth_score: float = BIRTH_SCORE
    deaths: int | None = None
    without_box: int = 0
    metrics: str | None = None
    record: Path | None = None
    topic: str | None = None
    settings: tuple[str, ...] = ()
    web_port: int = WEB_PORT
    upload_limit: int = UPLOAD_LIMIT

    @property
    def ids(self) -> bool:
        """Whether the outputs have the ids of the targets: there may be several."""
        return len(self.init) > 1 or self.starts is not None or self.detections is not None


def check_options(options: RunOptions) -> None:
    """Raises a typed error for options that contradict each other, before any file is opened or written."""
    inputs = [file for file in (options.engine, options.starts, options.detections) if file]
    outputs = [file for file in (options.output, options.boxes, options.record) if file]
    check_outputs(options.source, inputs, outputs, options.failures)
    _check_format(options)
    _check_tracker(options)
    if options.record and options.record.suffix.lower() != BAG:
        raise SinkError(f"--record {options.record}: the name must end in {BAG}, for example tracks{BAG}")
    if options.ids and options.failures:
        raise SinkError("--record-failures: records one target; give one --init, without --targets and --detections")
    if (options.web_port, options.upload_limit) != (WEB_PORT, UPLOAD_LIMIT):
        raise ConfigError(
            f"--web-port {options.web_port} and --upload-limit {options.upload_limit}: are options of the page; give "
            "--web, or leave them out"
        )
    fault = display_fault() if options.show else None
    if fault:
        raise SinkError(f"--show: {fault}; use --output and watch the video afterwards")


def _check_format(options: RunOptions) -> None:
    """Raises SinkError for an unknown format, or one that --boxes cannot have."""
    if options.layout is None:
        return
    if options.layout not in (*FORMATS, COCO):
        raise SinkError(f"--format {options.layout}: must be one of {', '.join((*FORMATS, COCO))}")
    if options.boxes is None:
        raise SinkError(f"--format {options.layout}: is the format of --boxes; give --boxes FILE")
    if is_bag_file(options.boxes):
        raise SinkError(
            f"--format {options.layout} and --boxes {options.boxes}: give one of them; a bag has its own format"
        )
    if options.ids and options.layout not in (*WITH_IDS, COCO):
        known = ", ".join((*WITH_IDS, COCO))
        raise SinkError(f"--format {options.layout}: has no ids; for several targets use {known}")


def _check_tracker(options: RunOptions) -> None:
    """Raises ConfigError for options of the tracker. Their errors in the library name arguments of Python."""
    if options.threads is not None and options.threads < 1:
        raise ConfigError(f"--threads {options.threads}: must be at least 1; leave it out for one per core")
    if options.preset is not None and options.config is not None:
        raise ConfigError(f"--preset {options.preset} and --config {options.config}: give one of them")
    if options.rebuild and (options.engine is None or options.engine.suffix != ENGINE):
        raise ConfigError(f"--rebuild: is for engine files; give --engine FILE{ENGINE}, or leave it out")


def unused_live_options(options: RunOptions) -> list[str]:
    """The given options that only a camera or a stream uses, as typed."""
    given = {
        "--every-frame": options.every_frame,
        f"--reconnect {options.reconnect:g}": options.reconnect != RECONNECT,
    }
    return [name for name, value in given.items() if value]


def check_page_options(options: RunOptions, init: list[str] | None) -> None:
    """Raises ConfigError for options that the page of --web does not use: it draws the box and has the downloads."""
    _check_tracker(options)
    if live := unused_live_options(options):
        raise ConfigError(
            f"--web and {live[0]}: give one of them; the page reads cameras and streams with the defaults"
        )
    unused = {
        "--init": init,
        "--output": options.output,
        "--boxes": options.boxes,
        "--format": options.layout,
        "--record-failures": options.failures,
        "--targets": options.starts,
        "--detections": options.detections,
        **dict.fromkeys(_detector_rules(options), True),
        "--deaths": options.deaths,
        "--metrics": options.metrics,
        "--record": options.record,
        "--show": options.show,
    }
    given = [name for name, value in unused.items() if value]
    if given:
        raise ConfigError(
            f"--web and {given[0]}: give one of them; the box is drawn on the page, which has the results"
        )


def _detector_rules(options: RunOptions) -> list[str]:
    """The given options that are rules for the boxes of a detector, as typed."""
    given = {
        f"--births {options.births}": options.births not in (None, 0),
        f"--min-score {options.min_score}": options.min_score != MIN_SCORE,
        f"--birth-score {options.birth_score}": options.birth_score != BIRTH_SCORE,
        f"--without-box {options.without_box}": options.without_box != 0,
    }
    return [name for name, value in given.items() if value]


def _refuse_birth_score(options: RunOptions) -> None:
    """Raises ConfigError for --birth-score if no box starts a target."""
    if options.birth_score != BIRTH_SCORE:
        raise ConfigError(
            f"--birth-score {options.birth_score}: no detector box starts a target here; give --births {BIRTHS}, or "
            "leave it out"
        )


def plan_targets(options: RunOptions) -> TargetPlan:
    """Reads the files of targets and detections. Raises ConfigError, SourceError and InvalidBoxError."""
    if options.init and options.starts:
        raise ConfigError("--init and --targets: give one of them; a line of --targets is an id and a box")
    if not options.detections and (rules := _detector_rules(options)):
        raise ConfigError(f"{rules[0]}: needs the boxes of a detector; give --detections FILE")
    starts = numbered(options.init) if options.starts is None else read_starts(options.starts)
    births = options.births
    if births is None:
        births = BIRTHS if options.detections and not starts else 0
    if not births:
        _refuse_birth_score(options)
    deaths = options.deaths
    if deaths is None:
        deaths = DEATHS if births else 0
    found = read_detections(options.detections, options.min_score) if options.detections else {}
    birth_rule = BirthRule(births, options.birth_score)
    return TargetPlan(starts, found, birth_rule, DeathRule(deaths, options.without_box), DuplicateRule(deaths))
