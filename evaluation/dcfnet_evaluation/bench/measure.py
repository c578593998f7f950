"""A benchmark from end to end: sequences decoded, trackers timed in turns, memory and cold start in processes apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from dcfnet.errors import ConfigError
from dcfnet.tracker import MultiTracker

from dcfnet_evaluation.bench.cold_start import cold_starts
from dcfnet_evaluation.bench.contestants import Contestant, enter, open_multi
from dcfnet_evaluation.bench.figures import Cost, Figures, figures_of
from dcfnet_evaluation.bench.footage import Footage, Size, decode, resized
from dcfnet_evaluation.bench.laps import Laps, check_length, run_laps
from dcfnet_evaluation.bench.targets import Stretch, costs_of, run_stretch
from dcfnet_evaluation.contenders import Contender, Dcfnet
from dcfnet_evaluation.memory import peak_memory
from dcfnet_evaluation.sequences import AnnotatedSequence

REFERENCE = "CSRT"  # of OpenCV's trackers the one that people take where they want accuracy
Progress = Callable[[str], None]  # told what is done next


@dataclass(frozen=True)
class Manner:
    """How a benchmark is run.

    size: of all frames, None leaves them. limit: frames of a sequence. warm_up: updates of a pass that do not count.
    repeats: passes of each tracker over each sequence. targets: numbers of them in one MultiTracker, () for none.
    cold_starts: of each tracker, 0 for none. stages, memory: whether to measure them. reference: None is CSRT where it
    runs too.
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
    manner: Manner,
    progress: Progress = lambda what: None,
) -> dict[str, Figures]:
    """The figures of every tracker, by its name.

    progress is told what is done next, `steps` times. Raises SequenceError for frames that cannot be read or are too
    few, and ConfigError for names that do not fit and for a dcfnet-run that does not start.
    """
    reference = reference_of([contender.name for contender in contenders], manner.reference)
    for sequence in sequences:
        check_length(sequence.name, len(range(len(sequence))[: manner.limit]), manner.warm_up)
    laps = _laps(sequences, contenders, manner, progress)
    costs = _costs(sequences, contenders, manner, progress)
    memory, starts = _apart(sequences, contenders, manner, progress)
    return {
        name: figures_of(found, laps.get(reference or ""), memory.get(name), starts.get(name), costs.get(name, ()))
        for name, found in laps.items()
    }


def steps(sequences: Sequence[AnnotatedSequence], manner: Manner) -> int:
    """How often `measure` tells of its progress."""
    swept = len(sequences) if manner.targets else 0
    return len(sequences) + swept + bool(manner.memory) + bool(manner.cold_starts)


def reference_of(names: Sequence[str], asked: str | None) -> str | None:
    """The tracker that FPS are compared to. Raises ConfigError for names given twice, and one that does not run."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two trackers are named {', '.join(twice)}; each needs a name of its own")
    if asked is not None and asked not in names:
        raise ConfigError(f"--reference {asked}: does not run; there are {', '.join(names)}; add it by --peer or --add")
    return asked or (REFERENCE if REFERENCE in names else None)


def _laps(
    sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender], manner: Manner, progress: Progress
) -> dict[str, dict[str, Laps]]:
    """What was timed, by tracker and sequence."""
    contestants = [enter(contender) for contender in contenders]
    found: dict[str, dict[str, Laps]] = {contestant.name: {} for contestant in contestants}
    for turn, sequence in enumerate(sequences):
        progress(sequence.name)
        for name, laps in _one_sequence(sequence, contestants, manner, turn).items():
            found[name][sequence.name] = laps
    return found


def _one_sequence(
    sequence: AnnotatedSequence, contestants: Sequence[Contestant], manner: Manner, turn: int
) -> dict[str, Laps]:
    footage = _footage(sequence, manner, manner.limit)
    return run_laps(contestants, footage, turn, manner.repeats, manner.warm_up, manner.stages)


def _footage(sequence: AnnotatedSequence, manner: Manner, limit: int | None) -> Footage:
    return decode(resized(sequence, manner.size), limit)


def _costs(
    sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender], manner: Manner, progress: Progress
) -> dict[str, list[Cost]]:
    """The cost of many targets, by tracker; of this project's alone, for others follow one each."""
    if not manner.targets:
        return {}
    trackers = {c.name: open_multi(c) for c in contenders if isinstance(c, Dcfnet)}
    sweeps: dict[str, dict[str, dict[int, list[Stretch]]]] = {name: {} for name in trackers}
    for turn, sequence in enumerate(sequences):
        progress(f"{sequence.name}, many targets")
        for name, runs in _one_sweep(_footage(sequence, manner, manner.limit), trackers, manner, turn).items():
            sweeps[name][sequence.name] = runs
    return {name: costs_of(sweep) for name, sweep in sweeps.items()}


def _one_sweep(
    footage: Footage, trackers: Mapping[str, MultiTracker], manner: Manner, turn: int
) -> dict[str, dict[int, list[Stretch]]]:
    """All trackers with all numbers of targets, as often as there are repeats, in an order that rotates."""
    runs = list(product(trackers, manner.targets))
    found: dict[str, dict[int, list[Stretch]]] = {n: {count: [] for count in manner.targets} for n in trackers}
    for repeat in range(manner.repeats):
        first = (turn * manner.repeats + repeat) % max(len(runs), 1)
        for name, count in runs[first:] + runs[:first]:
            found[name][count].append(run_stretch(trackers[name], footage, count, manner.warm_up))
    return found


def _apart(
    sequences: Sequence[AnnotatedSequence], contenders: Sequence[Contender], manner: Manner, progress: Progress
) -> tuple[dict[str, int], dict[str, float]]:
    """Memory, bytes, and cold start, seconds, by tracker: each in processes of its own."""
    memory: dict[str, int] = {}
    starts: dict[str, float] = {}
    if manner.memory:
        progress("memory")
        memory = peak_memory(contenders, resized(sequences[0], manner.size))
    if manner.cold_starts:
        progress("cold start")
        starts = cold_starts(contenders, _footage(sequences[0], manner, 20), manner.cold_starts)
    return memory, starts
