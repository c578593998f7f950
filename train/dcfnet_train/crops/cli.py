"""dcfnet-crops: crops targets and their surroundings from footage, as input for training.

This is a separate command: a subcommand of dcfnet-train would change the call of dcfnet-train.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from dcfnet.cli.messages import as_options
from dcfnet.cli.progress import CommandProgress
from dcfnet.errors import ConfigError, DcfnetError
from dcfnet_evaluation.sequences import SequenceError
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from dcfnet_train.crops.cutting import make_cache
from dcfnet_train.footage.crop_manifest import Clip, CropSettings, Manifest
from dcfnet_train.footage.videos import Video, read_footage

SETTINGS = CropSettings()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    videos: Annotated[
        list[str], typer.Option(help="Folder of annotated footage, LAYOUT:FOLDER or LAYOUT:SUBSET:FOLDER. Repeatable.")
    ],
    output: Annotated[Path, typer.Option(help="Folder of the cache. The command completes an incomplete cache.")],
    around: Annotated[
        float, typer.Option(help="Side of the square crop / longer side of the target.")
    ] = SETTINGS.around,
    longest: Annotated[
        int, typer.Option(help="Largest side of the crop, px. Smaller crops are not enlarged.")
    ] = SETTINGS.longest,
    image: Annotated[str, typer.Option(help="jpg, or png (lossless).")] = SETTINGS.image,
    quality: Annotated[int, typer.Option(help="Quality of JPEG.")] = SETTINGS.quality,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 uses the main process.")] = os.cpu_count() or 1,
) -> None:
    """Writes a cache of crops for dcfnet-train --videos OUTPUT. After a stop, the same command completes the cache."""
    try:
        settings = CropSettings(around=around, longest=longest, image=image, quality=quality)
        if image == "png" and quality != SETTINGS.quality:
            raise ConfigError(f"quality={quality}: is for jpg; PNG is lossless, leave it out")
        footage = _footage(videos)
        manifest = _cut(footage, videos, settings, output, workers)
    except (DcfnetError, ValueError, OSError) as error:
        typer.echo(f"dcfnet-crops: {as_options(error, 'around', 'longest', 'image', 'quality')}", err=True)
        raise typer.Exit(1) from error
    for clip in manifest.clips.values():
        for message in clip.unreadable:
            typer.echo(f"skipped: {message}", err=True)
    frames, size = (sum(getattr(clip, key) for clip in manifest.clips.values()) for key in ("frames", "bytes"))
    typer.echo(f"{output}: {len(manifest.clips)} clips, {frames} images, {size / 2**20:.1f} MiB")


def _footage(places: list[str]) -> list[Video]:
    """The videos with a usable box; prints the others. Raises SequenceError if a video already consists of crops."""
    videos = [video for place in places for video in read_footage(place)]
    crops = [video.name for video in videos if video.centred]
    if crops:
        raise SequenceError(
            f"{', '.join(crops[:5])}: already crops, without the surroundings of the target; use whole frames"
        )
    for video in videos:
        if not len(video.usable()):
            typer.echo(f"skipped: {video.name} has no usable box", err=True)
    return [video for video in videos if len(video.usable())]


def _cut(videos: list[Video], places: list[str], settings: CropSettings, output: Path, workers: int) -> Manifest:
    columns = (TextColumn("crops"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[clip]}"))
    with CommandProgress("dcfnet-crops", *columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("cut", total=sum(len(video.usable()) for video in videos), clip="")

        def done(name: str, clip: Clip) -> None:
            progress.update(task, advance=clip.frames + len(clip.unreadable), clip=name)

        return make_cache(videos, places, settings, output, workers, done)
