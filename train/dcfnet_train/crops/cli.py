"""dcfnet-crops: cuts the surroundings of the targets out of footage, for training that reads nothing else.

A command of its own, since a second one of dcfnet-train would change how that is called.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from dcfnet.errors import DcfnetError
from dcfnet_evaluation.sequences import SequenceError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dcfnet_train.crops.cutting import make_cache
from dcfnet_train.crops.manifest import Clip, CropSettings, Manifest
from dcfnet_train.videos import Video, read_footage

SETTINGS = CropSettings()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    videos: Annotated[
        list[str], typer.Option(help="Folder of annotated footage, or LAYOUT:FOLDER, LAYOUT:SUBSET:FOLDER; repeatable.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the cache; one that was not finished is gone on with.")],
    around: Annotated[
        float, typer.Option(help="Side of the square that is cut out, in longer sides of the target.")
    ] = SETTINGS.around,
    longest: Annotated[
        int, typer.Option(help="px: a square of more is shrunk to it; none is enlarged.")
    ] = SETTINGS.longest,
    image: Annotated[str, typer.Option(help="jpg, or png, which loses nothing.")] = SETTINGS.image,
    quality: Annotated[int, typer.Option(help="Of JPEG.")] = SETTINGS.quality,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is this one.")] = os.cpu_count() or 1,
) -> None:
    """Cuts footage into a cache of crops: dcfnet-train --videos OUTPUT reads it. The same command goes on with it."""
    try:
        settings = CropSettings(around=around, longest=longest, image=image, quality=quality)
        footage = _footage(videos)
        made = _cut(footage, videos, settings, output, workers)
    except (DcfnetError, ValueError, OSError) as error:
        typer.echo(f"dcfnet-crops: {error}", err=True)
        raise typer.Exit(1) from error
    for clip in made.clips.values():
        for told in clip.unreadable:
            typer.echo(f"left out: {told}", err=True)
    frames, size = (sum(getattr(clip, key) for clip in made.clips.values()) for key in ("frames", "bytes"))
    typer.echo(f"{output}: {len(made.clips)} clips, {frames} images, {size / 2**20:.1f} MiB")


def _footage(places: list[str]) -> list[Video]:
    """The videos with something to cut out; those without are told. Raises SequenceError for what are crops already."""
    videos = [video for place in places for video in read_footage(place)]
    crops = [video.name for video in videos if video.centred]
    if crops:
        raise SequenceError(
            f"{', '.join(crops[:5])}: crops already, and their surroundings are gone; give whole frames"
        )
    for video in videos:
        if not len(video.usable()):
            typer.echo(f"left out: {video.name} has no usable box", err=True)
    return [video for video in videos if len(video.usable())]


def _cut(videos: list[Video], places: list[str], settings: CropSettings, output: Path, workers: int) -> Manifest:
    columns = (TextColumn("crops"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[clip]}"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("cut", total=sum(len(video.usable()) for video in videos), clip="")

        def done(name: str, clip: Clip) -> None:
            progress.update(task, advance=clip.frames + len(clip.unreadable), clip=name)

        return make_cache(videos, places, settings, output, workers, done)
