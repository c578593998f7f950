"""The work queue of a pipeline: calls run one after another, directly or on one worker thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from threading import Lock, RLock, get_ident
from typing import Any, TypeVar

from dcfnet.errors import DeviceError

T = TypeVar("T")
_forks = 0  # forks between the first process and this one; a comparison is faster than a call of os.getpid


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class WorkQueue:
    """Runs the calls of all trackers on one pipeline one at a time. Any thread may use it.

    `with queue.exclusive():` runs a call in the present thread. `submit` queues a call for one worker thread, which
    starts at the first `submit`. Both raise DeviceError in a fork of the process that made the queue.
    """

    def __init__(self) -> None:
        self._process, self._forks = os.getpid(), _forks
        self._calls = RLock()  # held while a call runs
        self._submissions = Lock()  # protects the fields below; never held while a call runs
        self._executor: ThreadPoolExecutor | None = None
        self._last: Future[Any] | None = None
        self._worker: int | None = None  # identifier of the worker thread

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the process that made the queue."""
        return self._forks != _forks

    def exclusive(self) -> AbstractContextManager[Any]:
        """A context in which no other call runs. Waits until the queue is empty; errors stay in their futures.

        On the worker thread itself, for example in a callback of a future, it does not wait for the queue.
        """
        if self._forks != _forks:
            self._raise_forked()
        if self._last is not None and get_ident() != self._worker:
            self._drain(self._last)
        return self._calls

    def submit(self, context: AbstractContextManager[None], work: Callable[[], T]) -> Future[T]:
        """Queues the work. It runs within `context` after all work that was submitted before."""

        def run() -> T:
            self._worker = get_ident()
            with self._calls, context:
                return work()

        if self.forked:
            self._raise_forked()
        with self._submissions:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dcfnet")
            future = self._executor.submit(run)
            self._last = future
        return future

    def _drain(self, last: Future[Any]) -> None:
        """Waits for the last submitted call."""
        wait([last])
        with self._submissions:
            if self._last is last:
                self._last = None

    def _raise_forked(self) -> None:
        """Threads are not copied to a fork: a call that waits for one would never end."""
        raise DeviceError(
            f"process {self._process} made this tracker; process {os.getpid()} is a fork of it and cannot use its "
            "threads and devices; make a tracker in the new process, or start workers with "
            "multiprocessing.get_context('spawn')"
        )
