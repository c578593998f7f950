"""Calls upon one pipeline, one after another: those made here, and those that wait on a thread of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Any, TypeVar

T = TypeVar("T")


class Turns:
    """A queue in front of one thread, which is there once something is queued. Of one caller's thread."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[Any] | None = None
        self._ident: int | None = None  # of the thread

    def queue(self, place: AbstractContextManager[None], work: Callable[[], T]) -> Future[T]:
        """The work, done within `place` once all that was queued before it is done."""

        def turn() -> T:
            self._ident = get_ident()
            with place:
                return work()

        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dcfnet")
        future = self._thread.submit(turn)
        self._last = future
        return future

    def settle(self) -> None:
        """Waits until nothing is queued; what went wrong with it comes out of its future.

        On the thread itself, as in a future's callback, it does not: what is queued there comes after.
        """
        if self._last is not None and get_ident() != self._ident:
            wait([self._last])
            self._last = None
