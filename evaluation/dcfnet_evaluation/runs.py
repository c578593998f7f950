"""Running an evaluation: one sequence after the other, or many at once; what is done is kept, what is left is done."""

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

from dcfnet_evaluation.contenders import Contender, opened
from dcfnet_evaluation.latency import run_against_clock
from dcfnet_evaluation.passes import Pass, SingleTracker, run_passes
from dcfnet_evaluation.protocols import PROTOCOLS
from dcfnet_evaluation.records import Conditions, Record, Store
from dcfnet_evaluation.sequences import AnnotatedSequence, SequenceError

ATTEMPTS = 3  # pools of processes that may break, by a kill or for want of memory, before the run gives up

Key = tuple[str, str]  # kind, tracker: what a file of a store holds for a sequence
Found = Mapping[Key, tuple[Pass, ...]]
Outcome = tuple["Job", Found | SequenceError]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What is left to do on one sequence. rates: of the passes against the clock, Hz."""

    sequence: AnnotatedSequence
    contenders: tuple[Contender, ...]
    protocol: str
    limit: int | None
    rates: tuple[int, ...] = ()

    def execute(self) -> dict[Key, tuple[Pass, ...]]:
        """Every contender over every start of the protocol, side by side, then against the clock, one by one."""
        trackers = {contender.name: opened(contender) for contender in self.contenders}
        starts = PROTOCOLS[self.protocol](self.sequence)
        passes = [run_passes(trackers, self.sequence, start, self.limit) for start in starts]
        found: dict[Key, tuple[Pass, ...]] = {
            (self.protocol, name): tuple(done[name] for done in passes) for name in trackers
        }
        for rate in self.rates:
            for name, tracker in trackers.items():
                found[f"{rate}hz", name] = (self._against_clock(tracker, rate),)
        return found

    def _against_clock(self, tracker: SingleTracker, rate: int) -> Pass:
        return run_against_clock(tracker, self.sequence, rate, limit=self.limit)


def jobs_left(
    store: Store, conditions: Conditions, sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender]
) -> list[Job]:
    """A job for every sequence that is not finished, with all its contenders: only together are they comparable."""
    wanted = [(kind, contender.name) for kind in conditions.kinds() for contender in contenders]
    left = [s for s in sequences if not all(store.has(kind, name, s.name, len(s)) for kind, name in wanted)]
    return [Job(s, tuple(contenders), conditions.protocol, conditions.limit, conditions.rates) for s in left]


def run(
    jobs: Sequence[Job], store: Store, workers: int = 1, ray: str | None = None, done: Progress = lambda name: None
) -> None:
    """Does the jobs and saves each as it is finished; done(sequence) is called then.

    workers: local processes; 1 is this one, and only then do times mean something. ray: address of a cluster that sees
    the dataset under the same path, or "local". Raises SequenceError for frames that cannot be read, once all other
    sequences are done and saved, and when workers keep dying; what was finished is kept.
    """
    serial = workers == 1 and ray is None
    results = _here(jobs) if serial else _on_ray(jobs, ray) if ray else _on_processes(jobs, workers)
    unreadable: SequenceError | None = None
    for job, found in results:
        if isinstance(found, SequenceError):
            unreadable = unreadable or found
            continue
        for (kind, tracker), passes in found.items():
            store.save(kind, tracker, job.sequence.name, Record(passes, serial))
        done(job.sequence.name)
    if unreadable:
        raise unreadable


def _execute(job: Job) -> Found | SequenceError:
    try:
        return job.execute()
    except SequenceError as error:  # of one sequence, which must not cost the others
        return error


def _here(jobs: Sequence[Job]) -> Iterator[Outcome]:
    return ((job, _execute(job)) for job in jobs)


def _on_processes(jobs: Sequence[Job], workers: int) -> Iterator[Outcome]:
    left = dict(enumerate(jobs))
    for _ in range(ATTEMPTS):
        # spawned, not forked: a fork of a process whose libraries hold threads may hang
        context = get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent)
        try:
            submitted = {pool.submit(_execute, job): number for number, job in left.items()}
            for future in as_completed(submitted):
                found = future.result()
                yield left.pop(submitted[future]), found
            return
        except BrokenProcessPool:
            continue  # a worker was killed: what is left is begun anew
        finally:
            _stop(pool, at_once=bool(left))
    names = ", ".join(job.sequence.name for job in left.values())
    raise SequenceError(f"workers died {ATTEMPTS} times; left: {names}. Run it again to go on, with fewer --workers")


def follow_parent() -> None:
    """In a worker: the process that gave out the work decides when to stop, and its end is the worker's.

    Ctrl-C reaches every process of a terminal, so it is ignored here; a kill reaches the parent alone, and workers
    would wait for it for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def leave() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=leave, daemon=True).start()


def _stop(pool: ProcessPoolExecutor, at_once: bool) -> None:
    pool.shutdown(wait=not at_once, cancel_futures=True)
    if at_once:
        for child in active_children():
            child.terminate()


def _on_ray(jobs: Sequence[Job], address: str) -> Iterator[Outcome]:
    """Ray starts a task anew when its worker dies, three times at most."""
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
