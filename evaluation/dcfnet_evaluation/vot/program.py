"""dcfnet-vot: sends the hello message, opens the tracker, and answers requests until it receives quit.

It imports only the standard library before the hello message, because the toolkit starts the program for every sequence
and waits for this message.
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
        "trax.description": "A discriminative correlation filter on CNN features",
        "trax.image": "path;memory;buffer",  # libtrax reads "buffer", although its documentation says "data"
        "trax.region": "rectangle;polygon",
    },
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs dcfnet-vot. Returns the exit status: 0 after quit, end of input or SIGTERM; 1 after an error."""
    options = _options(arguments)
    try:
        if options.version:
            return _print_version()
        if options.register is not None:
            return _register(options)
        return _serve(options)
    except VotError as error:
        print(f"dcfnet-vot: {error}", file=sys.stderr)
        return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "dcfnet-vot", description="The tracker for the VOT toolkit: TraX on standard input and output."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("--model", type=Path, help="model file, or name of a shipped model (default: deep)")
    parser.add_argument("--preset", help="operating point of the model: accurate, balanced or fast")
    parser.add_argument(
        "--config", help="constants for the model dcfnet, used instead of a preset: paper, released or default"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a constant of the tracker; may be repeated",
    )
    parser.add_argument(
        "--register", type=Path, metavar="WORKSPACE", help="add the tracker to WORKSPACE/trackers.ini and exit"
    )
    parser.add_argument(
        "--name", default=NAME, help="identifier in trackers.ini; each variant of the tracker needs its own"
    )
    return parser.parse_args(arguments)


def _print_version() -> int:
    from dcfnet.config.version import __version__  # imports more than the standard library

    print(f"dcfnet-vot {__version__}")
    return 0


def _register(options: argparse.Namespace) -> int:
    from dcfnet_evaluation.vot import registry

    chosen = options.model, options.config, options.set, options.preset
    file = registry.register(options.register, options.name, *chosen)
    print(f"{file}: wrote [{options.name}]; test it in that folder with: vot test {options.name}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM also sends a quit message
    link = Link.of_process()
    try:
        _answer_requests(link, options)
    except VotError as error:
        _quit(link, str(error))
        raise
    except KeyboardInterrupt:
        _quit(link, "interrupted")
    except BrokenPipeError:
        pass  # the evaluation has exited
    return 0


def _answer_requests(link: Link, options: argparse.Namespace) -> None:
    link.send(HELLO)
    from dcfnet_evaluation.vot.session import Session, open_tracker  # imports NumPy and OpenCV

    session = Session(open_tracker(options.model, options.config, options.set, options.preset))
    for request in link:
        if request.name == "quit":
            return
        link.send(session.answer(request))


def _quit(link: Link, reason: str) -> None:
    with contextlib.suppress(OSError):
        link.send(Message("quit", properties={"trax.reason": reason}))
