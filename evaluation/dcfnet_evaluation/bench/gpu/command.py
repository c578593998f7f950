"""`dcfnet-bench gpu`: measures the speed on a GPU; prints a table and writes a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from dcfnet.cli.messages import as_options
from dcfnet.config import DEFAULT_PRESET
from dcfnet.devices.selection import open_backend
from dcfnet.errors import ConfigError, DcfnetError
from dcfnet.io.files import write_atomically
from rich.console import Console
from rich.table import Table

from dcfnet_evaluation.bench.times.footage import size_of
from dcfnet_evaluation.rendered import Clip, render_clip
from dcfnet_evaluation.scores.tables import empty_table
from dcfnet_evaluation.selection import parse_numbers
from dcfnet_evaluation.sequences import SequenceError

MEMORIES = ("host", "pinned", "device")  # where frames come from
FRAMES = 60  # length of the rendered clip, which is played forwards and backwards
KINDS = ("without_update", "with_update")  # of the filter; as in timing.py, which needs CuPy
COLUMNS = (
    *("targets", "streams", "frames", "host", "with update", "p99"),
    *("enqueue", "h2d", "compute", "d2h", "per ms", "x floor"),
)

Targets = Annotated[str, typer.Option(help="Numbers of targets per stream, separated by commas.")]
Streams = Annotated[str, typer.Option(help="Numbers of video streams in one batch, separated by commas.")]
Memories = Annotated[
    str, typer.Option("--frames", help=f"Memory of the frames, separated by commas: {', '.join(MEMORIES)}.")
]
Size = Annotated[str, typer.Option(metavar="WxH", help="Size of the rendered frames.")]
Preset = Annotated[str, typer.Option(help="Operating point of the model.")]
Model = Annotated[Path, typer.Option(metavar="FILE", help="ONNX file, engine file or name of a shipped model.")]
Engine = Annotated[
    str, typer.Option(help="Engine that runs the backbone: auto, native, native-fp16, tensorrt, onnxruntime.")
]
Updates = Annotated[int, typer.Option(help="Timed updates per row.", min=1)]
WarmUp = Annotated[int, typer.Option(help="Untimed updates before them.", min=0)]
Output = Annotated[Path, typer.Option(metavar="FILE.json", help="JSON file for all values, with p50, p90 and p99.")]


def gpu(
    targets: Targets = "1,8,64,256",
    streams: Streams = "1",
    frames: Memories = "host,pinned,device",
    size: Size = "1280x720",
    preset: Preset = DEFAULT_PRESET,
    model: Model = Path("dcfnet"),  # the native kernels run it
    engine: Engine = "auto",
    updates: Updates = 200,
    warm_up: WarmUp = 20,
    output: Output = Path("out", "bench", "gpu.json"),
) -> None:
    """Times the calls of update on a GPU, in the terms of trtexec, and computes the roofline. Writes gpu.json."""
    try:
        open_backend("cuda")  # raises if something is missing
        memories = [name.strip() for name in frames.split(",")]
        if unknown := [name for name in memories if name not in MEMORIES]:
            raise ConfigError(f"--frames {', '.join(unknown)}: must be among {', '.join(MEMORIES)}")
        target_counts, stream_counts = _parse_counts(targets, "--targets"), _parse_counts(streams, "--streams")
        rows = measure_rows(
            _render(size), target_counts, stream_counts, memories, updates, warm_up, (model, engine, preset)
        )
        report = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "size": size, "preset": preset}
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically((json.dumps({**report, "rows": rows}, indent=1) + "\n").encode(), output)
    except (DcfnetError, SequenceError, OSError) as error:
        typer.echo(f"dcfnet-bench: {as_options(error, 'preset', 'engine')}", err=True)
        raise typer.Exit(1) from error
    Console().print(table(rows))
    typer.echo("times in ms; host: p50 of calls without and with an update of the filter, and the larger p99;")
    typer.echo(f"the others: means; per ms: targets x frames per ms. {output}")


def measure_rows(
    clip: Clip,
    targets: Sequence[int],
    streams: Sequence[int],
    memories: Sequence[str],
    updates: int,
    warm_up: int,
    subject: tuple[Path, str, str],
) -> list[dict[str, Any]]:
    """Measures a row for every combination of number of targets, number of streams and memory of the frames.

    subject: model, engine and preset.
    """
    from dcfnet_evaluation.bench.gpu.speed import Load, Subject, sweep  # needs CuPy

    loads = [Load(*combination) for combination in product(targets, streams, memories)]
    return list(sweep(clip, loads, updates, warm_up, Subject(*subject)))


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table for a terminal. A row that failed shows its error."""
    result = empty_table(*COLUMNS)
    for row in rows:
        labels = (str(row["targets"]), str(row["streams"]), row["memory"])
        if "error" in row:
            result.add_row(*labels, row["error"].partition(":")[0])
            continue
        kinds, means = row["ms"], row["mean_ms"]
        parts = (f"{means[name]:.3f}" for name in ("enqueue", "h2d", "compute", "d2h"))
        floor_ratio = f"{row['measured_over_floor']:.0f}" if "measured_over_floor" in row else "-"
        medians = (f"{kinds[kind]['host']['p50']:.3f}" if kind in kinds else "-" for kind in KINDS)
        host_times = (*medians, f"{max(each['host']['p99'] for each in kinds.values()):.3f}")
        result.add_row(*labels, *host_times, *parts, f"{row['target_frames_per_ms']:.1f}", floor_ratio)
    return result


def _parse_counts(text: str, option: str) -> tuple[int, ...]:
    """Parses whole numbers. Raises SequenceError if a value is not a number, and ConfigError if one is below 1."""
    counts = parse_numbers(text, option)
    if min(counts) < 1:
        raise ConfigError(f"{option} {text}: must be whole numbers of at least 1")
    return counts


def _render(size: str) -> Clip:
    """Renders a clip of this size. Raises ConfigError if the size is invalid or "native"."""
    width_height = size_of(size)
    if width_height is None:
        raise ConfigError(f"--size {size}: rendered frames have no native size; give WIDTHxHEIGHT")
    return render_clip(length=FRAMES, width=width_height[0], height=width_height[1], occluder=False).kept()
