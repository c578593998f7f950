"""Options of `python -m dcfnet_train.training_set`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from dcfnet.cli.messages import as_options
from dcfnet.errors import ConfigError, DcfnetError

from dcfnet_train.training_set.layout import FootageSettings, Written, write_sequence
from dcfnet_train.training_set.manifest import SHIPPED, Entry, load_manifest
from dcfnet_train.training_set.repository import Repository, find_repository

SETTINGS = FootageSettings()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    repositories: Annotated[Path, typer.Option(help="Folder of the clones, bare or not: OWNER/NAME or OWNER+NAME.")],
    output: Annotated[Path, typer.Option(help="Folder for the sequences. A rerun keeps finished ones.")],
    manifest: Annotated[
        Path, typer.Argument(help="Manifest. Default: that of this project.", show_default=False)
    ] = SHIPPED,
    longest: Annotated[
        int, typer.Option(help="Long side of a frame, px. Larger frames are shrunk.")
    ] = SETTINGS.longest,
    quality: Annotated[int, typer.Option(help="JPEG quality of shrunk frames, 1 to 100.")] = SETTINGS.quality,
    smallest: Annotated[
        int, typer.Option(help="Square root of the smallest area of a box, px. A smaller box counts as absent.")
    ] = SETTINGS.smallest,
    only: Annotated[list[str] | None, typer.Option(help="Name of a sequence; repeatable. The default is all.")] = None,
) -> None:
    """Builds the training footage that MANIFEST lists from git repositories, in OTB's layout."""
    try:
        settings = FootageSettings(longest=longest, quality=quality, smallest=smallest)
        entries = _chosen(load_manifest(manifest), only or [])
    except DcfnetError as error:
        _tell(f"python -m dcfnet_train.training_set: {as_options(error, 'longest', 'quality', 'smallest')}")
        raise typer.Exit(1) from error
    written = [found for entry in entries if (found := _write(entry, repositories, settings, output)) is not None]
    frames, boxes = sum(one.frames for one in written), sum(one.boxes for one in written)
    typer.echo(f"{output}: {len(written)} of {len(entries)} sequences, {frames} frames, {boxes} with a box")
    if len(written) < len(entries):
        raise typer.Exit(1)


def _chosen(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """The entries with these names, or all without names. Raises ConfigError for a name that is not listed."""
    listed = [entry.name for entry in entries]
    unknown = [name for name in names if name not in listed]
    if unknown:
        raise ConfigError(f"--only {', '.join(unknown)}: not in the manifest; it lists {', '.join(listed)}")
    return [entry for entry in entries if not names or entry.name in names]


def _write(entry: Entry, root: Path, settings: FootageSettings, output: Path) -> Written | None:
    """Writes one sequence and prints its counts. For a rejected sequence it prints the reason and returns None."""
    try:
        with Repository(find_repository(root, entry.repository)) as repository:
            written = write_sequence(entry, repository, settings, output)
    except DcfnetError as error:
        _tell(f"left out: {error}")
        return None
    width, height = written.size
    typer.echo(f"{entry.name}: {written.frames} frames, {written.boxes} with a box, {width} x {height} px")
    return written


def _tell(message: str) -> None:
    typer.echo(message, err=True)
