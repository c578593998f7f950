"""dcfnet-vot: introduces the tracker to the evaluation, loads it, and answers until told to quit.

Only the standard library is imported before the introduction: the toolkit starts the program anew for a sequence, and
waits for its first line.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dcfnet_evaluation.vot.trax import Link, Message, VotError

NAME = "dcfnet"
HELLO = Message(
    "hello",
    properties={
        "trax.version": "1",
        "trax.name": NAME,
        "trax.description": "A learnt correlation filter",
        "trax.image": "path;memory;buffer",  # libtrax's word; its documentation says "data" where it reads "buffer"
        "trax.region": "rectangle;polygon",
    },
)


def main(arguments: Sequence[str] | None = None) -> int:
    """All of dcfnet-vot; returns the exit status: 0 after a quit, a hang-up or SIGTERM, 1 after an error."""
    options = _options(arguments)
    try:
        if options.register is not None:
            return _register(options)
        return _serve(options)
    except VotError as error:
        print(f"dcfnet-vot: {error}", file=sys.stderr)
        return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "dcfnet-vot", description="The tracker as a program of the VOT toolkit: TraX on standard input and output."
    )
    parser.add_argument("--model", type=Path, help="model file; without it the shipped one")
    parser.add_argument("--preset", help="operating point of the model: accurate, balanced or fast")
    parser.add_argument("--config", help="constants in place of a preset: paper, released or default")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="changes a constant of the tracker"
    )
    parser.add_argument(
        "--register", type=Path, metavar="WORKSPACE", help="adds the tracker to WORKSPACE/trackers.ini, and ends"
    )
    parser.add_argument("--name", default=NAME, help="identifier in trackers.ini, so that variants stand side by side")
    return parser.parse_args(arguments)


def _register(options: argparse.Namespace) -> int:
    from dcfnet_evaluation.vot import registry

    chosen = options.model, options.config, options.set, options.preset
    file = registry.register(options.register, options.name, *chosen)
    print(f"{file}: [{options.name}] written; try it in that folder with: vot test {options.name}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop says goodbye, too
    link = Link.of_process()
    try:
        _converse(link, options)
    except VotError as error:
        _quit(link, str(error))
        raise
    except KeyboardInterrupt:
        _quit(link, "interrupted")
    except BrokenPipeError:
        pass  # the evaluation is gone: nobody is left to be told
    return 0


def _converse(link: Link, options: argparse.Namespace) -> None:
    link.send(HELLO)
    from dcfnet_evaluation.vot.session import Session, open_tracker  # NumPy, OpenCV and the rest load here

    session = Session(open_tracker(options.model, options.config, options.set, options.preset))
    for request in link:
        if request.name == "quit":
            return
        link.send(session.answer(request))


def _quit(link: Link, reason: str) -> None:
    with contextlib.suppress(OSError):
        link.send(Message("quit", properties={"trax.reason": reason}))
