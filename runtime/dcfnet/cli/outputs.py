"""The outputs of a run, checked before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from dcfnet.cli.failures.recorder import check_folder
from dcfnet.errors import SinkError
from dcfnet.io.decoding.images import IMAGE_SUFFIXES
from dcfnet.io.sinks.video import CODECS

STDOUT = Path("-")
BAG = ".mcap"


def is_bag_file(file: Path) -> bool:
    """Whether --boxes writes a bag."""
    return file.suffix.lower() == BAG


def check_outputs(source: str, files: list[Path], outputs: list[Path], failures: Path | None = None) -> None:
    """Raises SinkError if an output is a folder or a pipe, or would overwrite an input or another output.

    files: the inputs beside the source, for example the model. failures: the folder of --record-failures, which must
    not be the source or have an earlier run.
    """
    inputs = [os.path.realpath(file) for file in [source, *map(str, files)]]  # realpath accepts circular links too
    written = [output for output in outputs if output != STDOUT]
    for output in written:
        if output.is_dir():
            raise SinkError(f"{output}: is a folder; give the name of a file in it, for example {output / 'boxes.csv'}")
        if output.suffix.lower() in (*CODECS, BAG) and output.exists() and not output.is_file():
            raise SinkError(f"{output}: is a pipe or a device, and this format is not written in order; name a file")
        image = output.suffix.lower() in IMAGE_SUFFIXES and output.exists()
        if os.path.realpath(output) in inputs or image:
            raise SinkError(f"{output}: would overwrite an input of the run or an image; choose another file")
    for output in written:
        if [os.path.realpath(other) for other in written].count(os.path.realpath(output)) > 1:
            raise SinkError(f"{output}: is given for two of --output, --boxes and --record; choose two files")
    if failures is not None:
        check_folder(failures)
        if os.path.realpath(failures) in inputs:
            raise SinkError(f"{failures}: is the source; choose another folder for --record-failures")
