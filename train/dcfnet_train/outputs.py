"""Whether a new run can write into its folder, checked before it starts."""

from __future__ import annotations

from pathlib import Path

from dcfnet.errors import ConfigError
from dcfnet.io.output_checks import check_folder


def check_new_run(folder: Path, last: str) -> None:
    """Raises ConfigError if a new run cannot write into the folder, or would overwrite the run in it.

    last: name of the file from which a run continues.
    """
    if (folder / last).exists():
        raise ConfigError(f"--output {folder}: already contains a run; add --resume, or choose another --output")
    check_folder(folder)
