"""Reads and checks the options of dcfnet-eval before any tracker runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import typer
from dcfnet.tracker import Tracker

from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.evaluate import RATES, EvaluationSettings, Subject
from dcfnet_evaluation.sequences import SequenceError
from dcfnet_evaluation.trackers.contenders import Contender, Dcfnet, Peer, Python
from dcfnet_evaluation.trackers.peers import available_peers


def subject_of(layout: str, root: Path, subset: str | None, names: str | None) -> Subject:
    """The sequences of the dataset: all, of a subset, or those named, for example "A,B". Raises SequenceError."""
    dataset = open_dataset(layout, root, _split_names(names), subset)
    if dataset.note and not names:
        typer.echo(f"{root}: {dataset.note}", err=True)
    return Subject(layout, root.resolve().name, dataset, whole=not (names or dataset.missing))


def _split_names(text: str | None) -> list[str] | None:
    """Splits "A, B" into names without blanks; None if there is no text."""
    return [name for part in text.split(",") if (name := part.strip())] if text else None


def dcfnet_contenders(
    models: Sequence[Path], config: str | None, assignments: Sequence[str] | None, presets: str | None = None
) -> list[Contender]:
    """This project's tracker, one for each pair of model and preset, with the assigned constants.

    The name contains the parts that differ: dcfnet, MODEL, dcfnet-PRESET or MODEL-PRESET.
    Raises ModelError and ConfigError.
    """
    contenders: list[Contender] = []
    preset_names = _split_names(presets) or (None,)
    for model, preset in product(models or (None,), preset_names):
        constants = Tracker(model, config=config, preset=preset).config.assign(assignments or [])
        name = "dcfnet" if len(models) < 2 else Path(str(model)).stem
        contenders.append(Dcfnet(f"{name}-{preset}" if len(preset_names) > 1 else name, model, constants))
    return contenders


def other_contenders(added: Sequence[str], peers: bool, names: str | None, models: Path | None) -> list[Contender]:
    """The trackers of OpenCV and of the user. `peers` without `names`: all trackers of OpenCV that can be opened.

    Raises SequenceError, ConfigError or PeerError if a tracker cannot be opened.
    """
    if models and not (peers or names):
        raise SequenceError(f"--peer-models {models}: is for trackers of OpenCV; give --peers or --peer NAMES")
    contenders: list[Contender] = [Peer(name, models) for name in _peer_names(peers, names, models)]
    if added:
        sys.path.append(str(Path.cwd()))  # finds modules in the current folder, as `python -m` does
    for entry in added:
        name, _, target = entry.partition("=")
        if not target:
            raise SequenceError(f"--add {entry}: must be NAME=package.module:Class")
        contenders.append(Python(name, target))
    for contender in contenders:
        contender.open()  # raises now instead of after hours of work
    return contenders


def _peer_names(peers: bool, names: str | None, models: Path | None) -> Sequence[str]:
    """The names of the trackers of OpenCV. Prints those that cannot be opened, if all are wanted."""
    if names or not peers:
        return _split_names(names) or ()
    usable, unusable = available_peers(models)
    for name, reason in unusable.items():
        typer.echo(f"left out: {name}: {reason}", err=True)
    return usable


def result_folders(entries: Sequence[str] | None) -> dict[str, Path]:
    """Reads "NAME=FOLDER" options: name of the tracker -> folder of its published boxes. Raises SequenceError."""
    folders = {}
    for entry in entries or []:
        name, _, folder = entry.partition("=")
        if not folder:
            raise SequenceError(f"--results {entry}: must be NAME=FOLDER")
        folders[name] = Path(folder)
    return folders


def settings_of(
    protocol: str, limit: int | None, rates: str, workers: int, ray: str | None, memory: bool
) -> EvaluationSettings:
    """The settings of an evaluation. Rates and memory are measured with one worker only. Raises SequenceError."""
    serial = workers == 1 and ray is None
    chosen = parse_rates(rates, serial and protocol == "ope")
    return EvaluationSettings(protocol, limit, chosen, workers, ray, memory and serial)


def parse_rates(text: str, timed: bool) -> tuple[int, ...]:
    """Rates in Hz from "30,60", "none" or "auto". "auto": RATES if times are measured. Raises SequenceError."""
    if text == "auto":
        return RATES if timed else ()
    return () if text == "none" else parse_numbers(text, "--rates")


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers from "1,3,5". Raises SequenceError; the message names the option."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise SequenceError(f"{option} {text}: give whole numbers, separated by commas") from None
