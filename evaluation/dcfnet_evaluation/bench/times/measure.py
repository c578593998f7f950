"""A whole benchmark: decodes sequences, times trackers in turns, measures memory and cold start in other processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from dcfnet.errors import ConfigError
from dcfnet.tracker import MultiTracker

from dcfnet_evaluation.bench.times.cold_start import cold_starts
from dcfnet_evaluation.bench.times.contestants import BenchTracker, open_for_bench, open_multi
from dcfnet_evaluation.bench.times.figures import Cost, Figures, figures_of
from dcfnet_evaluation.bench.times.footage import Footage, Size, decode, resized
from dcfnet_evaluation.bench.times.laps import TimedPasses, check_length, time_trackers
from dcfnet_evaluation.bench.times.targets import TargetsRun, target_costs, time_targets
from dcfnet_evaluation.sequences import AnnotatedSequence
from dcfnet_evaluation.trackers.contenders import Contender, Dcfnet
from dcfnet_evaluation.trackers.memory import peak_memory

REFERENCE = "CSRT"  # the usual choice among the trackers of OpenCV if accuracy matters
Progress = Callable[[str], None]  # called with the next step


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a benchmark.

    size: width and height of all frames, None for their own size. limit: most frames per sequence. warm_up: first
    updates of a pass that do not count. repeats: passes of each tracker over each sequence. targets: numbers of targets
    in one MultiTracker, () for none. cold_starts: starts of each tracker, 0 for none. stages, memory: whether to
    measure them. reference: name of the tracker that FPS are compared to; None is CSRT if it runs.
    """

    size: Size | None = (640, 360)
    limit: int | None = None
    warm_up: int = 10
    repeats: int = 3
    targets: tuple[int, ...] = ()
    cold_starts: int = 0
    stages: bool = True
    memory: bool = True
    reference: str | None = None


def measure(
    sequences: Sequence[AnnotatedSequence],
    contenders: Sequence[Contender],
    settings: BenchSettings,
    progress: Progress = lambda what: None,
) -> dict[str, Figures]:
    """Measures the figures of every tracker: name -> figures.

    progress: called before each of the `steps` steps. Raises SequenceError if a frame cannot be read or a sequence is
    too short, and ConfigError if a name is repeated or unknown, or if dcfnet-run does not start.
    """
    reference = reference_of([contender.name for contender in contenders], settings.reference)
    for sequence in sequences:
        check_length(sequence.name, len(range(len(sequence))[: settings.limit]), settings.warm_up)
    timed_passes = _time_sequences(sequences, contenders, settings, progress)
    costs = _measure_targets(sequences, contenders, settings, progress)
    memory, starts = _measure_processes(sequences, contenders, settings, progress)
    return {
        name: figures_of(
            timed, timed_passes.get(reference or ""), memory.get(name), starts.get(name), costs.get(name, ())
        )
        for name, timed in timed_passes.items()
    }


def steps(sequences: Sequence[AnnotatedSequence], settings: BenchSettings) -> int:
    """The number of steps of `measure`."""
    sweep_steps = len(sequences) if settings.targets else 0
    return len(sequences) + sweep_steps + bool(settings.memory) + bool(settings.cold_starts)


def reference_of(names: Sequence[str], requested: str | None) -> str | None:
    """The tracker that FPS are compared to. Raises ConfigError if a name is repeated or the reference does not run."""
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two trackers have the name {', '.join(repeated)}; give each tracker its own name")
    if requested is not None and requested not in names:
        raise ConfigError(
            f"--reference {requested}: must be one of {', '.join(names)}; or add the tracker with --peer or --add"
        )
    return requested or (REFERENCE if REFERENCE in names else None)


def _time_sequences(
    sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender], settings: BenchSettings, progress: Progress
) -> dict[str, dict[str, TimedPasses]]:
    """Timed passes, by tracker and sequence."""
    trackers = [open_for_bench(contender) for contender in contenders]
    timed: dict[str, dict[str, TimedPasses]] = {tracker.name: {} for tracker in trackers}
    for turn, sequence in enumerate(sequences):
        progress(sequence.name)
        for name, timed_passes in _time_one_sequence(sequence, trackers, settings, turn).items():
            timed[name][sequence.name] = timed_passes
    return timed


def _time_one_sequence(
    sequence: AnnotatedSequence, trackers: Sequence[BenchTracker], settings: BenchSettings, turn: int
) -> dict[str, TimedPasses]:
    footage = _footage(sequence, settings, settings.limit)
    return time_trackers(trackers, footage, turn, settings.repeats, settings.warm_up, settings.stages)


def _footage(sequence: AnnotatedSequence, settings: BenchSettings, limit: int | None) -> Footage:
    return decode(resized(sequence, settings.size), limit)


def _measure_targets(
    sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender], settings: BenchSettings, progress: Progress
) -> dict[str, list[Cost]]:
    """The cost of many targets, by tracker. Only this project's trackers support many targets."""
    if not settings.targets:
        return {}
    trackers = {c.name: open_multi(c) for c in contenders if isinstance(c, Dcfnet)}
    sweeps: dict[str, dict[str, dict[int, list[TargetsRun]]]] = {name: {} for name in trackers}
    for turn, sequence in enumerate(sequences):
        progress(f"{sequence.name}, many targets")
        for name, runs in _one_sweep(_footage(sequence, settings, settings.limit), trackers, settings, turn).items():
            sweeps[name][sequence.name] = runs
    return {name: target_costs(sweep) for name, sweep in sweeps.items()}


def _one_sweep(
    footage: Footage, trackers: Mapping[str, MultiTracker], settings: BenchSettings, turn: int
) -> dict[str, dict[int, list[TargetsRun]]]:
    """Runs all trackers with all numbers of targets, `repeats` times, in a rotating order."""
    runs = list(product(trackers, settings.targets))
    by_tracker: dict[str, dict[int, list[TargetsRun]]] = {
        n: {count: [] for count in settings.targets} for n in trackers
    }
    for repeat in range(settings.repeats):
        first = (turn * settings.repeats + repeat) % max(len(runs), 1)
        for name, count in runs[first:] + runs[:first]:
            by_tracker[name][count].append(time_targets(trackers[name], footage, count, settings.warm_up))
    return by_tracker


def _measure_processes(
    sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender], settings: BenchSettings, progress: Progress
) -> tuple[dict[str, int], dict[str, float]]:
    """Memory, bytes, and cold start, seconds, by tracker. Each is measured in a new process."""
    memory: dict[str, int] = {}
    starts: dict[str, float] = {}
    if settings.memory:
        progress("memory")
        memory = peak_memory(contenders, resized(sequences[0], settings.size))
    if settings.cold_starts:
        progress("cold start")
        starts = cold_starts(contenders, _footage(sequences[0], settings, 20), settings.cold_starts)
    return memory, starts
