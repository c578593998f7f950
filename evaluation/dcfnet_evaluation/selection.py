"""What the options of dcfnet-eval ask for, checked before anything is run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import typer
from dcfnet.tracker import Tracker

from dcfnet_evaluation.contenders import Contender, Dcfnet, Peer, Python
from dcfnet_evaluation.datasets import open_dataset
from dcfnet_evaluation.evaluate import RATES, Subject
from dcfnet_evaluation.peers import available_peers
from dcfnet_evaluation.sequences import SequenceError


def subject_of(layout: str, root: Path, subset: str | None, names: str | None) -> Subject:
    """The dataset's sequences: of a subset, or those named, "A,B". Raises SequenceError."""
    opened = open_dataset(layout, root, _names(names), subset)
    if opened.note and not names:
        typer.echo(f"{root}: {opened.note}", err=True)
    return Subject(layout, root.resolve().name, opened, whole=not (names or opened.missing))


def _names(text: str | None) -> list[str] | None:
    """Names from "A, B", blanks around them left out; None for all."""
    return [name for part in text.split(",") if (name := part.strip())] if text else None


def dcfnets(
    models: Sequence[Path], config: str | None, assignments: Sequence[str] | None, presets: str | None = None
) -> list[Contender]:
    """This project's tracker, once a model and preset, with the constants in force. Raises ModelError, ConfigError.

    It is named after what tells it from the others: dcfnet, the model, dcfnet-PRESET, or MODEL-PRESET.
    """
    found: list[Contender] = []
    points = _names(presets) or (None,)
    for model, preset in product(models or (None,), points):
        constants = Tracker(model, config=config, preset=preset).config.assign(assignments or [])
        name = "dcfnet" if len(models) < 2 else Path(str(model)).stem
        found.append(Dcfnet(f"{name}-{preset}" if len(points) > 1 else name, model, constants))
    return found


def others(added: Sequence[str], peers: bool, names: str | None, models: Path | None) -> list[Contender]:
    """Trackers of others that were asked for; of OpenCV's, without names, those that can be opened here.

    Raises SequenceError, ConfigError and PeerError for what cannot be opened.
    """
    found: list[Contender] = []
    if names:
        found += [Peer(name, models) for name in _names(names) or ()]
    elif peers:
        usable, unusable = available_peers(models)
        for name, reason in unusable.items():
            typer.echo(f"left out: {name}: {reason}", err=True)
        found += [Peer(name, models) for name in usable]
    if added:
        sys.path.append(str(Path.cwd()))  # a module beside the person's work is found, as `python -m` would
    for entry in added:
        name, _, target = entry.partition("=")
        if not target:
            raise SequenceError(f"--add {entry}: give NAME=package.module:Class")
        found.append(Python(name, target))
    for contender in found:
        contender.open()  # what cannot be opened is told now, not after hours
    return found


def result_folders(given: Sequence[str] | None) -> dict[str, Path]:
    """Folders of published boxes by the tracker's name, from "NAME=FOLDER". Raises SequenceError."""
    found = {}
    for entry in given or []:
        name, _, folder = entry.partition("=")
        if not folder:
            raise SequenceError(f"--results {entry}: give NAME=FOLDER")
        found[name] = Path(folder)
    return found


def rates_of(text: str, timed: bool) -> tuple[int, ...]:
    """Hz from "30,60", "none", or "auto": the usual ones where times are taken at all. Raises SequenceError."""
    if text == "auto":
        return RATES if timed else ()
    return () if text == "none" else numbers(text, "--rates")


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers from "1,3,5". Raises SequenceError naming the option."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise SequenceError(f"{option} {text}: give whole numbers, separated by commas") from None
