"""The outputs of a run, checked before it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dcfnet.cli.failures.recorder import check_folder
from dcfnet.errors import SinkError
from dcfnet.io.decoding.images import IMAGE_SUFFIXES
from dcfnet.io.sinks.video import CODECS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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
        # They accept any name, and files that may not be read, unlike the methods of Path.
        exists, regular = os.path.exists(output), os.path.isfile(output)
        if os.path.isdir(output):
            raise SinkError(f"{output}: is a folder; give the name of a file in it, for example {output / 'boxes.csv'}")
        if output.suffix.lower() in (*CODECS, BAG) and exists and not regular:
            raise SinkError(f"{output}: is a pipe or a device, and this format is not written in order; name a file")
        image = output.suffix.lower() in IMAGE_SUFFIXES and exists
        if os.path.realpath(output) in inputs or image:
            raise SinkError(f"{output}: would overwrite an input of the run or an image; choose another file")
    for output in written:
        if [os.path.realpath(other) for other in written].count(os.path.realpath(output)) > 1:
            raise SinkError(f"{output}: is given for two of --output, --boxes and --record; choose two files")
    if failures is not None:
        check_folder(failures)
        if os.path.realpath(failures) in inputs:
            raise SinkError(f"{failures}: is the source; choose another folder for --record-failures")


@contextmanager
def locked(outputs: Sequence[Path]) -> Iterator[None]:
    """Locks files against other runs, which would mix their results with ours. A new file is created, empty.

    Raises SinkError if another run writes one of them. After an error, a new file that is still empty is removed.
    Pipes, and file systems without locks, are left out. So are bags: they get their name when they are complete.
    """
    with ExitStack() as stack:
        for output in outputs:
            if fcntl is not None and output != STDOUT and (os.path.isfile(output) or not os.path.exists(output)):
                stack.enter_context(_locked(output))
        yield


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    new, new_folder = not os.path.exists(output), not os.path.exists(output.parent)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(output, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # its sink names the cause
        yield
        return
    try:
        _lock(descriptor, output)
        yield
    except BaseException:
        if new and not os.fstat(descriptor).st_size:
            output.unlink(missing_ok=True)
            if new_folder:
                output.parent.rmdir()
        raise
    finally:
        os.close(descriptor)


def _lock(descriptor: int, output: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SinkError(f"{output}: another run writes this file; wait for its end, or choose another file") from error
    except OSError:  # the file system has no locks
        return
