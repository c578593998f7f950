"""The work queue of a pipeline: calls run one after another, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Any, TypeVar

T = TypeVar("T")


class WorkQueue:
    """A queue with one worker thread, which starts at the first `submit`. Only one thread may call its methods."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._last: Future[Any] | None = None
        self._worker: int | None = None  # identifier of the worker thread

    def submit(self, context: AbstractContextManager[None], work: Callable[[], T]) -> Future[T]:
        """Queues the work. It runs within `context` after all work that was submitted before."""

        def run() -> T:
            self._worker = get_ident()
            with context:
                return work()

        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dcfnet")
        future = self._executor.submit(run)
        self._last = future
        return future

    def drain(self) -> None:
        """Waits until the queue is empty. Errors of the queued work stay in their futures.

        On the worker thread itself, for example in a callback of a future, it returns at once.
        """
        if self._last is not None and get_ident() != self._worker:
            wait([self._last])
            self._last = None
