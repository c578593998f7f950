"""The exit codes of dcfnet-run, and the line that an error prints."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from enum import IntEnum

from dcfnet.cli.log import say
from dcfnet.cli.messages import as_options
from dcfnet.errors import DcfnetError


class ExitCode(IntEnum):
    """How a run ended. An unknown option or a missing argument has the code 2, which typer sets."""

    COMPLETE = 0
    ERROR = 1
    PARTIAL = 3  # the results are written, but frames of the source, or targets, are missing
    DIED = 4  # a live source ended
    INTERRUPTED = 130  # by Ctrl-C or SIGTERM
    BROKEN_PIPE = 141  # of a shell, for a program that wrote into a closed pipe


def exit_code(work: Callable[[], ExitCode], interrupted: Callable[[], None]) -> ExitCode:
    """Does the work and returns its code. An error of the user prints one line on standard error.

    interrupted: called after the message of an interruption, for example to print a summary.
    """
    try:
        code = work()
        if sys.stdout is not None:  # closed, as `>&-` does
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more at its end
        return ExitCode.BROKEN_PIPE
    except DcfnetError as error:
        say(as_options(error, "device", "config", "preset"), "error", logging.ERROR, exit_code=int(ExitCode.ERROR))
        return ExitCode.ERROR
    except KeyboardInterrupt:
        say("interrupted; the results up to this frame are saved", "interrupted", logging.WARNING)
        interrupted()
        return ExitCode.INTERRUPTED
    return code
