"""Ctrl-C and SIGTERM that wait while a library calls Python code."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """In this block an interruption waits for the end of the block.

    Some libraries call Python code, such as the `write` of a file. They lose a KeyboardInterrupt that is raised there,
    or report it as an error of the file.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    if threading.current_thread() is not threading.main_thread() or None in handlers.values():
        yield  # Python raises nothing here
        return
    came = list[int]()
    for number in SIGNALS:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
