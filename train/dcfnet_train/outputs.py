"""Whether a command can write its outputs, checked before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from dcfnet.errors import ConfigError


def check_new_run(folder: Path, last: str) -> None:
    """Raises ConfigError if a new run cannot write into the folder, or would overwrite the run in it.

    last: name of the file from which a run continues.
    """
    if (folder / last).exists():
        raise ConfigError(f"--output {folder}: already contains a run; add --resume, or choose another --output")
    _check_folder(folder, folder)


def check_file(file: Path) -> None:
    """Raises ConfigError if the file cannot be written."""
    if file.is_dir():
        raise ConfigError(f"--output {file}: is a folder; give the name of a file, for example {file / 'new'}")
    _check_folder(file, file.parent)


def _check_folder(output: Path, folder: Path) -> None:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"--output {output}: {there} is not a folder; choose another --output")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--output {output}: you may not write into {there}; choose another --output")
