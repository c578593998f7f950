"""`dcfnet-bench gpu`: how fast a GPU tracks, as a table and a JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from dcfnet.backend import select
from dcfnet.config import DEFAULT_PRESET
from dcfnet.errors import ConfigError, DcfnetError
from dcfnet.sinks import write_whole
from rich.console import Console
from rich.table import Table

from dcfnet_evaluation.bench.footage import size_of
from dcfnet_evaluation.rendered import Clip, render_clip
from dcfnet_evaluation.selection import numbers
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.tables import empty_table

MEMORIES = ("host", "pinned", "device")  # where frames come from
FRAMES = 60  # of the rendered clip, shown there and back
COLUMNS = ("targets", "streams", "frames", "host", "p99", "enqueue", "h2d", "compute", "d2h", "per ms", "x floor")

Targets = Annotated[str, typer.Option(help="Numbers of targets in each stream, separated by commas.")]
Streams = Annotated[str, typer.Option(help="Numbers of video streams, all in one batch, separated by commas.")]
Memories = Annotated[str, typer.Option("--frames", help=f"Where frames come from: {', '.join(MEMORIES)}.")]
Size = Annotated[str, typer.Option(metavar="WxH", help="Of the rendered frames.")]
Preset = Annotated[str, typer.Option(help="Operating point.")]
Model = Annotated[
    Path | None, typer.Option(metavar="FILE", help="ONNX file or engine; the shipped one where none is given.")
]
Engine = Annotated[str, typer.Option(help="What runs the network: auto, native, tensorrt, onnxruntime.")]
Updates = Annotated[int, typer.Option(help="Updates that are timed for each row.", min=1)]
WarmUp = Annotated[int, typer.Option(help="Updates before them.", min=0)]
Output = Annotated[Path, typer.Option(metavar="FILE.json", help="Every figure, p50, p90 and p99.")]


def gpu(
    targets: Targets = "1,8,64,256",
    streams: Streams = "1",
    frames: Memories = "host,pinned,device",
    size: Size = "1280x720",
    preset: Preset = DEFAULT_PRESET,
    model: Model = None,
    engine: Engine = "auto",
    updates: Updates = 200,
    warm_up: WarmUp = 20,
    output: Output = Path("out", "bench", "gpu.json"),
) -> None:
    """Times whole updates on the GPU in trtexec's words, beside the roofline; writes gpu.json."""
    try:
        select("cuda")  # says what is missing
        memories = [name.strip() for name in frames.split(",")]
        if unknown := [name for name in memories if name not in MEMORIES]:
            raise ConfigError(f"--frames {', '.join(unknown)}: there are {', '.join(MEMORIES)}")
        many, cameras = _counts(targets, "--targets"), _counts(streams, "--streams")
        rows = measured(_clip(size), many, cameras, memories, updates, warm_up, (model, engine, preset))
        report = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "size": size, "preset": preset}
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole((json.dumps({**report, "rows": rows}, indent=1) + "\n").encode(), output)
    except (DcfnetError, SequenceError, OSError) as error:
        typer.echo(f"dcfnet-bench: {error}", err=True)
        raise typer.Exit(1) from error
    Console().print(table(rows))
    typer.echo(f"times in ms, p50 where nothing else is said; per ms: target-frames. {output}")


def measured(
    clip: Clip,
    targets: Sequence[int],
    streams: Sequence[int],
    memories: Sequence[str],
    updates: int,
    warm_up: int,
    subject: tuple[Path | None, str, str],
) -> list[dict[str, Any]]:
    """A row for every number of targets in every number of streams, with frames of every memory.

    subject: model, engine and preset.
    """
    from dcfnet_evaluation.bench.gpu import Load, Subject, sweep  # needs CuPy

    loads = [Load(*each) for each in product(targets, streams, memories)]
    return sweep(clip, loads, updates, warm_up, Subject(*subject))


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows on a terminal; what a row could not do in place of its figures."""
    found = empty_table(*COLUMNS)
    for row in rows:
        named = (str(row["targets"]), str(row["streams"]), row["memory"])
        if "error" in row:
            found.add_row(*named, row["error"].partition(":")[0])
            continue
        ms = row["ms"]
        parts = (f"{ms[name]['p50']:.3f}" for name in ("enqueue", "h2d", "compute", "d2h"))
        over = f"{row['measured_over_floor']:.0f}" if "measured_over_floor" in row else "-"
        whole = (f"{ms['host']['p50']:.3f}", f"{ms['host']['p99']:.3f}")
        found.add_row(*named, *whole, *parts, f"{row['target_frames_per_ms']:.1f}", over)
    return found


def _counts(text: str, option: str) -> tuple[int, ...]:
    """Raises SequenceError for what is no number, and ConfigError for one below 1."""
    found = numbers(text, option)
    if min(found) < 1:
        raise ConfigError(f"{option} {text}: whole numbers from 1 on")
    return found


def _clip(size: str) -> Clip:
    """Raises ConfigError for a size that is none."""
    asked = size_of(size)
    if asked is None:
        raise ConfigError(f"--size {size}: rendered frames have no size of their own; give WIDTHxHEIGHT")
    return render_clip(length=FRAMES, width=asked[0], height=asked[1], occluder=False)
