"""Runs the missing passes of an evaluation, in this process, in several processes or on Ray; saves each sequence."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from threading import Thread

from dcfnet.errors import MissingDependencyError

from dcfnet_evaluation.passes import Pass, SingleTracker, run_passes
from dcfnet_evaluation.passes.latency import run_against_clock
from dcfnet_evaluation.passes.protocols import PROTOCOLS
from dcfnet_evaluation.passes.records import Conditions, Record, Store
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError
from dcfnet_evaluation.trackers.contenders import Contender, open_once

ATTEMPTS = 3  # process pools: a pool breaks if a worker is killed, for example because memory runs out

Key = tuple[str, str]  # kind, tracker
PassesByKey = Mapping[Key, tuple[Pass, ...]]
Outcome = tuple["Job", PassesByKey | SequenceError]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """The work on one sequence. rates: camera rates of the real-time passes, Hz."""

    sequence: AnnotatedSequence
    contenders: tuple[Contender, ...]
    protocol: str
    limit: int | None
    rates: tuple[int, ...] = ()

    def execute(self) -> dict[Key, tuple[Pass, ...]]:
        """Runs all contenders from each start of the protocol, interleaved; then each contender in real time, alone."""
        trackers = {contender.name: open_once(contender) for contender in self.contenders}
        starts = PROTOCOLS[self.protocol](self.sequence)
        passes = [run_passes(trackers, self.sequence, start, self.limit) for start in starts]
        results: dict[Key, tuple[Pass, ...]] = {
            (self.protocol, name): tuple(by_name[name] for by_name in passes) for name in trackers
        }
        for rate in self.rates:
            for name, tracker in trackers.items():
                results[f"{rate}hz", name] = (self._run_in_real_time(tracker, rate),)
        return results

    def _run_in_real_time(self, tracker: SingleTracker, rate: int) -> Pass:
        return run_against_clock(tracker, self.sequence, rate, limit=self.limit)


def jobs_left(
    store: Store, conditions: Conditions, sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender]
) -> list[Job]:
    """A job for every unfinished sequence, with all contenders: times are comparable only if they run together."""
    keys = [(kind, contender.name) for kind in conditions.kinds() for contender in contenders]
    left = [s for s in sequences if not all(store.has(kind, name, s.name, len(s)) for kind, name in keys)]
    return [Job(s, tuple(contenders), conditions.protocol, conditions.limit, conditions.rates) for s in left]


def run(
    jobs: Sequence[Job], store: Store, workers: int = 1, ray: str | None = None, done: Progress = lambda name: None
) -> None:
    """Runs the jobs and saves the passes of each finished job.

    workers: local processes; 1 is this process, and only then are times valid. ray: address of a cluster that reads the
    dataset at the same path, or "local". done: called with the name of each finished sequence.

    Raises SequenceError if frames cannot be read (after all other sequences are saved) or if workers die repeatedly.
    Finished sequences stay saved.
    """
    serial = workers == 1 and ray is None
    outcomes = _in_process(jobs) if serial else _on_ray(jobs, ray) if ray else _on_processes(jobs, workers)
    unreadable: SequenceError | None = None
    for job, result in outcomes:
        if isinstance(result, SequenceError):
            unreadable = unreadable or result
            continue
        for (kind, tracker), passes in result.items():
            store.save(kind, tracker, job.sequence.name, Record(passes, serial))
        done(job.sequence.name)
    if unreadable:
        raise unreadable


def _execute(job: Job) -> PassesByKey | SequenceError:
    try:
        return job.execute()
    except SequenceError as error:  # an unreadable sequence must not stop the other sequences
        return error


def _in_process(jobs: Sequence[Job]) -> Iterator[Outcome]:
    return ((job, _execute(job)) for job in jobs)


def _on_processes(jobs: Sequence[Job], workers: int) -> Iterator[Outcome]:
    left = dict(enumerate(jobs))
    for _ in range(ATTEMPTS):
        # spawn: a forked process can hang if its libraries have threads
        context = get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent)
        try:
            submitted = {pool.submit(_execute, job): number for number, job in left.items()}
            for future in as_completed(submitted):
                result = future.result()
                yield left.pop(submitted[future]), result
            return
        except BrokenProcessPool:
            continue  # a worker was killed: start the remaining jobs again
        finally:
            _stop(pool, at_once=bool(left))
    names = ", ".join(job.sequence.name for job in left.values())
    raise SequenceError(
        f"workers died {ATTEMPTS} times; unfinished: {names}. Run again with fewer --workers to continue"
    )


def follow_parent() -> None:
    """Initialises a worker: it ignores Ctrl-C and exits when its parent exits.

    Ctrl-C reaches every process of a terminal, but only the parent may react to it. A kill reaches only the parent:
    without this function its workers would wait forever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def exit_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=exit_with_parent, daemon=True).start()


def _stop(pool: ProcessPoolExecutor, at_once: bool) -> None:
    pool.shutdown(wait=not at_once, cancel_futures=True)
    if at_once:
        for child in active_children():
            child.terminate()


def _on_ray(jobs: Sequence[Job], address: str) -> Iterator[Outcome]:
    """Runs the jobs on Ray, which restarts the task of a dead worker at most three times."""
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("ray", "ray") from error
    ray.init(None if address == "local" else address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        task = ray.remote(_execute)
        submitted = {task.remote(job): job for job in jobs}
        while submitted:
            finished, _ = ray.wait(list(submitted))
            for reference in finished:
                yield submitted.pop(reference), ray.get(reference)
    finally:
        ray.shutdown()
