"""Atomic file writes: a file is written completely, or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from dcfnet.errors import SinkError


def write_atomically(content: bytes, file: Path) -> None:
    """Writes the file and creates its folder. If it is interrupted or the disk is full, the previous file stays.

    Raises SinkError, an OSError, with the name of the file.
    """
    write_files_atomically({file: content})


def write_files_atomically(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together. All are on the disk before the first one is renamed, in the given order.

    If the disk is full, the previous files stay. Raises SinkError with the name of the file that cannot be written.
    """
    token = uuid4().hex  # another process may write the same files
    partials = {file: file.with_name(f"{file.name}.{token}.partial") for file in contents}
    for step in (_write_partial, lambda file, partial, content: os.replace(partial, file)):
        for file, content in contents.items():
            try:
                step(file, partials[file], content)
            except OSError as error:
                for partial in partials.values():
                    with suppress(OSError):
                        partial.unlink()
                raise SinkError(f"{file}: cannot be written ({error.strerror})") from error


def _write_partial(file: Path, partial: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
