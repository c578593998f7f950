"""The start of all commands.

This package imports the standard library alone. So a command can answer Ctrl-C while its libraries are imported: that
takes half a second for `dcfnet`, and several seconds for torch.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

INTERRUPTED = 130  # by Ctrl-C; the number in `ExitCode` of dcfnet-run, which cannot be imported here


def run() -> None:
    """Starts dcfnet-run."""
    start("dcfnet-run", "dcfnet.cli.run", None)


def train() -> None:
    """Starts dcfnet-train."""
    start("dcfnet-train", "dcfnet_train.cli", "train")


def crops() -> None:
    """Starts dcfnet-crops."""
    start("dcfnet-crops", "dcfnet_train.crops.cli", "train")


def adapt() -> None:
    """Starts dcfnet-adapt."""
    start("dcfnet-adapt", "dcfnet_train.adaptation.cli", "train")


def export() -> None:
    """Starts dcfnet-export."""
    start("dcfnet-export", "dcfnet_export.cli", "export")


def evaluate() -> None:
    """Starts dcfnet-eval."""
    start("dcfnet-eval", "dcfnet_evaluation.cli", "evaluation")


def calibrate() -> None:
    """Starts dcfnet-calibrate."""
    start("dcfnet-calibrate", "dcfnet_calibration.cli", "calibration")


def bench() -> None:
    """Starts dcfnet-bench."""
    start("dcfnet-bench", "dcfnet_evaluation.bench.cli", "evaluation")


def vot() -> None:
    """Starts dcfnet-vot, which reads its arguments without typer."""
    with quiet_interrupts():
        main = import_module("dcfnet_evaluation.vot").main
    _end_quietly(lambda: sys.exit(main()))


def start(command: str, module: str, extra: str | None) -> None:
    """Runs the typer app of a module. If a library is missing, prints one line and exits with code 1.

    command: name of the program. extra: the extra of dcfnet that installs the libraries; None: they are no extra.
    `--version` needs none of them.
    """
    with quiet_interrupts():
        if sys.argv[1:2] == ["--version"]:
            print(f"{command} {import_module('dcfnet.config.version').__version__}")
            return
        try:
            app = import_module(module).app
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("dcfnet"):
                raise
            package = "dcfnet" if extra is None else f"'dcfnet[{extra}]'"
            sys.exit(f"{command}: {error.name} is not installed; install it with: pip install {package}")
    _end_quietly(lambda: app(prog_name=command))


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Ctrl-C ends the process at once, with the code INTERRUPTED and without a message.

    A KeyboardInterrupt is not enough: a library that is interrupted in its import can turn it into another error.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # the signal is ignored (nohup), or somebody else handles it
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_quietly(command: Callable[[], object]) -> None:
    """Calls a command. An interruption that it does not handle ends it with the code INTERRUPTED."""
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
