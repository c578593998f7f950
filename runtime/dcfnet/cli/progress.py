"""The progress of a run: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from dcfnet.cli.log import is_structured, say

LOG_INTERVAL = 10.0  # s between two lines in a log


class CommandProgress(Progress):
    """Bars on standard error. If that is a log and not a terminal: a line at most every LOG_INTERVAL seconds."""

    def __init__(self, program: str, *columns: ProgressColumn, shown: bool = True) -> None:
        """program: name at the start of a line. columns: of a bar; none: rich's own. shown: False prints nothing."""
        console = Console(stderr=True)
        super().__init__(*columns, console=console, disable=not (shown and console.is_terminal))
        self._program, self._log, self._told = program, shown and not console.is_terminal, time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As in rich."""
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As in rich."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        if not self._log or time.monotonic() - self._told < LOG_INTERVAL:
            return
        self._told, task = time.monotonic(), self._tasks[task_id]
        done = f"{task.percentage:.0f} %" if task.total == 1 else f"{task.completed:.0f}"
        total = f" of {task.total:.0f}" if task.total and task.total != 1 else ""
        fields = "".join(f", {value}" for value in task.fields.values() if value)
        print(f"{self._program}: {task.description} {done}{total}{fields}", file=sys.stderr, flush=True)


class RunProgress:
    """Shows how many frames are done, on standard error."""

    def __init__(self, stack: ExitStack, name: str, length: int | None) -> None:
        """name: of the source. length: number of frames as the source claims it; None if unknown."""
        console = Console(stderr=True)
        self._bar = Progress(
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
            console=console,
            disable=not console.is_terminal or is_structured(),
        )
        self._log = self._bar.disable
        self._task = stack.enter_context(self._bar).add_task(escape(name), total=length)
        self._done, self._length, self._told = 0, length, time.monotonic()

    def advance(self) -> None:
        """One more frame is done."""
        self._done += 1
        self._bar.advance(self._task)
        if self._log and time.monotonic() - self._told > LOG_INTERVAL:
            self._told = time.monotonic()
            total = f" of about {self._length}" if self._length and self._length >= self._done else ""
            say(f"{self._done}{total} frames", "progress", frames=self._done)
