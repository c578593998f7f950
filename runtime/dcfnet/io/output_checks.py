"""Whether a command can write its outputs, checked before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from dcfnet.errors import ConfigError


def check_file(file: Path, option: str = "--output") -> None:
    """Raises ConfigError if the file cannot be written. option: its name, for the message."""
    if file.is_dir():
        raise ConfigError(f"{option} {file}: is a folder; give the name of a file, for example {file / 'new'}")
    _check_writable(file, file.parent, option)


def check_folder(folder: Path, option: str = "--output") -> None:
    """Raises ConfigError if no file can be written into the folder. option: its name, for the message."""
    _check_writable(folder, folder, option)


def _check_writable(output: Path, folder: Path, option: str) -> None:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"{option} {output}: {there} is not a folder; choose another {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {output}: you may not write into {there}; choose another {option}")
