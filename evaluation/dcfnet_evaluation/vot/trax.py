"""TraX: the text messages between an evaluation and a tracker.

Version 1 of the "TraX protocol specification" (trax.readthedocs.io; Cehovin, "TraX: The visual Tracking eXchange
protocol and library", Neurocomputing 2017). Later clients still support a tracker that announces version 1. In the
paper the tracker is the server and the evaluation is the client. This module needs only the standard library, so that a
tracker can send its hello message before it imports anything else.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

PREFIX = b"@@TRAX:"
_TOKEN = re.compile(r'\s+(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s"]\S*))')
_KEY = re.compile(r"([A-Za-z0-9._]{1,64})=")


class VotError(ValueError):
    """An error that ends a session: an invalid message, or a tracker that cannot be opened."""


@dataclass(frozen=True)
class Message:
    """A message: name, positional arguments, and named properties."""

    name: str
    arguments: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)

    def expect(self, count: int) -> tuple[str, ...]:
        """The arguments. Raises VotError if their number is not `count`."""
        if len(self.arguments) != count:
            raise VotError(
                f"{self.name} {self.arguments!r:.80}: has {len(self.arguments)} arguments; must have {count}"
            )
        return self.arguments

    @classmethod
    def parse(cls, line: bytes) -> Message | None:
        """Reads a message from a line; None if the line is not a message. Raises VotError if the message is invalid."""
        if not line.startswith(PREFIX):
            return None
        text = os.fsdecode(line[len(PREFIX) :].rstrip())
        name = "".join(text.split(maxsplit=1)[:1])  # bytes and text do not have the same white space
        position, arguments, properties = len(name), list[str](), dict[str, str]()
        while position < len(text):
            token = _TOKEN.match(text, position)
            if token is None:
                raise VotError(
                    f"{name}: {text[position:]!r:.80}: not an argument; add the missing quotation mark or space"
                )
            position = token.end()
            argument = _unescape(token[2] if token[1] is None else token[1])
            key = _KEY.match(argument)
            if key:
                properties[key[1]] = argument[key.end() :]
            else:
                arguments.append(argument)
        return cls(name, tuple(arguments), properties)

    def line(self) -> bytes:
        """The message as one line, with its line end."""
        arguments = [*self.arguments, *(f"{key}={value}" for key, value in self.properties.items())]
        return os.fsencode(" ".join([PREFIX.decode() + self.name, *map(_quote, arguments)]) + "\n")


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


class Link:
    """The connection to the evaluation."""

    def __init__(self, incoming: BinaryIO, outgoing: int) -> None:
        """incoming: a stream of lines. outgoing: a file descriptor, so that a message is not split by a buffer."""
        self._incoming, self._outgoing = incoming, outgoing

    @classmethod
    def of_process(cls) -> Link:
        """Connects to the standard streams of this process.

        From then on all other output goes to standard error, so that a library cannot print between the messages.
        """
        outgoing = os.dup(sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.dup2(2, 1)
        return cls(sys.stdin.buffer, outgoing)

    def __iter__(self) -> Iterator[Message]:
        """The incoming messages, until the input ends. Raises VotError if a message is invalid."""
        for line in iter(self._incoming.readline, b""):
            message = Message.parse(line)
            if message is not None:
                yield message

    def send(self, message: Message) -> None:
        """Sends the message. Raises BrokenPipeError if the evaluation has exited."""
        line = message.line()
        while line:
            line = line[os.write(self._outgoing, line) :]
