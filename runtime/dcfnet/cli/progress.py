"""The progress of a run: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_INTERVAL = 10.0  # s between two lines in a log


class RunProgress:
    """Shows how many frames are done, on standard error."""

    def __init__(self, stack: ExitStack, name: str, length: int | None) -> None:
        """name: of the source. length: number of frames as the source claims it; None if unknown."""
        console = Console(stderr=True)
        self._bar = Progress(
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
            console=console,
            disable=not console.is_terminal,
        )
        self._log = not console.is_terminal
        self._task = stack.enter_context(self._bar).add_task(escape(name), total=length)
        self._done, self._length, self._told = 0, length, time.monotonic()

    def advance(self) -> None:
        """One more frame is done."""
        self._done += 1
        self._bar.advance(self._task)
        if self._log and time.monotonic() - self._told > LOG_INTERVAL:
            self._told = time.monotonic()
            total = f" of about {self._length}" if self._length and self._length >= self._done else ""
            print(f"dcfnet-run: {self._done}{total} frames", file=sys.stderr, flush=True)
