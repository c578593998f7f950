"""A text file of results that is written line by line."""

from __future__ import annotations

import errno
import sys
from io import FileIO
from pathlib import Path

from dcfnet.errors import SinkError
from dcfnet.io.files import make_folder_of

STDOUT = "-"


class LineFile:
    """Writes lines unbuffered: each is in the file, or raises an error. So an interrupted run keeps every line."""

    def __init__(self, file: Path) -> None:
        """Opens the file and creates its folder; - is standard output. Raises SinkError if it cannot be written."""
        self._name = str(file)
        try:
            if self._name == STDOUT:
                if sys.stdout is None:
                    raise OSError(errno.EBADF, "standard output is closed")
                self._file = FileIO(sys.stdout.fileno(), "wb", closefd=False)
            else:
                make_folder_of(file)
                self._file = file.open("wb", buffering=0)
        except OSError as error:
            raise SinkError(f"{file}: cannot be written ({error.strerror})") from error

    def write(self, line: str) -> None:
        """Writes a line. After an error the file is closed.

        Raises SinkError on a full disk, and BrokenPipeError if the reader of standard output has ended.
        """
        content = (line + "\n").encode()
        try:
            if self._file.write(content) == len(content):
                return
            reason = "No space left for a complete line"
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = str(error.strerror)
        self._file.close()
        raise SinkError(f"{self._name}: cannot be written ({reason})")

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
